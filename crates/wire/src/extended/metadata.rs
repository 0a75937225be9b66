//! Exchange of the `info` dictionary between peers (BEP 9, `ut_metadata`).

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use super::bencode::Dictionary;
use super::{ExtensionError, UT_METADATA, bencode};

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
        let (dictionary, length) = Dictionary::read(payload).map_err(|error| ExtensionError::Bencode {
            extension: UT_METADATA,
            error,
        })?;
        let number = |key| {
            dictionary.number(key).ok_or(ExtensionError::Missing {
                extension: UT_METADATA,
                key,
            })
        };
        Ok(match number("msg_type")? {
            REQUEST => Self::Request {
                piece: number("piece")?,
            },
            DATA => {
                let data = payload.slice(length..);
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
            bencode::write(&Written {
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
