//! A torrent that is carried over to browsers: which pieces have room in the cache, and who may have how much.
//!
//! The engine says what is asked for, the cache when there is room for it and when the room is wanted again. Beside what
//! is asked for, a few pieces that follow it are fetched in advance, as far as that takes room from nobody.

use core::net::IpAddr;
use core::ops::Range;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causeway_core::{Info, PieceIndex, Time};
use causeway_engine::{Input, LinkId, LinkKind, PieceUse};
use tokio::sync::mpsc::UnboundedReceiver;

use super::task::Task;
use crate::disk::{Cache, Medium, Portion, Room};
use crate::gateway::Quotas;

/// What a torrent is carried over with.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// Where its pieces are for a while.
    pub(crate) cache: Arc<Cache>,
    /// How much whom may be given.
    pub(crate) quotas: Arc<Quotas>,
    /// No torrent is longer, in bytes.
    pub(crate) max_length: u64,
    /// Links of one torrent.
    pub(crate) max_peers: usize,
}

/// Why a torrent is not carried over, once it is known what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only its own trackers may introduce its peers (BEP 27).
    #[error("it is private")]
    Private,
    /// It is longer than the operator allows.
    #[error("it is too large: {length} bytes, where at most {most} are carried over")]
    TooLarge {
        /// Its length in bytes.
        length: u64,
        /// The longest that is allowed.
        most: u64,
    },
    /// Two of its pieces don't fit into the cache.
    #[error("its pieces of {length} bytes are too large for a cache of {most} bytes")]
    PieceTooLarge {
        /// Their length in bytes.
        length: u64,
        /// What the cache holds.
        most: u64,
    },
}

impl Relayed {
    fn check(&self, info: &Info) -> Result<(), Refusal> {
        let geometry = info.geometry();
        let (length, most) = (geometry.total_length(), self.max_length);
        let piece = u64::from(geometry.piece_length());
        if info.is_private() {
            Err(Refusal::Private)
        } else if length > most {
            Err(Refusal::TooLarge { length, most })
        } else if piece * 2 > self.cache.capacity() {
            let most = self.cache.capacity();
            Err(Refusal::PieceTooLarge { length: piece, most })
        } else {
            Ok(())
        }
    }
}

/// How a torrent that is carried over stands.
#[derive(Debug)]
pub(super) struct Relaying {
    relayed: Relayed,
    portion: Option<Arc<Portion>>,
    rooms: Option<UnboundedReceiver<Room>>,
    /// Pieces that room was asked for.
    waiting: BTreeSet<PieceIndex>,
    /// Pieces that are being fetched, and since when.
    filling: BTreeMap<PieceIndex, Time>,
    /// Pieces whose room is wanted, and that are in use for a moment.
    owed: BTreeSet<PieceIndex>,
    owed_due: Time,
    due: Time,
}

impl Relaying {
    pub(super) fn new(relayed: Relayed) -> Self {
        Self {
            relayed,
            portion: None,
            rooms: None,
            waiting: BTreeSet::new(),
            filling: BTreeMap::new(),
            owed: BTreeSet::new(),
            owed_due: Time::ZERO,
            due: Time::ZERO,
        }
    }

    /// The metadata is known: says where the pieces go.
    pub(super) fn open(&mut self, info: &Arc<Info>) -> Arc<Portion> {
        let (portion, rooms) = Portion::new(self.relayed.cache.clone(), info.clone());
        (self.portion, self.rooms) = (Some(portion.clone()), Some(rooms));
        portion
    }

    /// What the cache says.
    pub(super) async fn room(&mut self) -> Room {
        if let Some(rooms) = &mut self.rooms
            && let Some(room) = rooms.recv().await
        {
            return room;
        }
        core::future::pending().await
    }

    /// Links that it has at most.
    pub(super) const fn max_peers(&self) -> usize {
        self.relayed.max_peers
    }

    /// Where its pieces can be read.
    pub(super) fn medium(&self) -> Option<Arc<dyn Medium>> {
        let portion = self.portion.clone();
        portion.map(|portion| portion as Arc<dyn Medium>)
    }

    pub(super) fn check(&self, info: &Info) -> Result<(), Refusal> {
        self.relayed.check(info)
    }

    /// Whether somebody at this address may have more.
    pub(super) fn admits(&self, task: &Task, host: Option<IpAddr>) -> Result<(), String> {
        let allowed = self.relayed.quotas.admit(host, task.info_hash);
        allowed.map_err(|exhausted| exhausted.to_string())
    }

    pub(super) fn due(&self) -> Time {
        if self.owed.is_empty() {
            self.due
        } else {
            self.due.min(self.owed_due)
        }
    }
}

