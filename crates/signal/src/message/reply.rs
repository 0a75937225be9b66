//! From a tracker to a client.

use super::field::{Member, object, required, small_count, text, twenty};
use super::scrape::{FilesOut, files};
use super::twenty::Twenty;
use super::{Action, DescriptionKind, Fault, MessageError, TrackerMessage};
use causeway_core::{InfoHash, PeerId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

impl<'a> TrackerMessage<'a> {
    /// Reads a message; it borrows from `text`.
    ///
    /// # Errors
    /// [`MessageError`] with the action and the info-hash as far as they could be read.
    pub fn parse(text: &'a str) -> Result<Self, MessageError> {
        let members: Members<'a> = object(text).map_err(|fault| MessageError {
            action: None,
            info_hash: None,
            fault,
        })?;
        let action = members.action();
        let info_hash = twenty(members.info_hash, "info_hash");
        let known = (
            action.as_ref().ok().copied().flatten(),
            info_hash.as_ref().ok().copied().flatten(),
        );
        members.message(action, info_hash).map_err(|fault| MessageError {
            action: known.0,
            info_hash: known.1,
            fault,
        })
    }

    /// The message as JSON text; see [`Self::write_json`].
    ///
    /// # Panics
    /// Never: JSON is UTF-8.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = Vec::new();
        self.write_json(&mut json);
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// Appends the message as JSON text, in UTF-8. Nothing is allocated where there is room for it.
    ///
    /// A failure carries its action only together with what webtorrent expects beside it: an `announce` without
    /// `info_hash` makes it throw, while a bare `failure reason` only makes it connect again.
    ///
    /// # Panics
    /// Never: numbers, strings and raw JSON can always be written.
    pub fn write_json(&self, json: &mut Vec<u8>) {
        let out = match self {
            Self::Announced {
                info_hash,
                complete,
                incomplete,
                interval,
                tracker_id,
                warning,
            } => MessageOut {
                complete: *complete,
                incomplete: *incomplete,
                interval: *interval,
                tracker_id: *tracker_id,
                warning: warning.as_deref(),
                ..MessageOut::announce(*info_hash)
            },
            Self::Offer {
                info_hash,
                peer_id,
                offer_id,
                offer,
            } => MessageOut {
                peer_id: Some((*peer_id).into()),
                offer_id: Some((*offer_id).into()),
                offer: Some(offer),
                ..MessageOut::announce(*info_hash)
            },
            Self::Answer {
                info_hash,
                peer_id,
                offer_id,
                answer,
            } => MessageOut {
                peer_id: Some((*peer_id).into()),
                offer_id: Some((*offer_id).into()),
                answer: Some(answer),
                ..MessageOut::announce(*info_hash)
            },
            Self::Scraped {
                files,
                min_request_interval,
            } => MessageOut {
                action: Some(Action::Scrape),
                files: Some(FilesOut(files)),
                flags: min_request_interval.map(|min_request_interval| FlagsOut { min_request_interval }),
                ..MessageOut::default()
            },
            Self::Failure {
                action,
                info_hash,
                reason,
            } => MessageOut {
                action: action.filter(|action| *action == Action::Scrape || info_hash.is_some()),
                info_hash: info_hash.map(Twenty::from),
                failure: Some(reason),
                ..MessageOut::default()
            },
        };
        // With room for all of it from the start: most of what a tracker writes is descriptions that it relays.
        let description = out.offer.or(out.answer).map_or(0, |raw| raw.get().len());
        json.reserve(description + NAMES_LENGTH);
        serde_json::to_writer(json, &out).expect("numbers, strings and raw JSON can be written as JSON");
    }
}

/// What an offer or an answer takes beside its description, in bytes, where most bytes of its names are written as
/// one.
const NAMES_LENGTH: usize = 192;

