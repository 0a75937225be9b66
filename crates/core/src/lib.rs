//! What every other room of Causeway speaks in: time, ids, bitfields, piece geometry, bencode, torrent files
//! and magnet links.
//!
//! Nothing in here does I/O, reads a clock or draws a random number. Every parser takes bytes that a stranger
//! may have written: it bounds what it allocates, and its errors say what is wrong with them.

#![forbid(unsafe_code)]

pub mod bencode;
mod bitfield;
mod create;
mod files;
mod geometry;
mod hash;
mod id;
mod info;
mod magnet;
mod metainfo;
mod names;
mod sorted;
mod time;

pub use bitfield::Bitfield;
pub use create::{CreateError, CreateOptions, Creator, Draft, DraftFile, piece_length_for};
pub use files::{FileEntry, FileSlice};
pub use geometry::{BLOCK_LENGTH, Block, Geometry, GeometryError, PieceIndex};
pub use hash::{Sha1, sha1};
pub use id::{InfoHash, ParseInfoHashError, PeerId, Sha1Hash};
pub use info::{Info, MetainfoError};
pub use magnet::{Magnet, MagnetError};
pub use metainfo::Metainfo;
pub use sorted::{SortedMap, SortedSet, sort_by_key};
pub use time::Time;
