//! The messages of both directions, and what they are made of.
//!
//! Binary names (info-hashes, peer ids, offer ids) travel as JSON strings of exactly 20 code points U+0000 to
//! U+00FF, one for each byte. Offers and answers are carried as the raw JSON that came in ([`RawValue`]), after
//! a check that they are what a session description looks like: a tracker relays them without printing them
//! again, and can't be made to pass on something that breaks the receiver's parser.

mod announce;
mod description;
mod field;
mod offers;
mod reply;
mod scrape;
mod twenty;

#[cfg(test)]
mod tests;

use causeway_core::{InfoHash, PeerId};
use core::fmt;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

pub use description::DescriptionKind;

/// The longest message that is read, in bytes. Offers of ten peers, each with all its candidates, can pass
/// 16 KiB; nothing that a client needs to say comes near this.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// The most offers that are taken from one announce; further ones are not looked at. The reference tracker
/// relays at most 82.
pub const MAX_OFFERS: usize = 100;

/// What a client tells a tracker.
#[derive(Clone, Debug)]
pub enum ClientMessage<'a> {
    /// "I am in this swarm", with offers for others to answer.
    Announce(Announce<'a>),
    /// The answer to an offer that the tracker relayed. It says nothing of the sender's own state, and is not
    /// replied to.
    Answer {
        /// The swarm in which the offer came.
        info_hash: InfoHash,
        /// The sender.
        peer_id: PeerId,
        /// Who made the offer.
        to_peer_id: PeerId,
        /// The offer.
        offer_id: OfferId,
        /// `{"type":"answer","sdp":"..."}`.
        answer: &'a RawValue,
    },
    /// "How many are in these swarms?"
    Scrape {
        /// The swarms; none means all of them.
        info_hashes: Vec<InfoHash>,
    },
}

/// A client's state in one swarm.
#[derive(Clone, Debug)]
pub struct Announce<'a> {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The sender.
    pub peer_id: PeerId,
    /// What has changed.
    pub event: Event,
    /// Payload bytes sent to others in this session.
    pub uploaded: u64,
    /// Payload bytes received from others in this session.
    pub downloaded: u64,
    /// What the sender lacks.
    pub left: Left,
    /// How many peers the sender would like; the number of offers limits it further.
    pub numwant: Option<u32>,
    /// At most [`MAX_OFFERS`], each for one other peer. Items that are not offers (deployed clients send `null`)
    /// have been left out.
    pub offers: Vec<OfferItem<'a>>,
    /// What the tracker gave as `tracker id` in its last reply, any JSON value.
    pub tracker_id: Option<&'a RawValue>,
}

/// An offer that waits for somebody to answer it.
#[derive(Clone, Copy, Debug)]
pub struct OfferItem<'a> {
    /// Its name, chosen by the one who made it. The same offer may come again, and at several trackers.
    pub offer_id: OfferId,
    /// `{"type":"offer","sdp":"..."}`.
    pub offer: &'a RawValue,
}

/// What a tracker tells a client.
#[derive(Clone, Debug)]
pub enum TrackerMessage<'a> {
    /// The reply to an announce. A tracker fills in all three numbers: libtorrent ignores a reply without
    /// `interval`. A client must do without any of them.
    Announced {
        /// The swarm.
        info_hash: InfoHash,
        /// Peers that have everything.
        complete: Option<u32>,
        /// Peers that lack something.
        incomplete: Option<u32>,
        /// Seconds until the next announce is expected.
        interval: Option<u32>,
        /// To be sent back in later announces, any JSON value.
        tracker_id: Option<&'a RawValue>,
        /// Something that a person should read.
        warning: Option<Cow<'a, str>>,
    },
    /// Somebody's offer.
    Offer {
        /// The swarm.
        info_hash: InfoHash,
        /// Who made it; never the receiver.
        peer_id: PeerId,
        /// Its name, for the answer.
        offer_id: OfferId,
        /// `{"type":"offer","sdp":"..."}`.
        offer: &'a RawValue,
    },
    /// Somebody's answer to an offer of the receiver.
    Answer {
        /// The swarm.
        info_hash: InfoHash,
        /// Who answered; never the receiver.
        peer_id: PeerId,
        /// The receiver's offer.
        offer_id: OfferId,
        /// `{"type":"answer","sdp":"..."}`.
        answer: &'a RawValue,
    },
    /// The reply to a scrape.
    Scraped {
        /// The swarms that were asked for, each once, as far as they are known.
        files: Vec<(InfoHash, SwarmCounts)>,
        /// Seconds that a client should wait between two scrapes.
        min_request_interval: Option<u32>,
    },
    /// A message could not be accepted.
    Failure {
        /// What the message was for, where that could be read.
        action: Option<Action>,
        /// The swarm that it spoke of, where that could be read.
        info_hash: Option<InfoHash>,
        /// Why, in words.
        reason: Cow<'a, str>,
    },
}

/// How many peers a swarm has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwarmCounts {
    /// Peers that have everything.
    pub complete: u32,
    /// Peers that lack something.
    pub incomplete: u32,
    /// How often the torrent has been downloaded to its end.
    pub downloaded: u32,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Announces, offers and answers.
    Announce,
    /// Counts of swarms.
    Scrape,
}

/// What has changed since the last announce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Event {
    /// Nothing: the regular announce. Spelled as an absent event, `null`, `""`, `"empty"` or `"update"`.
    #[default]
    Update,
    /// The sender joins the swarm.
    Started,
    /// The sender has just got the last piece.
    Completed,
    /// The sender leaves the swarm.
    Stopped,
    /// The sender has all that it wants, and lacks something still (BEP 21; libtorrent).
    Paused,
}

/// What a peer lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Complete,
    /// So many bytes, never 0; or something, where the peer does not know how much (no metadata yet). That is
    /// spelled as an absent `left`, `null` or a negative number; absent is what we write, because the reference
    /// tracker takes `null` for 0.
    Incomplete(Option<u64>),
}

impl Left {
    /// So many bytes, or an unknown number of them.
    #[must_use]
    pub const fn from_bytes(bytes: Option<u64>) -> Self {
        match bytes {
            Some(0) => Self::Complete,
            bytes => Self::Incomplete(bytes),
        }
    }
}

/// The name of an offer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferId(pub [u8; 20]);

impl fmt::Debug for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A message was refused. It holds what is needed to tell the sender so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct MessageError {
    /// What the message was for, as far as it could be read.
    pub action: Option<Action>,
    /// The swarm that it speaks of, as far as it could be read.
    pub info_hash: Option<InfoHash>,
    /// What is wrong with it.
    pub fault: Fault,
}

impl MessageError {
    /// What to send back.
    #[must_use]
    pub fn to_reply(&self) -> TrackerMessage<'static> {
        TrackerMessage::Failure {
            action: self.action,
            info_hash: self.info_hash,
            reason: Cow::Owned(self.fault.to_string()),
        }
    }
}

/// What is wrong with a message; always the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It was not read at all.
    #[error("a message of {length} bytes is too long: {MAX_MESSAGE_BYTES} are the limit")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It is not a JSON object, or names a member twice.
    #[error("the message is not a JSON object: {0}")]
    NotAnObject(String),
    /// A member that must be there is not.
    #[error("'{0}' is missing")]
    Missing(&'static str),
    /// A member has another type or length than it must have.
    #[error("'{member}' must be {expected}")]
    Malformed {
        /// The member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}
