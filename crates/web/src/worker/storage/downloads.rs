//! What is downloaded: a file of the origin private file system for each file of the torrent, named by its number
//! (names from a torrent never reach a file system here), and the pieces in flight in memory.
//!
//! A piece is written when it is whole, in one go, and hashed from memory: the disk sees few, long writes. Where
//! many pieces are in flight at once, those that were started first are written as far as they are.

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
use super::read_cache::ReadCache;

/// The stored bytes of one torrent.
///
/// Invariant: `in_flight` has a buffer for each name in `order`, and no other; together they hold `buffered` bytes.
pub(super) struct Downloads {
    info: Arc<Info>,
    folder: Folder,
    open: VecDeque<(usize, OpenFile)>,
    in_flight: SortedMap<PieceIndex, PieceBuffer>,
    order: VecDeque<PieceIndex>,
    buffered: usize,
    cache: ReadCache,
}

/// A piece as far as it has come.
struct PieceBuffer {
    bytes: Vec<u8>,
    /// The blocks that are in `bytes`. What is not may have been written earlier.
    blocks: Bitfield,
    /// Those of them that are not written yet.
    dirty: Bitfield,
}

impl Downloads {
    /// Keeps its files in `folder`.
    pub(super) fn new(info: Arc<Info>, folder: Folder) -> Self {
        Self {
            info,
            folder,
            open: VecDeque::new(),
            in_flight: SortedMap::new(),
            order: VecDeque::new(),
            buffered: 0,
            cache: ReadCache::new(RUN_LENGTH, RUNS),
        }
    }

    /// Takes a block of a piece that is not verified yet.
    pub(super) async fn write(&mut self, block: Block, chunks: &Chunks) -> Result<(), StorageError> {
        let (piece, geometry) = (block.piece(), self.info.geometry());
        if !self.in_flight.contains_key(&piece) {
            let length = geometry.length_of(piece) as usize;
            while self.buffered + length > MAX_BUFFERED {
                let Some(oldest) = self.order.front().copied() else {
                    break;
                };
                self.release(oldest).await?;
            }
            let blocks = Bitfield::none(geometry.blocks_in(piece));
            let buffer = PieceBuffer {
                bytes: vec![0; length],
                dirty: blocks.clone(),
                blocks,
            };
            self.in_flight.insert(piece, buffer);
            self.order.push_back(piece);
            self.buffered += length;
        }
        let Some(buffer) = self.in_flight.get_mut(&piece) else {
            return Ok(());
        };
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

    /// Starts to hash a piece and, if it is in memory, writes it.
    pub(super) async fn hash(&mut self, piece: PieceIndex) -> Result<Digest, StorageError> {
        if let Some(buffer) = self.in_flight.get(&piece).filter(|buffer| buffer.blocks.is_all()) {
            let digest = hash::start(&buffer.bytes);
            self.release(piece).await?;
            return Ok(digest);
        }
        self.release(piece).await?;
        let bytes = self.read_run(self.whole(piece)?).await?;
        Ok(hash::start(&bytes))
    }

    /// Reads a block that was written or given before.
    pub(super) async fn read(&mut self, block: Block) -> Result<Bytes, StorageError> {
        if let Some(bytes) = self.cache.find(block) {
            return Ok(bytes);
        }
        let run = self.cache.run_for(self.info.geometry(), block);
        let bytes = Bytes::from(self.read_run(run).await?);
        let wanted = bytes.slice(..block.length() as usize);
        self.cache.insert(run, bytes);
        Ok(wanted)
    }

    /// Writes every piece in flight as far as it has come; it stays in memory to be hashed there.
    pub(super) async fn write_all(&mut self) -> Result<(), StorageError> {
        for piece in self.order.clone() {
            self.write_dirty(piece).await?;
        }
        Ok(())
    }

    /// Brings all of a torrent that has become complete to the disk itself.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        self.open.iter().try_for_each(|(_, file)| file.flush())
    }

    /// The file with this number, its bytes on disk.
    pub(super) async fn file(&mut self, file: usize) -> Result<File, StorageError> {
        self.open.retain(|(open, _)| *open != file);
        let empty = self
            .info
            .files()
            .get(file)
            .is_some_and(|entry| entry.length() == 0);
        self.folder.file(&file.to_string(), empty).await
    }

    /// Writes what is left of a piece in flight, if it is, and forgets it in memory. What can't be written stays
    /// there: it is tried again when there is room.
    async fn release(&mut self, piece: PieceIndex) -> Result<(), StorageError> {
        self.write_dirty(piece).await?;
        if let Some(buffer) = self.in_flight.remove(&piece) {
            self.order.retain(|other| *other != piece);
            self.buffered -= buffer.bytes.len();
        }
        Ok(())
    }

    async fn write_dirty(&mut self, piece: PieceIndex) -> Result<(), StorageError> {
        // Taken out meanwhile: writing needs the rest of the struct.
        let Some(mut buffer) = self.in_flight.remove(&piece) else {
            return Ok(());
        };
        let result = self.write_blocks(piece, &mut buffer).await;
        self.in_flight.insert(piece, buffer);
        result
    }

    async fn write_blocks(
        &mut self,
        piece: PieceIndex,
        buffer: &mut PieceBuffer,
    ) -> Result<(), StorageError> {
        for run in runs(&buffer.dirty) {
            let end = (run.end * BLOCK_LENGTH).min(self.info.geometry().length_of(piece));
            let start = run.start * BLOCK_LENGTH;
            let block = self.info.geometry().block(piece.get(), start, end - start);
            if let (Some(block), Some(bytes)) = (block, buffer.bytes.get(start as usize..end as usize)) {
                self.write_run(block, bytes).await?;
            }
            for block in run {
                buffer.dirty.set_bit(block, false);
            }
        }
        Ok(())
    }

    async fn write_run(&mut self, run: Block, mut bytes: &[u8]) -> Result<(), StorageError> {
        let info = self.info.clone();
        for slice in info.slices(run) {
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

    async fn read_run(&mut self, run: Block) -> Result<Vec<u8>, StorageError> {
        let info = self.info.clone();
        let mut bytes = vec![0; run.length() as usize];
        let mut at = 0;
        for slice in info.slices(run) {
            let end = at + slice.length as usize;
            if let Some(part) = bytes.get_mut(at..end).filter(|_| !is_padding(&info, slice.file)) {
                self.open(slice.file, false).await?.read(slice.offset, part)?;
            }
            at = end;
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

    fn whole(&self, piece: PieceIndex) -> Result<Block, StorageError> {
        let geometry = self.info.geometry();
        geometry
            .block(piece.get(), 0, geometry.length_of(piece))
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
const MAX_BUFFERED: usize = 48 * 1024 * 1024;
/// The most files open at once.
const MAX_OPEN: usize = 32;
/// Bytes that are read at once.
const RUN_LENGTH: u32 = 256 * 1024;
/// Runs that are kept.
const RUNS: usize = 32;

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
