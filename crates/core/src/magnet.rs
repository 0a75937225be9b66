//! Magnet links (BEP 9, 53).

#![warn(clippy::indexing_slicing)]

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use crate::InfoHash;
use crate::id::hex_digit;

/// What a magnet link says.
///
/// Reading keeps at most [`Magnet::MAX_ITEMS`] trackers, web seeds and peers, each once and none empty. Parameters that
/// are not listed here (`xs`, `as`, `kt`) are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// `xt=urn:btih:`, the torrent; the first where there are several.
    pub info_hash: InfoHash,
    /// `dn`, what to call it until the torrent's own name is known. A stranger's text: not safe as a file name.
    pub name: Option<String>,
    /// `tr`, also `tr.1` and so on: URLs of trackers.
    pub trackers: Vec<String>,
    /// `ws`: URLs that serve the files over HTTP (BEP 19).
    pub web_seeds: Vec<String>,
    /// `so`: the numbers of the files that are wanted (BEP 53); all are where there is none.
    pub selected: Option<Vec<RangeInclusive<u32>>>,
    /// `x.pe`: addresses of peers, `host:port` each.
    pub peers: Vec<String>,
}

/// Why a text is no magnet link of a torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// It does not start with `magnet:?`.
    #[error("this is not a magnet link: it does not start with `magnet:?`")]
    NotMagnet,
    /// It is longer than [`Magnet::MAX_LENGTH`].
    #[error(
        "this magnet link is longer than the {} bytes that are supported",
        Magnet::MAX_LENGTH
    )]
    TooLong,
    /// There is no `xt=urn:btih:`.
    #[error("this magnet link names no torrent: it has no `xt=urn:btih:`")]
    NoHash,
    /// There is a v2 hash alone (BEP 52).
    #[error("this magnet link is for BitTorrent v2 only; ask for one with `urn:btih:`")]
    OnlyVersion2,
    /// The hash is neither 40 hexadecimal digits nor 32 base32 ones.
    #[error("this magnet link is damaged: `{0}` is not an info-hash")]
    Hash(String),
    /// `so` is no list of numbers and ranges.
    #[error("this magnet link is damaged: `so={0}` does not select files")]
    Selection(String),
}

impl Magnet {
    /// The longest link that is read, in bytes.
    pub const MAX_LENGTH: usize = 64 << 10;
    /// The most trackers, web seeds and peers that are kept, of each kind.
    pub const MAX_ITEMS: usize = 100;

    /// A link to this torrent that says nothing else.
    #[must_use]
    pub const fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            selected: None,
            peers: Vec::new(),
        }
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let text = text.trim();
        if text.len() > Self::MAX_LENGTH {
            return Err(MagnetError::TooLong);
        }
        let query = strip_prefix(text, PREFIX).ok_or(MagnetError::NotMagnet)?;
        let mut magnet = Self::new(info_hash_of(query)?);
        for (name, value) in parameters(query) {
            match name {
                "dn" => magnet.name = Some(decode(&value.replace('+', " "))).filter(|name| !name.is_empty()),
                "tr" => keep(&mut magnet.trackers, decode(value)),
                "ws" => keep(&mut magnet.web_seeds, decode(value)),
                "x.pe" => keep(&mut magnet.peers, decode(value)),
                "so" => magnet.selected = Some(parse_selection(&decode(value))?),
                _ => {}
            }
        }
        Ok(magnet)
    }
}

impl fmt::Display for Magnet {
    /// The link, with all but letters, digits and `-._~` escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}xt=urn:btih:{}", self.info_hash)?;
        let name = self.name.iter().map(|name| ("dn", name));
        let trackers = self.trackers.iter().map(|url| ("tr", url));
        let web_seeds = self.web_seeds.iter().map(|url| ("ws", url));
        let peers = self.peers.iter().map(|peer| ("x.pe", peer));
        for (key, value) in name.chain(trackers).chain(web_seeds).chain(peers) {
            write!(f, "&{key}={}", Escaped(value.as_bytes()))?;
        }
        for (index, range) in self.selected.iter().flatten().enumerate() {
            f.write_str(if index == 0 { "&so=" } else { "," })?;
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

const PREFIX: &str = "magnet:?";

/// The names and values of a link. `tr.1` is a `tr`, but `x.pe` is a name of its own.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter_map(|parameter| parameter.split_once('='));
    pairs.map(|(key, value)| match key.split_once('.') {
        Some((name, number)) if number.parse::<u32>().is_ok() => (name, value),
        Some(_) | None => (key, value),
    })
}

fn info_hash_of(query: &str) -> Result<InfoHash, MagnetError> {
    let mut error = MagnetError::NoHash;
    for (_, topic) in parameters(query).filter(|(name, _)| *name == "xt") {
        let topic = decode(topic);
        if let Some(hash) = strip_prefix(&topic, "urn:btih:") {
            return parse_hash(hash);
        }
        if strip_prefix(&topic, "urn:btmh:").is_some() {
            error = MagnetError::OnlyVersion2;
        }
    }
    Err(error)
}

/// What follows a prefix that is written in either case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn parse_hash(text: &str) -> Result<InfoHash, MagnetError> {
    let hash = if text.len() == 32 {
        base32(text)
    } else {
        text.parse().ok()
    };
    hash.ok_or_else(|| MagnetError::Hash(text.chars().take(50).collect()))
}

/// 32 digits of five bits each (RFC 4648), as old clients write it.
fn base32(text: &str) -> Option<InfoHash> {
    let mut bytes = Vec::with_capacity(InfoHash::LENGTH);
    for group in text.as_bytes().chunks(8) {
        let bits = group.iter().try_fold(0u64, |bits, digit| {
            let digit = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                digit @ b'2'..=b'7' => digit - b'2' + 26,
                _ => return None,
            };
            Some(bits << 5 | u64::from(digit))
        })?;
        // Eight digits are 40 bits, the lower five bytes.
        bytes.extend(bits.to_be_bytes().into_iter().skip(3));
    }
    InfoHash::try_from(bytes.as_slice()).ok()
}

fn parse_selection(text: &str) -> Result<Vec<RangeInclusive<u32>>, MagnetError> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    ranges.ok_or_else(|| MagnetError::Selection(text.chars().take(50).collect()))
}

fn keep(list: &mut Vec<String>, item: String) {
    if !item.is_empty() && list.len() < Magnet::MAX_ITEMS && !list.contains(&item) {
        list.push(item);
    }
}

/// Resolves `%20` and the like; a `%` without two digits stands for itself, what is not UTF-8 then becomes U+FFFD.
fn decode(text: &str) -> String {
    String::from_utf8_lossy(&unescape(text)).into_owned()
}

/// Resolves `%20` and the like; a `%` without two digits stands for itself.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, after @ ..] if *first == b'%' => hex_digit(*high)
                .zip(hex_digit(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// Bytes of a text with all but letters, digits and `-._~` escaped (RFC 3986).
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                write!(f, "{}", char::from(*byte))
            }
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests;
