//! The payloads of extension messages (BEP 10), each read with `from_bytes` and written with `to_bytes`.
//!
//! Strangers wrote them: unknown keys are ignored, and where only one value makes no sense, it counts as one that
//! is not there. [`Dictionary`] bounds how deep they nest and how many keys they have, before anything else looks
//! at them.

use bytes::Bytes;
use causeway_core::bencode::{BencodeError, Dictionary};
use serde::Serialize;

mod handshake;
mod metadata;
mod pex;

pub use handshake::ExtendedHandshake;
pub use metadata::{METADATA_PIECE_LENGTH, MetadataMessage};
pub use pex::{PeerExchange, PexFlags, PexPeer};

/// The name of the metadata exchange in the handshake's `m` (BEP 9).
pub const UT_METADATA: &str = "ut_metadata";
/// The name of the peer exchange in the handshake's `m` (BEP 11).
pub const UT_PEX: &str = "ut_pex";
/// The name of [`DontHave`] in the handshake's `m` (BEP 54).
pub const LT_DONTHAVE: &str = "lt_donthave";

/// Why the payload of an extension message can't be read. It is the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// It does not begin with a bencoded dictionary.
    #[error("the peer's `{extension}` message is broken: {error}")]
    Bencode {
        /// The name of the extension.
        extension: &'static str,
        /// What is wrong with it.
        error: BencodeError,
    },
    /// Something that the extension asks for is not there, or not a number of its range.
    #[error("the peer's `{extension}` message has no valid `{key}`")]
    Missing {
        /// The name of the extension.
        extension: &'static str,
        /// What is missing.
        key: &'static str,
    },
    /// A part of the metadata is longer than [`METADATA_PIECE_LENGTH`].
    #[error("the peer sent {0} bytes of metadata in one message, more than {METADATA_PIECE_LENGTH}")]
    MetadataTooLong(usize),
    /// The payload is not four bytes.
    #[error("the peer's `{LT_DONTHAVE}` message has {0} bytes in place of 4")]
    DontHaveLength(usize),
}

/// The sender no longer has this piece, whose number is unchecked (BEP 54, `lt_donthave`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DontHave(pub u32);

impl DontHave {
    /// Reads the payload of an `lt_donthave` message.
    ///
    /// # Errors
    /// [`ExtensionError::DontHaveLength`].
    pub fn from_bytes(payload: &[u8]) -> Result<Self, ExtensionError> {
        let number = payload
            .try_into()
            .map_err(|_| ExtensionError::DontHaveLength(payload.len()))?;
        Ok(Self(u32::from_be_bytes(number)))
    }

    /// Writes the payload.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_be_bytes())
    }
}

/// The dictionary at the beginning of a payload, and what follows it.
fn read<'a>(
    extension: &'static str,
    payload: &'a [u8],
) -> Result<(Dictionary<'a>, &'a [u8]), ExtensionError> {
    Dictionary::from_prefix(payload).map_err(|error| ExtensionError::Bencode { extension, error })
}

/// Bencodes a structure of numbers, byte strings and maps of them; what is `None` is left out.
fn write(value: &impl Serialize) -> Bytes {
    let bytes = serde_bencode::to_bytes(value).expect("numbers, byte strings and maps have a bencoding");
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn dont_have_is_four_bytes() {
        assert_eq!(
            DontHave::from_bytes(b"\x01\x02\x03\x04"),
            Ok(DontHave(0x0102_0304))
        );
        assert_eq!(DontHave(0x0102_0304).to_bytes(), &b"\x01\x02\x03\x04"[..]);
        for payload in [&b""[..], b"\0\0\0", b"\0\0\0\0\0"] {
            assert_eq!(
                DontHave::from_bytes(payload),
                Err(ExtensionError::DontHaveLength(payload.len()))
            );
        }
    }

    #[test]
    fn an_error_names_the_extension_and_what_is_wrong() {
        let error = PeerExchange::from_bytes(b"le").expect_err("a list");
        assert_eq!(
            error.to_string(),
            "the peer's `ut_pex` message is broken: it is not a dictionary"
        );
        let error =
            MetadataMessage::from_bytes(&Bytes::from_static(b"d8:msg_typei0ee")).expect_err("no piece");
        assert_eq!(
            error.to_string(),
            "the peer's `ut_metadata` message has no valid `piece`"
        );
    }

    #[test]
    fn payloads_that_would_exhaust_stack_or_memory_are_refused() {
        let deep_list = [b"d1:a".to_vec(), vec![b'l'; 1_000_000]].concat();
        let deep_dictionary = b"d1:a".repeat(1_000_000);
        let long_string = b"d1:a99999999999:e".to_vec();
        let many_keys = (0..100_000).flat_map(|key| format!("5:{key:05}0:").into_bytes());
        let many_keys = b"d".iter().copied().chain(many_keys).chain(*b"e").collect();
        for payload in [deep_list, deep_dictionary, long_string, many_keys] {
            let payload = Bytes::from(payload);
            assert!(ExtendedHandshake::from_bytes(&payload).is_err());
            assert!(MetadataMessage::from_bytes(&payload).is_err());
            assert!(PeerExchange::from_bytes(&payload).is_err());
            // The names of extensions lie in an inner dictionary.
            let inner = Bytes::from([b"d1:m", &payload[..], b"e"].concat());
            drop(ExtendedHandshake::from_bytes(&inner));
        }
    }
}
