//! What a torrent tells of itself.

use causeway_core::PeerId;
use core::net::SocketAddr;

use crate::{Direction, LinkId, LinkKind};

/// A torrent in numbers. Bytes are payload, rates are bytes a second over the last five seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Links after the handshake.
    pub peers: usize,
    /// Those of them whose peer has everything.
    pub seeds: usize,
    /// Those of them whose peer wants something that we have.
    pub interested: usize,
    /// Bytes that came from others, over all runs.
    pub downloaded: u64,
    /// Bytes that were given to others, over all runs.
    pub uploaded: u64,
    /// Bytes that came and were of no use: wrong, or there already.
    pub wasted: u64,
    /// How fast blocks come.
    pub download_rate: u64,
    /// How fast blocks go.
    pub upload_rate: u64,
    /// Bytes of the pieces that the selected files touch; 0 without metadata.
    pub wanted: u64,
    /// Those of them that are stored and verified.
    pub wanted_verified: u64,
    /// Bytes of all pieces that are stored and verified.
    pub verified: u64,
    /// Pieces that are still to be hashed before anything else happens ([`State::Checking`](crate::State)).
    pub unchecked_pieces: u32,
    /// What each kind of link has carried in this run, in the order of [`LinkKind::ALL`].
    pub carried: [Carried; LinkKind::ALL.len()],
}

impl Stats {
    /// What links of this kind have carried in this run.
    #[must_use]
    pub const fn carried_by(&self, kind: LinkKind) -> Carried {
        self.carried[kind as usize]
    }
}

/// Payload bytes of all links of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes that came.
    pub downloaded: u64,
    /// Bytes that went.
    pub uploaded: u64,
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own that a table of peers shows"
)]
pub struct PeerView {
    /// The driver's name of the link.
    pub link: LinkId,
    /// What the peer calls itself.
    pub peer_id: PeerId,
    /// Name and version of its client, where it says so.
    pub client: Option<String>,
    /// Who opened the link.
    pub direction: Direction,
    /// What carries it.
    pub kind: LinkKind,
    /// The other end's address, where the driver named one.
    pub addr: Option<SocketAddr>,
    /// How many pieces it has; unknown without metadata.
    pub pieces: Option<u32>,
    /// Whether it has everything.
    pub is_seed: bool,
    /// Whether it answers no requests at the moment.
    pub is_choking_us: bool,
    /// Whether it wants something of us and gets it.
    pub is_served: bool,
    /// Whether it lets our requests wait for too long.
    pub is_snubbed: bool,
    /// What it has been worth so far, over all links that it was recognised on: right pieces and time, less wrong pieces and
    /// other faults. Below zero it is served last.
    pub score: i64,
    /// Whether it says that it is a Causeway peer.
    pub is_causeway: bool,
    /// Whether we answer its requests, if it has any.
    pub is_unchoked: bool,
    /// Requests that it owes us an answer to.
    pub outstanding_requests: usize,
    /// Requests that we owe it an answer to.
    pub accepted_requests: usize,
    /// Payload bytes that came over this link.
    pub downloaded: u64,
    /// Payload bytes that went over this link.
    pub uploaded: u64,
    /// How fast blocks come, in bytes a second.
    pub download_rate: u64,
    /// How fast blocks go, in bytes a second.
    pub upload_rate: u64,
}
