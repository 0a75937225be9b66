//! Session descriptions: `{"type":"offer","sdp":"..."}`.

use super::json;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

/// Which of the two descriptions that make a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DescriptionKind {
    /// Made first.
    Offer,
    /// Made for an offer.
    Answer,
}

impl DescriptionKind {
    /// The description of this kind with this SDP.
    ///
    /// # Panics
    /// Never: strings can always be written.
    #[must_use]
    pub fn describe(self, sdp: &str) -> Box<RawValue> {
        #[derive(Serialize)]
        struct Description<'a> {
            r#type: DescriptionKind,
            sdp: &'a str,
        }
        to_raw_value(&Description { r#type: self, sdp }).expect("two strings can be written as JSON")
    }

    /// The SDP of a description; `None` where it isn't one of this kind.
    ///
    /// Other members are let through as long as they are plain values in valid Unicode. Receivers differ in how
    /// deep they follow nested values and in what they do about half a surrogate pair (libtorrent closes its
    /// socket to the tracker), so neither may be passed on.
    #[must_use]
    pub fn sdp(self, description: &RawValue) -> Option<Cow<'_, str>> {
        let (mut kind, mut sdp) = (None, None);
        for (name, value) in json::members(description.get())? {
            let text = match value.as_bytes().first()? {
                b'{' | b'[' => return None,
                b'"' => Some(json::string(value)?),
                _ => None,
            };
            match name.as_ref() {
                "type" => kind = text,
                "sdp" => sdp = text,
                _ => {}
            }
        }
        (kind? == self.name()).then_some(sdp?)
    }

    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Offer => r#"an object with "type":"offer" and "sdp""#,
            Self::Answer => r#"an object with "type":"answer" and "sdp""#,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }
}
