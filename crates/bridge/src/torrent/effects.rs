//! Doing what the engine asks for.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use causeway_core::{Info, Time};
use causeway_engine::{
    AnnounceEvent, CloseReason, Config, Event, Input, LinkId, Output, Source, Stored, Torrent,
};

use super::Origin;
use super::book::is_local;
use super::fetches::Fetches;
use super::links::Links;
use super::task::{AGAIN, Task, config};

impl Task {
    /// Tells the engine, and does what it asks for.
    pub(super) fn tell(&mut self, input: Input) {
        self.torrent.handle_input(self.shared.now(), input);
        self.is_announced = false;
        self.poll();
    }

    /// Does all that is to be done at the moment.
    pub(super) fn perform(&mut self) {
        self.poll();
        loop {
            while let Some(input) = self.inputs.pop_front() {
                self.tell(input);
            }
            for link in core::mem::take(&mut self.sent) {
                if let Some(budget) = self.links.grant(link) {
                    self.tell(Input::Writable { link, budget });
                }
            }
            if self.inputs.is_empty() && self.sent.is_empty() {
                break;
            }
        }
        if let Some(storage) = &mut self.storage {
            storage.store.flush();
        }
    }

    fn poll(&mut self) {
        loop {
            match self.torrent.poll_output() {
                Output::Send { link, bytes } => {
                    self.charge(link, bytes.len());
                    self.links.send(link, bytes);
                    self.sent.insert(link);
                }
                Output::CloseLink { link, reason } => self.close(link, &reason),
                Output::Read { block } => {
                    self.last_read = Some(self.shared.now());
                    self.was_asked_for(block.piece());
                    if let Some(storage) = &mut self.storage {
                        self.inputs.extend(storage.store.read(block));
                    }
                }
                Output::Write { block, bytes } => {
                    if let Some(storage) = &mut self.storage {
                        storage.store.write(block, bytes);
                    }
                }
                Output::Hash { piece } => {
                    if let Some(storage) = &mut self.storage {
                        storage.store.hash(piece);
                    }
                }
                Output::Fetch { link, bytes } => self.fetch(link, bytes),
                Output::StopFetch { link } => self.stop_fetch(link),
                Output::PieceDemanded { piece } => self.make_room(piece),
                Output::PeersFound { from, addrs } => {
                    let is_local = self
                        .links
                        .remote(from)
                        .is_some_and(|remote| is_local(remote.ip()));
                    let now = self.shared.now();
                    for address in addrs {
                        self.book.add(address, Origin::Stranger { is_local }, now);
                    }
                }
                Output::Announce(event) => self.has_completed |= event == AnnounceEvent::Completed,
                Output::Event(event) => self.note(event),
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::MetadataReceived(info) => self.use_metadata(&info),
            Event::FileCompleted(file) => {
                if let Some(storage) = &mut self.storage {
                    storage.complete(file);
                }
            }
            Event::StateChanged(state) => {
                tracing::debug!(torrent = %self.info_hash, ?state);
                // Kept at the next opportunity, and shown at once.
                self.record_due = self.record_due.map(|_| Time::ZERO);
                self.shown = Time::ZERO;
            }
            Event::PieceVerified(piece) => {
                tracing::debug!(torrent = %self.info_hash, piece = piece.get(), "a piece is verified");
                self.is_filled(piece);
                self.shelf.put(piece);
            }
            Event::PieceFailed(piece) => {
                tracing::info!(torrent = %self.info_hash, piece = piece.get(), "a piece was wrong, and is fetched again");
            }
        }
    }

    /// The metadata has come. Where files of the torrent are there already, the engine starts anew and looks at them first.
    fn use_metadata(&mut self, info: &Arc<Info>) {
        if let Some(Err(refusal)) = self.relaying.as_ref().map(|relaying| relaying.check(info)) {
            // Before anything of it is told to anybody.
            self.links.close_all(&refusal.to_string());
            self.refused = Some(refusal);
            return;
        }
        let (storage, answers, stored) = self.place.open(info, None, self.relaying.as_mut());
        (self.storage, self.new_answers) = (Some(storage), Some(answers));
        if stored != Stored::Nothing {
            let reason = CloseReason::Stopped.to_string();
            for link in self.met.keys().copied().collect::<Vec<_>>() {
                self.drop_link(link, &reason, Duration::ZERO);
            }
            (self.links, self.fetches) = (Links::default(), Fetches::default());
            let source = Source::Info {
                info: info.clone(),
                stored,
            };
            let config = Config {
                limits: self.limits(),
                ..config(&self.shared, self.relaying.as_ref())
            };
            self.torrent = Torrent::new(config, source, fastrand::u64(..), self.shared.now());
        }
        self.begin();
    }

    fn close(&mut self, link: LinkId, reason: &CloseReason) {
        tracing::debug!(torrent = %self.info_hash, ?link, "closed: {reason}");
        let rest = match reason {
            CloseReason::Silent => return self.lost(link, &reason.to_string()),
            CloseReason::Stopped => AGAIN,
            CloseReason::Enough => LATER,
            CloseReason::Ourselves => {
                if let Some(met) = self.met.get(&link) {
                    self.book.is_us(met.address);
                }
                LATER
            }
            CloseReason::Misbehaved(_)
            | CloseReason::Duplicate
            | CloseReason::Useless
            | CloseReason::WrongData => MUCH_LATER,
        };
        self.drop_link(link, &reason.to_string(), rest);
    }

    pub(super) fn drop_link(&mut self, link: LinkId, reason: &str, rest: Duration) {
        self.links.close(link, reason);
        self.sent.remove(&link);
        if let Some(met) = self.met.remove(&link) {
            let score = self.torrent.score_of(met.address);
            self.book.closed(met.address, score, self.shared.now(), rest);
        }
    }

    /// The peer has gone. One that has never said a word may want to be spoken to in another way.
    pub(super) fn lost(&mut self, link: LinkId, reason: &str) {
        let mute = self.met.get(&link).filter(|met| !met.is_heard).copied();
        if let Some(met) = mute {
            self.met.remove(&link);
            self.refused(met.address, self.shared.now());
        }
        self.drop_link(link, reason, AGAIN);
    }

    pub(super) fn refused(&mut self, address: SocketAddr, now: Time) {
        let ways = self.shared.network.ways().len();
        self.book.refused(address, now, ways);
    }
}

const LATER: Duration = Duration::from_mins(1);
const MUCH_LATER: Duration = Duration::from_mins(10);
