//! Who asked whom for what on one link, read off the wire: what both sides must agree with.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the referee cares for few messages, whatever others there may be"
)]

use bytes::Bytes;
use causeway_wire::{BlockRequest, Decoder, Frame, Limits, Message};
use std::collections::VecDeque;

/// One link's requests.
#[derive(Debug, Default)]
pub(super) struct Referee {
    sides: [Side; 2],
}

/// What one side knows, by what it has sent and received.
#[derive(Debug)]
struct Side {
    sent: Stream,
    received: Stream,
    /// Requests of its own that it waits for.
    waiting: VecDeque<BlockRequest>,
    /// Those that it has taken back, and that may be answered nevertheless.
    late: VecDeque<BlockRequest>,
    /// Requests of the other side that it has not answered.
    owed: VecDeque<BlockRequest>,
}

/// Bytes in one direction; `None` once they made no sense.
type Stream = Option<Decoder>;

impl Default for Side {
    fn default() -> Self {
        let stream = || Some(Decoder::new(Limits::default()));
        Self {
            sent: stream(),
            received: stream(),
            waiting: VecDeque::new(),
            late: VecDeque::new(),
            owed: VecDeque::new(),
        }
    }
}

impl Referee {
    /// A side has sent these bytes.
    pub(super) fn sent(&mut self, side: usize, bytes: Bytes) {
        let Side {
            sent,
            waiting,
            late,
            owed,
            ..
        } = &mut self.sides[side];
        for message in messages(sent, bytes) {
            match answered_by(&message) {
                Some(request) => drop(remove(owed, request)),
                None => match message {
                    Message::Request(request) => waiting.push_back(request),
                    Message::Cancel(request) => late.extend(remove(waiting, request)),
                    _ => {}
                },
            }
        }
        late.drain(..late.len().saturating_sub(MOST_LATE));
    }

    /// A side has received these bytes.
    pub(super) fn received(&mut self, side: usize, bytes: Bytes) {
        let Side {
            received,
            waiting,
            late,
            owed,
            ..
        } = &mut self.sides[side];
        for message in messages(received, bytes) {
            match message {
                Message::Request(request) => owed.push_back(request),
                Message::Reject(request) => {
                    // Which of two it answers nobody can know.
                    if remove(late, request).is_none() {
                        remove(waiting, request);
                    }
                }
                _ => {
                    if let Some(request) = answered_by(&message)
                        && remove(waiting, request).is_none()
                    {
                        remove(late, request);
                    }
                }
            }
        }
    }

    /// For how many requests of its own this side waits; `None` where it can't be known.
    pub(super) fn waiting(&self, side: usize) -> Option<usize> {
        let side = &self.sides[side];
        (side.sent.is_some() && side.received.is_some()).then_some(side.waiting.len())
    }

    /// How many requests of the other this side has not answered; `None` where it can't be known.
    pub(super) fn owed(&self, side: usize) -> Option<usize> {
        let side = &self.sides[side];
        (side.sent.is_some() && side.received.is_some()).then_some(side.owed.len())
    }
}

fn messages(stream: &mut Stream, bytes: Bytes) -> Vec<Message> {
    let mut messages = Vec::new();
    if let Some(decoder) = stream {
        decoder.push(bytes);
        loop {
            match decoder.next() {
                Ok(Some(Frame::Message(message))) => messages.push(message),
                Ok(Some(Frame::Handshake(_))) => {}
                Ok(None) => break,
                Err(_) => {
                    *stream = None;
                    break;
                }
            }
        }
    }
    messages
}

/// The request that this message answers.
fn answered_by(message: &Message) -> Option<BlockRequest> {
    match message {
        Message::Reject(request) => Some(*request),
        Message::Piece { piece, offset, data } => Some(BlockRequest {
            piece: *piece,
            offset: *offset,
            length: u32::try_from(data.len()).ok()?,
        }),
        _ => None,
    }
}

fn remove(requests: &mut VecDeque<BlockRequest>, request: BlockRequest) -> Option<BlockRequest> {
    let place = requests.iter().position(|other| *other == request)?;
    requests.remove(place)
}

/// Requests that were taken back are remembered up to so many.
const MOST_LATE: usize = 1024;
