//! Cuts a stream of bytes into frames.
//!
//! Bytes come in as the transport cut them, which means nothing: a page of WebTorrent, for one, sends the head of
//! a `piece` message and its block as two data-channel messages, and others put several blocks into one.
//!
//! What is small and of fixed size, the handshake, heads and most messages, is gathered in an array. A block is
//! handed on in slices of what was pushed. A bitfield or an extension's payload is a slice too where it arrived
//! in one part, and is gathered otherwise.

use core::mem;
use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use causeway_core::Geometry;

use crate::message::id;
use crate::{BlockRequest, Chunks, Handshake, Message};

/// The longest payloads that are accepted, in bytes. A frame above them is refused from its first five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a bitfield. The default, 512 KiB, is one of [`Geometry::MAX_PIECES`].
    pub bitfield: u32,
    /// Of the block in a `piece` message. The default is 128 KiB: nobody asks for more than 16 KiB at a time by
    /// default, and nobody serves more than this.
    pub block: u32,
    /// Of an extension message. The default, 64 KiB, is four times the largest in use, a 16 KiB part of the
    /// metadata (BEP 9).
    pub extended: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bitfield: Geometry::MAX_PIECES.div_ceil(8),
            block: 128 * 1024,
            extended: 64 * 1024,
        }
    }
}

/// What a stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame, and only that.
    Handshake(Handshake),
    /// Every other.
    Message(Message),
}

/// What the peer did wrong. The stream can't be read any further, so the link is to be closed.
///
/// Lengths are in bytes and of the payload: what follows the message's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The stream does not begin with the handshake of BEP 3.
    #[error(
        "the peer did not begin with the BitTorrent handshake; it may speak another protocol, or encrypt"
    )]
    NotBitTorrent,
    /// A message of fixed size has another one.
    #[error("the peer sent a `{message}` message with {actual} bytes of payload in place of {expected}")]
    WrongLength {
        /// The name of the message.
        message: &'static str,
        /// What every such message has.
        expected: u32,
        /// What this one was going to have.
        actual: u32,
    },
    /// A message of variable size has no room for its own fields.
    #[error(
        "the peer sent a `{message}` message with {actual} bytes of payload, fewer than the {least} it needs"
    )]
    TooShort {
        /// The name of the message.
        message: &'static str,
        /// What every such message has at least.
        least: u32,
        /// What this one was going to have.
        actual: u32,
    },
    /// A message is longer than [`Limits`] allow.
    #[error(
        "the peer sent a `{message}` message with {actual} bytes of payload, more than the {most} accepted"
    )]
    TooLong {
        /// The name of the message, `unknown` where it has none.
        message: &'static str,
        /// What is accepted.
        most: u32,
        /// What this one was going to have.
        actual: u32,
    },
}

/// Reads one peer's stream: the handshake, then messages.
///
/// [`push`](Self::push) what arrived, then call [`next`](Self::next) until it says `Ok(None)`. From then on the
/// decoder holds one incomplete frame at most: 68 bytes of head, and a payload of at most twice the limit of its
/// kind (a buffer that is gathered grows by doubling). Nothing is allocated for bytes that have not arrived. A
/// block is held in at most 33 parts; those that are slices keep the buffers alive that they are slices of.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    input: Input,
    /// The first bytes of the frame that is being read; `filled` of them have arrived.
    head: [u8; Handshake::LENGTH],
    filled: usize,
    state: State,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            input: Input::default(),
            head: [0; Handshake::LENGTH],
            filled: 0,
            state: State::Handshake,
        }
    }

    /// Takes the next bytes of the stream, cut wherever the transport cut them.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() && !matches!(self.state, State::Failed(_)) {
            self.input.0.push_back(bytes);
        }
    }

    /// The next frame of what was pushed, or `None` where more bytes are needed for one.
    ///
    /// # Errors
    /// What is wrong with the stream, as soon as the bytes show it, and the same again ever after.
    #[expect(
        clippy::should_implement_trait,
        reason = "`None` is not an end: more bytes may follow"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, DecodeError> {
        let result = self.step();
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.input = Input::default();
        }
        result
    }

    fn step(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            match &mut self.state {
                State::Handshake => return Ok(self.read_handshake()?.map(Frame::Handshake)),
                State::Head => match self.read_head()? {
                    None => return Ok(None),
                    Some(Head::Complete(message)) => return Ok(Some(Frame::Message(message))),
                    Some(Head::Incomplete(payload)) => self.state = State::Payload(payload),
                },
                State::Payload(payload) => {
                    let Some(message) = payload.read(&mut self.input) else {
                        return Ok(None);
                    };
                    self.state = State::Head;
                    return Ok(Some(Frame::Message(message)));
                }
                State::Failed(error) => return Err(*error),
            }
        }
    }

    fn read_handshake(&mut self) -> Result<Option<Handshake>, DecodeError> {
        let complete = self.fill(Handshake::LENGTH);
        Handshake::check_start(self.head.get(..self.filled).unwrap_or_default())?;
        if !complete {
            return Ok(None);
        }
        self.state = State::Head;
        self.filled = 0;
        Handshake::decode(&self.head).map(Some)
    }

    /// Reads a frame up to the end of its fixed fields.
    fn read_head(&mut self) -> Result<Option<Head>, DecodeError> {
        if !self.fill(4) {
            return Ok(None);
        }
        let Some(length) = self.head.as_slice().get_u32().checked_sub(1) else {
            self.filled = 0;
            return Ok(Some(Head::Complete(Message::KeepAlive)));
        };
        if !self.fill(5) {
            return Ok(None);
        }
        let id = self.head[4];
        let shape = Shape::of(id, self.limits);
        let left = shape.check(length)?;
        if !self.fill(5 + shape.fields as usize) {
            return Ok(None);
        }
        self.filled = 0;
        Ok(Some(Head::read(id, &self.head[5..], left as usize)))
    }

    /// Whether the first `length` bytes of the frame are in `head`, after moving there what has arrived.
    fn fill(&mut self, length: usize) -> bool {
        while let Some(missing) = self
            .head
            .get_mut(self.filled..length)
            .filter(|missing| !missing.is_empty())
        {
            match self.input.copy_to(missing) {
                0 => return false,
                copied => self.filled += copied,
            }
        }
        true
    }
}

