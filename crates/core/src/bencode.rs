//! Where the values of a bencoded text lie (BEP 3).
//!
//! An info-hash is taken over the bytes of `info` as they came, and a stranger's bytes may nest a million lists or
//! hold a million empty strings. So this module walks a text where it lies: it checks the whole structure with a
//! bounded depth, copies nothing, and says which bytes belong to which key. `serde_bencode` turns single values
//! into types, and writes.
//!
//! What is tolerated, since torrents in the wild have it and all read them alike: keys that are not sorted, keys that
//! are not UTF-8, leading zeros. What is refused: a key of a [`Dictionary`] that stands twice (readers disagree
//! about which one counts), an integer beyond 64 bits, nesting deeper than [`MAX_DEPTH`].

#![warn(clippy::indexing_slicing)]

use serde::de::DeserializeOwned;

use crate::SortedMap;

/// How deep lists and dictionaries may nest. A hybrid torrent nests one level for each folder of a path.
pub const MAX_DEPTH: u32 = 100;

/// The most keys of a [`Dictionary`]; real torrents have about a dozen.
pub const MAX_KEYS: usize = 1_000;

/// Why bytes are not bencoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// The bytes end inside of a value.
    #[error("it ends in the middle, at byte {0}")]
    Truncated(usize),
    /// A byte that starts no value.
    #[error("byte {at} ({byte:#04x}) does not start a value")]
    Unexpected {
        /// The byte.
        byte: u8,
        /// Where it stands.
        at: usize,
    },
    /// No number, or one that does not fit 64 bits, at this byte.
    #[error("the number at byte {0} can't be read")]
    Number(usize),
    /// A key of a dictionary that is not a string, at this byte.
    #[error("the key at byte {0} is not a string")]
    Key(usize),
    /// Deeper than [`MAX_DEPTH`], at this byte.
    #[error("it nests deeper than {MAX_DEPTH} levels at byte {0}")]
    TooDeep(usize),
    /// The value is not a dictionary.
    #[error("it is not a dictionary")]
    NotADictionary,
    /// A dictionary has more keys than [`MAX_KEYS`].
    #[error("the dictionary has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// A key stands twice.
    #[error("the key `{0}` stands twice")]
    DuplicateKey(String),
}

/// A dictionary whose values are still the bytes they came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dictionary<'a> {
    values: SortedMap<&'a [u8], &'a [u8]>,
}

impl<'a> Dictionary<'a> {
    /// Reads the dictionary at the start of `bytes`; gives what comes after it, too.
    ///
    /// # Errors
    /// Where the bytes do not start with a well-formed dictionary, see [`BencodeError`].
    pub fn from_prefix(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BencodeError> {
        let mut scanner = Scanner::new(bytes);
        if scanner.peek()? != b'd' {
            return Err(BencodeError::NotADictionary);
        }
        scanner.at += 1;
        let mut values = SortedMap::new();
        while scanner.peek()? != b'e' {
            let key = scanner.key()?;
            let value = scanner.spanned(|scanner| scanner.value(1))?;
            if values.len() == MAX_KEYS {
                return Err(BencodeError::TooManyKeys);
            }
            if values.insert(key, value).is_some() {
                return Err(BencodeError::DuplicateKey(
                    String::from_utf8_lossy(key).into_owned(),
                ));
            }
        }
        let rest = bytes.get(scanner.at + 1..).unwrap_or_default();
        Ok((Self { values }, rest))
    }

    /// The bencoded value of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.values.get(key.as_bytes()).copied()
    }

    /// The bytes of this key's value, where it is a string.
    #[must_use]
    pub fn string(&self, key: &str) -> Option<&'a [u8]> {
        self.get(key).and_then(string)
    }

    /// The value of this key as a `T`; `None` where there is no such key.
    ///
    /// # Errors
    /// What `serde_bencode` says of a value that is no `T`.
    pub fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, serde_bencode::Error> {
        self.get(key).map(serde_bencode::from_bytes).transpose()
    }

    /// Every key with its bencoded value, sorted as BEP 3 wants them to be.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.values.iter().map(|(key, value)| (*key, *value))
    }
}

