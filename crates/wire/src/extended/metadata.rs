//! Exchange of the `info` dictionary between peers (BEP 9, `ut_metadata`).

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use super::{ExtensionError, UT_METADATA};

/// The length in bytes of every part of the metadata but the last.
pub const METADATA_PIECE_LENGTH: u32 = 16 * 1024;

/// A message of the metadata exchange. Numbers are as the peer sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// The sender asks for a part.
    Request {
        /// The number of the part.
        piece: u32,
    },
    /// A part.
    Data {
        /// The number of the part.
        piece: u32,
        /// The length of the whole metadata in bytes.
        total_size: u32,
        /// The bytes of the part, at most [`METADATA_PIECE_LENGTH`].
        data: Bytes,
    },
    /// The sender does not give out this part, or does not have it.
    Reject {
        /// The number of the part.
        piece: u32,
    },
    /// A type of message that is to be ignored.
    Unknown,
}

impl MetadataMessage {
    /// Reads the payload of a `ut_metadata` message; `data` is a slice of it.
    ///
    /// # Errors
    /// See [`ExtensionError`].
    pub fn from_bytes(payload: &Bytes) -> Result<Self, ExtensionError> {
        let (dictionary, rest) = super::read(UT_METADATA, payload)?;
        let number = |key| {
            let missing = ExtensionError::Missing {
                extension: UT_METADATA,
                key,
            };
            dictionary.read::<u32>(key).ok().flatten().ok_or(missing)
        };
        Ok(match number("msg_type")? {
            REQUEST => Self::Request {
                piece: number("piece")?,
            },
            DATA => {
                let data = payload.slice_ref(rest);
                if data.len() > METADATA_PIECE_LENGTH as usize {
                    return Err(ExtensionError::MetadataTooLong(data.len()));
                }
                Self::Data {
                    piece: number("piece")?,
                    total_size: number("total_size")?,
                    data,
                }
            }
            REJECT => Self::Reject {
                piece: number("piece")?,
            },
            _ => Self::Unknown,
        })
    }

    /// Writes the payload; empty for [`MetadataMessage::Unknown`], which nobody sends.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        #[derive(Serialize)]
        struct Written {
            msg_type: u32,
            piece: u32,
            total_size: Option<u32>,
        }

        let written = |msg_type, piece, total_size| {
            super::write(&Written {
                msg_type,
                piece,
                total_size,
            })
        };
        match self {
            Self::Request { piece } => written(REQUEST, *piece, None),
            Self::Data {
                piece,
                total_size,
                data,
            } => {
                let mut payload = BytesMut::from(written(DATA, *piece, Some(*total_size)));
                payload.extend_from_slice(data);
                payload.freeze()
            }
            Self::Reject { piece } => written(REJECT, *piece, None),
            Self::Unknown => Bytes::new(),
        }
    }
}

const REQUEST: u32 = 0;
const DATA: u32 = 1;
const REJECT: u32 = 2;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use causeway_core::bencode::BencodeError;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(payload: &'static [u8]) -> Result<MetadataMessage, ExtensionError> {
        MetadataMessage::from_bytes(&Bytes::from_static(payload))
    }

    #[test]
    fn the_examples_of_bep_9_are_read_and_written() {
        for (message, payload) in [
            (
                MetadataMessage::Request { piece: 0 },
                &b"d8:msg_typei0e5:piecei0ee"[..],
            ),
            (
                MetadataMessage::Data {
                    piece: 0,
                    total_size: 34256,
                    data: Bytes::from_static(b"xxxxxxxx"),
                },
                b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx",
            ),
            (MetadataMessage::Reject { piece: 0 }, b"d8:msg_typei2e5:piecei0ee"),
        ] {
            assert_eq!(message.to_bytes(), payload, "{message:?}");
            assert_eq!(read(payload), Ok(message));
        }
    }

    #[test]
    fn an_unknown_type_is_told_from_a_broken_message() {
        assert_eq!(read(b"d8:msg_typei3e5:piecei0ee"), Ok(MetadataMessage::Unknown));
        assert_eq!(read(b"d8:msg_typei3ee"), Ok(MetadataMessage::Unknown));
        let missing = |key| {
            Err(ExtensionError::Missing {
                extension: UT_METADATA,
                key,
            })
        };
        assert_eq!(read(b"de"), missing("msg_type"));
        assert_eq!(read(b"d8:msg_typei0ee"), missing("piece"));
        assert_eq!(read(b"d8:msg_typei0e5:piecei-1ee"), missing("piece"));
        assert_eq!(read(b"d8:msg_typei1e5:piecei0eex"), missing("total_size"));
        let error = BencodeError::NotADictionary;
        assert_eq!(
            read(b"x"),
            Err(ExtensionError::Bencode {
                extension: UT_METADATA,
                error
            })
        );
    }

    #[test]
    fn a_part_is_a_slice_of_the_payload_and_never_longer_than_16_kib() {
        let data = |length| MetadataMessage::Data {
            piece: 1,
            total_size: 20_000,
            data: vec![7; length].into(),
        };
        let payload = data(16_384).to_bytes();
        let Ok(MetadataMessage::Data { data: part, .. }) = MetadataMessage::from_bytes(&payload) else {
            panic!("a part");
        };
        assert_eq!(part.as_ptr(), payload[payload.len() - 16_384..].as_ptr());
        let too_long = MetadataMessage::from_bytes(&data(16_385).to_bytes());
        assert_eq!(too_long, Err(ExtensionError::MetadataTooLong(16_385)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            piece: u32,
            total_size: u32,
            data in vec(any::<u8>(), 0..100).prop_map(Bytes::from),
        ) {
            for message in [
                MetadataMessage::Request { piece },
                MetadataMessage::Data { piece, total_size, data },
                MetadataMessage::Reject { piece },
            ] {
                prop_assert_eq!(MetadataMessage::from_bytes(&message.to_bytes()), Ok(message));
            }
        }

        #[test]
        fn strangers_bytes_never_panic(bytes in vec(any::<u8>(), 0..100)) {
            let payload = [b"d8:msg_typei1e5:piecei0e10:total_size", &bytes[..]].concat();
            drop(MetadataMessage::from_bytes(&payload.into()));
        }
    }
}