#[derive(Debug)]
enum State {
    /// Nothing but a part of the handshake has arrived.
    Handshake,
    /// Between two frames or in the head of one.
    Head,
    /// In a payload whose head has been read.
    Payload(Payload),
    /// The stream can't be read any further.
    Failed(DecodeError),
}

/// Bytes that were pushed and not yet read. No part is empty.
#[derive(Debug, Default)]
struct Input(VecDeque<Bytes>);

impl Input {
    /// The next bytes, at most `most`, as a slice of what was pushed; `None` where there are none.
    fn take(&mut self, most: usize) -> Option<Bytes> {
        let front = self.0.front_mut()?;
        if front.len() > most {
            Some(front.split_to(most))
        } else {
            self.0.pop_front()
        }
    }

    /// Moves bytes of the first part to the beginning of `target`; says how many, 0 only where there are none.
    fn copy_to(&mut self, target: &mut [u8]) -> usize {
        let Some(front) = self.0.front_mut() else { return 0 };
        let copied = target.len().min(front.len());
        target.iter_mut().zip(&*front).for_each(|(to, from)| *to = *from);
        front.advance(copied);
        if front.is_empty() {
            self.0.pop_front();
        }
        copied
    }
}

/// What the number of a message and the limits say about its payload.
struct Shape {
    message: &'static str,
    /// Bytes of fixed fields.
    fields: u32,
    /// How many bytes may follow them; `None` where nothing ever does.
    most: Option<u32>,
}

impl Shape {
    fn of(id: u8, limits: Limits) -> Self {
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
    fn check(&self, actual: u32) -> Result<u32, DecodeError> {
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
enum Head {
    Complete(Message),
    Incomplete(Payload),
}

impl Head {
    /// `fields` is at least as long as the fixed fields of any message; `left` bytes follow them.
    fn read(id: u8, mut fields: &[u8], left: usize) -> Self {
        let mut number = || fields.get_u32();
        Self::Complete(match id {
            id::CHOKE => Message::Choke,
            id::UNCHOKE => Message::Unchoke,
            id::INTERESTED => Message::Interested,
            id::NOT_INTERESTED => Message::NotInterested,
            id::HAVE => Message::Have(number()),
            id::REQUEST => Message::Request(BlockRequest {
                piece: number(),
                offset: number(),
                length: number(),
            }),
            id::CANCEL => Message::Cancel(BlockRequest {
                piece: number(),
                offset: number(),
                length: number(),
            }),
            id::PORT => Message::Port(fields.get_u16()),
            id::SUGGEST => Message::Suggest(number()),
            id::HAVE_ALL => Message::HaveAll,
            id::HAVE_NONE => Message::HaveNone,
            id::REJECT => Message::Reject(BlockRequest {
                piece: number(),
                offset: number(),
                length: number(),
            }),
            id::ALLOWED_FAST => Message::AllowedFast(number()),
            id::BITFIELD => return Self::Incomplete(Payload::Bitfield(Gathered::new(left))),
            id::PIECE => {
                let (piece, offset) = (number(), number());
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

/// A payload of variable size, perhaps incomplete.
#[derive(Debug)]
enum Payload {
    Bitfield(Gathered),
    Block { piece: u32, offset: u32, data: Sliced },
    Extended { id: u8, data: Gathered },
    Unknown { id: u8, left: usize },
}

impl Payload {
    /// Reads on; the message, where that completes it.
    fn read(&mut self, input: &mut Input) -> Option<Message> {
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
}

/// Bytes that are wanted in one part: a slice where they arrived so, else copied together.
#[derive(Debug)]
struct Gathered {
    left: usize,
    data: BytesMut,
}

impl Gathered {
    fn new(left: usize) -> Self {
        Self {
            left,
            data: BytesMut::new(),
        }
    }

    fn read(&mut self, input: &mut Input) -> Option<Bytes> {
        while self.left > 0 {
            let part = input.take(self.left)?;
            self.left -= part.len();
            if self.left == 0 && self.data.is_empty() {
                return Some(part);
            }
            self.data.extend_from_slice(&part);
        }
        Some(self.data.split().freeze())
    }
}

/// A block, in slices of what arrived. Only of one that is cut into absurdly many parts the rest is gathered, so
/// that a peer can't make us hold a handle and a buffer for each byte.
#[derive(Debug)]
struct Sliced {
    left: usize,
    slices: Chunks,
    rest: BytesMut,
}

impl Sliced {
    /// Twice the TCP segments of a 16 KiB block.
    const MAX_SLICES: usize = 32;

    fn new(left: usize) -> Self {
        Self {
            left,
            slices: Chunks::default(),
            rest: BytesMut::new(),
        }
    }

    fn read(&mut self, input: &mut Input) -> Option<Chunks> {
        while self.left > 0 {
            let part = input.take(self.left)?;
            self.left -= part.len();
            if self.slices.parts() < Self::MAX_SLICES {
                self.slices.push(part);
            } else {
                self.rest.extend_from_slice(&part);
            }
        }
        self.slices.push(self.rest.split().freeze());
        Some(mem::take(&mut self.slices))
    }
}

#[cfg(test)]
mod tests;
