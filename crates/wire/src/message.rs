//! The messages of BEP 3, 5, 6 and 10, and how they are written.

use bytes::{BufMut, Bytes, BytesMut};
use causeway_core::Block;

use crate::Chunks;

/// The numbers of messages on the wire.
pub(crate) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PORT: u8 = 9;
    pub(crate) const SUGGEST: u8 = 13;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT: u8 = 16;
    pub(crate) const ALLOWED_FAST: u8 = 17;
    pub(crate) const EXTENDED: u8 = 20;
}

/// A range of bytes in a piece, with the numbers as a peer sent them: nothing about them is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRequest {
    /// The number of the piece.
    pub piece: u32,
    /// The first byte, counted from the start of the piece.
    pub offset: u32,
    /// The number of bytes.
    pub length: u32,
}

impl From<Block> for BlockRequest {
    fn from(block: Block) -> Self {
        Self {
            piece: block.piece().get(),
            offset: block.offset(),
            length: block.length(),
        }
    }
}

/// One message after the handshake. Piece numbers and ranges are as the peer sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing; it keeps the link from being closed for silence (BEP 3).
    KeepAlive,
    /// The sender answers no requests from now on (BEP 3).
    Choke,
    /// The sender answers requests from now on (BEP 3).
    Unchoke,
    /// The receiver has something that the sender wants (BEP 3).
    Interested,
    /// The receiver has nothing that the sender wants (BEP 3).
    NotInterested,
    /// The sender has this piece now (BEP 3).
    Have(u32),
    /// The pieces that the sender has, to be read with the torrent's geometry (BEP 3).
    Bitfield(Bytes),
    /// The sender asks for a block (BEP 3).
    Request(BlockRequest),
    /// A block (BEP 3).
    Piece {
        /// The number of the piece.
        piece: u32,
        /// The first byte, counted from the start of the piece.
        offset: u32,
        /// The bytes of the block.
        data: Chunks,
    },
    /// The sender no longer wants what it asked for (BEP 3).
    Cancel(BlockRequest),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// The sender has this piece at hand and would like to be asked for it (BEP 6).
    Suggest(u32),
    /// The sender has every piece; in place of a bitfield (BEP 6).
    HaveAll,
    /// The sender has no piece; in place of a bitfield (BEP 6).
    HaveNone,
    /// The sender will not answer this request (BEP 6).
    Reject(BlockRequest),
    /// The sender answers requests for this piece although it chokes (BEP 6).
    AllowedFast(u32),
    /// A message of an extension (BEP 10), read with [`extended`](crate::extended).
    Extended {
        /// 0 for the extension handshake, else the number that the receiver chose for the extension.
        id: u8,
        /// The extension's own format.
        payload: Bytes,
    },
    /// A message that this crate does not know. Its payload is skipped, and never written.
    Unknown {
        /// Its number on the wire.
        id: u8,
    },
}

impl Message {
    /// Appends the whole frame. A block is copied; [`piece_header`] is the way without a copy.
    ///
    /// # Panics
    /// Where a payload is 4 GiB or longer, which no frame can carry.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => put_head(out, id::CHOKE, 0),
            Self::Unchoke => put_head(out, id::UNCHOKE, 0),
            Self::Interested => put_head(out, id::INTERESTED, 0),
            Self::NotInterested => put_head(out, id::NOT_INTERESTED, 0),
            Self::Have(piece) => put_number(out, id::HAVE, *piece),
            Self::Bitfield(bits) => {
                put_head(out, id::BITFIELD, bits.len());
                out.put_slice(bits);
            }
            Self::Request(block) => put_request(out, id::REQUEST, *block),
            Self::Piece { piece, offset, data } => {
                put_head(out, id::PIECE, 8 + data.len());
                out.put_u32(*piece);
                out.put_u32(*offset);
                for part in data {
                    out.put_slice(part);
                }
            }
            Self::Cancel(block) => put_request(out, id::CANCEL, *block),
            Self::Port(port) => {
                put_head(out, id::PORT, 2);
                out.put_u16(*port);
            }
            Self::Suggest(piece) => put_number(out, id::SUGGEST, *piece),
            Self::HaveAll => put_head(out, id::HAVE_ALL, 0),
            Self::HaveNone => put_head(out, id::HAVE_NONE, 0),
            Self::Reject(block) => put_request(out, id::REJECT, *block),
            Self::AllowedFast(piece) => put_number(out, id::ALLOWED_FAST, *piece),
            Self::Extended { id, payload } => {
                put_head(out, id::EXTENDED, 1 + payload.len());
                out.put_u8(*id);
                out.put_slice(payload);
            }
            Self::Unknown { id } => put_head(out, *id, 0),
        }
    }
}

/// The first 13 bytes of a `piece` message whose block of `length` bytes follows, so that the block is sent from
/// where it lies.
///
/// `length` is at most `u32::MAX - 9`; nobody accepts blocks anywhere near that.
#[must_use]
pub fn piece_header(piece: u32, offset: u32, length: u32) -> [u8; 13] {
    let mut header = [0; 13];
    header[..4].copy_from_slice(&length.saturating_add(9).to_be_bytes());
    header[4] = id::PIECE;
    header[5..9].copy_from_slice(&piece.to_be_bytes());
    header[9..].copy_from_slice(&offset.to_be_bytes());
    header
}

/// The length of the frame and the number of the message; `payload` bytes are to follow.
fn put_head(out: &mut BytesMut, id: u8, payload: usize) {
    let length = u32::try_from(payload + 1).expect("a payload is shorter than 4 GiB");
    out.reserve(payload + 5);
    out.put_u32(length);
    out.put_u8(id);
}

fn put_number(out: &mut BytesMut, id: u8, number: u32) {
    put_head(out, id, 4);
    out.put_u32(number);
}

fn put_request(out: &mut BytesMut, id: u8, block: BlockRequest) {
    let mut message = [0; 17];
    message[3] = 13;
    message[4] = id;
    message[5..9].copy_from_slice(&block.piece.to_be_bytes());
    message[9..13].copy_from_slice(&block.offset.to_be_bytes());
    message[13..].copy_from_slice(&block.length.to_be_bytes());
    out.put_slice(&message);
}
