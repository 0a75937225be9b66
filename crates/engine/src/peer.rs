//! One link: before the handshake a [`Greeting`], after it a [`Peer`].

use causeway_core::{Block, Geometry, PeerId, PieceIndex, SortedSet, Time};
use causeway_wire::{BlockRequest, Decoder, Handshake, Limits, Message, Reserved};
use core::net::SocketAddr;
use core::time::Duration;

use crate::allowed_fast::Grants;
use crate::first_copy::Offers;
use crate::outbox::Outbox;
use crate::peer_pieces::PeerPieces;
use crate::rate::Rate;
use crate::requests::Requests;
use crate::uploads::Uploads;
use crate::{Config, Direction, KnownPeer, LinkId, LinkKind, PeerView};

/// A link on which our handshake was sent and none has come yet.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) origin: Origin,
    pub(crate) decoder: Decoder,
    pub(crate) outbox: Outbox,
    deadline: Time,
}

/// How a link came to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) direction: Direction,
    /// What the peer was introduced as, which may differ from what it calls itself.
    pub(crate) introduced: Option<PeerId>,
    pub(crate) kind: LinkKind,
    pub(crate) addr: Option<SocketAddr>,
}

impl Greeting {
    pub(crate) fn new(origin: Origin, now: Time) -> Self {
        Self {
            origin,
            decoder: Decoder::new(Limits::default()),
            outbox: Outbox::default(),
            deadline: now + HANDSHAKE_PATIENCE,
        }
    }

    /// Whether the handshake should have come.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        self.deadline <= now
    }
}

/// A link after the handshake.
///
/// Invariant: `lacking` is the number of pieces that the peer has and that we want and lack.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) origin: Origin,
    pub(crate) reserved: Reserved,
    pub(crate) extensions: Extensions,
    /// The port that it listens on, where it says so.
    pub(crate) listens_on: Option<u16>,
    /// It downloads nothing, although it may lack pieces (BEP 21).
    pub(crate) is_upload_only: bool,
    /// What was last exchanged of addresses.
    pub(crate) pex: PexState,
    pub(crate) client: Option<String>,
    /// `None` only while the torrent handles what it decoded.
    pub(crate) decoder: Option<Box<Decoder>>,
    pub(crate) outbox: Outbox,
    pub(crate) us: Side,
    pub(crate) them: Side,
    /// When we last choked or unchoked it.
    pub(crate) choke_changed: Time,
    pub(crate) pieces: PeerPieces,
    /// Until when its saying what it has, all at once, has cost us.
    pub(crate) introduced: Time,
    pub(crate) lacking: u32,
    /// Pieces that it serves although it chokes (BEP 6), at most [`MOST_ALLOWED_FAST`].
    pub(crate) allowed_fast: SortedSet<u32>,
    /// Pieces that it would like to be asked for (BEP 6), the latest last, at most [`MOST_SUGGESTED`].
    pub(crate) suggested: Vec<PieceIndex>,
    /// What we named to it.
    pub(crate) offers: Offers,
    /// What it may have although we choke it.
    pub(crate) grants: Grants,
    pub(crate) requests: Requests,
    /// The picker's epoch in which nothing was found to ask of this peer.
    pub(crate) dry_at: Option<u64>,
    /// When it may be asked again to help another in the endgame.
    pub(crate) helps_from: Time,
    /// When the link was opened, and what the peer was worth before.
    pub(crate) connected: Time,
    pub(crate) earlier_score: i64,
    /// Pieces with blocks of it that were right, and that were wrong.
    pub(crate) good_pieces: u32,
    pub(crate) bad_pieces: u32,
    /// Blocks that came without being asked for.
    pub(crate) unasked: u32,
    pub(crate) uploads: Uploads,
    pub(crate) down: Traffic,
    pub(crate) up: Traffic,
    pub(crate) last_received: Time,
    pub(crate) last_sent: Time,
    /// When a block last went either way.
    pub(crate) last_moved: Time,
}