/// The members of a tracker's message, unchecked.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    action: Member<'a>,
    #[serde(borrow, default)]
    info_hash: Member<'a>,
    #[serde(borrow, default)]
    complete: Member<'a>,
    #[serde(borrow, default)]
    incomplete: Member<'a>,
    #[serde(borrow, default)]
    interval: Member<'a>,
    #[serde(borrow, default, rename = "tracker id")]
    tracker_id: Member<'a>,
    #[serde(borrow, default, rename = "warning message")]
    warning: Member<'a>,
    #[serde(borrow, default, rename = "failure reason")]
    failure: Member<'a>,
    #[serde(borrow, default)]
    peer_id: Member<'a>,
    #[serde(borrow, default)]
    offer_id: Member<'a>,
    #[serde(borrow, default)]
    offer: Member<'a>,
    #[serde(borrow, default)]
    answer: Member<'a>,
    #[serde(borrow, default)]
    files: Member<'a>,
    #[serde(borrow, default)]
    flags: Member<'a>,
}

impl<'a> Members<'a> {
    fn action(&self) -> Result<Option<Action>, Fault> {
        text(self.action, "action")?
            .map(|name| Action::parse(&name))
            .transpose()
    }

    fn message(
        self,
        action: Result<Option<Action>, Fault>,
        info_hash: Result<Option<InfoHash>, Fault>,
    ) -> Result<TrackerMessage<'a>, Fault> {
        if let Some(reason) = text(self.failure, "failure reason")? {
            // What the failure is about is a help, nothing to insist on.
            let (action, info_hash) = (action.ok().flatten(), info_hash.ok().flatten());
            return Ok(TrackerMessage::Failure {
                action,
                info_hash,
                reason,
            });
        }
        match required(action?, "action")? {
            Action::Scrape => self.scraped(),
            Action::Announce => self.announce(required(info_hash?, "info_hash")?),
        }
    }

    fn announce(self, info_hash: InfoHash) -> Result<TrackerMessage<'a>, Fault> {
        if let Some(offer) = self.offer {
            let (peer_id, offer_id) = self.between(DescriptionKind::Offer, offer)?;
            return Ok(TrackerMessage::Offer {
                info_hash,
                peer_id,
                offer_id,
                offer,
            });
        }
        if let Some(answer) = self.answer {
            let (peer_id, offer_id) = self.between(DescriptionKind::Answer, answer)?;
            return Ok(TrackerMessage::Answer {
                info_hash,
                peer_id,
                offer_id,
                answer,
            });
        }
        Ok(TrackerMessage::Announced {
            info_hash,
            complete: small_count(self.complete, "complete")?,
            incomplete: small_count(self.incomplete, "incomplete")?,
            interval: small_count(self.interval, "interval")?,
            tracker_id: self.tracker_id,
            warning: text(self.warning, "warning message")?,
        })
    }

    fn between(
        &self,
        kind: DescriptionKind,
        description: &RawValue,
    ) -> Result<(PeerId, super::OfferId), Fault> {
        let member = match kind {
            DescriptionKind::Offer => "offer",
            DescriptionKind::Answer => "answer",
        };
        if kind.sdp(description).is_none() {
            return Err(Fault::Malformed {
                member,
                expected: kind.expected(),
            });
        }
        let peer_id = required(twenty(self.peer_id, "peer_id")?, "peer_id")?;
        let offer_id = required(twenty(self.offer_id, "offer_id")?, "offer_id")?;
        Ok((peer_id, offer_id))
    }

    fn scraped(self) -> Result<TrackerMessage<'a>, Fault> {
        #[derive(Deserialize)]
        struct Flags<'a> {
            #[serde(borrow, default)]
            min_request_interval: Member<'a>,
        }
        let files = files(required(self.files, "files")?)?;
        let flags: Option<Flags<'_>> = self.flags.map(|raw| object(raw.get())).transpose()?;
        let min_request_interval = flags.and_then(|flags| flags.min_request_interval);
        let min_request_interval = small_count(min_request_interval, "min_request_interval")?;
        Ok(TrackerMessage::Scraped {
            files,
            min_request_interval,
        })
    }
}

#[derive(Serialize, Default)]
struct MessageOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info_hash: Option<Twenty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "tracker id")]
    tracker_id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "warning message")]
    warning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "failure reason")]
    failure: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<Twenty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_id: Option<Twenty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<FilesOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<FlagsOut>,
}

#[derive(Serialize)]
struct FlagsOut {
    min_request_interval: u32,
}

impl MessageOut<'_> {
    fn announce(info_hash: InfoHash) -> Self {
        Self {
            action: Some(Action::Announce),
            info_hash: Some(info_hash.into()),
            ..Self::default()
        }
    }
}
