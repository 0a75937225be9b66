//! A set of pieces as the wire has it: one bit a piece, the first piece in the highest bit (BEP 3).

use bytes::Bytes;

use crate::PieceIndex;

/// A fixed number of bits, with their count of ones at hand.
///
/// Invariant: bits past the length are zero, and `ones` is the number of bits that are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Vec<u8>,
    length: u32,
    ones: u32,
}

impl Bitfield {
    /// `length` bits, none set.
    #[must_use]
    pub fn none(length: u32) -> Self {
        Self {
            bytes: vec![0; length.div_ceil(8) as usize],
            length,
            ones: 0,
        }
    }

    /// `length` bits, all set.
    #[must_use]
    pub fn all(length: u32) -> Self {
        let mut bytes = vec![0xff; length.div_ceil(8) as usize];
        if let Some(last) = bytes.last_mut() {
            *last &= last_byte_mask(length);
        }
        Self {
            bytes,
            length,
            ones: length,
        }
    }

    /// Reads the payload of a `bitfield` message.
    ///
    /// `None` where the number of bytes is not the one for `length` bits, or a spare bit is set (BEP 3 asks to
    /// drop such a peer).
    #[must_use]
    pub fn from_wire(bytes: &[u8], length: u32) -> Option<Self> {
        let spare = bytes
            .last()
            .is_some_and(|last| last & !last_byte_mask(length) != 0);
        if bytes.len() != length.div_ceil(8) as usize || spare {
            return None;
        }
        let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
        Some(Self {
            bytes: bytes.to_vec(),
            length,
            ones,
        })
    }

    /// The payload of a `bitfield` message.
    #[must_use]
    pub fn to_wire(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    /// The bytes as they lie on the wire and on disk.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of bits.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.length
    }

    /// Whether there are no bits at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The number of bits that are set.
    #[must_use]
    pub const fn count_ones(&self) -> u32 {
        self.ones
    }

    /// Whether every bit is set.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.ones == self.length
    }

    /// Whether this piece's bit is set; false past the end.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        self.bit(piece.get())
    }

    /// Sets this piece's bit; says whether that changed it. Nothing happens past the end.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        self.set_bit(piece.get(), true)
    }

    /// Clears this piece's bit; says whether that changed it.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        self.set_bit(piece.get(), false)
    }

    /// Whether the bit with this number is set (a set of blocks has no piece indices); false past the end.
    #[must_use]
    pub fn bit(&self, index: u32) -> bool {
        self.bytes
            .get(index as usize / 8)
            .is_some_and(|byte| byte & mask(index) != 0)
    }

    /// Sets or clears the bit with this number; says whether that changed it. Nothing happens past the end.
    pub fn set_bit(&mut self, index: u32, value: bool) -> bool {
        if index >= self.length || self.bit(index) == value {
            return false;
        }
        if let Some(byte) = self.bytes.get_mut(index as usize / 8) {
            *byte ^= mask(index);
            self.ones = if value { self.ones + 1 } else { self.ones - 1 };
        }
        true
    }

    /// The numbers of the bits that are set, in order.
    pub fn iter_ones(&self) -> impl Iterator<Item = u32> {
        self.bytes
            .iter()
            .zip(0u32..)
            .filter(|(byte, _)| **byte != 0)
            .flat_map(|(byte, at)| {
                (0..8)
                    .filter(move |bit| byte & mask(*bit) != 0)
                    .map(move |bit| at * 8 + bit)
            })
    }
}

const fn mask(index: u32) -> u8 {
    0x80 >> (index % 8)
}

const fn last_byte_mask(length: u32) -> u8 {
    match length % 8 {
        0 => 0xff,
        used => !(0xff >> used),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_first_piece_is_the_highest_bit() {
        let mut bits = Bitfield::none(10);
        assert!(bits.set_bit(0, true));
        assert!(bits.set_bit(9, true));
        assert_eq!(bits.as_bytes(), [0b1000_0000, 0b0100_0000]);
        assert_eq!(bits.iter_ones().collect::<Vec<_>>(), [0, 9]);
        assert!(!bits.set_bit(9, true), "already set");
        assert!(!bits.set_bit(10, true), "past the end");
        assert_eq!(bits.count_ones(), 2);
    }

    #[test]
    fn all_bits_leave_the_spare_ones_clear() {
        assert_eq!(Bitfield::all(10).as_bytes(), [0xff, 0b1100_0000]);
        assert_eq!(Bitfield::all(16).as_bytes(), [0xff, 0xff]);
        assert!(Bitfield::all(10).is_all());
    }

    #[test]
    fn a_bitfield_of_the_wrong_length_or_with_spare_bits_is_refused() {
        assert!(Bitfield::from_wire(&[0xff, 0b1100_0000], 10).is_some_and(|bits| bits.is_all()));
        assert_eq!(Bitfield::from_wire(&[0xff, 0b1110_0000], 10), None);
        assert_eq!(Bitfield::from_wire(&[0xff], 10), None);
        assert_eq!(Bitfield::from_wire(&[0xff, 0, 0], 10), None);
    }
    proptest! {
        #[test]
        fn a_bitfield_is_the_set_of_the_bits_that_were_set(length in 0u32..100, bits in prop::collection::vec(any::<u32>(), 0..50)) {
            let (mut field, mut set) = (Bitfield::none(length), BTreeSet::new());
            for bit in bits {
                let (bit, value) = (bit % 128, bit >> 31 == 0);
                let changes = bit < length && if value { set.insert(bit) } else { set.remove(&bit) };
                prop_assert_eq!(field.set_bit(bit, value), changes);
            }
            prop_assert_eq!(field.iter_ones().collect::<BTreeSet<_>>(), set.clone());
            prop_assert_eq!(field.count_ones() as usize, set.len());
            prop_assert_eq!(field.is_all(), set.len() == length as usize);
            prop_assert_eq!(Bitfield::from_wire(&field.to_wire(), length), Some(field));
        }

        #[test]
        fn bytes_that_are_taken_are_given_back(bytes in any::<Vec<u8>>(), spare in 0u32..9) {
            let length = u32::try_from(bytes.len()).expect("small") * 8;
            if let Some(field) = Bitfield::from_wire(&bytes, length.saturating_sub(spare)) {
                prop_assert_eq!(field.as_bytes(), bytes);
                prop_assert_eq!(field.iter_ones().count(), field.count_ones() as usize);
            }
        }
    }
}