/// The numbers that a peer wants to see on the messages of each extension that it speaks (BEP 10).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) metadata: Option<u8>,
    pub(crate) pex: Option<u8>,
    pub(crate) dont_have: Option<u8>,
    /// It is a Causeway peer.
    pub(crate) causeway: Option<u8>,
}

/// Addresses that were exchanged with a peer (BEP 11).
#[derive(Debug, Default)]
pub(crate) struct PexState {
    /// Those that it was told and not taken back.
    pub(crate) told: SortedSet<SocketAddr>,
    /// When it is told more.
    pub(crate) tell_at: Time,
    /// From when on it is listened to again.
    pub(crate) listen_from: Time,
}

/// What one side of a link has told the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) chokes: bool,
    pub(crate) is_interested: bool,
}

/// Payload in one direction.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes: u64,
    pub(crate) rate: Rate,
}

impl Traffic {
    pub(crate) fn add(&mut self, now: Time, bytes: u64) {
        self.bytes += bytes;
        self.rate.add(now, bytes);
    }
}

impl Peer {
    /// The peer that sent this handshake.
    pub(crate) fn new(
        greeting: Greeting,
        handshake: &Handshake,
        geometry: Option<Geometry>,
        config: &Config,
        now: Time,
    ) -> Self {
        let start = Side {
            chokes: true,
            is_interested: false,
        };
        Self {
            id: handshake.peer_id,
            origin: greeting.origin,
            reserved: handshake.reserved,
            extensions: Extensions::default(),
            listens_on: None,
            is_upload_only: false,
            pex: PexState::default(),
            client: None,
            decoder: Some(Box::new(greeting.decoder)),
            outbox: greeting.outbox,
            us: start,
            them: start,
            choke_changed: now,
            pieces: PeerPieces::none(geometry),
            introduced: now,
            lacking: 0,
            allowed_fast: SortedSet::new(),
            suggested: Vec::new(),
            offers: Offers::default(),
            grants: Grants::default(),
            requests: Requests::new(config.max_outstanding_requests.min(DEFAULT_REQQ)),
            dry_at: None,
            helps_from: now,
            connected: now,
            earlier_score: 0,
            good_pieces: 0,
            bad_pieces: 0,
            unasked: 0,
            uploads: Uploads::default(),
            down: Traffic::default(),
            up: Traffic::default(),
            last_received: now,
            last_sent: now,
            last_moved: now,
        }
    }

    pub(crate) const fn has_fast(&self) -> bool {
        self.reserved.supports_fast()
    }

    /// Whether it has been silent for so long that it must be gone (BEP 3: keep-alives come every two minutes).
    pub(crate) fn is_gone(&self, now: Time) -> bool {
        now.since(self.last_received) >= SILENCE
    }

    /// Whether it has been quiet for so long that a second link of the same peer is more likely to be alive.
    pub(crate) fn is_quiet(&self, now: Time) -> bool {
        now.since(self.last_received) >= QUIET
    }

    /// Whether no block has gone either way for so long that another peer may be worth more.
    pub(crate) fn is_still(&self, now: Time) -> bool {
        now.since(self.last_moved) >= STILL
    }

    /// What it has been worth: pieces that it helped with and time that it stayed, less pieces that came wrong, which weigh
    /// more, and blocks that nobody had asked for; and what it was worth before.
    pub(crate) fn score(&self, now: Time) -> i64 {
        let faults = BAD_PIECE * i64::from(self.bad_pieces) + i64::from(self.unasked);
        let uptime = now.since(self.connected).as_secs() / STEADY.as_secs();
        let uptime = i64::try_from(uptime).unwrap_or(i64::MAX).min(MOST_STEADY);
        let gain = i64::from(self.good_pieces) + uptime - faults;
        self.earlier_score.saturating_add(gain)
    }

