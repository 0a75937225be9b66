//! Storage in memory that takes its time, answers in any order, and can be full.
//!
//! Blocks are views of what was shared wherever they can be, so that a crowd of hundreds fits into memory, and a
//! piece that is made of such views is right without looking at its bytes.

use bytes::{Bytes, BytesMut};
use causeway_core::{BLOCK_LENGTH, Block, Geometry, PieceIndex, Sha1Hash, sha1};
use causeway_engine::StorageError;
use causeway_wire::Chunks;

use crate::node::Shared;

/// What one peer has stored.
pub(crate) struct Storage {
    shared: Shared,
    /// A slot for each block of the torrent, piece after piece.
    blocks: Vec<Option<Bytes>>,
    /// Bytes that may be written before it is full.
    pub(crate) room: u64,
}

impl Storage {
    pub(crate) fn empty(shared: &Shared) -> Self {
        let geometry = shared.info.geometry();
        let blocks = geometry.pieces() * blocks_a_piece(geometry);
        Self {
            shared: shared.clone(),
            blocks: vec![None; blocks as usize],
            room: u64::MAX,
        }
    }

    pub(crate) fn full(shared: &Shared) -> Self {
        let mut storage = Self::empty(shared);
        let geometry = shared.info.geometry();
        for block in geometry.all_pieces().flat_map(|piece| geometry.blocks_of(piece)) {
            let slot = storage.slot(block);
            storage.blocks[slot] = Some(shared.bytes_of(block));
        }
        storage
    }

    /// Changes the first byte of this block.
    pub(crate) fn damage(&mut self, block: Block) {
        let slot = self.slot(block);
        let mut bytes = BytesMut::from(&self.shared.bytes_of(block)[..]);
        bytes[0] ^= 1;
        self.blocks[slot] = Some(bytes.freeze());
    }

    /// Whether nothing is stored.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.iter().all(Option::is_none)
    }

    /// Nothing of this piece is there any more.
    pub(crate) fn lose(&mut self, piece: PieceIndex) {
        for block in self.shared.info.geometry().blocks_of(piece) {
            let slot = self.slot(block);
            self.blocks[slot] = None;
        }
    }

    pub(crate) fn read(&self, block: Block) -> Result<Bytes, StorageError> {
        let first = block.offset() % BLOCK_LENGTH;
        if first + block.length() <= BLOCK_LENGTH {
            let stored = self.blocks[self.slot(block)]
                .as_ref()
                .ok_or(StorageError::Missing)?;
            return Ok(stored.slice(first as usize..(first + block.length()) as usize));
        }
        let piece = self.whole(block.piece())?;
        Ok(piece.slice(block.offset() as usize..(block.offset() + block.length()) as usize))
    }

    pub(crate) fn write(&mut self, block: Block, data: Chunks) -> Result<(), StorageError> {
        let length = u64::from(block.length());
        self.room = self.room.checked_sub(length).ok_or(StorageError::Full)?;
        assert_eq!(
            block.offset() % BLOCK_LENGTH,
            0,
            "the torrent asks for whole blocks"
        );
        assert_eq!(data.len() as u64, length, "a block is as long as it says");
        let shared = self.shared.bytes_of(block);
        let slot = self.slot(block);
        self.blocks[slot] = Some(if is_view(&data, &shared) {
            shared
        } else {
            data.into_bytes()
        });
        Ok(())
    }

    pub(crate) fn hash(&self, piece: PieceIndex) -> Result<Sha1Hash, StorageError> {
        let mut blocks = self.shared.info.geometry().blocks_of(piece);
        if blocks.all(|block| self.is_shared(block)) {
            return Ok(self.shared.info.piece_hash(piece));
        }
        self.whole(piece).map(|bytes| sha1(&bytes))
    }

    /// Whether the stored piece is byte for byte the one that was shared.
    pub(crate) fn is_right(&self, piece: PieceIndex) -> bool {
        let mut blocks = self.shared.info.geometry().blocks_of(piece);
        blocks.all(|block| {
            self.is_shared(block)
                || self.blocks[self.slot(block)].as_deref() == Some(&self.shared.bytes_of(block)[..])
        })
    }

    /// Whether the stored block is a view of what was shared.
    fn is_shared(&self, block: Block) -> bool {
        let stored = self.blocks[self.slot(block)].as_ref();
        stored.is_some_and(|stored| stored.as_ptr() == self.shared.bytes_of(block).as_ptr())
    }

    fn whole(&self, piece: PieceIndex) -> Result<Bytes, StorageError> {
        let mut bytes = BytesMut::new();
        for block in self.shared.info.geometry().blocks_of(piece) {
            let stored = self.blocks[self.slot(block)].as_ref();
            bytes.extend_from_slice(stored.ok_or(StorageError::Missing)?);
        }
        Ok(bytes.freeze())
    }

    fn slot(&self, block: Block) -> usize {
        (block.piece().get() * blocks_a_piece(self.shared.info.geometry()) + block.index()) as usize
    }
}

fn blocks_a_piece(geometry: Geometry) -> u32 {
    geometry.piece_length().div_ceil(BLOCK_LENGTH)
}

/// Whether the data lies exactly where this view looks.
fn is_view(data: &Chunks, view: &Bytes) -> bool {
    let mut next = view.as_ptr().addr();
    data.iter().all(|part| {
        let fits = part.as_ptr().addr() == next;
        next += part.len();
        fits
    })
}
