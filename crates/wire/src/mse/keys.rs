//! The secret, and the ciphers that are made of it.

use core::fmt;
use std::sync::LazyLock;

use causeway_core::{InfoHash, Sha1, Sha1Hash};
use num_bigint::BigUint;
use rc4::{KeyInit as _, Rc4, StreamCipher as _};

use super::MseError;

/// Bytes of a public key, and of the secret.
pub(super) const KEY_LENGTH: usize = 96;

/// Half of an exchange: 20 random bytes, which nobody else may know.
#[derive(Clone, Copy)]
pub struct Secret([u8; 20]);

impl Secret {
    /// These bytes have to be drawn anew for each negotiation, where nobody can guess them.
    #[must_use]
    pub const fn new(random: [u8; 20]) -> Self {
        Self(random)
    }

    /// What the other side is told.
    pub(super) fn public(self) -> [u8; KEY_LENGTH] {
        self.raise(&BigUint::from(2u8))
    }

    /// What both sides have in common, once they know each other's key.
    pub(super) fn shared(self, theirs: &[u8]) -> Result<[u8; KEY_LENGTH], MseError> {
        let theirs = BigUint::from_bytes_be(theirs);
        let one = BigUint::from(1u8);
        if theirs <= one || theirs >= &*PRIME - one {
            return Err(MseError::WeakKey);
        }
        Ok(self.raise(&theirs))
    }

    fn raise(self, base: &BigUint) -> [u8; KEY_LENGTH] {
        let bytes = base
            .modpow(&BigUint::from_bytes_be(&self.0), &PRIME)
            .to_bytes_be();
        let mut key = [0; KEY_LENGTH];
        for (place, byte) in key.iter_mut().rev().zip(bytes.iter().rev()) {
            *place = *byte;
        }
        key
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The prime that everybody uses, its least digit first. (It is not that of RFC 2409: the last 64 bits differ.)
static PRIME: LazyLock<BigUint> = LazyLock::new(|| {
    BigUint::from_slice(&[
        0x0009_0563,
        0x0000_0000,
        0xA63A_3621,
        0xF44C_42E9,
        0x625E_7EC6,
        0xE485_B576,
        0x6D51_C245,
        0x4FE1_356D,
        0xF25F_1437,
        0x302B_0A6D,
        0xCD3A_431B,
        0xEF95_19B3,
        0x8E34_04DD,
        0x514A_0879,
        0x3B13_9B22,
        0x020B_BEA6,
        0x8A67_CC74,
        0x2902_4E08,
        0x80DC_1CD1,
        0xC4C6_628B,
        0x2168_C234,
        0xC90F_DAA2,
        0xFFFF_FFFF,
        0xFFFF_FFFF,
    ])
});

/// Enciphers or deciphers one direction of a connection.
pub struct Cipher {
    rc4: Rc4,
    /// How many bytes it is for; all, where there is no number.
    left: Option<usize>,
}

impl Cipher {
    /// The cipher of the direction with this name. RC4's first bytes say too much of its key, and are not used.
    pub(super) fn new(name: &[u8], shared: &[u8; KEY_LENGTH], info_hash: InfoHash) -> Self {
        let key = hash(&[name, shared, info_hash.as_bytes()]);
        let mut rc4 = Rc4::new_from_slice(key.as_bytes()).expect("20 bytes are a key");
        rc4.apply_keystream(&mut [0; 1024]);
        Self { rc4, left: None }
    }

    /// The same cipher for so many bytes; what follows them is left as it is.
    pub(super) fn only(self, bytes: usize) -> Option<Self> {
        let left = Some(bytes);
        (bytes > 0).then_some(Self { left, ..self })
    }

    /// Enciphers or deciphers the next bytes in their place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let length = self.left.unwrap_or(usize::MAX).min(bytes.len());
        let (now, _) = bytes.split_at_mut(length);
        self.rc4.apply_keystream(now);
        self.left = self.left.map(|left| left - length);
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// How an initiator names its torrent to whoever has it: compare with that of each torrent.
#[must_use]
pub fn torrent_key(info_hash: InfoHash) -> Sha1Hash {
    hash(&[b"req2", info_hash.as_bytes()])
}

/// Hides or shows a torrent's key: applied twice it changes nothing.
pub(super) fn masked(key: &[u8], shared: &[u8; KEY_LENGTH]) -> Vec<u8> {
    let mask = hash(&[b"req3", shared]);
    key.iter().zip(mask.as_bytes()).map(|(a, b)| a ^ b).collect()
}

pub(super) fn hash(parts: &[&[u8]]) -> Sha1Hash {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}
