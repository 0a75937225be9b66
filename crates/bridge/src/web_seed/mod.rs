//! Web seeds (BEP 19): files that are fetched over HTTP, and served over it.
//!
//! - `address`: the URLs of web seeds;
//! - `client`: requests over HTTP(S) to hosts that a stranger may have named;
//! - `fetch`: one range of a torrent, which may span files, as the engine asks for it;
//! - `serve`: our own web seed; `request`: what a client asks of it; `body`: the bytes that it gets.

mod address;
mod body;
mod client;
mod fetch;
mod request;
mod serve;

pub(crate) use address::Address;
pub use body::Body as WebSeedBody;
pub(crate) use client::Client;
pub use client::{DownloadError, Reach, download};
pub(crate) use fetch::{News, Taker, What, fetch};
pub use serve::{Visitor, WebSeed, WebSeedConfig};
