//! What is downloaded: a file of the origin private file system for each file of the torrent, named by its number
//! (names from a torrent never reach a file system here), and in memory what is not written yet.
//!
//! A piece is hashed from memory when it is whole. A long one is written from where it lies; short ones are written with
//! their neighbours: storage sees few, long writes. Everything is written at the latest when the record is kept
//! ([`Downloads::write_all`]). Memory of WebAssembly never shrinks, so what pieces lay in is used again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use causeway_core::{BLOCK_LENGTH, Bitfield, Block, Info, PieceIndex, SortedMap};
use causeway_engine::StorageError;
use causeway_wire::Chunks;
use web_sys::File;

use super::super::hash::{self, Digest};
use super::opfs::{Folder, OpenFile};
use super::read_cache::{ReadCache, range_of};

/// The stored bytes of one torrent.
///
/// Invariant: `in_memory` has a buffer for each name in `order`, and no other; together they hold `buffered` bytes,
/// those of hashed pieces `hashed` bytes.
pub(super) struct Downloads {
    info: Arc<Info>,
    folder: Folder,
    open: VecDeque<(usize, OpenFile)>,
    in_memory: SortedMap<PieceIndex, PieceBuffer>,
    order: VecDeque<PieceIndex>,
    buffered: usize,
    hashed: usize,
    /// What a forgotten piece lay in, for the next ones.
    spare: Vec<Vec<u8>>,
    /// Where neighbours are put together for one write.
    joined: Vec<u8>,
    cache: ReadCache,
}

/// A piece as far as it has come.
struct PieceBuffer {
    bytes: Vec<u8>,
    /// The blocks that are in `bytes`. What is not may have been written earlier.
    blocks: Bitfield,
    /// Those of them that are not written yet.
    dirty: Bitfield,
    /// Whether it was hashed as it is: all of it is here then.
    is_hashed: bool,
}

impl Downloads {
    /// Keeps its files in `folder`.
    pub(super) fn new(info: Arc<Info>, folder: Folder) -> Self {
        Self {
            info,
            folder,
            open: VecDeque::new(),
            in_memory: SortedMap::new(),
            order: VecDeque::new(),
            buffered: 0,
            hashed: 0,
            spare: Vec::new(),
            joined: Vec::new(),
            cache: ReadCache::new(false),
        }
    }

    /// Takes a block of a piece that is not verified yet.
    pub(super) async fn write(&mut self, block: Block, chunks: &Chunks) -> Result<(), StorageError> {
        let piece = block.piece();
        if !self.in_memory.contains_key(&piece) {
            self.make_room(piece).await?;
        }
        let Some(buffer) = self.in_memory.get_mut(&piece) else {
            return Ok(());
        };
        if std::mem::take(&mut buffer.is_hashed) {
            self.hashed -= buffer.bytes.len();
        }
        let mut at = block.offset() as usize;
        for chunk in chunks {
            if let Some(place) = buffer.bytes.get_mut(at..at + chunk.len()) {
                place.copy_from_slice(chunk);
            }
            at += chunk.len();
        }
        buffer.blocks.set_bit(block.index(), true);
        buffer.dirty.set_bit(block.index(), true);
        Ok(())
    }

    /// Makes a buffer for a piece.
    async fn make_room(&mut self, piece: PieceIndex) -> Result<(), StorageError> {
        let geometry = self.info.geometry();
        let length = geometry.length_of(piece) as usize;
        if self.buffered + length > MAX_BUFFERED {
            self.write_hashed().await?;
        }
        while self.buffered + length > MAX_BUFFERED {
            let Some(oldest) = self.order.front().copied() else {
                break;
            };
            self.write_dirty(oldest).await?;
            self.forget(oldest);
        }
        let blocks = Bitfield::none(geometry.blocks_in(piece));
        // What an earlier piece left there is never looked at: `blocks` says what is there.
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.resize(length, 0);
        let buffer = PieceBuffer {
            bytes,
            dirty: blocks.clone(),
            blocks,
            is_hashed: false,
        };
        self.in_memory.insert(piece, buffer);
        self.order.push_back(piece);
        self.buffered += length;
        Ok(())
    }

