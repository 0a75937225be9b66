//! Making torrents.
//!
//! A [`Draft`] knows the files and how they are cut into pieces. Whoever has the bytes either hashes the pieces in
//! whatever order suits and gives the hashes to [`Draft::finish`], or streams the files through a [`Creator`].
//! The same names, lengths, bytes and piece length give the same info-hash, and the one that the usual clients get.

use std::sync::Arc;

use serde::Serialize;
use serde_bytes::Bytes;

use crate::files::{self, Attributes};
use crate::{
    Block, FileEntry, FileSlice, Geometry, GeometryError, Info, Metainfo, MetainfoError, Sha1, Sha1Hash,
    sort_by_key,
};

/// A file to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftFile {
    /// The folders and the name, without the torrent's name.
    pub path: Vec<String>,
    /// The length in bytes.
    pub length: u64,
}

/// How a torrent is made, and what stands in its file beside the files' description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// The bytes of a piece, a power of two from 16 KiB; [`piece_length_for`] chooses where there is none.
    pub piece_length: Option<u32>,
    /// Whether peers are learnt from the trackers alone (BEP 27).
    pub private: bool,
    /// URLs of trackers, in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// URLs that serve the files over HTTP (BEP 19).
    pub web_seeds: Vec<String>,
    /// A text for people.
    pub comment: Option<String>,
    /// The program that makes the torrent.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<u64>,
}

/// Why there is no torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// A name that other clients could not write.
    #[error("`{0}` can't be the name of a shared file or folder")]
    Name(String),
    /// Two files have one path.
    #[error("`{0}` is there twice")]
    Duplicate(String),
    /// More files than [`Info::MAX_FILES`].
    #[error("{0} files are more than the {max} that one torrent can have", max = Info::MAX_FILES)]
    TooManyFiles(usize),
    /// A piece length that is not a power of two, or below 16 KiB.
    #[error("a piece length of {0} bytes is not a power of two from 16 KiB to 256 MiB")]
    PieceLength(u32),
    /// There are no bytes, or too many for the piece length.
    #[error("this can't be shared: {0}")]
    Geometry(#[from] GeometryError),
    /// The files did not have the bytes that they had when the draft was made.
    #[error("the files changed while they were read: {expected} bytes were there at first, {found} now")]
    Length {
        /// The length of the draft.
        expected: u64,
        /// The bytes that came.
        found: u64,
    },
    /// There is not one hash for each piece.
    #[error("{found} hashes for {expected} pieces")]
    Hashes {
        /// The pieces of the draft.
        expected: u32,
        /// The hashes that came.
        found: usize,
    },
    /// The torrent would be one that [`Metainfo::from_bytes`] refuses.
    #[error(transparent)]
    Metainfo(#[from] MetainfoError),
}

/// A torrent to be created: files and pieces without hashes.
#[derive(Clone, Debug)]
pub struct Draft {
    name: String,
    files: Vec<FileEntry>,
    geometry: Geometry,
    options: CreateOptions,
}

/// The bytes of a piece for a torrent of `total` bytes: the power of two from 16 KiB to 16 MiB that makes about 500
/// to 1000 pieces of it.
#[must_use]
pub fn piece_length_for(total: u64) -> u32 {
    let length = total.div_ceil(1024).clamp(16 << 10, 16 << 20).next_power_of_two();
    u32::try_from(length).unwrap_or(16 << 20)
}

impl Draft {
    /// A torrent of these files, which lie end to end in the order given. A single file whose path is `name` alone
    /// makes a single-file torrent.
    ///
    /// The torrent has the names as they are given. Whoever reads it, [`Info`] too, makes them safe: match the files
    /// that you share by their number, not by their path.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn new(name: &str, files: Vec<DraftFile>, options: CreateOptions) -> Result<Self, CreateError> {
        if files.len() > Info::MAX_FILES {
            return Err(CreateError::TooManyFiles(files.len()));
        }
        check_name(name)?;
        let mut total = 0u64;
        let mut entries = Vec::with_capacity(files.len());
        for DraftFile { path, length } in files {
            if path.is_empty() || path.len() > Info::MAX_PATH_DEPTH {
                return Err(CreateError::Name(path.join("/")));
            }
            path.iter().try_for_each(|component| check_name(component))?;
            entries.push(FileEntry::new(path, total, length, Attributes::default()));
            total = total.checked_add(length).ok_or(MetainfoError::Length)?;
        }
        let mut paths: Vec<&FileEntry> = entries.iter().collect();
        sort_by_key(&mut paths, |file| file.path());
        if let Some(twice) = paths
            .iter()
            .zip(paths.iter().skip(1))
            .find(|(a, b)| a.path() == b.path())
        {
            return Err(CreateError::Duplicate(twice.0.display_path()));
        }
        let piece_length = options.piece_length.unwrap_or_else(|| piece_length_for(total));
        if !piece_length.is_power_of_two() || !(16 << 10..=Geometry::MAX_PIECE_LENGTH).contains(&piece_length)
        {
            return Err(CreateError::PieceLength(piece_length));
        }
        let geometry = Geometry::new(total, piece_length.into())?;
        Ok(Self {
            name: name.to_owned(),
            files: entries,
            geometry,
            options,
        })
    }

    /// How the torrent is cut into pieces.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The parts of files that a block covers, in order: what to read to hash it. Empty files never occur.
    pub fn slices(&self, block: Block) -> impl Iterator<Item = FileSlice> {
        files::slices(&self.files, self.geometry, block)
    }

    /// The torrent, given the hash of every piece in order.
    ///
    /// # Errors
    /// Where there is not one hash for each piece, or the torrent is too large to be read again.
    pub fn finish(self, hashes: Vec<Sha1Hash>) -> Result<Metainfo, CreateError> {
        let expected = self.geometry.pieces();
        if u32::try_from(hashes.len()) != Ok(expected) {
            return Err(CreateError::Hashes {
                expected,
                found: hashes.len(),
            });
        }
        let pieces: Vec<u8> = hashes.into_iter().flat_map(|hash| *hash.as_bytes()).collect();
        // It is kept as long as the torrent, without the room that it was written in.
        let info = Info::from_bytes(self.info_bytes(&pieces).into_boxed_slice().into())?;
        let CreateOptions {
            trackers,
            web_seeds,
            comment,
            created_by,
            creation_date,
            ..
        } = self.options;
        Ok(Metainfo::with_info(Arc::new(info), trackers, web_seeds)
            .with("comment", comment)
            .with("created by", created_by)
            .with("creation date", creation_date))
    }

    /// For files that are read one after the other.
    #[must_use]
    pub fn hasher(self) -> Creator {
        Creator {
            draft: self,
            hash: Sha1::new(),
            filled: 0,
            hashes: Vec::new(),
            received: 0,
        }
    }

    fn info_bytes(&self, pieces: &[u8]) -> Vec<u8> {
        let single = match self.files.as_slice() {
            [file] if *file.path() == [self.name.as_str()] => Some(file.length()),
            _ => None,
        };
        let files = || {
            self.files.iter().map(|file| RawFile {
                length: file.length(),
                path: file.path(),
            })
        };
        let info = RawInfo {
            files: single.is_none().then(|| files().collect()),
            length: single,
            name: &self.name,
            piece_length: self.geometry.piece_length(),
            pieces: Bytes::new(pieces),
            private: self.options.private.then_some(1),
        };
        serde_bencode::to_bytes(&info).expect("strings, integers and lists have a bencoding")
    }
}

