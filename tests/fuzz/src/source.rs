//! Choices out of arbitrary bytes.

use bytes::Bytes;

/// Bytes that are used up from the front; past the end everything is zero.
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl Source<'_> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// Mostly small, sometimes any.
    pub(crate) fn number(&mut self) -> u32 {
        match self.byte() {
            255 => u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
            254 => u32::MAX,
            small => u32::from(small),
        }
    }

    /// Up to so many bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> Bytes {
        let length = (usize::from(self.byte()) << 8 | usize::from(self.byte())) % (most + 1);
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }
}