impl Task {
    /// Somebody asks for a piece that is not here.
    pub(super) fn make_room(&mut self, piece: PieceIndex) {
        let Some(info) = self.torrent.info().cloned() else {
            return;
        };
        let Some(relaying) = &mut self.relaying else {
            return;
        };
        let Some(portion) = &relaying.portion else { return };
        let geometry = info.geometry();
        let length = geometry.piece_length();
        let ahead = (AHEAD / length).clamp(1, MOST_AHEAD);
        let ahead = if portion.has_share_for(u64::from(length) * u64::from(ahead + 1)) {
            ahead
        } else {
            0
        };
        let following = (1..=ahead).filter_map(|next| geometry.piece(piece.get().checked_add(next)?));
        let following = following.filter(|piece| self.torrent.is_wanted_ahead(*piece));
        for piece in [piece].into_iter().chain(following) {
            if relaying.waiting.insert(piece) {
                portion.ask(piece);
            }
        }
    }

    /// What the cache says of a piece.
    pub(super) fn take_room(&mut self, room: Room) {
        let now = self.shared.now();
        let Some(relaying) = &mut self.relaying else {
            return;
        };
        let Some(portion) = relaying.portion.clone() else {
            return;
        };
        match room {
            Room::Granted(piece) => {
                if relaying.waiting.remove(&piece) {
                    relaying.filling.insert(piece, now);
                    self.tell(Input::PieceAdmitted { piece });
                } else {
                    portion.release(piece);
                }
            }
            Room::Wanted(piece) => {
                if !self.give_up(piece, now) {
                    portion.refuse(piece);
                    if let Some(relaying) = &mut self.relaying {
                        relaying.owed.insert(piece);
                        relaying.owed_due = relaying.owed_due.max(now + SOON);
                    }
                }
            }
        }
    }

    /// Gives up a piece whose room is wanted, if it is not in use. Says whether it did.
    fn give_up(&mut self, piece: PieceIndex, now: Time) -> bool {
        let Some(relaying) = &self.relaying else {
            return false;
        };
        let filling = relaying.filling.get(&piece);
        let is_slow = filling.is_some_and(|since| now.since(*since) >= SLOW);
        let is_free = match self.use_of(piece) {
            PieceUse::Busy => false,
            PieceUse::Awaited => is_slow,
            // What was fetched in advance comes any moment.
            PieceUse::Idle => is_slow || filling.is_none(),
        };
        if is_free {
            self.let_go(piece, Portion::evict);
        }
        is_free
    }

    /// A piece goes.
    fn let_go(&mut self, piece: PieceIndex, go: fn(&Portion, PieceIndex)) {
        // Whoever reads it is told before its room is another's.
        self.shelf.remove(piece);
        if let Some(relaying) = &mut self.relaying {
            relaying.filling.remove(&piece);
            if let Some(portion) = &relaying.portion {
                go(portion, piece);
            }
        }
        self.tell(Input::PieceLost { piece });
    }

    /// What a piece is needed for, by peers and by those who read over HTTP.
    fn use_of(&self, piece: PieceIndex) -> PieceUse {
        let of_peers = self.torrent.use_of(piece);
        if of_peers == PieceUse::Idle && self.is_read_next(piece) {
            PieceUse::Awaited
        } else {
            of_peers
        }
    }

    fn is_read_next(&self, piece: PieceIndex) -> bool {
        let Some(info) = self.torrent.info() else {
            return false;
        };
        let next = |bytes: Range<u64>| info.geometry().pieces_of(bytes).next();
        self.readers.all().any(|bytes| next(bytes) == Some(piece))
    }

    /// Somebody reads this over HTTP: the rest is to be there in time.
    pub(super) fn read_on(&mut self, bytes: Range<u64>) {
        let Some(info) = self.torrent.info() else { return };
        if let Some(piece) = info.geometry().pieces_of(bytes.clone()).next() {
            self.was_asked_for(piece);
        }
        self.read_ahead(bytes);
    }

    /// Asks for room for what is read next over HTTP and not here: what comes in a few seconds, as far as the cache has room for
    /// all who read.
    pub(super) fn read_ahead(&mut self, bytes: Range<u64>) {
        let Some(info) = self.torrent.info().cloned() else {
            return;
        };
        let coming = self.torrent.stats().download_rate.saturating_mul(AHEAD_SECONDS);
        let Some(relaying) = &mut self.relaying else {
            return;
        };
        let Some(portion) = &relaying.portion else { return };
        // What was read a moment ago goes after what is to be read next, so that there has to be room for both.
        let share = portion.share() / (4 * self.shelf.visitors().max(1) as u64);
        let ahead = coming.clamp(LEAST_AHEAD, AHEAD.into()).min(share).max(1);
        let next = bytes.start..bytes.end.min(bytes.start.saturating_add(ahead));
        for piece in info.geometry().pieces_of(next) {
            if self.torrent.is_offered(piece) && relaying.waiting.insert(piece) {
                portion.ask(piece);
            }
        }
    }

