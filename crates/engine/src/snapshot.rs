//! What of a torrent is worth keeping over a restart.

use causeway_core::{Bitfield, Geometry, PieceIndex, SortedMap};

use crate::KnownPeer;

pub use bytes::SnapshotError;

mod bytes;

/// What storage has of a torrent, and what was moved so far.
///
/// It may have been written by an earlier version or damaged since: what does not fit the torrent is dropped
/// when it is used, and fetched again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The pieces that are stored and verified.
    pub have: Bitfield,
    /// Of other pieces, by number, the blocks of [`BLOCK_LENGTH`](causeway_core::BLOCK_LENGTH) that are stored.
    pub partial: SortedMap<u32, Bitfield>,
    /// Payload bytes that were given to others.
    pub uploaded: u64,
    /// Payload bytes that came from others.
    pub downloaded: u64,
    /// Peers that may be connected to again, the best first.
    pub peers: Vec<KnownPeer>,
}

impl Snapshot {
    /// The verified pieces; none where the length is another torrent's.
    pub(crate) fn have(&self, geometry: Geometry) -> Bitfield {
        if self.have.len() == geometry.pieces() {
            self.have.clone()
        } else {
            Bitfield::none(geometry.pieces())
        }
    }

    /// The stored blocks of pieces that exist and are not verified.
    pub(crate) fn partial(&self, geometry: Geometry) -> impl Iterator<Item = (PieceIndex, &Bitfield)> {
        let have = self.have(geometry);
        self.partial.iter().filter_map(move |(number, blocks)| {
            let piece = geometry.piece(*number).filter(|piece| !have.has(*piece))?;
            let fits = blocks.len() == geometry.blocks_in(piece) && blocks.count_ones() > 0;
            fits.then_some((piece, blocks))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_does_not_fit_the_torrent_is_dropped() {
        let geometry = Geometry::new(40 * 16_384 + 1, 4 * 16_384).expect("valid");
        let mut blocks = Bitfield::none(4);
        blocks.set_bit(2, true);
        let mut have = Bitfield::none(11);
        have.set_bit(3, true);
        let partial = [
            (1, blocks.clone()),
            (2, Bitfield::none(4)),
            (3, blocks.clone()),
            (4, Bitfield::all(5)),
            (10, Bitfield::all(1)),
            (11, blocks.clone()),
        ];
        let snapshot = Snapshot {
            have,
            partial: partial.into(),
            uploaded: 0,
            downloaded: 0,
            peers: Vec::new(),
        };
        let kept: Vec<_> = snapshot.partial(geometry).map(|(piece, _)| piece.get()).collect();
        assert_eq!(
            kept,
            [1, 10],
            "not the empty, the verified, the too long and the foreign one"
        );
        let foreign = Geometry::new(1, 1).expect("valid");
        assert_eq!(snapshot.have(foreign), Bitfield::none(1));
    }
}
