//! What a client of our web seed asks for.

use core::ops::Range;

use causeway_core::{Info, InfoHash};
use hyper::HeaderMap;
use hyper::header::{ETAG, HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `INFO-HASH.torrent`.
    Torrent(InfoHash),
    /// `INFO-HASH/PATH`, still escaped.
    File(InfoHash, &'a str),
}

impl<'a> Target<'a> {
    /// Reads a path below the web seed's own, without its first slash. Where there is a token, the path begins with it.
    pub(super) fn of(path: &'a str, token: Option<&str>) -> Option<Self> {
        let path = match token {
            None => path,
            Some(token) => {
                let (given, rest) = path.split_once('/')?;
                is_same(given, token).then_some(rest)?
            }
        };
        if let Some(name) = path.strip_suffix(".torrent")
            && let Ok(info_hash) = name.parse()
        {
            return Some(Self::Torrent(info_hash));
        }
        let (info_hash, file) = path.split_once('/')?;
        Some(Self::File(info_hash.parse().ok()?, file))
    }
}

/// The part of a file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Some of it, never nothing.
    Range(Range<u64>),
    /// Something beyond its end.
    Beyond,
    /// Nothing: the client has it.
    Known,
}

/// Reads the headers that say which part (RFC 9110, 13 and 14). Several ranges at once are answered with the whole.
pub(super) fn part(headers: &HeaderMap, length: u64, tag: &str) -> Part {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let known = header(IF_NONE_MATCH).unwrap_or_default();
    if known
        .split(',')
        .any(|known| matches!(known.trim().trim_start_matches("W/"), "*") || known.trim() == tag)
    {
        return Part::Known;
    }
    // A part of another version is of no use.
    if header(IF_RANGE).is_some_and(|wanted| wanted.trim() != tag) {
        return Part::Whole;
    }
    let Some(spec) = header(RANGE).and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Part::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.is_empty() => first..length,
        (Err(_), Ok(last)) if first.is_empty() => length.saturating_sub(last)..length,
        _ => return Part::Whole,
    };
    if range.is_empty() {
        Part::Beyond
    } else {
        Part::Range(range)
    }
}

/// The strong tag of a file: the info-hash stands for all its pieces' hashes, so other bytes have another one.
pub(super) fn tag_of(info: &Info, file: usize) -> String {
    format!("\"{}-{file}\"", info.info_hash())
}

/// Compares without telling by the time it takes how much of it is right.
fn is_same(given: &str, token: &str) -> bool {
    let differences = given.bytes().zip(token.bytes()).map(|(a, b)| a ^ b);
    given.len() == token.len() && differences.fold(0, |all, difference| all | difference) == 0
}

/// Headers that pages of other origins may read.
pub(super) const EXPOSED: [HeaderName; 4] = [
    hyper::header::CONTENT_RANGE,
    hyper::header::ACCEPT_RANGES,
    hyper::header::RETRY_AFTER,
    ETAG,
];

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    fn asked(headers: &[(HeaderName, &str)]) -> Part {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.parse().expect("a value")));
        part(&headers.collect(), 100, "\"t\"")
    }

    #[test]
    fn a_range_is_what_the_standard_says() {
        for (range, expected) in [
            ("bytes=0-9", Part::Range(0..10)),
            ("bytes=90-", Part::Range(90..100)),
            ("bytes=90-1000", Part::Range(90..100)),
            ("bytes=-10", Part::Range(90..100)),
            ("bytes=-1000", Part::Range(0..100)),
            ("bytes=99-99", Part::Range(99..100)),
            ("bytes=100-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=0-18446744073709551615", Part::Range(0..100)),
            ("bytes=9-0", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=x-y", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-9", Part::Whole),
        ] {
            assert_eq!(asked(&[(RANGE, range)]), expected, "{range}");
        }
        assert_eq!(asked(&[]), Part::Whole);
        assert_eq!(
            asked(&[(RANGE, "bytes=0-9"), (IF_RANGE, "\"t\"")]),
            Part::Range(0..10)
        );
        assert_eq!(asked(&[(RANGE, "bytes=0-9"), (IF_RANGE, "\"u\"")]), Part::Whole);
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"u\", \"t\"")]), Part::Known);
    }

    #[test]
    fn a_path_names_a_torrent_or_a_file_of_it() {
        let info_hash = HASH.parse().expect("a hash");
        let (torrent, file) = (format!("{HASH}.torrent"), format!("{HASH}/a/b"));
        assert_eq!(Target::of(&torrent, None), Some(Target::Torrent(info_hash)));
        assert_eq!(Target::of(&file, None), Some(Target::File(info_hash, "a/b")));
        assert_eq!(Target::of(&file, Some("secret")), None);
        assert_eq!(Target::of(&format!("secreT/{file}"), Some("secret")), None);
        assert_eq!(
            Target::of(&format!("secret/{file}"), Some("secret")),
            Some(Target::File(info_hash, "a/b"))
        );
        for path in ["", "x", "x/y", HASH, "x.torrent"] {
            assert_eq!(Target::of(path, None), None, "{path}");
        }
    }
}
