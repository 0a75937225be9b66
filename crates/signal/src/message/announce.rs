//! From a client to a tracker.

use super::field::{Member, count, object, required, small_count, text, twenty};
use super::offers::Offers;
use super::twenty::Twenty;
use super::{
    Action, Announce, ClientMessage, DescriptionKind, Event, Fault, Left, MessageError, OfferItem, scrape,
};
use causeway_core::{InfoHash, PeerId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

impl<'a> ClientMessage<'a> {
    /// Reads a message. It borrows from `text`; nothing is copied but the 20-byte names.
    ///
    /// # Errors
    /// [`MessageError`] with the action and the info-hash as far as they could be read. Unknown members are
    /// ignored, and so are single offers that are not offers.
    pub fn parse(text: &'a str) -> Result<Self, MessageError> {
        let members: Members<'a> = object(text).map_err(|fault| MessageError {
            action: None,
            info_hash: None,
            fault,
        })?;
        let action = members.action();
        let info_hash = twenty(members.info_hash, "info_hash");
        let error = |fault| MessageError {
            action: action.as_ref().ok().copied(),
            info_hash: info_hash.as_ref().ok().copied().flatten(),
            fault,
        };
        match action.as_ref() {
            Err(fault) => Err(error(fault.clone())),
            Ok(Action::Scrape) => match scrape::info_hashes(members.info_hash) {
                Ok(info_hashes) => Ok(Self::Scrape { info_hashes }),
                Err(fault) => Err(error(fault)),
            },
            Ok(Action::Announce) => {
                let info_hash = info_hash.clone().and_then(|hash| required(hash, "info_hash"));
                info_hash
                    .and_then(|info_hash| members.announce(info_hash))
                    .map_err(error)
            }
        }
    }

    /// The message as JSON text.
    ///
    /// # Panics
    /// Never: numbers, strings and raw JSON can always be written.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Announce(announce) => serde_json::to_string(&AnnounceOut::from(announce)),
            Self::Answer {
                info_hash,
                peer_id,
                to_peer_id,
                offer_id,
                answer,
            } => serde_json::to_string(&AnswerOut {
                action: Action::Announce,
                info_hash: (*info_hash).into(),
                peer_id: (*peer_id).into(),
                to_peer_id: (*to_peer_id).into(),
                offer_id: (*offer_id).into(),
                answer,
            }),
            Self::Scrape { info_hashes } => {
                serde_json::to_string(&scrape::ScrapeOut::from(info_hashes.as_slice()))
            }
        }
        .expect("numbers, strings and raw JSON can be written as JSON")
    }
}

impl Event {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "empty" | "update" => Some(Self::Update),
            "started" => Some(Self::Started),
            "completed" => Some(Self::Completed),
            "stopped" => Some(Self::Stopped),
            "paused" => Some(Self::Paused),
            _ => None,
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Update => None,
            Self::Started => Some("started"),
            Self::Completed => Some("completed"),
            Self::Stopped => Some("stopped"),
            Self::Paused => Some("paused"),
        }
    }
}

/// The members of a client's message, unchecked.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    action: Member<'a>,
    #[serde(borrow, default)]
    info_hash: Member<'a>,
    #[serde(borrow, default)]
    peer_id: Member<'a>,
    #[serde(borrow, default)]
    to_peer_id: Member<'a>,
    #[serde(borrow, default)]
    offer_id: Member<'a>,
    #[serde(borrow, default)]
    answer: Member<'a>,
    #[serde(borrow, default)]
    event: Member<'a>,
    #[serde(borrow, default)]
    uploaded: Member<'a>,
    #[serde(borrow, default)]
    downloaded: Member<'a>,
    #[serde(borrow, default)]
    left: Member<'a>,
    #[serde(borrow, default)]
    numwant: Member<'a>,
    #[serde(borrow, default)]
    offers: Offers<'a>,
    #[serde(borrow, default)]
    trackerid: Member<'a>,
}

impl<'a> Members<'a> {
    fn action(&self) -> Result<Action, Fault> {
        let name = required(text(self.action, "action")?, "action")?;
        Action::parse(&name)
    }

    fn announce(self, info_hash: InfoHash) -> Result<ClientMessage<'a>, Fault> {
        let peer_id: PeerId = required(twenty(self.peer_id, "peer_id")?, "peer_id")?;
        if let Some(answer) = self.answer {
            return self.answer(info_hash, peer_id, answer);
        }
        let event = text(self.event, "event")?.unwrap_or_default();
        let event = Event::parse(&event).ok_or(Fault::Malformed {
            member: "event",
            expected: "'started', 'completed', 'stopped', 'paused', 'update', 'empty' or absent",
        })?;
        let Offers::List(offers) = self.offers else {
            return Err(Fault::Malformed {
                member: "offers",
                expected: "an array",
            });
        };
        Ok(ClientMessage::Announce(Announce {
            info_hash,
            peer_id,
            event,
            uploaded: count(self.uploaded, "uploaded")?.unwrap_or(0),
            downloaded: count(self.downloaded, "downloaded")?.unwrap_or(0),
            left: Left::from_bytes(count(self.left, "left")?),
            numwant: small_count(self.numwant, "numwant")?,
            offers,
            tracker_id: self.trackerid,
        }))
    }

    fn answer(
        &self,
        info_hash: InfoHash,
        peer_id: PeerId,
        answer: &'a RawValue,
    ) -> Result<ClientMessage<'a>, Fault> {
        let kind = DescriptionKind::Answer;
        if kind.sdp(answer).is_none() {
            return Err(Fault::Malformed {
                member: "answer",
                expected: kind.expected(),
            });
        }
        Ok(ClientMessage::Answer {
            info_hash,
            peer_id,
            to_peer_id: required(twenty(self.to_peer_id, "to_peer_id")?, "to_peer_id")?,
            offer_id: required(twenty(self.offer_id, "offer_id")?, "offer_id")?,
            answer,
        })
    }
}

impl Action {
    pub(super) fn parse(name: &str) -> Result<Self, Fault> {
        match name {
            "announce" => Ok(Self::Announce),
            "scrape" => Ok(Self::Scrape),
            _ => Err(Fault::Malformed {
                member: "action",
                expected: "'announce' or 'scrape'",
            }),
        }
    }
}

#[derive(Serialize)]
struct AnnounceOut<'a> {
    action: Action,
    info_hash: Twenty,
    peer_id: Twenty,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numwant: Option<u32>,
    uploaded: u64,
    downloaded: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offers: Vec<OfferOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trackerid: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct OfferOut<'a> {
    offer_id: Twenty,
    offer: &'a RawValue,
}

#[derive(Serialize)]
struct AnswerOut<'a> {
    action: Action,
    info_hash: Twenty,
    peer_id: Twenty,
    to_peer_id: Twenty,
    offer_id: Twenty,
    answer: &'a RawValue,
}

impl<'a> From<&Announce<'a>> for AnnounceOut<'a> {
    fn from(announce: &Announce<'a>) -> Self {
        let offer_out = |item: &OfferItem<'a>| OfferOut {
            offer_id: item.offer_id.into(),
            offer: item.offer,
        };
        Self {
            action: Action::Announce,
            info_hash: announce.info_hash.into(),
            peer_id: announce.peer_id.into(),
            event: announce.event.name(),
            numwant: announce.numwant,
            uploaded: announce.uploaded,
            downloaded: announce.downloaded,
            left: match announce.left {
                Left::Complete => Some(0),
                Left::Incomplete(bytes) => bytes,
            },
            offers: announce.offers.iter().map(offer_out).collect(),
            trackerid: announce.tracker_id,
        }
    }
}
