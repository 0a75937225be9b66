//! SHA-1, the hash of torrents and pieces (BEP 3).

use sha1::Digest;

use crate::Sha1Hash;

/// The SHA-1 of these bytes.
#[must_use]
pub fn sha1(bytes: &[u8]) -> Sha1Hash {
    Sha1Hash::new(sha1::Sha1::digest(bytes).into())
}

/// SHA-1 of bytes that come in parts.
#[derive(Clone, Debug, Default)]
pub struct Sha1(sha1::Sha1);

impl Sha1 {
    /// A hash of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all that was appended.
    #[must_use]
    pub fn finish(self) -> Sha1Hash {
        Sha1Hash::new(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn bytes_in_parts_hash_like_the_whole() {
        let mut hash = Sha1::new();
        hash.update(b"ab");
        hash.update(b"");
        hash.update(b"c");
        let whole = sha1(b"abc");
        assert_eq!(hash.finish(), whole);
        assert_eq!(
            whole.to_string(),
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "FIPS 180-1, appendix A"
        );
    }
}
