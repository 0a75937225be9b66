//! What an operator can set, with defaults that work on a laptop and on a small server.

use core::time::Duration;

/// The limits and times of a [`Tracker`](crate::Tracker).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// After how long a client is asked to announce again. Clients obey it as it is; in whole seconds.
    pub interval: Duration,
    /// A member of a swarm that has not announced for so long is forgotten, although its socket lives. Several intervals.
    pub member_timeout: Duration,
    /// For how long an answer to a relayed offer is awaited. Clients give an offer up after 50 s.
    pub offer_timeout: Duration,
    /// The most offers that one announce has relayed; the rest are dropped.
    pub max_offers: usize,
    /// The most swarms that one socket may be in.
    pub max_torrents_per_socket: usize,
    /// The most members of all swarms together. A WebRTC peer takes about 500 bytes for each of its torrents, a classic
    /// peer 100 at most.
    pub max_members: usize,
    /// The most of them from one address (of IPv6, from one /64), whatever door they came through.
    pub max_members_per_address: usize,
    /// After how long a classic peer is asked to announce again, in whole seconds.
    pub classic_interval: Duration,
    /// How often a classic peer may announce, in whole seconds.
    pub classic_min_interval: Duration,
    /// A classic peer that has not announced for so long is forgotten. Up to two hours.
    pub classic_timeout: Duration,
    /// The most peers that a classic peer is told of at once.
    pub max_peers: usize,
    /// The most torrents that one scrape is answered about.
    pub max_scrape: usize,

    /// The most connections at once; further ones are refused with status 503.
    pub max_sockets: usize,
    /// The most of them from one address (of IPv6, from one /64).
    pub max_sockets_per_address: usize,
    /// How many requests a second an address may make over HTTP, for a WebSocket among them, and UDP for long; 0 for any
    /// number. What comes faster is refused over HTTP, and dropped over UDP. What comes over UDP without a connection id is not counted.
    pub requests_per_second: u32,
    /// How many it may make at once: a client that starts announces all its torrents.
    pub request_burst: u32,
    /// The longest message that is read, in bytes. The offers of ten peers without trickle ICE pass 16 KiB by far.
    pub max_message: usize,
    /// How long a message may take from its first part to its last.
    pub message_within: Duration,
    /// What may wait to be sent on one socket, in bytes. Half of it is for the offers and answers of others, of which the rest
    /// is dropped; a socket that reads its replies too slowly to stay below is closed.
    pub max_outgoing: usize,
    /// How many messages a second a socket may send for long; each started 16 KiB counts as one. What comes faster is
    /// read later, so that the sender feels the network's own back pressure.
    pub messages_per_second: u32,
    /// How many messages a socket may send at once: a client that comes back announces all its torrents.
    pub message_burst: u32,
    /// How many messages a second all sockets of one address may send together for long, counted the same way; 0 for any
    /// number. What comes faster is read later.
    pub messages_per_second_per_address: u32,
    /// How many they may send at once.
    pub message_burst_per_address: u32,
    /// A socket that was silent for so long is pinged: browsers can't ping.
    pub ping_after: Duration,
    /// How long a pinged socket may take to show life before it is closed.
    pub pong_within: Duration,
    /// The same for a socket whose `peer_id` another socket claims (see [`registry`](crate::registry)).
    pub proof_within: Duration,
    /// How long one batch of messages may take to be sent before the socket counts as a slow reader.
    pub send_within: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(2),
            member_timeout: Duration::from_mins(8),
            offer_timeout: Duration::from_mins(1),
            max_offers: 20,
            max_torrents_per_socket: 2_000,
            max_members: 2_000_000,
            max_members_per_address: 40_000,
            classic_interval: Duration::from_mins(30),
            classic_min_interval: Duration::from_mins(5),
            classic_timeout: Duration::from_mins(75),
            max_peers: 100,
            max_scrape: 100,
            max_sockets: 50_000,
            max_sockets_per_address: 1_000,
            requests_per_second: 50,
            request_burst: 2_000,
            max_message: 256 * 1024,
            message_within: Duration::from_secs(30),
            max_outgoing: 512 * 1024,
            messages_per_second: 200,
            message_burst: 2_000,
            messages_per_second_per_address: 2_000,
            message_burst_per_address: 20_000,
            ping_after: Duration::from_secs(30),
            pong_within: Duration::from_secs(30),
            proof_within: Duration::from_secs(10),
            send_within: Duration::from_secs(10),
        }
    }
}
