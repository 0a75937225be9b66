//! What a torrent is started with.

use causeway_core::{Info, InfoHash, PeerId};
use std::sync::Arc;

use crate::{Limits, PexSupport, Snapshot};

/// How a torrent behaves towards others.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name in this swarm (BEP 20).
    pub peer_id: PeerId,
    /// Name and version that peers are told, as `Causeway 0.1.0` (BEP 10).
    pub client: String,
    /// Bounds that the user may change later.
    pub limits: Limits,
    /// The most requests that one peer owes us an answer to, whatever it would take.
    pub max_outstanding_requests: u32,
    /// The most requests of one peer that wait here; peers are told (`reqq` of BEP 10).
    pub max_accepted_requests: u32,
    /// Whether and how addresses of peers are exchanged (BEP 11).
    pub peer_exchange: Option<PexSupport>,
    /// The TCP port on which we listen; peers are told (`p` of BEP 10), and may tell others.
    pub listen_port: Option<u16>,
    /// Whether the torrent is carried over to browsers and not downloaded: see [`Output::PieceDemanded`](crate::Output::PieceDemanded).
    pub relay: bool,
}

impl Config {
    /// The settings that suit a browser and a laptop alike.
    #[must_use]
    pub fn new(peer_id: PeerId) -> Self {
        Self {
            peer_id,
            client: concat!("Causeway ", env!("CARGO_PKG_VERSION")).to_owned(),
            limits: Limits::default(),
            max_outstanding_requests: 1024,
            max_accepted_requests: 1024,
            peer_exchange: None,
            listen_port: None,
            relay: false,
        }
    }
}

/// What is known of a torrent when it starts.
#[derive(Clone, Debug)]
pub enum Source {
    /// Its name alone: the metadata comes from peers (BEP 9).
    Magnet(InfoHash),
    /// Its metadata, and what storage has of it.
    Info {
        /// The metadata.
        info: Arc<Info>,
        /// What is there.
        stored: Stored,
    },
}

/// What storage has of a torrent when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Nothing.
    Nothing,
    /// Every piece, known to be right.
    Everything,
    /// What an earlier run left, known to be right.
    Partly(Snapshot),
    /// Nobody knows: every piece is hashed first ([`State::Checking`](crate::State::Checking)).
    Unknown,
}
