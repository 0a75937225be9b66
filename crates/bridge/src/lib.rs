//! The native peer, in both swarms at once.
//!
//! A torrent is one task, which owns its [`causeway_engine::Torrent`]: it performs what the engine asks for and tells
//! it what happened. To it, every peer is a [`Link`], a stream of bytes in each direction, whatever carries it. What
//! carries it (TCP, WebRTC) is a task on the other [`End`], and knows nothing of torrents but their names.
//!
//! - [`Bridge`]: all torrents, and the ports that peers reach them at;
//! - `torrent`: one of them, from links to files; [`Handle`] is what the others have of it;
//! - `disk`: where bytes lie; `link`: where transports and torrents meet;
//! - `tcp`, `utp` and [`webrtc`]: transports; `dial` chooses one, `greeting` is what comes before the handshake, `stream` carries bytes;
//! - `mapping`: what routers are asked for; `proxy`: through whom others are reached;
//! - `limits`: what all torrents may use together;
//! - `web_seed`: files over HTTP;
//! - [`gateway`]: which torrents are carried over to browsers that ask for them;
//! - `signaling`: how WebRTC peers are met; `discovery`: how classic ones are.

mod buffers;
mod dial;
mod discovery;
mod disk;
pub mod gateway;
mod greeting;
mod limits;
mod link;
mod mapping;
mod proxy;
mod session;
mod signaling;
mod stream;
mod tcp;
mod torrent;
mod utp;
mod web_seed;
pub mod webrtc;

pub use discovery::DhtConfig;
pub use disk::Overwrite;
pub use greeting::Encryption;
pub use link::{Closed, End, Link, Meeting, Reader, Writer, link};
pub use proxy::{ParseProxyError, Proxy};
pub use session::{Bridge, BridgeError, Config};
pub use torrent::{
    Addition, Choose, Contents, Handle, Manner, Origin, Refusal, Relayed, Selection, Status, Subject,
};
pub use web_seed::{DownloadError, Reach, Visitor, WebSeed, WebSeedBody, WebSeedConfig, download};
