//! Twenty bytes as a JSON string.

use super::OfferId;
use causeway_core::{InfoHash, PeerId};
use core::fmt;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// Twenty bytes, written as a string of one code point for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Twenty(pub(super) [u8; 20]);

impl Twenty {
    pub(super) const EXPECTED: &'static str =
        "a string of 20 characters from U+0000 to U+00FF, one for each byte";
}

impl Serialize for Twenty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // At once and not character by character: a tracker writes some hundred thousand of these in a second.
        let mut utf8 = [0; 2 * 20];
        let mut length = 0;
        for byte in self.0 {
            let char = char::from(byte);
            char.encode_utf8(&mut utf8[length..]);
            length += char.len_utf8();
        }
        let text = core::str::from_utf8(&utf8[..length]).expect("characters are UTF-8");
        serializer.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for Twenty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TwentyVisitor)
    }
}

struct TwentyVisitor;

impl Visitor<'_> for TwentyVisitor {
    type Value = Twenty;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Twenty::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Twenty, E> {
        let wrong = || E::custom(Twenty::EXPECTED);
        let mut bytes = [0; 20];
        let mut chars = text.chars();
        for byte in &mut bytes {
            *byte = chars
                .next()
                .and_then(|char| u8::try_from(char).ok())
                .ok_or_else(wrong)?;
        }
        if chars.next().is_some() {
            Err(wrong())
        } else {
            Ok(Twenty(bytes))
        }
    }
}

macro_rules! same_bytes {
    ($($name:ty, $bytes:expr;)*) => {$(
        impl From<Twenty> for $name {
            fn from(twenty: Twenty) -> Self {
                Self::from(twenty.0)
            }
        }

        impl From<$name> for Twenty {
            fn from(name: $name) -> Self {
                let bytes: fn($name) -> [u8; 20] = $bytes;
                Self(bytes(name))
            }
        }
    )*};
}

same_bytes! {
    InfoHash, |name| *name.as_bytes();
    PeerId, |name| *name.as_bytes();
    OfferId, |name| name.0;
}

impl From<[u8; 20]> for OfferId {
    fn from(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }
}