/// The length in bytes of the one value at the start of `bytes`.
///
/// # Errors
/// Where the bytes do not start with a well-formed value, see [`BencodeError`].
pub fn value_length(bytes: &[u8]) -> Result<usize, BencodeError> {
    let mut scanner = Scanner::new(bytes);
    scanner.value(0)?;
    Ok(scanner.at)
}

/// The items of the list at the start of `bytes`, still bencoded; `None` where there is no list. The items end early
/// where one is not well-formed, which can't be in a value of a [`Dictionary`].
#[must_use]
pub fn items(bytes: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = bytes.strip_prefix(b"l")?;
    Some(core::iter::from_fn(move || {
        let (item, after) = rest.split_at_checked(value_length(rest).ok()?)?;
        rest = after;
        Some(item)
    }))
}

/// The bytes of the string at the start of `bytes`, if there is one.
#[must_use]
pub fn string(bytes: &[u8]) -> Option<&[u8]> {
    Scanner::new(bytes).string().ok()
}

/// Appends a string (a key, or a value) to a bencoded text.
pub(crate) fn push_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend_from_slice(string.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(string);
}

/// Invariant: `at` is at most the length of `bytes`.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        match self.bytes.get(self.at) {
            Some(byte) => Ok(*byte),
            None => Err(BencodeError::Truncated(self.at)),
        }
    }

    /// The bytes that `scan` passes over.
    fn spanned(
        &mut self,
        scan: impl FnOnce(&mut Self) -> Result<(), BencodeError>,
    ) -> Result<&'a [u8], BencodeError> {
        let start = self.at;
        scan(self)?;
        self.bytes
            .get(start..self.at)
            .ok_or(BencodeError::Truncated(start))
    }

    /// Passes over one value inside of `depth` lists and dictionaries.
    fn value(&mut self, depth: u32) -> Result<(), BencodeError> {
        let start = self.at;
        match self.peek()? {
            b'0'..=b'9' => self.string().map(drop),
            b'i' => self.integer(),
            b'l' | b'd' if depth == MAX_DEPTH => Err(BencodeError::TooDeep(start)),
            b'l' => {
                self.at += 1;
                while self.peek()? != b'e' {
                    self.value(depth + 1)?;
                }
                self.at += 1;
                Ok(())
            }
            b'd' => {
                self.at += 1;
                while self.peek()? != b'e' {
                    self.key()?;
                    self.value(depth + 1)?;
                }
                self.at += 1;
                Ok(())
            }
            byte => Err(BencodeError::Unexpected { byte, at: start }),
        }
    }

    fn key(&mut self) -> Result<&'a [u8], BencodeError> {
        if self.peek()?.is_ascii_digit() {
            self.string()
        } else {
            Err(BencodeError::Key(self.at))
        }
    }

    fn integer(&mut self) -> Result<(), BencodeError> {
        let start = self.at;
        self.at += 1;
        let negative = self.peek()? == b'-';
        if negative {
            self.at += 1;
        }
        let magnitude = self.digits(b'e')?;
        // The most negative number is one further from zero than the most positive one.
        let limit = i64::MAX.unsigned_abs() + u64::from(negative);
        if magnitude > limit {
            Err(BencodeError::Number(start))
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let length = self.digits(b':')?;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length));
        let string = end.and_then(|end| self.bytes.get(self.at..end));
        let string = string.ok_or(BencodeError::Truncated(self.bytes.len()))?;
        self.at += string.len();
        Ok(string)
    }

    /// Reads at least one digit and the byte after the last one, which is `end`.
    fn digits(&mut self, end: u8) -> Result<u64, BencodeError> {
        let start = self.at;
        let mut number = 0u64;
        loop {
            let byte = self.peek()?;
            if byte == end && self.at > start {
                self.at += 1;
                return Ok(number);
            }
            let digit = char::from(byte).to_digit(10);
            let Some(next) = digit.and_then(|digit| number.checked_mul(10)?.checked_add(digit.into())) else {
                return Err(BencodeError::Number(start));
            };
            number = next;
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
