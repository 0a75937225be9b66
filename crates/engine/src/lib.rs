//! One torrent as a state machine: which pieces to fetch from whom, whom to serve, what to trust.
//!
//! [`Torrent`] is told what happened ([`Input`]) and answers with what to do ([`Output`]); it never does it.
//! It has no clock, socket, disk, thread or async runtime, and it does not know what carries a link: TCP, uTP,
//! a data channel or the simulator. Finding peers is not its job either: the driver announces and opens links.
//!
//! ```ignore
//! let mut torrent = Torrent::new(config, source, seed, now);
//! loop {
//!     let deadline = loop {
//!         match torrent.poll_output() {
//!             Output::Timeout(deadline) => break deadline,
//!             effect => perform(effect),
//!         }
//!     };
//!     let input = wait_for_something_until(deadline); // Input::TimedOut when the deadline passed
//!     torrent.handle_input(clock(), input);
//! }
//! ```

#![forbid(unsafe_code)]

mod choker;
mod config;
mod content;
mod io;
mod metadata;
mod outbox;
mod peer;
mod peer_pieces;
mod picker;
mod rate;
mod requests;
mod snapshot;
mod stats;
mod timers;
mod torrent;
mod uploads;

pub use config::{Config, Source, Stored};
pub use io::*;
pub use snapshot::Snapshot;
pub use stats::{PeerView, Stats};
pub use torrent::Torrent;
