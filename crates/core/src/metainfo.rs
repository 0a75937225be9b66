//! Torrent files (BEP 3, 12, 19).

#![warn(clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::bencode::{self, Dictionary};
use crate::{Info, Magnet, MetainfoError, SortedMap, SortedSet};

/// A whole torrent file: the `info` dictionary and what stands around it.
///
/// All of it is kept as it came, keys that mean nothing here too (a hybrid torrent's `piece layers` are of use to
/// the next reader), so [`Metainfo::to_bytes`] gives back the file that was read where its keys were sorted.
#[derive(Clone, Debug)]
pub struct Metainfo {
    info: Arc<Info>,
    /// The bencoded values of all keys but `info`.
    others: SortedMap<Vec<u8>, Vec<u8>>,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
}

impl Metainfo {
    /// The longest torrent file that is read: 64 MiB.
    pub const MAX_BYTES: usize = 64 << 20;
    /// The most trackers that are taken from a torrent; later ones are passed over. Web seeds likewise.
    pub const MAX_URLS: usize = 100;

    /// Reads a torrent file. Bytes after its end are ignored: downloads and editors leave some.
    ///
    /// # Errors
    /// See [`MetainfoError`]. Trackers and web seeds that can't be read are passed over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(MetainfoError::TooLong(bytes.len()));
        }
        let (outer, _) = Dictionary::from_prefix(bytes)?;
        let raw = outer.get("info").ok_or(MetainfoError::Missing("info"))?;
        let info = Info::from_bytes(Bytes::copy_from_slice(raw))?;
        let others = outer.iter().filter(|(key, _)| *key != b"info");
        let others = others
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        Ok(Self::new(Arc::new(info), others))
    }

    /// The torrent file of an `info` dictionary that a peer sent, say.
    #[must_use]
    pub fn with_info(info: Arc<Info>, trackers: Vec<Vec<String>>, web_seeds: Vec<String>) -> Self {
        let mut others = SortedMap::new();
        let trackers: Vec<_> = trackers.into_iter().filter(|tier| !tier.is_empty()).collect();
        if let Some(first) = trackers.iter().flatten().next() {
            insert(&mut others, "announce", first);
        }
        if trackers.iter().flatten().count() > 1 {
            insert(&mut others, "announce-list", trackers);
        }
        if !web_seeds.is_empty() {
            insert(&mut others, "url-list", web_seeds);
        }
        Self::new(info, others)
    }

    fn new(info: Arc<Info>, others: SortedMap<Vec<u8>, Vec<u8>>) -> Self {
        let value = |key: &str| others.get(key.as_bytes()).map(Vec::as_slice);
        let mut is_new = once();
        let tiers = value("announce-list")
            .and_then(bencode::items)
            .into_iter()
            .flatten();
        let tiers = tiers.map(|tier| texts(tier).filter(&mut is_new).collect::<Vec<_>>());
        let mut trackers: Vec<_> = tiers.filter(|tier| !tier.is_empty()).collect();
        // BEP 12: where there is a list, `announce` is for readers that don't know lists.
        if trackers.is_empty() {
            trackers.extend(
                value("announce")
                    .and_then(|announce| texts(announce).next())
                    .map(|url| vec![url]),
            );
        }
        let web_seeds = value("url-list")
            .into_iter()
            .flat_map(texts)
            .filter(once())
            .collect();
        Self {
            info,
            others,
            trackers,
            web_seeds,
        }
    }

    /// The bytes of the torrent file, its keys sorted; `info` as it came.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![b'd'];
        let mut entries: SortedMap<&[u8], &[u8]> = self
            .others
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_slice()))
            .collect();
        entries.insert(b"info", self.info.raw());
        for (key, value) in entries {
            bencode::push_string(&mut out, key);
            out.extend_from_slice(value);
        }
        out.push(b'e');
        out
    }

    /// The `info` dictionary.
    #[must_use]
    pub const fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// The URLs of the trackers in tiers (BEP 12), each once, none of them empty, at most
    /// [`Metainfo::MAX_URLS`]; `announce` alone is one tier.
    #[must_use]
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.trackers
    }

    /// The URLs that serve the files over HTTP (BEP 19), each once, at most [`Metainfo::MAX_URLS`].
    #[must_use]
    pub fn web_seeds(&self) -> &[String] {
        &self.web_seeds
    }

    /// What the maker says about the torrent.
    #[must_use]
    pub fn comment(&self) -> Option<String> {
        self.text("comment")
    }

    /// The program that made the torrent.
    #[must_use]
    pub fn created_by(&self) -> Option<String> {
        self.text("created by")
    }

    /// When the torrent was made, in seconds since 1970.
    #[must_use]
    pub fn creation_date(&self) -> Option<u64> {
        let value = self.others.get(b"creation date".as_slice())?;
        serde_bencode::from_bytes(value).ok()
    }

    /// The link to this torrent, with its trackers and web seeds.
    #[must_use]
    pub fn magnet(&self) -> Magnet {
        Magnet {
            info_hash: self.info.info_hash(),
            name: Some(self.info.name().to_owned()),
            trackers: self.trackers.iter().flatten().cloned().collect(),
            web_seeds: self.web_seeds.clone(),
            selected: None,
            peers: Vec::new(),
        }
    }

    /// The torrent file with this key set, where there is a value.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: Option<impl Serialize>) -> Self {
        if let Some(value) = value {
            insert(&mut self.others, key, value);
        }
        self
    }

    fn text(&self, key: &str) -> Option<String> {
        let text: ByteBuf = serde_bencode::from_bytes(self.others.get(key.as_bytes())?).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The longest URL in bytes that is taken from a torrent.
const LONGEST_URL: usize = 2_000;

/// The texts of a value that real clients write as a string or as a list of strings. What is neither, empty, longer
/// than any URL or not UTF-8 is passed over.
fn texts(value: &[u8]) -> impl Iterator<Item = String> {
    let list = bencode::items(value).into_iter().flatten();
    let strings = bencode::string(value)
        .into_iter()
        .chain(list.filter_map(bencode::string));
    let texts = strings
        .filter_map(|bytes| str::from_utf8(bytes).ok())
        .map(str::trim);
    texts
        .filter(|text| (1..=LONGEST_URL).contains(&text.len()))
        .map(str::to_owned)
}

/// Lets each URL pass once, and at most [`Metainfo::MAX_URLS`] of them.
fn once() -> impl FnMut(&String) -> bool {
    let mut seen = SortedSet::new();
    move |url| seen.len() < Metainfo::MAX_URLS && seen.insert(url.clone())
}

fn insert(others: &mut SortedMap<Vec<u8>, Vec<u8>>, key: &str, value: impl Serialize) {
    let value = serde_bencode::to_bytes(&value).expect("strings, integers and lists have a bencoding");
    others.insert(key.into(), value);
}
