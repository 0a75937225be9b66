//! Dictionaries that strangers wrote.
//!
//! `serde_bencode` skips what it doesn't know by recursion, so a message of nothing but `l` would overflow the
//! stack. Every payload is therefore measured first, without recursion or allocation, and refused where it nests
//! or counts more than any honest one does.

use core::fmt;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

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
                while let Some((key, value)) = map.next_entry()? {
                    let Value::Bytes(key) = key else {
                        return Err(Error::custom("a key is not a byte string"));
                    };
                    dictionary.0.insert(key, value);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<usize, BencodeError> {
        Dictionary::read(bytes).map(|(_, length)| length)
    }

    #[test]
    fn a_dictionary_ends_where_it_ends_whatever_follows() {
        for (bytes, length) in [
            (&b"de"[..], 2),
            (b"deleted", 2),
            (b"d1:ai1ee", 8),
            (b"d1:ai1ee8:ignored!", 8),
            (b"d1:ad1:bl2:eeee1:c0:e", 21),
            (b"d1:ai-5e1:bi0ee", 15),
        ] {
            assert_eq!(read(bytes), Ok(length), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn broken_dictionaries_are_refused() {
        for bytes in [
            &b""[..],
            b"d",
            b"e",
            b"i5e",
            b"3:abc",
            b"le",
            b"d1:a",
            b"d1:ae",
            b"d1:ai1e",
            b"di1ei1ee",
            b"dlei1ee",
            b"d1:ai1",
            b"d1:aiee",
            b"d1:ai1x2ee",
            b"d1:ai99999999999999999999ee",
            b"d5:abc",
            b"d-1:abce",
            b"d1:a99999999999999999999:e",
            b"d1:a18446744073709551615:e",
            b"d1:a4294967295:e",
            b"d1x:ai1ee",
            b"d1:axe",
            b"d1:a\xff\xff:e",
        ] {
            assert_eq!(
                read(bytes),
                Err(BencodeError::Malformed),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn nesting_that_would_overflow_the_stack_is_refused() {
        let nested = |depth: usize| {
            let lists = depth - 1;
            [
                b"d1:a".to_vec(),
                vec![b'l'; lists],
                vec![b'e'; lists],
                b"e".to_vec(),
            ]
            .concat()
        };
        assert_eq!(read(&nested(MAX_DEPTH)), Ok(4 + 2 * (MAX_DEPTH - 1) + 1));
        assert_eq!(read(&nested(MAX_DEPTH + 1)), Err(BencodeError::TooDeep));
        assert_eq!(read(&nested(1_000_000)), Err(BencodeError::TooDeep));
        assert_eq!(read(&b"d1:a".repeat(1_000_000)), Err(BencodeError::TooDeep));
    }

    #[test]
    fn more_values_than_any_message_has_are_refused() {
        let list = |values: usize| [b"d1:al".to_vec(), b"0:".repeat(values), b"ee".to_vec()].concat();
        // The dictionary, its key, the list and the two ends count too.
        assert!(read(&list(MAX_VALUES - 5)).is_ok());
        assert_eq!(read(&list(MAX_VALUES - 4)), Err(BencodeError::TooManyValues));
        assert_eq!(read(&list(1_000_000)), Err(BencodeError::TooManyValues));
    }

    #[test]
    fn a_value_of_another_type_or_range_is_not_there() {
        let (dictionary, _) = Dictionary::read(b"d1:ai256e1:b1:x1:cle1:di-1eee").expect("a dictionary");
        assert_eq!(dictionary.number::<u16>("a"), Some(256));
        assert_eq!(dictionary.number::<u8>("a"), None);
        assert_eq!(dictionary.number::<u8>("b"), None);
        assert_eq!(dictionary.bytes("b"), Some(&b"x"[..]));
        assert_eq!(dictionary.bytes("c"), None);
        assert_eq!(dictionary.number::<u32>("d"), None);
        assert_eq!(dictionary.bytes("e"), None);
    }

    proptest! {
        #[test]
        fn strangers_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(length) = read(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn nearly_bencoded_bytes_never_panic(text in "d[dlei0-9:-]{0,60}e{0,10}") {
            if let Ok(length) = read(text.as_bytes()) {
                prop_assert!(length <= text.len());
            }
        }
    }
}