    /// Starts to hash a piece. If it is in memory it is written soon.
    pub(super) async fn hash(&mut self, piece: PieceIndex) -> Result<Digest, StorageError> {
        if let Some(buffer) = self
            .in_memory
            .get_mut(&piece)
            .filter(|buffer| buffer.blocks.is_all())
        {
            let digest = hash::start(&buffer.bytes);
            let is_long = buffer.bytes.len() >= LONG_PIECE;
            if !std::mem::replace(&mut buffer.is_hashed, true) {
                self.hashed += buffer.bytes.len();
            }
            if self.hashed >= WRITE_LENGTH || is_long {
                self.write_hashed().await?;
            }
            return Ok(digest);
        }
        self.write_dirty(piece).await?;
        self.forget(piece);
        let geometry = self.info.geometry();
        let bytes = self.read_run(range_of(geometry, geometry.whole(piece))).await?;
        Ok(hash::start(&bytes))
    }

    /// Reads a block that was written or given before.
    pub(super) async fn read(&mut self, block: Block) -> Result<Bytes, StorageError> {
        let geometry = self.info.geometry();
        if let Some(buffer) = self.in_memory.get(&block.piece())
            && buffer.blocks.is_all()
        {
            let start = block.offset() as usize;
            let bytes = buffer.bytes.get(start..start + block.length() as usize);
            return Ok(Bytes::copy_from_slice(bytes.unwrap_or_default()));
        }
        if let Some(bytes) = self.cache.find(&range_of(geometry, block)) {
            return Ok(bytes);
        }
        let run = self.cache.run_for(geometry, block);
        let start = run.start;
        let bytes = Bytes::from(self.read_run(run).await?);
        let wanted = bytes.slice(..block.length() as usize);
        self.cache.insert(start, bytes);
        Ok(wanted)
    }

    /// Writes every piece as far as it has come. What can't be written stays in memory: it is tried again.
    pub(super) async fn write_all(&mut self) -> Result<(), StorageError> {
        self.write_hashed().await?;
        for piece in self.order.clone() {
            self.write_dirty(piece).await?;
        }
        Ok(())
    }

    /// Brings all of a torrent that has become complete to the disk itself.
    pub(super) async fn flush(&mut self) -> Result<(), StorageError> {
        self.write_hashed().await?;
        (self.spare, self.joined) = (Vec::new(), Vec::new());
        self.open.iter().try_for_each(|(_, file)| file.flush())
    }

    /// The file with this number, its bytes on disk.
    pub(super) async fn file(&mut self, file: usize) -> Result<File, StorageError> {
        self.write_hashed().await?;
        self.open.retain(|(open, _)| *open != file);
        let empty = self
            .info
            .files()
            .get(file)
            .is_some_and(|entry| entry.length() == 0);
        self.folder.file(&file.to_string(), empty).await
    }

    /// Writes the pieces that were hashed, short neighbours together, and forgets them in memory.
    async fn write_hashed(&mut self) -> Result<(), StorageError> {
        let geometry = self.info.geometry();
        loop {
            let mut joined = std::mem::take(&mut self.joined);
            joined.clear();
            let mut run: Vec<PieceIndex> = Vec::new();
            for (&piece, buffer) in self.in_memory.iter().filter(|(_, buffer)| buffer.is_hashed) {
                let is_next = run.last().is_none_or(|last| last.get() + 1 == piece.get());
                let is_long = buffer.bytes.len() >= LONG_PIECE;
                let is_over = is_long || joined.len() + buffer.bytes.len() > WRITE_LENGTH;
                if !run.is_empty() && (!is_next || is_over) {
                    break;
                }
                run.push(piece);
                if is_long {
                    break;
                }
                joined.extend_from_slice(&buffer.bytes);
            }
            let written = match run.first() {
                None => Ok(()),
                Some(long) if joined.is_empty() => self.write_dirty(*long).await,
                Some(first) => self.write_run(geometry.start_of(*first), &joined).await,
            };
            self.joined = joined;
            written?;
            if run.is_empty() {
                return Ok(());
            }
            for piece in run {
                self.forget(piece);
            }
        }
    }

    /// Forgets a piece in memory.
    fn forget(&mut self, piece: PieceIndex) {
        if let Some(buffer) = self.in_memory.remove(&piece) {
            self.order.retain(|other| *other != piece);
            self.buffered -= buffer.bytes.len();
            self.hashed -= if buffer.is_hashed { buffer.bytes.len() } else { 0 };
            if self.spare.iter().map(Vec::len).sum::<usize>() < MAX_SPARE {
                self.spare.push(buffer.bytes);
            }
        }
    }

