//! Cuts a stream of bytes into frames.
//!
//! Bytes come in as the transport cut them, which means nothing: a page of WebTorrent, for one, sends the head of
//! a `piece` message and its block as two data-channel messages, and others put several blocks into one.
//!
//! What is small and of fixed size, the handshake, heads and most messages, is gathered in an array. A block is
//! handed on in slices of what was pushed. A bitfield or an extension's payload is a slice too where it arrived
//! in one part, and is gathered otherwise.

use bytes::{Buf, Bytes};
use causeway_core::Geometry;

use crate::{Handshake, Message};

mod frame;
mod input;

use frame::{Head, Payload, Shape};
use input::Input;

/// The longest payloads that are accepted, in bytes. A frame above them is refused from its first five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a bitfield. The default, 512 KiB, has a bit for each of [`Geometry::MAX_PIECES`].
    pub bitfield: u32,
    /// Of the block in a `piece` message. We ask for 16 KiB; the default, 128 KiB, is where WebTorrent closes the
    /// link on a request.
    pub block: u32,
    /// Of an extension message, its number aside. The default, 64 KiB, is four times the largest in use: a part of
    /// the metadata, 16 KiB (BEP 9).
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
    #[error("the peer's `{message}` message has {actual} bytes of payload in place of {expected}")]
    WrongLength {
        /// The name of the message.
        message: &'static str,
        /// What every such message has.
        expected: u32,
        /// What this one was going to have.
        actual: u32,
    },
    /// A message of variable size has no room for its own fields.
    #[error("the peer's `{message}` message has {actual} bytes of payload, fewer than the {least} it needs")]
    TooShort {
        /// The name of the message.
        message: &'static str,
        /// What every such message has at least.
        least: u32,
        /// What this one was going to have.
        actual: u32,
    },
    /// A message is longer than [`Limits`] allow.
    #[error("the peer's `{message}` message has {actual} bytes of payload, more than the {most} accepted")]
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
        if !matches!(self.state, State::Failed(_)) {
            self.input.push(bytes);
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

#[cfg(test)]
mod tests;
