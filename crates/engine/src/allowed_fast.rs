//! Pieces that a peer may have although it is choked (BEP 6), so that a new one soon has something to give.

use causeway_core::{Block, Geometry, InfoHash, PieceIndex, SortedMap, sha1};
use core::net::Ipv4Addr;

/// What one peer may still have of such pieces. Each byte is given once: more would serve whom we choke.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    left: SortedMap<PieceIndex, u32>,
    was_given: bool,
}

impl Grants {
    /// Whether the peer has not been given any.
    pub(crate) const fn is_due(&self) -> bool {
        !self.was_given
    }

    /// The peer may have these pieces.
    pub(crate) fn give(&mut self, pieces: &[PieceIndex], geometry: Geometry) {
        self.was_given = true;
        self.left = pieces
            .iter()
            .map(|piece| (*piece, geometry.length_of(*piece)))
            .collect();
    }

    /// Whether the peer may have this block; it counts as given then.
    pub(crate) fn take(&mut self, block: Block) -> bool {
        let left = self.left.get_mut(&block.piece());
        let rest = left.and_then(|left| Some((left.checked_sub(block.length())?, left)));
        rest.map(|(rest, left)| *left = rest).is_some()
    }

    /// Whether this piece is one of them.
    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        self.left.contains_key(&piece)
    }
}

/// The pieces that everybody allows a peer at this address, so that connecting again brings it no others.
pub(crate) fn allowed_pieces(addr: Ipv4Addr, info_hash: InfoHash, geometry: Geometry) -> Vec<PieceIndex> {
    let [a, b, c, _] = addr.octets();
    let mut bytes = [&[a, b, c, 0], &info_hash.as_bytes()[..]].concat();
    let enough = MOST_GRANTED.min(geometry.pieces()) as usize;
    let mut pieces = Vec::with_capacity(enough);
    // Chance finds the last of a few pieces late; it is left out then.
    for _ in 0..MOST_ROUNDS {
        bytes = sha1(&bytes).as_bytes().to_vec();
        for four in bytes.chunks_exact(4) {
            let number = u32::from_be_bytes(four.try_into().unwrap_or_default()) % geometry.pieces();
            let piece = geometry.piece(number).filter(|piece| !pieces.contains(piece));
            pieces.extend(piece);
            if pieces.len() == enough {
                return pieces;
            }
        }
    }
    pieces
}

/// How many pieces a new peer may have, and how many it has when it is none any more; what BEP 6 suggests.
pub(crate) const MOST_GRANTED: u32 = 10;
const MOST_ROUNDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_set_is_that_of_bep_6() {
        let geometry = Geometry::new(1313, 1).expect("valid");
        let pieces = allowed_pieces([80, 4, 4, 200].into(), InfoHash::new([0xaa; 20]), geometry);
        let numbers: Vec<_> = pieces.iter().map(|piece| piece.get()).collect();
        assert_eq!(numbers[..9], [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn a_torrent_of_few_pieces_allows_no_piece_twice() {
        for count in 1..12u32 {
            let geometry = Geometry::new(count.into(), 1).expect("valid");
            let mut pieces = allowed_pieces([1, 2, 3, 4].into(), InfoHash::new([7; 20]), geometry);
            assert_eq!(pieces.len(), count.min(10) as usize);
            pieces.sort_unstable();
            pieces.dedup();
            assert_eq!(pieces.len(), count.min(10) as usize);
        }
    }

    #[test]
    fn each_byte_is_given_once() {
        let geometry = Geometry::new(40_000, 40_000).expect("valid");
        let piece = geometry.piece(0).expect("in range");
        let block = |offset, length| geometry.block(0, offset, length).expect("in range");
        let mut grants = Grants::default();
        assert!(grants.is_due() && !grants.take(block(0, 1)));
        grants.give(&[piece], geometry);
        assert!(grants.take(block(0, 16_384)) && grants.take(block(16_384, 16_384)));
        assert!(
            !grants.take(block(0, 16_384)),
            "that is more than the piece has left"
        );
        assert!(grants.take(block(32_768, 40_000 - 32_768)));
        assert!(grants.has(piece) && !grants.take(block(0, 1)));
    }
}
