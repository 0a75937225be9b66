//! The BitTorrent peer wire protocol: what two peers say to each other once a link carries bytes.
//!
//! [`Decoder`] cuts a stream into frames, first one [`Handshake`], then [`Message`]s; [`Message::encode`] and
//! [`Handshake::encode`] are the way back. [`extended`] reads and writes the payloads of extension messages. [`mse`] is what may come before all that.
//!
//! This crate decides what is a well-formed frame and how long one may be. It does not decide what a message
//! means: piece numbers, ranges and the order of messages are checked where the torrent is known, in the engine.
//! Every byte here comes from a stranger: nothing panics on it, and what is held is bounded by [`Limits`].
//!
//! ```
//! use bytes::Bytes;
//! use causeway_core::{InfoHash, PeerId};
//! use causeway_wire::{Decoder, Frame, Handshake, Limits, Message, Reserved};
//!
//! let hello = Handshake {
//!     reserved: Reserved::ours(),
//!     info_hash: InfoHash::new([1; 20]),
//!     peer_id: PeerId::new([2; 20]),
//! };
//! let mut decoder = Decoder::new(Limits::default());
//! decoder.push(Bytes::copy_from_slice(&hello.encode()));
//! decoder.push(Bytes::from_static(&[0, 0, 0, 1, 2]));
//! assert_eq!(decoder.next(), Ok(Some(Frame::Handshake(hello))));
//! assert_eq!(decoder.next(), Ok(Some(Frame::Message(Message::Interested))));
//! assert_eq!(decoder.next(), Ok(None));
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod chunks;
mod decoder;
pub mod extended;
mod handshake;
mod message;
pub mod mse;

pub use chunks::Chunks;
pub use decoder::{DecodeError, Decoder, Frame, Limits};
pub use handshake::{Handshake, Reserved};
pub use message::{BlockRequest, Message, piece_header};
