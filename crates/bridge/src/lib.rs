//! The native peer, in both swarms at once.
//!
//! A torrent is one task, which owns its [`causeway_engine::Torrent`]: it performs what the engine asks for and tells
//! it what happened. To it, every peer is a [`Link`], a stream of bytes in each direction, whatever carries it. What
//! carries it (TCP, WebRTC) is a task on the other [`End`], and knows nothing of torrents but their names.

mod link;

pub use link::{Closed, End, Link, LinkKind, Meeting, Reader, Writer, link};
