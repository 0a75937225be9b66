//! How a torrent is cut into pieces and blocks, with indices that can't be out of range.
//!
//! A number that a peer sent becomes a [`PieceIndex`] or a [`Block`] through [`Geometry::piece`] and
//! [`Geometry::block`] alone, or it dies there.

use core::ops::Range;

/// The length in bytes of a block as everybody requests it: 16 KiB (BEP 3).
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// How `total_length` bytes are cut into pieces of `piece_length` (the last may be shorter).
///
/// Invariant: there is at least one byte and one piece, `piece_length` is at least one and at most
/// [`Geometry::MAX_PIECE_LENGTH`], and there are at most [`Geometry::MAX_PIECES`] pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    total_length: u64,
    piece_length: u32,
    pieces: u32,
}

/// Why lengths make no geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// There is nothing to share.
    #[error("the torrent holds no bytes")]
    Empty,
    /// The piece length is zero or above [`Geometry::MAX_PIECE_LENGTH`].
    #[error("a piece length of {0} bytes is outside of 1 byte to 256 MiB")]
    PieceLength(u64),
    /// More pieces than [`Geometry::MAX_PIECES`].
    #[error("{0} pieces are more than the {max} that are supported", max = Geometry::MAX_PIECES)]
    TooManyPieces(u64),
}

/// The index of a piece, in range for the [`Geometry`] that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The number as the wire has it.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as an index into a slice with an entry a piece.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes within one piece, in range for the [`Geometry`] that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    piece: PieceIndex,
    offset: u32,
    length: u32,
}

impl Block {
    /// The piece that holds the block.
    #[must_use]
    pub const fn piece(self) -> PieceIndex {
        self.piece
    }

    /// The first byte, counted from the start of the piece.
    #[must_use]
    pub const fn offset(self) -> u32 {
        self.offset
    }

    /// The length in bytes, never zero.
    #[must_use]
    pub const fn length(self) -> u32 {
        self.length
    }

    /// Which of the piece's blocks of [`BLOCK_LENGTH`] this one starts in.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.offset / BLOCK_LENGTH
    }
}

impl Geometry {
    /// The longest piece: 256 MiB.
    pub const MAX_PIECE_LENGTH: u32 = 1 << 28;
    /// The most pieces: 2^22, a bitfield of 512 KiB.
    pub const MAX_PIECES: u32 = 1 << 22;

    /// Cuts `total_length` bytes into pieces of `piece_length`.
    ///
    /// # Errors
    /// See [`GeometryError`].
    pub fn new(total_length: u64, piece_length: u64) -> Result<Self, GeometryError> {
        if total_length == 0 {
            return Err(GeometryError::Empty);
        }
        let piece_length = u32::try_from(piece_length)
            .ok()
            .filter(|length| (1..=Self::MAX_PIECE_LENGTH).contains(length))
            .ok_or(GeometryError::PieceLength(piece_length))?;
        let pieces = total_length.div_ceil(piece_length.into());
        let pieces = u32::try_from(pieces)
            .ok()
            .filter(|pieces| *pieces <= Self::MAX_PIECES)
            .ok_or(GeometryError::TooManyPieces(pieces))?;
        Ok(Self {
            total_length,
            piece_length,
            pieces,
        })
    }

    /// The bytes of the torrent.
    #[must_use]
    pub const fn total_length(self) -> u64 {
        self.total_length
    }

    /// The bytes of every piece but perhaps the last.
    #[must_use]
    pub const fn piece_length(self) -> u32 {
        self.piece_length
    }

    /// The number of pieces, at least one.
    #[must_use]
    pub const fn pieces(self) -> u32 {
        self.pieces
    }

    /// The piece with this number, if there is one.
    #[must_use]
    pub fn piece(self, index: u32) -> Option<PieceIndex> {
        (index < self.pieces).then_some(PieceIndex(index))
    }

    /// Every piece, first to last.
    pub fn all_pieces(self) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator {
        (0..self.pieces).map(PieceIndex)
    }

    /// The bytes of this piece.
    #[must_use]
    pub fn length_of(self, piece: PieceIndex) -> u32 {
        let rest = self.total_length.saturating_sub(self.start_of(piece));
        u32::try_from(rest).unwrap_or(u32::MAX).min(self.piece_length)
    }

