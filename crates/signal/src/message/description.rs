//! Session descriptions: `{"type":"offer","sdp":"..."}`.

use super::field::Text;
use core::fmt;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
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
        let Description { kind, sdp } = serde_json::from_str(description.get()).ok()?;
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

/// The members that matter, where they are strings.
struct Description<'a> {
    kind: Option<Cow<'a, str>>,
    sdp: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Description<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DescriptionVisitor)
    }
}

struct DescriptionVisitor;

impl<'de> Visitor<'de> for DescriptionVisitor {
    type Value = Description<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session description")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut description = Description {
            kind: None,
            sdp: None,
        };
        while let Some(Text(name)) = members.next_key()? {
            let Plain(value) = members.next_value()?;
            match name.as_ref() {
                "type" => description.kind = value,
                "sdp" => description.sdp = value,
                _ => {}
            }
        }
        Ok(description)
    }
}

/// Any value but an array or an object; the string that it is.
struct Plain<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Plain<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, true, false or null")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Plain<'de>, E> {
        Ok(Plain(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Plain<'de>, E> {
        Ok(Plain(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Plain<'de>, E> {
        Ok(Plain(None))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Plain<'de>, E> {
        Ok(Plain(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Plain<'de>, E> {
        Ok(Plain(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Plain<'de>, E> {
        Ok(Plain(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Plain<'de>, E> {
        Ok(Plain(None))
    }
}
