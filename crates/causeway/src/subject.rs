//! What a word on the command line stands for: a torrent, and which of its files.

use std::path::Path;

use anyhow::{Context as _, Result};
use causeway_bridge::{Proxy, Selection, Subject, download};
use causeway_core::{Info, InfoHash, Magnet, Metainfo};

use crate::show::read_torrent;

/// Reads what the word stands for. A torrent file that is named by a URL is downloaded, through the proxy where there is one.
pub(crate) async fn subject(what: &str, proxy: Option<Proxy>) -> Result<Subject> {
    if let Some(magnet) = magnet_of(what) {
        return Ok(Subject::Magnet(magnet.parse()?));
    }
    if is_url(what) {
        let bytes = download(what, Metainfo::MAX_BYTES, proxy).await?;
        let metainfo = Metainfo::from_bytes(&bytes);
        return Ok(Subject::Metainfo(metainfo.with_context(|| {
            format!("what is at {what} is no torrent file that can be used")
        })?));
    }
    if let Ok(info_hash) = what.parse::<InfoHash>()
        && !Path::new(what).exists()
    {
        return Ok(Subject::Magnet(Magnet::new(info_hash)));
    }
    Ok(Subject::Metainfo(read_torrent(Path::new(what))?))
}

/// The magnet link that this is, or that stands after the `#` of a page's link.
fn magnet_of(what: &str) -> Option<&str> {
    let link = what
        .split_once('#')
        .filter(|_| is_url(what))
        .map_or(what, |(_, link)| link);
    let start = link.get(..7)?;
    start.eq_ignore_ascii_case("magnet:").then_some(link)
}

fn is_url(what: &str) -> bool {
    let scheme = what.split_once("://").map_or("", |(scheme, _)| scheme);
    ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

/// The same with further trackers. A private torrent is announced to its own alone (BEP 27).
pub(crate) fn with_trackers(subject: Subject, trackers: &[String]) -> Subject {
    match subject {
        Subject::Metainfo(metainfo) if metainfo.info().is_private() => Subject::Metainfo(metainfo),
        Subject::Metainfo(metainfo) => {
            let tiers = metainfo.trackers().iter().cloned();
            let tiers = tiers
                .chain(trackers.iter().map(|url| vec![url.clone()]))
                .collect();
            let web_seeds = metainfo.web_seeds().to_vec();
            Subject::Metainfo(Metainfo::with_info(metainfo.info().clone(), tiers, web_seeds))
        }
        Subject::Magnet(mut magnet) => {
            magnet.trackers.extend_from_slice(trackers);
            Subject::Magnet(magnet)
        }
    }
}

/// The files that the patterns, or else the link (BEP 53), choose.
pub(crate) fn selection(patterns: &[String], subject: &Subject) -> Option<Selection> {
    let of_link = match subject {
        Subject::Magnet(magnet) => magnet.selected.clone(),
        Subject::Metainfo(_) => None,
    };
    if !patterns.is_empty() {
        let patterns: Vec<String> = patterns.to_vec();
        return Some(Selection(Box::new(move |info: &Info| {
            let paths = info.files().iter().map(causeway_core::FileEntry::display_path);
            paths
                .map(|path| patterns.iter().any(|pattern| matches(pattern, &path)))
                .collect()
        })));
    }
    let ranges = of_link?;
    Some(Selection(Box::new(move |info: &Info| {
        let numbers = (0u32..).take(info.files().len());
        numbers
            .map(|number| ranges.iter().any(|range| range.contains(&number)))
            .collect()
    })))
}

/// Whether a path matches a pattern, in which `*` stands for anything. One without `/` is held against the name alone.
fn matches(pattern: &str, path: &str) -> bool {
    let text = if pattern.contains('/') {
        path
    } else {
        path.rsplit('/').next().unwrap_or(path)
    };
    let mut parts = pattern.split('*');
    let (Some(first), Some(last)) = (parts.next(), parts.next_back()) else {
        return pattern == text;
    };
    let Some(mut middle) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in parts {
        match middle.split_once(part) {
            Some((_, rest)) => middle = rest,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_names_and_paths() {
        for (pattern, path, expected) in [
            ("*.txt", "a/b/read.txt", true),
            ("*.txt", "a/b/read.txt.gz", false),
            ("a/*", "a/b/read.txt", true),
            ("b/*", "a/b/read.txt", false),
            ("read.txt", "a/b/read.txt", true),
            ("r*d*t", "read.txt", true),
            ("r*dd*t", "read.txt", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pages_link_holds_a_magnet_link() {
        let magnet = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";
        assert_eq!(magnet_of(magnet), Some(magnet));
        assert_eq!(magnet_of(&format!("https://a.example/#{magnet}")), Some(magnet));
        assert_eq!(magnet_of("a.torrent"), None);
        assert_eq!(magnet_of("https://a.example/a.torrent"), None);
        assert_eq!(magnet_of(&format!("file#{magnet}")), None);
    }
}