    /// Where this piece starts, counted from the start of the torrent.
    #[must_use]
    pub fn start_of(self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// The pieces that hold any of these bytes of the torrent; empty for an empty or a foreign range.
    pub fn pieces_of(
        self,
        bytes: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator {
        let end = bytes.end.min(self.total_length);
        let range = if bytes.start >= end {
            0..0
        } else {
            let length = u64::from(self.piece_length);
            let number = |piece: u64| u32::try_from(piece).unwrap_or(self.pieces);
            number(bytes.start / length)..number((end - 1) / length + 1)
        };
        range.map(PieceIndex)
    }

    /// The block that a peer named, if it lies within its piece and is not empty.
    #[must_use]
    pub fn block(self, piece: u32, offset: u32, length: u32) -> Option<Block> {
        let piece = self.piece(piece)?;
        let end = offset.checked_add(length)?;
        (length > 0 && end <= self.length_of(piece)).then_some(Block {
            piece,
            offset,
            length,
        })
    }

    /// The whole piece as one block.
    #[must_use]
    pub fn whole(self, piece: PieceIndex) -> Block {
        Block {
            piece,
            offset: 0,
            length: self.length_of(piece),
        }
    }

    /// The number of blocks of [`BLOCK_LENGTH`] in this piece.
    #[must_use]
    pub fn blocks_in(self, piece: PieceIndex) -> u32 {
        self.length_of(piece).div_ceil(BLOCK_LENGTH)
    }

    /// The blocks of [`BLOCK_LENGTH`] of this piece (the last may be shorter), in order.
    #[must_use]
    pub fn blocks_of(self, piece: PieceIndex) -> impl DoubleEndedIterator<Item = Block> + ExactSizeIterator {
        let piece_length = self.length_of(piece);
        (0..self.blocks_in(piece)).map(move |index| {
            let offset = index * BLOCK_LENGTH;
            Block {
                piece,
                offset,
                length: BLOCK_LENGTH.min(piece_length - offset),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_last_piece_and_its_last_block_are_as_short_as_the_torrent_says() {
        let geometry = Geometry::new(100_000, 32_768).expect("valid");
        assert_eq!(geometry.pieces(), 4);
        let last = geometry.piece(3).expect("in range");
        assert_eq!(geometry.length_of(last), 1_696);
        assert_eq!(
            geometry.blocks_of(last).map(Block::length).collect::<Vec<_>>(),
            [1_696]
        );
        let first = geometry.piece(0).expect("in range");
        assert_eq!(
            geometry.blocks_of(first).map(Block::offset).collect::<Vec<_>>(),
            [0, 16_384]
        );
    }

    #[test]
    fn what_a_peer_names_is_in_range_or_does_not_exist() {
        let geometry = Geometry::new(100_000, 32_768).expect("valid");
        assert_eq!(geometry.piece(4), None);
        for (piece, offset, length) in [
            (4, 0, 1),
            (0, 0, 0),
            (0, 0, 32_769),
            (0, 32_768, 1),
            (3, 1_696, 1),
            (0, u32::MAX, 2),
        ] {
            assert_eq!(
                geometry.block(piece, offset, length),
                None,
                "{piece} {offset} {length}"
            );
        }
        assert!(geometry.block(3, 1_695, 1).is_some());
    }

    #[test]
    fn ranges_of_bytes_name_the_pieces_that_hold_them() {
        let geometry = Geometry::new(100_000, 32_768).expect("valid");
        let pieces = |range| geometry.pieces_of(range).map(PieceIndex::get).collect::<Vec<_>>();
        assert_eq!(pieces(0..1), [0]);
        assert_eq!(pieces(32_767..32_769), [0, 1]);
        assert_eq!(pieces(98_304..u64::MAX), [3]);
        assert_eq!(pieces(5..5), [] as [u32; 0]);
        assert_eq!(pieces(100_000..100_001), [] as [u32; 0]);
    }

    #[test]
    fn absurd_lengths_are_refused() {
        assert_eq!(Geometry::new(0, 1), Err(GeometryError::Empty));
        assert_eq!(Geometry::new(1, 0), Err(GeometryError::PieceLength(0)));
        assert_eq!(
            Geometry::new(1, 1 << 29),
            Err(GeometryError::PieceLength(1 << 29))
        );
        assert_eq!(
            Geometry::new(u64::MAX, 1 << 14),
            Err(GeometryError::TooManyPieces(1 << 50))
        );
    }
}
