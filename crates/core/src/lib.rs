//! What every other room of Causeway speaks in: time, ids, bitfields, piece geometry, bencode, torrent files
//! and magnet links.
//!
//! Nothing in here does I/O, reads a clock or draws a random number. Every parser takes bytes that a stranger
//! may have written: it bounds what it allocates, and its errors say what is wrong with them.

#![forbid(unsafe_code)]

mod bitfield;
mod geometry;
mod id;
mod time;

pub use bitfield::Bitfield;
pub use geometry::{BLOCK_LENGTH, Block, Geometry, GeometryError, PieceIndex};
pub use id::{InfoHash, PeerId, Sha1Hash};
pub use time::Time;
