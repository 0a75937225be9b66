//! A torrent's `info` dictionary (BEP 3, 27, 47).

#![warn(clippy::indexing_slicing)]

use core::fmt;
use core::ops::Range;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::bencode::{self, BencodeError, Dictionary};
use crate::files::{self, Attributes};
use crate::magnet::{Escaped, unescape};
use crate::names::{Names, safe_component};
use crate::{
    Block, FileEntry, FileSlice, Geometry, GeometryError, InfoHash, Metainfo, PieceIndex, Sha1Hash, sha1,
};

/// A torrent's `info` dictionary, checked.
///
/// Invariant: the files lie end to end and add up to the geometry's length, no two that are not padding have one
/// path, and there is a hash for each piece.
pub struct Info {
    raw: Bytes,
    hash: InfoHash,
    name: String,
    geometry: Geometry,
    /// 20 bytes a piece; a part of `raw`.
    piece_hashes: Bytes,
    files: Vec<FileEntry>,
    is_private: bool,
    is_multi_file: bool,
}

/// Why bytes are no torrent that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// More bytes than [`Metainfo::MAX_BYTES`].
    #[error("the torrent file has {0} bytes, more than the 64 MiB that are supported")]
    TooLong(usize),
    /// It is not bencoded.
    #[error("this is not a torrent file: {0}")]
    Bencode(#[from] BencodeError),
    /// Bytes after an `info` dictionary that came alone.
    #[error("the torrent's description has {0} bytes too many")]
    Trailing(usize),
    /// A key that must be there is not.
    #[error("the torrent file is damaged: it has no `{0}`")]
    Missing(&'static str),
    /// A key has a value that makes no sense.
    #[error("the torrent file is damaged: `{key}` can't be read ({reason})")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
    /// A torrent of version 2 alone (BEP 52).
    #[error("this torrent is for BitTorrent v2 only; ask for a v1 or a hybrid torrent")]
    OnlyVersion2,
    /// More files than [`Info::MAX_FILES`].
    #[error("this torrent has more than the {max} files that are supported", max = Info::MAX_FILES)]
    TooManyFiles,
    /// More components in a path than [`Info::MAX_PATH_DEPTH`].
    #[error("this torrent's folders nest deeper than the {max} levels that are supported", max = Info::MAX_PATH_DEPTH)]
    PathTooDeep,
    /// The lengths of the files add up to more than 64 bits.
    #[error("the torrent file is damaged: its files add up to an impossible length")]
    Length,
    /// The lengths can't be cut into pieces.
    #[error("this torrent can't be downloaded: {0}")]
    Geometry(#[from] GeometryError),
    /// There are more or fewer hashes than pieces.
    #[error("the torrent file is damaged: {bytes} bytes of hashes for {pieces} pieces")]
    PieceHashes {
        /// The length of `pieces`.
        bytes: usize,
        /// The number of pieces that the lengths ask for; each has 20 bytes.
        pieces: u32,
    },
}

impl Info {
    /// The most files of a torrent.
    pub const MAX_FILES: usize = 200_000;
    /// The most components of a file's path.
    pub const MAX_PATH_DEPTH: usize = 64;

    /// Reads an `info` dictionary as it stands in a torrent file or comes from a peer (BEP 9).
    ///
    /// The info-hash is taken over `raw` as it is. A hybrid torrent (BEP 52) is read as v1.
    ///
    /// # Errors
    /// See [`MetainfoError`].
    pub fn from_bytes(raw: Bytes) -> Result<Self, MetainfoError> {
        if raw.len() > Metainfo::MAX_BYTES {
            return Err(MetainfoError::TooLong(raw.len()));
        }
        let bytes = raw.clone();
        let (info, rest) = Dictionary::from_prefix(&bytes)?;
        if !rest.is_empty() {
            return Err(MetainfoError::Trailing(rest.len()));
        }
        let hash = InfoHash::new(*sha1(&raw).as_bytes());
        let hashes = info.string("pieces").ok_or_else(|| missing_pieces(&info))?;
        let piece_hashes = raw.slice_ref(hashes);
        let name = name_of(&info).unwrap_or_else(|| hash.to_string());
        let files = info.get("files").map(files_of).transpose()?;
        let is_multi_file = files.is_some();
        let files = files.map_or_else(|| single_file(&info, &name), Ok)?;
        let total_length = files.last().map_or(0, |last| last.offset() + last.length());
        let geometry = Geometry::new(total_length, require(&info, "piece length")?)?;
        if piece_hashes.len() as u64 != u64::from(geometry.pieces()) * Sha1Hash::LENGTH as u64 {
            return Err(MetainfoError::PieceHashes {
                bytes: piece_hashes.len(),
                pieces: geometry.pieces(),
            });
        }
        let is_private = info
            .read("private")
            .is_ok_and(|private: Option<i64>| private.is_some_and(|flag| flag != 0));
        Ok(Self {
            raw,
            hash,
            name,
            geometry,
            piece_hashes,
            files,
            is_private,
            is_multi_file,
        })
    }

    /// The bytes of the dictionary as they came.
    #[must_use]
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The name of the torrent and of its swarm.
    #[must_use]
    pub const fn info_hash(&self) -> InfoHash {
        self.hash
    }

    /// The name of the file, or of the folder that the files go to: one component of a path, made safe. The
    /// info-hash where the torrent has none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the torrent is cut into pieces.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The hash that this piece must have.
    ///
    /// # Panics
    /// On a piece of another torrent that has more of them.
    #[must_use]
    pub fn piece_hash(&self, piece: PieceIndex) -> Sha1Hash {
        let start = piece.as_usize() * Sha1Hash::LENGTH;
        let hash = self.piece_hashes.get(start..start + Sha1Hash::LENGTH);
        hash.and_then(|hash| hash.try_into().ok())
            .expect("a piece index is of the geometry that it is used with")
    }

    /// The files in the order of their bytes, never none; one where the torrent is a single file. Padding is
    /// among them and marked.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Whether peers may be learnt from the torrent's trackers alone (BEP 27).
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.is_private
    }

    /// Whether the files go to a folder with the torrent's name.
    #[must_use]
    pub const fn is_multi_file(&self) -> bool {
        self.is_multi_file
    }

    /// The path of a file below a web seed's folder, escaped for a URL: with the names that the torrent has, which need not be those that
    /// it has here; empty for a file that there isn't.
    #[must_use]
    pub fn url_path(&self, file: usize) -> String {
        let original = self.original_paths().nth(file);
        let path = original.flatten().unwrap_or_else(|| self.safe_path(file));
        let escaped: Vec<String> = path.into_iter().map(|part| Escaped(part).to_string()).collect();
        escaped.join("/")
    }

    /// The file that is meant by a path as [`Self::url_path`] makes it, escaped in whatever way; also by the one of the names that it
    /// has here.
    #[must_use]
    pub fn file_at_url_path(&self, path: &str) -> Option<usize> {
        let parts: Vec<Vec<u8>> = path.split('/').map(unescape).collect();
        let is_meant = |path: &[&[u8]]| path.iter().copied().eq(parts.iter().map(Vec::as_slice));
        let mut originals = self.original_paths();
        (0..self.files.len()).find(|file| {
            let original = originals.next().flatten();
            let is_file = self.files.get(*file).is_some_and(|file| !file.is_padding());
            is_file && (original.is_some_and(|path| is_meant(&path)) || is_meant(&self.safe_path(*file)))
        })
    }

    fn safe_path(&self, file: usize) -> Vec<&[u8]> {
        let path = self.files.get(file).map_or(&[][..], FileEntry::path);
        let name = Some(&self.name).filter(|_| self.is_multi_file && !path.is_empty());
        name.into_iter().chain(path).map(String::as_bytes).collect()
    }

    /// The paths of the files as the torrent has them, the name first; `None` where one could lead elsewhere.
    fn original_paths(&self) -> impl Iterator<Item = Option<Vec<&[u8]>>> {
        let info = Dictionary::from_prefix(&self.raw).ok().map(|(info, _)| info);
        let name = info
            .as_ref()
            .and_then(|info| info.string("name.utf-8").or_else(|| info.string("name")));
        let files = info.as_ref().and_then(|info| bencode::items(info.get("files")?));
        let single = (!self.is_multi_file).then(Vec::new).into_iter();
        let several = files.into_iter().flatten().map(|file| {
            let (file, _) = Dictionary::from_prefix(file).ok()?;
            path_of(&file).ok()
        });
        single.map(Some).chain(several).map(move |path| {
            let mut whole = vec![name?];
            whole.extend(path?);
            let leads_on = |part: &&[u8]| !matches!(*part, b"" | b"." | b"..");
            whole.iter().all(leads_on).then_some(whole)
        })
    }

    /// Where a web seed has a file (BEP 19): at its URL itself, where the torrent is one file and the URL does not end in a slash;
    /// else at [`Self::url_path`] below it.
    #[must_use]
    pub fn url_of(&self, web_seed: &str, file: usize) -> String {
        let is_folder = web_seed.ends_with('/');
        if !self.is_multi_file && !is_folder {
            return web_seed.to_owned();
        }
        let slash = if is_folder { "" } else { "/" };
        format!("{web_seed}{slash}{}", self.url_path(file))
    }

    /// The parts of files that a block covers, in order; empty files never occur.
    pub fn slices(&self, block: Block) -> impl Iterator<Item = FileSlice> {
        files::slices(&self.files, self.geometry, block)
    }

    /// The parts of files that a range of the torrent's bytes covers, in order; empty files never occur.
    pub fn slices_of(&self, bytes: Range<u64>) -> impl Iterator<Item = FileSlice> {
        files::slices_of(&self.files, bytes)
    }
}

impl fmt::Debug for Info {
    /// Without the files and hashes, which fill screens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("hash", &self.hash)
            .field("name", &self.name)
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

fn files_of(list: &[u8]) -> Result<Vec<FileEntry>, MetainfoError> {
    let list = bencode::items(list).ok_or_else(|| invalid("files", &"it is not a list"))?;
    let mut names = Names::default();
    let mut files = Vec::new();
    let mut offset = 0u64;
    for file in list {
        if files.len() == Info::MAX_FILES {
            return Err(MetainfoError::TooManyFiles);
        }
        let (file, _) = Dictionary::from_prefix(file).map_err(|error| invalid("files", &error))?;
        let letters = file.string("attr").unwrap_or_default();
        let attributes = Attributes::from_letters(letters);
        let length = match file.get("length") {
            // Some makers of torrents leave out that a symbolic link has no bytes.
            None if letters.contains(&b'l') => 0,
            _ => require(&file, "length")?,
        };
        let path = path_of(&file)?;
        let path = path.iter().copied();
        // Padding is never written, and all of it may have one path.
        let path = if attributes.is_padding() {
            path.map(safe_component).collect()
        } else {
            names.place(path)
        };
        files.push(FileEntry::new(path, offset, length, attributes));
        offset = offset.checked_add(length).ok_or(MetainfoError::Length)?;
    }
    Ok(files)
}

fn path_of<'a>(file: &Dictionary<'a>) -> Result<Vec<&'a [u8]>, MetainfoError> {
    let path = file
        .get("path.utf-8")
        .or_else(|| file.get("path"))
        .ok_or(MetainfoError::Missing("path"))?;
    let path = bencode::items(path)
        .and_then(|path| path.take(Info::MAX_PATH_DEPTH + 1).map(bencode::string).collect());
    let path: Vec<_> = path.ok_or_else(|| invalid("path", &"it is not a list of strings"))?;
    if path.len() > Info::MAX_PATH_DEPTH {
        Err(MetainfoError::PathTooDeep)
    } else {
        Ok(path)
    }
}

fn single_file(info: &Dictionary, name: &str) -> Result<Vec<FileEntry>, MetainfoError> {
    let attributes = Attributes::from_letters(info.string("attr").unwrap_or_default());
    let length = require(info, "length")?;
    Ok(vec![FileEntry::new(vec![name.to_owned()], 0, length, attributes)])
}

fn name_of(info: &Dictionary) -> Option<String> {
    let name = info.string("name.utf-8").or_else(|| info.string("name"));
    name.filter(|name| !name.is_empty()).map(safe_component)
}

fn missing_pieces(info: &Dictionary) -> MetainfoError {
    match info.read("meta version") {
        Ok(Some(2)) => MetainfoError::OnlyVersion2,
        Ok(_) | Err(_) => MetainfoError::Missing("pieces"),
    }
}

fn require<T: DeserializeOwned>(info: &Dictionary, key: &'static str) -> Result<T, MetainfoError> {
    match info.read(key) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(MetainfoError::Missing(key)),
        Err(error) => Err(invalid(key, &error)),
    }
}

fn invalid(key: &'static str, reason: &dyn ToString) -> MetainfoError {
    MetainfoError::Invalid {
        key,
        reason: reason.to_string(),
    }
}