    /// What was in use a moment ago goes now, if its room is still wanted.
    fn give_what_is_owed(&mut self, now: Time) {
        let Some(relaying) = &mut self.relaying else {
            return;
        };
        if relaying.owed.is_empty() || now < relaying.owed_due {
            return;
        }
        relaying.owed_due = now + SOON;
        let owed = core::mem::take(&mut relaying.owed);
        if !relaying
            .portion
            .as_ref()
            .is_some_and(|portion| portion.is_wanted())
        {
            return;
        }
        let mut kept = BTreeSet::new();
        for piece in owed {
            if !self.give_up(piece, now) {
                kept.insert(piece);
            }
        }
        if let Some(relaying) = &mut self.relaying {
            relaying.owed.append(&mut kept);
        }
    }

    /// A block is read for somebody.
    pub(super) fn was_asked_for(&self, piece: PieceIndex) {
        if let Some(relaying) = &self.relaying
            && let Some(portion) = &relaying.portion
        {
            portion.touch(piece);
        }
    }

    /// The piece is there.
    pub(super) fn is_filled(&mut self, piece: PieceIndex) {
        if let Some(relaying) = &mut self.relaying {
            relaying.filling.remove(&piece);
        }
    }

    /// Once a second: who has had enough, and what nobody waits for.
    pub(super) fn keep_relaying(&mut self, now: Time) {
        self.give_what_is_owed(now);
        let Some(relaying) = self.relaying.as_mut().filter(|relaying| relaying.due <= now) else {
            return;
        };
        relaying.due = now + EVERY;
        let (waiting, filling) = (relaying.waiting.clone(), relaying.filling.clone());
        for piece in waiting {
            if self.use_of(piece) == PieceUse::Idle
                && let Some(relaying) = &mut self.relaying
                && let Some(portion) = &relaying.portion
            {
                relaying.waiting.remove(&piece);
                portion.withdraw(piece);
            }
        }
        for (piece, since) in filling {
            if now.since(since) >= HOPELESS && self.use_of(piece) == PieceUse::Idle {
                self.let_go(piece, Portion::release);
            }
        }
        // What has lost its room, or had nobody to come from, comes now.
        for bytes in self.readers.all().collect::<Vec<_>>() {
            self.read_ahead(bytes);
        }
        self.close_exhausted();
    }

    /// Counts what is given to a browser.
    pub(super) fn charge(&self, link: LinkId, bytes: usize) {
        if let Some(relaying) = &self.relaying
            && self.links.kind(link) == Some(LinkKind::WebRtc)
        {
            let (host, quotas) = (self.links.host(link), &relaying.relayed.quotas);
            quotas.charge(host, self.info_hash, bytes as u64);
        }
    }

    /// Takes leave of those who have had enough.
    fn close_exhausted(&mut self) {
        let Some(relaying) = &self.relaying else { return };
        let browsers = self.torrent.peers().filter(|peer| peer.kind == LinkKind::WebRtc);
        let enough = browsers.filter_map(|peer| {
            let reason = relaying.admits(self, self.links.host(peer.link)).err()?;
            Some((peer.link, reason))
        });
        for (link, reason) in enough.collect::<Vec<_>>() {
            tracing::info!(torrent = %self.info_hash, "a browser is given no more: {reason}");
            self.drop_link(link, &reason, Duration::ZERO);
            self.tell(Input::LinkClosed { link });
        }
    }
}

/// Bytes that are fetched beyond a piece that is asked for, and at the most so many pieces.
const AHEAD: u32 = 4 * 1024 * 1024;
const MOST_AHEAD: u32 = 32;
/// Over HTTP, what comes in so many seconds is fetched beyond that; at least so many bytes.
const AHEAD_SECONDS: u64 = 4;
const LEAST_AHEAD: u64 = 512 * 1024;
/// A piece that takes longer has to make room for others.
const SLOW: Duration = Duration::from_secs(30);
/// A piece that takes longer, and that nobody waits for, is given up.
const HOPELESS: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_secs(1);
/// A piece that is in use is looked at again after this.
const SOON: Duration = Duration::from_millis(20);
