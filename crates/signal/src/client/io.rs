//! What the client is given and what it asks for.

use causeway_core::{InfoHash, PeerId, Time};
use core::time::Duration;

/// The client's name of a tracker, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId(pub u32);

/// The client's name of a connection to a peer, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// Who the client is, and how much it may spend.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name at every tracker.
    pub peer_id: PeerId,
    /// The most connections of all torrents together that have been offered and are not open yet. Each of them
    /// costs a peer connection with its sockets.
    pub offer_budget: usize,
    /// The most offers of one torrent to one tracker between two regular announces.
    pub offers_per_announce: usize,
    /// How long an offer waits for an answer. The deployed clients give up after 50 s, too.
    pub offer_timeout: Duration,
    /// The most connections of all torrents together that others have offered and that are not open yet.
    pub incoming_budget: usize,
    /// The same for one torrent, so that a busy one leaves room for the others.
    pub incoming_per_torrent: usize,
    /// The most connections of one torrent, in whatever state. Further offers of others are not answered.
    pub connections_per_torrent: usize,
    /// The most trackers of one torrent; further ones are not used. Links and torrent files may name any number.
    pub trackers_per_torrent: usize,
    /// The most trackers in all. Each of them has a socket.
    pub trackers: usize,
}

impl Config {
    /// The defaults, which suit a page in a browser.
    #[must_use]
    pub fn new(peer_id: PeerId) -> Self {
        Self {
            peer_id,
            offer_budget: 10,
            offers_per_announce: 5,
            offer_timeout: Duration::from_secs(50),
            incoming_budget: 20,
            incoming_per_torrent: 10,
            connections_per_torrent: 60,
            trackers_per_torrent: 10,
            trackers: 50,
        }
    }
}

/// How a torrent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Payload bytes sent to others.
    pub uploaded: u64,
    /// Payload bytes received from others.
    pub downloaded: u64,
    /// Bytes that are missing; `None` where that is not known because the metadata is missing.
    pub left: Option<u64>,
    /// How many more peers the torrent takes, a complete one included. At 0 no offers are made and none are
    /// answered.
    pub wanted_peers: usize,
}

impl Default for Progress {
    /// A torrent of which nothing is known yet.
    fn default() -> Self {
        Self {
            uploaded: 0,
            downloaded: 0,
            left: None,
            wanted_peers: 5,
        }
    }
}

/// What to do next. Matched without a wildcard, so that a new effect does not compile until every driver
/// performs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a WebSocket; answer with [`handle_connected`](super::Client::handle_connected) or
    /// [`handle_disconnected`](super::Client::handle_disconnected).
    Connect {
        /// The tracker.
        tracker: TrackerId,
        /// Its address, `ws://` or `wss://`.
        url: String,
    },
    /// Close the WebSocket after what was sent on it, or stop opening it. Nothing more of it may be told.
    Disconnect {
        /// The tracker.
        tracker: TrackerId,
    },
    /// Send this text message.
    Send {
        /// The tracker.
        tracker: TrackerId,
        /// The message.
        text: String,
    },
    /// Make a connection with one data channel, wait until its candidates are gathered (5 s at most), and answer
    /// with [`handle_offer`](super::Client::handle_offer) or [`handle_failed`](super::Client::handle_failed).
    CreateOffer {
        /// A new name.
        connection: ConnectionId,
        /// What the connection is for.
        info_hash: InfoHash,
        /// The label of the data channel: 40 random hexadecimal digits.
        label: String,
    },
    /// Make a connection for this offer, wait until its candidates are gathered (5 s at most), and answer with
    /// [`handle_answer`](super::Client::handle_answer) or [`handle_failed`](super::Client::handle_failed).
    AcceptOffer {
        /// A new name.
        connection: ConnectionId,
        /// What the connection is for.
        info_hash: InfoHash,
        /// Who offers it.
        peer_id: PeerId,
        /// The offer, as a stranger wrote it.
        sdp: String,
    },
    /// Complete a connection that was made by [`Output::CreateOffer`].
    AcceptAnswer {
        /// The connection.
        connection: ConnectionId,
        /// Who answered.
        peer_id: PeerId,
        /// The answer, as a stranger wrote it.
        sdp: String,
    },
    /// Close a connection, whatever state it is in: nobody answered, it is not needed, or its torrent was
    /// removed. Nothing more of it need be told.
    Close {
        /// The connection.
        connection: ConnectionId,
    },
    /// Nothing is left to do until something happens, or until this moment: then call
    /// [`handle_timeout`](super::Client::handle_timeout). A moment that has passed already means at once.
    Timeout(Option<Time>),
}

/// How a torrent stands with one of its trackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerStatus<'a> {
    /// Its address.
    pub url: &'a str,
    /// The state of the one socket that all torrents share.
    pub state: TrackerState<'a>,
    /// What the tracker would like a person to read; a refusal, too.
    pub warning: Option<&'a str>,
    /// Peers that have everything, as the tracker counts them; ourselves included.
    pub seeders: Option<u32>,
    /// Peers that lack something, as the tracker counts them; ourselves included.
    pub leechers: Option<u32>,
}

/// The state of a tracker's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerState<'a> {
    /// No torrent that runs needs it.
    Idle,
    /// It is being opened.
    Connecting,
    /// It is open.
    Connected,
    /// It is down, and will be opened again.
    Waiting {
        /// What happened.
        reason: &'a str,
        /// When it will be opened again.
        until: Time,
    },
}
