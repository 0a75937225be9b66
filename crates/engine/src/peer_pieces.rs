//! Which pieces a peer says it has.

use bytes::Bytes;
use causeway_core::{Bitfield, Geometry};

/// The pieces of a peer.
#[derive(Debug)]
pub(crate) enum PeerPieces {
    /// What it said, before we have the metadata.
    Claimed(Claim),
    /// A bit a piece.
    Known {
        /// The pieces.
        have: Bitfield,
        /// Whether it said that it has everything, and so is not counted in the picker's availability.
        is_seed: bool,
    },
}

impl PeerPieces {
    /// Of a peer that has said nothing yet.
    pub(crate) fn none(geometry: Option<Geometry>) -> Self {
        match geometry {
            Some(geometry) => Self::Known {
                have: Bitfield::none(geometry.pieces()),
                is_seed: false,
            },
            None => Self::Claimed(Claim::default()),
        }
    }

    /// The pieces, once the metadata is known.
    pub(crate) const fn known(&self) -> Option<&Bitfield> {
        match self {
            Self::Claimed(_) => None,
            Self::Known { have, .. } => Some(have),
        }
    }

    /// Whether the peer has every piece.
    pub(crate) fn is_all(&self) -> bool {
        match self {
            Self::Claimed(claim) => matches!(claim, Claim::All),
            Self::Known { have, .. } => have.is_all(),
        }
    }

    /// Whether the peer has any piece.
    pub(crate) fn is_any(&self) -> bool {
        match self {
            Self::Claimed(Claim::All) => true,
            Self::Claimed(Claim::Some { bits, .. }) => bits.iter().any(|byte| *byte != 0),
            Self::Known { have, .. } => have.count_ones() > 0,
        }
    }
}

/// What a peer says that it has, not held against the torrent yet; at most a bit for each of
/// [`Geometry::MAX_PIECES`].
#[derive(Debug)]
pub(crate) enum Claim {
    /// It has everything.
    All,
    /// It has these.
    Some {
        /// As in a bitfield message.
        bits: Vec<u8>,
        /// Whether a bitfield said how many bytes there are.
        is_whole: bool,
    },
}

impl Default for Claim {
    fn default() -> Self {
        Self::Some {
            bits: Vec::new(),
            is_whole: false,
        }
    }
}

impl Claim {
    /// The peer sent a bitfield; the decoder has bounded its length.
    pub(crate) fn bitfield(bits: &Bytes) -> Self {
        Self::Some {
            bits: bits.to_vec(),
            is_whole: true,
        }
    }

    /// The peer has got this piece. Says whether such a piece can exist.
    pub(crate) fn insert(&mut self, piece: u32) -> bool {
        let Self::Some { bits, is_whole } = self else {
            return true;
        };
        let place = piece as usize / 8;
        if piece >= Geometry::MAX_PIECES || (*is_whole && place >= bits.len()) {
            return false;
        }
        if place >= bits.len() {
            bits.resize(place + 1, 0);
        }
        bits[place] |= 0x80 >> (piece % 8);
        true
    }

    /// What it means in a torrent that is cut like this; `None` where it can't be true.
    pub(crate) fn into_known(self, geometry: Geometry) -> Option<Bitfield> {
        match self {
            Self::All => Some(Bitfield::all(geometry.pieces())),
            Self::Some { mut bits, is_whole } => {
                let length = geometry.pieces().div_ceil(8) as usize;
                if !is_whole && bits.len() < length {
                    bits.resize(length, 0);
                }
                Bitfield::from_wire(&bits, geometry.pieces())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ten_pieces() -> Geometry {
        Geometry::new(10, 1).expect("valid")
    }

    #[test]
    fn what_was_said_before_the_metadata_counts_after_it() {
        let mut claim = Claim::default();
        assert!(claim.insert(9) && claim.insert(0));
        let have = claim.into_known(ten_pieces()).expect("in range");
        assert_eq!(have.iter_ones().collect::<Vec<_>>(), [0, 9]);

        let mut claim = Claim::bitfield(&Bytes::from_static(&[0x40, 0]));
        assert!(claim.insert(8));
        let have = claim.into_known(ten_pieces()).expect("in range");
        assert_eq!(have.iter_ones().collect::<Vec<_>>(), [1, 8]);

        assert!(
            Claim::All
                .into_known(ten_pieces())
                .is_some_and(|have| have.is_all())
        );
        assert_eq!(
            Claim::default().into_known(ten_pieces()),
            Some(Bitfield::none(10))
        );
    }

    #[test]
    fn pieces_that_turn_out_not_to_exist_are_refused() {
        let mut claim = Claim::default();
        assert!(claim.insert(10), "the number of pieces is not known yet");
        assert_eq!(claim.into_known(ten_pieces()), None);
        assert_eq!(
            Claim::bitfield(&Bytes::from_static(&[0; 3])).into_known(ten_pieces()),
            None
        );
        assert!(
            !Claim::bitfield(&Bytes::from_static(&[0; 2])).insert(16),
            "past its own bitfield"
        );
        assert!(
            !Claim::default().insert(Geometry::MAX_PIECES),
            "no torrent is that long"
        );
    }
}
