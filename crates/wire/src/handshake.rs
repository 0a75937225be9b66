//! The first 68 bytes of either side (BEP 3).

use core::fmt;

use causeway_core::{InfoHash, PeerId};

use crate::DecodeError;

/// The eight bytes of the handshake in which a peer names the protocol extensions that it speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reserved([u8; 8]);

impl Reserved {
    /// What we speak: the extension protocol (BEP 10) and the fast extension (BEP 6).
    #[must_use]
    pub const fn ours() -> Self {
        Self([0, 0, 0, 0, 0, EXTENDED, 0, FAST])
    }

    /// The bytes as a peer sent them.
    #[must_use]
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes as they are sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// Whether the peer speaks the extension protocol (BEP 10).
    #[must_use]
    pub const fn supports_extended(self) -> bool {
        self.0[5] & EXTENDED != 0
    }

    /// Whether the peer speaks the fast extension (BEP 6).
    #[must_use]
    pub const fn supports_fast(self) -> bool {
        self.0[7] & FAST != 0
    }

    /// Whether the peer is a node of the DHT and may send its port (BEP 5).
    #[must_use]
    pub const fn supports_dht(self) -> bool {
        self.0[7] & DHT != 0
    }
}

impl fmt::Debug for Reserved {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What each side sends first: the torrent that it means, and who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The protocol extensions that the sender speaks.
    pub reserved: Reserved,
    /// The torrent that the link is about.
    pub info_hash: InfoHash,
    /// The sender's name of itself.
    pub peer_id: PeerId,
}

impl Handshake {
    /// Length in bytes.
    pub const LENGTH: usize = 68;

    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut out = [0; Self::LENGTH];
        out[..20].copy_from_slice(PROTOCOL);
        out[20..28].copy_from_slice(self.reserved.as_bytes());
        out[28..48].copy_from_slice(self.info_hash.as_bytes());
        out[48..].copy_from_slice(self.peer_id.as_bytes());
        out
    }

    /// Reads a whole handshake.
    ///
    /// # Errors
    /// [`DecodeError::NotBitTorrent`] where it does not begin as every handshake does.
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, DecodeError> {
        Self::check_start(bytes)?;
        let mut reserved = [0; 8];
        let mut info_hash = [0; InfoHash::LENGTH];
        let mut peer_id = [0; PeerId::LENGTH];
        reserved.copy_from_slice(&bytes[20..28]);
        info_hash.copy_from_slice(&bytes[28..48]);
        peer_id.copy_from_slice(&bytes[48..]);
        Ok(Self {
            reserved: Reserved(reserved),
            info_hash: InfoHash::new(info_hash),
            peer_id: PeerId::new(peer_id),
        })
    }

    /// Refuses bytes that no handshake begins with, however few have arrived.
    pub(crate) fn check_start(bytes: &[u8]) -> Result<(), DecodeError> {
        if bytes
            .iter()
            .zip(PROTOCOL)
            .all(|(byte, expected)| byte == expected)
        {
            Ok(())
        } else {
            Err(DecodeError::NotBitTorrent)
        }
    }
}

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// In the sixth byte.
const EXTENDED: u8 = 0x10;
/// In the eighth byte.
const FAST: u8 = 0x04;
/// In the eighth byte.
const DHT: u8 = 0x01;
