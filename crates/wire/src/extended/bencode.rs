//! Dictionaries that strangers wrote.
//!
//! `serde_bencode` skips what it doesn't know by recursion, so a message of nothing but `l` would overflow the
//! stack. Every payload is therefore measured first, without recursion or allocation, and refused where it nests
//! or counts more than any honest one does.

use core::fmt;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_bytes::ByteBuf;

/// What is wrong with bencoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// They do not begin with a dictionary, or it is broken or cut short.
    #[error("it does not begin with a complete bencoded dictionary")]
    Malformed,
    /// Lists and dictionaries lie in each other deeper than [`MAX_DEPTH`].
    #[error("its lists and dictionaries nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// There are more values than [`MAX_VALUES`].
    #[error("it has more than {MAX_VALUES} values")]
    TooManyValues,
}

/// A dictionary by its keys, which are bytes and need not be text.
#[derive(Debug, Default)]
pub(super) struct Dictionary(BTreeMap<Vec<u8>, Value>);

impl Dictionary {
    /// Reads the dictionary at the beginning of `bytes`; also says how long it is.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), BencodeError> {
        let length = measure(bytes)?;
        match bytes.get(..length).map(serde_bencode::from_bytes) {
            Some(Ok(Value::Dictionary(dictionary))) => Ok((dictionary, length)),
            _ => Err(BencodeError::Malformed),
        }
    }

    /// The number at this key, where there is one and it is in the range of `T`.
    pub(super) fn number<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        match self.0.get(key.as_bytes())? {
            Value::Number(number) => T::try_from(*number).ok(),
            Value::Bytes(_) | Value::Dictionary(_) | Value::List => None,
        }
    }

    /// The byte string at this key.
    pub(super) fn bytes(&self, key: &str) -> Option<&[u8]> {
        match self.0.get(key.as_bytes())? {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) | Value::Dictionary(_) | Value::List => None,
        }
    }

    /// The keys of the dictionary at this key that are text, with those values that are numbers in the range of
    /// `T`.
    pub(super) fn numbers<T: TryFrom<i64>>(&self, key: &str) -> impl Iterator<Item = (&str, T)> {
        let inner = match self.0.get(key.as_bytes()) {
            Some(Value::Dictionary(inner)) => Some(inner),
            Some(Value::Number(_) | Value::Bytes(_) | Value::List) | None => None,
        };
        inner.into_iter().flat_map(|inner| {
            inner.0.keys().filter_map(|key| {
                let key = core::str::from_utf8(key).ok()?;
                Some((key, inner.number(key)?))
            })
        })
    }
}

/// Writes a structure of numbers, byte strings and maps of them; what is `None` is left out.
pub(super) fn write(value: &impl Serialize) -> Bytes {
    let bytes = serde_bencode::to_bytes(value).expect("numbers, byte strings and maps have a bencoding");
    bytes.into()
}

/// A value as it was sent. What is in lists is of no interest to any extension here.
#[derive(Debug)]
enum Value {
    Number(i64),
    Bytes(Vec<u8>),
    Dictionary(Dictionary),
    List,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bencoded value")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Number(number))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
                Ok(Value::Bytes(bytes.to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut dictionary = Dictionary::default();
                while let Some((key, value)) = map.next_entry::<ByteBuf, _>()? {
                    dictionary.0.insert(key.into_vec(), value);
                }
                Ok(Value::Dictionary(dictionary))
            }
        }

        deserializer.deserialize_any(Visit)
    }
}

/// The deepest nesting that is read; honest messages have three levels at most.
const MAX_DEPTH: usize = 8;
/// The most values and keys that are read, everything counted; honest messages have some dozens.
const MAX_VALUES: usize = 1024;

/// The length of the value at the beginning of `bytes`, once it is known that it nests and counts no more than
/// the bounds. What else may be wrong is left to the parser.
fn measure(bytes: &[u8]) -> Result<usize, BencodeError> {
    let mut at = 0;
    let mut depth = 0_usize;
    for _ in 0..MAX_VALUES {
        let rest = bytes.get(at..).ok_or(BencodeError::Malformed)?;
        let end_of = |mark| {
            rest.iter()
                .position(|byte| *byte == mark)
                .ok_or(BencodeError::Malformed)
        };
        at += match rest.first().ok_or(BencodeError::Malformed)? {
            b'd' | b'l' => {
                depth += 1;
                1
            }
            b'e' => {
                depth = depth.checked_sub(1).ok_or(BencodeError::Malformed)?;
                1
            }
            b'i' => end_of(b'e')? + 1,
            b'0'..=b'9' => {
                let colon = end_of(b':')?;
                let length = rest
                    .get(..colon)
                    .and_then(|digits| core::str::from_utf8(digits).ok());
                let length: usize = length
                    .and_then(|digits| digits.parse().ok())
                    .ok_or(BencodeError::Malformed)?;
                length
                    .checked_add(colon + 1)
                    .filter(|end| *end <= rest.len())
                    .ok_or(BencodeError::Malformed)?
            }
            _ => return Err(BencodeError::Malformed),
        };
        if depth > MAX_DEPTH {
            return Err(BencodeError::TooDeep);
        }
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(BencodeError::TooManyValues)
}
