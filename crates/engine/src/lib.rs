//! One torrent as a state machine: which pieces to fetch from whom, whom to serve, what to trust.
//!
//! [`Torrent`] is told what happened ([`Input`]) and answers with what to do ([`Output`]); it never does it.
//! It has no clock, socket, disk, thread or async runtime, and it does not know what carries a link: TCP, uTP,
//! a data channel or the simulator. Finding peers is not its job either: the driver announces and opens links.
//!
//! ```
//! use causeway_core::Time;
//! use causeway_engine::{Input, Output, Torrent};
//!
//! /// `wait` returns what happens next, or `Input::TimedOut` when the deadline passes first.
//! fn drive(
//!     mut torrent: Torrent,
//!     clock: impl Fn() -> Time,
//!     mut perform: impl FnMut(Output),
//!     mut wait: impl FnMut(Option<Time>) -> Input,
//! ) {
//!     loop {
//!         let deadline = loop {
//!             match torrent.poll_output() {
//!                 Output::Timeout(deadline) => break deadline,
//!                 effect => perform(effect),
//!             }
//!         };
//!         let input = wait(deadline);
//!         torrent.handle_input(clock(), input);
//!     }
//! }
//! ```
//!
//! Inside, `Torrent` holds the state and lets a part of its own decide each question:
//! - `picker`: what to ask for next; `requests`: how much of one peer; `content`: what is there and what is wanted,
//! - `choker`: whom to serve; `uploads`: what is read and sent for them; `allowance`: how fast,
//! - `first_copy`: what a seed that is alone gives to whom,
//! - `trial`: who lied, where several supplied a piece that came wrong; `acquaintances`: what peers were worth before,
//! - `metadata`: which parts of the `info` dictionary to ask of whom,
//! - `web_seed`: one range of bytes after the other from an HTTP server,
//! - `peer`, `outbox`, `peer_pieces`: one link, what is to be sent on it, what its peer has.
//!
//! `Shares` stands beside the torrents: it divides the limits of a whole client among them.
//!
//! Each of them is plain data with a few verbs, knows nothing of the others, and is tested alone. What peers say
//! is never trusted: what does not fit the protocol closes that peer's link, and every queue that a peer or
//! storage could fill has a bound that stands beside it as a constant.

#![forbid(unsafe_code)]

mod acquaintances;
mod allowance;
mod allowed_fast;
mod choker;
mod config;
mod content;
mod first_copy;
mod io;
mod metadata;
mod outbox;
mod peer;
mod peer_pieces;
mod picker;
mod rate;
mod requests;
mod shares;
mod snapshot;
mod stats;
mod timers;
mod torrent;
mod trial;
mod uploads;
mod web_seed;

pub use acquaintances::KnownPeer;
pub use config::{Config, Source, Stored};
pub use io::*;
pub use shares::{Shares, Use};
pub use snapshot::{Snapshot, SnapshotError};
pub use stats::{Carried, PeerView, Stats};
pub use torrent::{PexSupport, Torrent};