    /// Where it takes connections, if it does and that means anything to others.
    pub(crate) fn reachable_at(&self) -> Option<SocketAddr> {
        let mut addr = self.origin.addr?;
        if self.origin.direction == Direction::Incoming {
            addr.set_port(self.listens_on?);
        }
        match self.origin.kind {
            LinkKind::Tcp | LinkKind::Utp => Some(addr),
            LinkKind::WebRtc | LinkKind::Http => None,
        }
    }

    /// What is to be remembered of it, where it can be connected to.
    pub(crate) fn known(&self, now: Time) -> Option<KnownPeer> {
        let addr = self.reachable_at()?;
        let score = self.score(now);
        Some(KnownPeer { addr, score })
    }

    /// Asks for this block.
    pub(crate) fn ask(&mut self, block: Block, now: Time) {
        self.requests.asked(block, now);
        self.outbox.push(&Message::Request(BlockRequest::from(block)));
    }

    /// Says something where nothing was said for long.
    pub(crate) fn keep_alive(&mut self, now: Time) {
        if now.since(self.last_sent) >= KEEP_ALIVE {
            self.outbox.push(&Message::KeepAlive);
        }
    }

    /// Whether we would serve it, and it would take it.
    pub(crate) const fn is_served(&self) -> bool {
        self.them.is_interested && !self.us.chokes
    }

    pub(crate) fn view(&self, link: LinkId, now: Time) -> PeerView {
        PeerView {
            link,
            peer_id: self.id,
            client: self.client.clone(),
            direction: self.origin.direction,
            kind: self.origin.kind,
            addr: self.origin.addr,
            pieces: self.pieces.known().map(causeway_core::Bitfield::count_ones),
            is_seed: self.pieces.is_all(),
            is_choking_us: self.them.chokes,
            is_served: self.is_served(),
            is_snubbed: self.requests.is_snubbed(),
            is_unchoked: !self.us.chokes,
            accepted_requests: self.uploads.len(),
            score: self.score(now),
            is_causeway: self.extensions.causeway.is_some(),
            outstanding_requests: self.requests.waiting().len(),
            downloaded: self.down.bytes,
            uploaded: self.up.bytes,
            download_rate: self.down.rate.per_second(now),
            upload_rate: self.up.rate.per_second(now),
        }
    }
}

/// Remembered pieces of a peer that allows them fast; BEP 6 suggests ten.
pub(crate) const MOST_ALLOWED_FAST: usize = 64;
/// Remembered pieces that a peer suggests.
pub(crate) const MOST_SUGGESTED: usize = 64;
/// What a bitfield and the like costs us for each piece, as time for which its sender should be silent.
pub(crate) const INTRODUCTION: Duration = Duration::from_micros(1);
/// It costs as much as for so many pieces at least.
pub(crate) const LEAST_PIECES: u32 = 1_000;
/// So many of them may come at once, and as many as cost a second: one belongs at the start, a page sends another when it
/// has the metadata, and aria2 sends one instead of many `have`s, dozens a second of a torrent with small pieces.
pub(crate) const MOST_INTRODUCTIONS: u32 = 4;
/// Blocks that may come without being asked for, after which the peer is a nuisance.
pub(crate) const MOST_UNASKED: u32 = 64;
/// Right pieces that make good for a wrong one.
const BAD_PIECE: i64 = 5;
/// So long a link counts as much as a right piece, up to a day's worth of that.
const STEADY: Duration = Duration::from_mins(5);
const MOST_STEADY: i64 = 288;
/// Requests that a peer keeps waiting which does not say how many; what deployed clients use.
const DEFAULT_REQQ: u32 = 250;
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(25);
const KEEP_ALIVE: Duration = Duration::from_mins(1);
const SILENCE: Duration = Duration::from_mins(3);
/// Longer than it takes until everybody of fifty has had a turn of 30 s at a seed with eight slots.
const STILL: Duration = Duration::from_mins(5);
const QUIET: Duration = Duration::from_secs(10);
