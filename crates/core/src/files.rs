//! The files of a torrent, laid end to end.

use core::ops::Range;

use crate::{Block, Geometry};

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    path: Vec<String>,
    offset: u64,
    length: u64,
    attributes: Attributes,
}

/// The part of one file that a block covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSlice {
    /// The number of the file in its torrent.
    pub file: usize,
    /// The first byte, counted from the start of the file.
    pub offset: u64,
    /// The length in bytes, never zero.
    pub length: u32,
}

/// The letters of `attr` (BEP 47).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(u8);

impl FileEntry {
    pub(crate) const fn new(path: Vec<String>, offset: u64, length: u64, attributes: Attributes) -> Self {
        Self {
            path,
            offset,
            length,
            attributes,
        }
    }

    /// The folders and the name of the file, safe to append to a download folder. The torrent's name is not part
    /// of it, but for the one file of a single-file torrent, whose name that is.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// The path with `/` between its components, for people.
    #[must_use]
    pub fn display_path(&self) -> String {
        self.path.join("/")
    }

    /// Where the file starts, in bytes from the start of the torrent.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Whether this is no file but zeros that let the next file start with a piece (BEP 47). Such an entry is
    /// neither written nor shown, and its path may be another one's.
    #[must_use]
    pub const fn is_padding(&self) -> bool {
        self.attributes.is_padding()
    }

    /// Whether this is a program (BEP 47).
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        self.attributes.has(Attributes::EXECUTABLE)
    }

    const fn end(&self) -> u64 {
        self.offset + self.length
    }
}

impl Attributes {
    const PADDING: u8 = 1;
    const EXECUTABLE: u8 = 1 << 1;

    /// Reads the letters; unknown ones mean nothing, as BEP 47 asks. A symbolic link (`l`) is taken for the empty
    /// file that it is to clients without links: following a stranger's link would leave the folder.
    pub(crate) fn from_letters(letters: &[u8]) -> Self {
        Self(letters.iter().fold(0, |bits, letter| match letter {
            b'p' => bits | Self::PADDING,
            b'x' => bits | Self::EXECUTABLE,
            _ => bits,
        }))
    }

    pub(crate) const fn is_padding(self) -> bool {
        self.has(Self::PADDING)
    }

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// The parts of `files`, which lie end to end, that a block covers, in order. Empty files never occur.
pub(crate) fn slices(
    files: &[FileEntry],
    geometry: Geometry,
    block: Block,
) -> impl Iterator<Item = FileSlice> {
    let start = geometry.start_of(block.piece()) + u64::from(block.offset());
    slices_of(files, start..start + u64::from(block.length()))
}

/// The same for a range of the torrent's bytes; nothing lies beyond the last file.
pub(crate) fn slices_of(
    files: &[FileEntry],
    Range { start, end }: Range<u64>,
) -> impl Iterator<Item = FileSlice> {
    let first = files.partition_point(|file| file.end() <= start);
    files
        .iter()
        .enumerate()
        .skip(first)
        .take_while(move |(_, file)| file.offset < end)
        .filter(|(_, file)| file.length > 0)
        .map(move |(index, file)| {
            let from = start.max(file.offset);
            let length = u32::try_from(end.min(file.end()) - from).unwrap_or(u32::MAX);
            FileSlice {
                file: index,
                offset: from - file.offset,
                length,
            }
        })
}
