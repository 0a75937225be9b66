//! One frame: how long it may be, its fixed fields, its payload of variable size.

use bytes::Buf;

use super::input::{Gathered, Input, Sliced};
use super::{DecodeError, Limits};
use crate::message::id;
use crate::{BlockRequest, Message};

/// What the number of a message and the limits say about its payload.
pub(super) struct Shape {
    message: &'static str,
    /// Bytes of fixed fields.
    pub(super) fields: u32,
    /// How many bytes may follow them; `None` where nothing ever does.
    most: Option<u32>,
}

impl Shape {
    pub(super) fn of(id: u8, limits: Limits) -> Self {
        let fixed = |message, fields| Self {
            message,
            fields,
            most: None,
        };
        let variable = |message, fields, most| Self {
            message,
            fields,
            most: Some(most),
        };
        match id {
            id::CHOKE => fixed("choke", 0),
            id::UNCHOKE => fixed("unchoke", 0),
            id::INTERESTED => fixed("interested", 0),
            id::NOT_INTERESTED => fixed("not interested", 0),
            id::HAVE => fixed("have", 4),
            id::BITFIELD => variable("bitfield", 0, limits.bitfield),
            id::REQUEST => fixed("request", 12),
            id::PIECE => variable("piece", 8, limits.block),
            id::CANCEL => fixed("cancel", 12),
            id::PORT => fixed("port", 2),
            id::SUGGEST => fixed("suggest piece", 4),
            id::HAVE_ALL => fixed("have all", 0),
            id::HAVE_NONE => fixed("have none", 0),
            id::REJECT => fixed("reject request", 12),
            id::ALLOWED_FAST => fixed("allowed fast", 4),
            id::EXTENDED => variable("extended", 1, limits.extended),
            _ => variable(
                "unknown",
                0,
                limits.bitfield.max(limits.block).max(limits.extended),
            ),
        }
    }

    /// How many of `actual` bytes of payload follow the fixed fields.
    pub(super) fn check(&self, actual: u32) -> Result<u32, DecodeError> {
        let Self {
            message,
            fields,
            most,
        } = *self;
        let left = actual.checked_sub(fields);
        match (left, most) {
            (Some(0), None) => Ok(0),
            (_, None) => Err(DecodeError::WrongLength {
                message,
                expected: fields,
                actual,
            }),
            (None, Some(_)) => Err(DecodeError::TooShort {
                message,
                least: fields,
                actual,
            }),
            (Some(left), Some(most)) if left <= most => Ok(left),
            (Some(_), Some(most)) => Err(DecodeError::TooLong {
                message,
                most: most.saturating_add(fields),
                actual,
            }),
        }
    }
}

/// A frame whose fixed fields have been read.
pub(super) enum Head {
    Complete(Message),
    Incomplete(Payload),
}

impl Head {
    /// `fields` is at least as long as the fixed fields of any message; `left` bytes follow them.
    pub(super) fn read(id: u8, mut fields: &[u8], left: usize) -> Self {
        Self::Complete(match id {
            id::CHOKE => Message::Choke,
            id::UNCHOKE => Message::Unchoke,
            id::INTERESTED => Message::Interested,
            id::NOT_INTERESTED => Message::NotInterested,
            id::HAVE => Message::Have(fields.get_u32()),
            id::REQUEST => Message::Request(block_request(fields)),
            id::CANCEL => Message::Cancel(block_request(fields)),
            id::PORT => Message::Port(fields.get_u16()),
            id::SUGGEST => Message::Suggest(fields.get_u32()),
            id::HAVE_ALL => Message::HaveAll,
            id::HAVE_NONE => Message::HaveNone,
            id::REJECT => Message::Reject(block_request(fields)),
            id::ALLOWED_FAST => Message::AllowedFast(fields.get_u32()),
            id::BITFIELD => return Self::Incomplete(Payload::Bitfield(Gathered::new(left))),
            id::PIECE => {
                let (piece, offset) = (fields.get_u32(), fields.get_u32());
                return Self::Incomplete(Payload::Block {
                    piece,
                    offset,
                    data: Sliced::new(left),
                });
            }
            id::EXTENDED => {
                return Self::Incomplete(Payload::Extended {
                    id: fields.get_u8(),
                    data: Gathered::new(left),
                });
            }
            id => return Self::Incomplete(Payload::Unknown { id, left }),
        })
    }
}

fn block_request(mut fields: &[u8]) -> BlockRequest {
    BlockRequest {
        piece: fields.get_u32(),
        offset: fields.get_u32(),
        length: fields.get_u32(),
    }
}

/// A payload of variable size, perhaps incomplete.
#[derive(Debug)]
pub(super) enum Payload {
    Bitfield(Gathered),
    Block { piece: u32, offset: u32, data: Sliced },
    Extended { id: u8, data: Gathered },
    Unknown { id: u8, left: usize },
}

impl Payload {
    /// Reads on; the message, where that completes it.
    pub(super) fn read(&mut self, input: &mut Input) -> Option<Message> {
        match self {
            Self::Bitfield(data) => data.read(input).map(Message::Bitfield),
            Self::Block { piece, offset, data } => {
                let data = data.read(input)?;
                Some(Message::Piece {
                    piece: *piece,
                    offset: *offset,
                    data,
                })
            }
            Self::Extended { id, data } => {
                let payload = data.read(input)?;
                Some(Message::Extended { id: *id, payload })
            }
            Self::Unknown { id, left } => {
                while *left > 0 {
                    *left -= input.take(*left)?.len();
                }
                Some(Message::Unknown { id: *id })
            }
        }
    }

    /// The bytes that are allocated or kept alive.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Bitfield(data) | Self::Extended { data, .. } => data.held(),
            Self::Block { data, .. } => data.held(),
            Self::Unknown { .. } => 0,
        }
    }
}