/// Hashes a draft's files while they stream through it: all bytes of all files, in order.
#[derive(Clone, Debug)]
pub struct Creator {
    draft: Draft,
    hash: Sha1,
    /// How many bytes of the current piece `hash` has.
    filled: u32,
    hashes: Vec<Sha1Hash>,
    received: u64,
}

impl Creator {
    /// Takes the next bytes of the files; where one file ends and the next starts makes no difference.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.received = self.received.saturating_add(bytes.len() as u64);
        while !bytes.is_empty() && self.hashes.len() < self.draft.geometry.pieces() as usize {
            let room = self.draft.geometry.piece_length() - self.filled;
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.hash.update(now);
            // At most `room`, which is a u32.
            self.filled += u32::try_from(now.len()).unwrap_or(room);
            bytes = later;
            if self.filled == self.draft.geometry.piece_length() {
                self.end_piece();
            }
        }
    }

    /// The torrent.
    ///
    /// # Errors
    /// Where more or fewer bytes came than the files have; else as [`Draft::finish`].
    pub fn finish(mut self) -> Result<Metainfo, CreateError> {
        let expected = self.draft.geometry.total_length();
        if self.received != expected {
            return Err(CreateError::Length {
                expected,
                found: self.received,
            });
        }
        if self.filled > 0 {
            self.end_piece();
        }
        self.draft.finish(self.hashes)
    }

    fn end_piece(&mut self) {
        self.hashes.push(std::mem::take(&mut self.hash).finish());
        self.filled = 0;
    }
}

/// What of `info` is written; `serde_bencode` sorts the keys and leaves out those with `None`.
#[derive(Serialize)]
struct RawInfo<'a> {
    files: Option<Vec<RawFile<'a>>>,
    length: Option<u64>,
    name: &'a str,
    #[serde(rename = "piece length")]
    piece_length: u32,
    pieces: &'a Bytes,
    private: Option<u8>,
}

#[derive(Serialize)]
struct RawFile<'a> {
    length: u64,
    path: &'a [String],
}

fn check_name(name: &str) -> Result<(), CreateError> {
    let impossible = matches!(name, "" | "." | "..") || name.contains(['/', '\0']);
    if impossible {
        Err(CreateError::Name(name.to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
