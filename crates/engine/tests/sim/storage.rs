//! Storage in memory that takes its time, answers in any order, and can be full.

use bytes::Bytes;
use causeway_core::{Block, Geometry, PieceIndex, Sha1Hash, sha1};
use causeway_engine::StorageError;
use causeway_wire::Chunks;

/// What one peer has stored.
pub(crate) struct Storage {
    pub(crate) bytes: Vec<u8>,
    /// A byte for each, so that looking for one that is missing is quick: 1 where it is written.
    written: Vec<u8>,
    geometry: Geometry,
    /// Bytes that may be written before it is full.
    pub(crate) room: u64,
}

impl Storage {
    pub(crate) fn empty(geometry: Geometry) -> Self {
        let length = usize::try_from(geometry.total_length()).expect("small");
        Self {
            bytes: vec![0; length],
            written: vec![0; length],
            geometry,
            room: u64::MAX,
        }
    }

    pub(crate) fn full(geometry: Geometry, content: &[u8]) -> Self {
        let mut storage = Self::empty(geometry);
        storage.bytes.copy_from_slice(content);
        storage.written.fill(1);
        storage
    }

    pub(crate) fn read(&self, block: Block) -> Result<Bytes, StorageError> {
        let range = self.range(block);
        if self.written[range.clone()].contains(&0) {
            return Err(StorageError::Missing);
        }
        Ok(Bytes::copy_from_slice(&self.bytes[range]))
    }

    pub(crate) fn write(&mut self, block: Block, data: Chunks) -> Result<(), StorageError> {
        let length = u64::from(block.length());
        self.room = self.room.checked_sub(length).ok_or(StorageError::Full)?;
        let range = self.range(block);
        self.written[range.clone()].fill(1);
        self.bytes[range].copy_from_slice(&data.into_bytes());
        Ok(())
    }

    pub(crate) fn hash(&self, piece: PieceIndex) -> Result<Sha1Hash, StorageError> {
        let length = self.geometry.length_of(piece);
        let whole = self.geometry.block(piece.get(), 0, length).expect("in range");
        self.read(whole).map(|bytes| sha1(&bytes))
    }

    fn range(&self, block: Block) -> core::ops::Range<usize> {
        let start = self.geometry.start_of(block.piece()) + u64::from(block.offset());
        let start = usize::try_from(start).expect("small");
        start..start + block.length() as usize
    }
}