    /// Writes what is left of a piece in memory, if it is there.
    async fn write_dirty(&mut self, piece: PieceIndex) -> Result<(), StorageError> {
        // Taken out meanwhile: writing needs the rest of the struct.
        let Some(mut buffer) = self.in_memory.remove(&piece) else {
            return Ok(());
        };
        let result = self.write_blocks(piece, &mut buffer).await;
        self.in_memory.insert(piece, buffer);
        result
    }

    async fn write_blocks(
        &mut self,
        piece: PieceIndex,
        buffer: &mut PieceBuffer,
    ) -> Result<(), StorageError> {
        let geometry = self.info.geometry();
        for run in runs(&buffer.dirty) {
            let end = (run.end * BLOCK_LENGTH).min(geometry.length_of(piece));
            let start = run.start * BLOCK_LENGTH;
            if let Some(bytes) = buffer.bytes.get(start as usize..end as usize) {
                let at = geometry.start_of(piece) + u64::from(start);
                self.write_run(at, bytes).await?;
            }
            for block in run {
                buffer.dirty.set_bit(block, false);
            }
        }
        Ok(())
    }

    /// Writes bytes of the torrent from `start` on.
    async fn write_run(&mut self, start: u64, mut bytes: &[u8]) -> Result<(), StorageError> {
        let info = self.info.clone();
        for slice in info.slices_of(start..start + bytes.len() as u64) {
            let (part, rest) = bytes
                .split_at_checked(slice.length as usize)
                .unwrap_or((bytes, &[]));
            bytes = rest;
            if !is_padding(&info, slice.file) {
                self.open(slice.file, true).await?.write(slice.offset, part)?;
            }
        }
        Ok(())
    }

    async fn read_run(&mut self, run: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let info = self.info.clone();
        let mut bytes = Vec::new();
        for slice in info.slices_of(run) {
            let at = bytes.len();
            bytes.resize(at + slice.length as usize, 0);
            if let Some(part) = bytes.get_mut(at..).filter(|_| !is_padding(&info, slice.file)) {
                self.open(slice.file, false).await?.read(slice.offset, part)?;
            }
        }
        Ok(bytes)
    }

    /// The open file with this number, the last used at the end.
    async fn open(&mut self, file: usize, create: bool) -> Result<&OpenFile, StorageError> {
        let opened = match self.open.iter().position(|(open, _)| *open == file) {
            Some(at) => self.open.remove(at),
            None => None,
        };
        let opened = match opened {
            Some(opened) => opened,
            None => (file, self.folder.open(&file.to_string(), create).await?),
        };
        if self.open.len() >= MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(opened);
        self.open
            .back()
            .map(|(_, file)| file)
            .ok_or(StorageError::Missing)
    }
}

/// The runs of ones, in order.
fn runs(bits: &Bitfield) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for bit in bits.iter_ones() {
        match runs.last_mut() {
            Some(run) if run.end == bit => run.end += 1,
            _ => runs.push(bit..bit + 1),
        }
    }
    runs
}

fn is_padding(info: &Info, file: usize) -> bool {
    info.files()
        .get(file)
        .is_some_and(causeway_core::FileEntry::is_padding)
}

/// The most bytes of pieces in flight in memory, unless one piece alone is longer.
const MAX_BUFFERED: usize = 32 * 1024 * 1024;
/// The most bytes of [`Downloads::spare`], unless one piece alone is longer.
const MAX_SPARE: usize = 4 * 1024 * 1024;
/// The most files open at once.
const MAX_OPEN: usize = 32;
/// A piece of so many bytes is worth a write of its own.
const LONG_PIECE: usize = 1024 * 1024;
/// Bytes of short pieces that are written at once.
const WRITE_LENGTH: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_blocks_are_written_as_one_run() {
        let mut bits = Bitfield::none(10);
        for bit in [0, 1, 2, 5, 8, 9] {
            bits.set_bit(bit, true);
        }
        assert_eq!(runs(&bits), [0..3, 5..6, 8..10]);
        assert_eq!(runs(&Bitfield::none(3)), [] as [Range<u32>; 0]);
    }
}
