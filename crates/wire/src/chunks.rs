//! A block's bytes where they arrived.

use core::{fmt, iter, mem, slice};

use bytes::{Bytes, BytesMut};

/// A block's bytes as they arrived: nearly always one [`Bytes`], more where the stream was cut inside the block.
///
/// The parts share memory with what the transport received. Two are equal when their bytes are, however they are
/// cut.
///
/// Invariant: no part is empty, but `first` where there are no bytes at all.
#[derive(Clone, Default)]
pub struct Chunks {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Chunks {
    /// The number of bytes in all parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The parts in order, at least one; empty only where there are no bytes at all.
    pub fn iter(&self) -> iter::Chain<iter::Once<&Bytes>, slice::Iter<'_, Bytes>> {
        iter::once(&self.first).chain(&self.rest)
    }

    /// All bytes in one piece of memory; copies only where there are several parts.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut joined = BytesMut::with_capacity(self.len());
        for part in &self {
            joined.extend_from_slice(part);
        }
        joined.freeze()
    }

    /// The number of parts.
    pub(crate) fn parts(&self) -> usize {
        1 + self.rest.len()
    }

    /// Appends a part; an empty one leaves no trace.
    pub(crate) fn push(&mut self, part: Bytes) {
        if part.is_empty() {
            return;
        }
        if self.first.is_empty() {
            drop(mem::replace(&mut self.first, part));
        } else {
            self.rest.push(part);
        }
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        Self {
            first: bytes,
            rest: Vec::new(),
        }
    }
}

impl<'a> IntoIterator for &'a Chunks {
    type Item = &'a Bytes;
    type IntoIter = iter::Chain<iter::Once<&'a Bytes>, slice::Iter<'a, Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Chunks {
    fn eq(&self, other: &Self) -> bool {
        self.iter().flatten().eq(other.iter().flatten())
    }
}

impl Eq for Chunks {}

impl fmt::Debug for Chunks {
    /// The lengths of the parts: a block's bytes are of no use in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chunks")?;
        f.debug_list().entries(self.iter().map(Bytes::len)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn chunks(parts: &[&'static [u8]]) -> Chunks {
        let mut chunks = Chunks::default();
        for part in parts {
            chunks.push(Bytes::from_static(part));
        }
        chunks
    }

    #[test]
    fn equality_looks_at_the_bytes_and_not_at_the_cuts() {
        assert_eq!(chunks(&[b"ab", b"c"]), chunks(&[b"a", b"bc"]));
        assert_eq!(
            chunks(&[b"", b"abc", b""]),
            Chunks::from(Bytes::from_static(b"abc"))
        );
        assert_ne!(chunks(&[b"ab"]), chunks(&[b"ab", b"c"]));
        assert_ne!(chunks(&[b"abc"]), chunks(&[b"abd"]));
        assert_eq!(chunks(&[]), Chunks::default());
        assert!(chunks(&[b""]).is_empty());
    }

    #[test]
    fn one_part_becomes_bytes_without_a_copy_and_several_are_joined() {
        let whole = Bytes::from(vec![7; 100]);
        assert_eq!(Chunks::from(whole.clone()).into_bytes().as_ptr(), whole.as_ptr());
        assert_eq!(chunks(&[b"ab", b"c", b"def"]).into_bytes(), "abcdef");
        assert_eq!(chunks(&[b"ab", b"c"]).len(), 3);
        assert_eq!(format!("{:?}", chunks(&[b"ab", b"c"])), "Chunks[2, 1]");
    }
}
