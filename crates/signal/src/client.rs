//! One peer's side of the signaling, for all its torrents at all their trackers.
//!
//! [`Client`] decides when to connect to which tracker, what to announce when, how many offers to make for which
//! torrent, and whose offers to answer. It has no socket, clock or WebRTC: the driver opens sockets, makes
//! peer connections and tells what happened.
//!
//! ```ignore
//! let mut client = Client::new(Config::new(peer_id), seed, now());
//! client.add_torrent(now(), info_hash, &trackers);
//! loop {
//!     let deadline = loop {
//!         match client.poll_output() {
//!             Output::Timeout(deadline) => break deadline,
//!             effect => perform(effect),
//!         }
//!     };
//!     match wait_for_something_until(deadline) {
//!         Something::Passed => client.handle_timeout(now()),
//!         Something::Message(tracker, text) => client.handle_message(now(), tracker, &text),
//!         // ... and so on: each `handle_*` is one thing that happens
//!     }
//! }
//! ```
//!
//! # How it goes about it
//! - One socket a tracker carries all torrents. Opening it and making the first offers begin in the same moment,
//!   and the first announce leaves with the first offer that is ready: somebody waits for the first piece. The
//!   other offers follow once the reply tells that there are more peers.
//! - An offer costs a peer connection, so it is used well. A tracker stores no offers: those for which it had
//!   nobody are sent to another one or closed. One that may still be answered is sent again with the
//!   next announce and to every tracker; the first answer takes it.
//! - Torrents take turns at the budget. One that gets no offer announces without, and offers later.
//! - Who has everything makes offers only when a tracker tells of somebody who may need them.
//! - Two peers may offer to each other at the same time. Both connections are then dialed, because not every
//!   client keeps the same one; once both are open the one that the larger peer id offered stays.

mod connection;
mod io;
mod membership;
mod peers;
mod schedule;
mod torrent;
mod tracker;

#[cfg(test)]
mod tests;

pub use io::{Config, ConnectionId, Output, Progress, TrackerId, TrackerState, TrackerStatus};

use crate::message::{Event, TrackerMessage};
use causeway_core::{InfoHash, SortedMap, Time};
use membership::Membership;
use std::collections::VecDeque;
use torrent::Torrent;
use tracker::{Tracker, excerpt, websocket_url};

/// Longer tracker addresses are not used.
const MAX_URL_BYTES: usize = 2048;

/// All torrents of one peer at all their trackers.
///
/// Call `handle_*` as things happen and plain verbs as the user wants; then [`poll_output`](Self::poll_output)
/// until it gives [`Output::Timeout`], and no later than that moment [`handle_timeout`](Self::handle_timeout).
/// Every call may come at any time and in any order: what no longer applies is ignored. Time never goes back; a
/// moment before an earlier one counts as that one.
#[derive(Debug)]
pub struct Client {
    config: Config,
    rng: fastrand::Rng,
    now: Time,
    /// The driver has told the time since it last waited.
    awake: bool,
    /// Something has changed since the last step.
    changed: bool,
    torrents: SortedMap<InfoHash, Torrent>,
    trackers: SortedMap<TrackerId, Tracker>,
    /// Whose connection it is.
    owners: SortedMap<ConnectionId, InfoHash>,
    next_tracker: u32,
    next_connection: u32,
    /// The torrent that was last given an offer; the next one has its turn.
    last_served: Option<InfoHash>,
    /// No offers are made until then, because making one failed.
    offers_pause: Time,
    outputs: VecDeque<Output>,
}

impl Client {
    /// A client without torrents. `seed` decides everything that is random; labels and names of offers are
    /// drawn from it, so no two clients may have the same.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Time) -> Self {
        Self {
            config,
            rng: fastrand::Rng::with_seed(seed),
            now,
            awake: true,
            changed: false,
            torrents: SortedMap::new(),
            trackers: SortedMap::new(),
            owners: SortedMap::new(),
            next_tracker: 0,
            next_connection: 0,
            last_served: None,
            offers_pause: now,
            outputs: VecDeque::new(),
        }
    }

    /// Announce a torrent from now on. Addresses that are not `ws://` or `wss://`, and those beyond the
    /// configured numbers, are not used. For a torrent that is there already the trackers are added.
    ///
    /// Say with [`update`](Self::update) how the torrent stands before the next
    /// [`poll_output`](Self::poll_output): what is done first depends on it.
    pub fn add_torrent(&mut self, now: Time, info_hash: InfoHash, trackers: &[String]) {
        self.wake(now);
        let torrent = self.torrents.get_or_insert_with(info_hash, Torrent::new);
        for url in trackers.iter().filter_map(|url| websocket_url(url)) {
            if torrent.memberships.len() >= self.config.trackers_per_torrent {
                break;
            }
            let known = self
                .trackers
                .iter()
                .find(|(_, tracker)| tracker.url == url)
                .map(|(id, _)| *id);
            if known.is_none() && self.trackers.len() >= self.config.trackers {
                continue;
            }
            let id = known.unwrap_or_else(|| {
                let id = TrackerId(self.next_tracker);
                self.next_tracker = self.next_tracker.wrapping_add(1);
                self.trackers.insert(id, Tracker::new(url));
                id
            });
            torrent
                .memberships
                .get_or_insert_with(id, || Membership::new(self.now));
        }
    }

    /// Tell how a torrent stands; the next announces will say so. Peers that are wanted again after none were
    /// make the next announce come early.
    pub fn update(&mut self, info_hash: InfoHash, progress: Progress) {
        let Some(torrent) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        let before = core::mem::replace(&mut torrent.progress, progress);
        if before.wanted_peers == 0 && progress.wanted_peers > 0 {
            for membership in torrent.memberships.values_mut() {
                membership.eager = membership.is_started();
            }
        }
        // Of the rest, only the next announce speaks.
        let complete = |progress: &Progress| progress.left == Some(0);
        if before.wanted_peers != progress.wanted_peers || complete(&before) != complete(&progress) {
            self.changed = true;
        }
    }

    /// Tell the trackers of this now. [`Event::Stopped`] pauses the torrent: what is not open yet is closed, and
    /// nothing is announced until [`Event::Started`] resumes it.
    pub fn announce(&mut self, now: Time, info_hash: InfoHash, event: Event) {
        self.wake(now);
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        match event {
            Event::Stopped => self.stop(info_hash),
            Event::Started if !torrent.running => {
                torrent.running = true;
                torrent
                    .memberships
                    .values_mut()
                    .for_each(|membership| membership.restart(now));
            }
            Event::Update | Event::Completed | Event::Paused if torrent.running => {
                torrent
                    .memberships
                    .values_mut()
                    .for_each(|membership| membership.tell(now, event));
            }
            Event::Started | Event::Update | Event::Completed | Event::Paused => {}
        }
    }

    /// Forget a torrent: tell its trackers that it stopped, and close all its connections.
    pub fn remove_torrent(&mut self, now: Time, info_hash: InfoHash) {
        self.wake(now);
        self.stop(info_hash);
        let Some(torrent) = self.torrents.remove(&info_hash) else {
            return;
        };
        for (id, _) in torrent.connections {
            self.owners.remove(&id);
            self.outputs.push_back(Output::Close { connection: id });
        }
        let torrents = &self.torrents;
        let used = |id: &TrackerId| {
            torrents
                .values()
                .any(|torrent| torrent.memberships.contains_key(id))
        };
        for (id, mut tracker) in self.trackers.take_if(|id, _| !used(id)) {
            if tracker.rest() {
                self.outputs.push_back(Output::Disconnect { tracker: id });
            }
        }
    }

    /// The WebSocket is open.
    pub fn handle_connected(&mut self, now: Time, tracker: TrackerId) {
        self.wake(now);
        if self
            .trackers
            .get_mut(&tracker)
            .is_some_and(|it| it.connected(self.now))
        {
            for torrent in self.torrents.values_mut().filter(|torrent| torrent.running) {
                if let Some(membership) = torrent.memberships.get_mut(&tracker) {
                    membership.restart(self.now);
                }
            }
        }
    }

    /// A text message came. What can't be understood is ignored.
    pub fn handle_message(&mut self, now: Time, tracker: TrackerId, text: &str) {
        self.wake(now);
        let Some(sender) = self
            .trackers
            .get_mut(&tracker)
            .filter(|sender| sender.is_connected())
        else {
            return;
        };
        let message = match TrackerMessage::parse(text) {
            Ok(message) => message,
            Err(error) => {
                sender.warning = Some(excerpt(&format!(
                    "the tracker sent what can't be understood: {error}"
                )));
                return;
            }
        };
        sender.heard();
        match message {
            TrackerMessage::Announced {
                info_hash,
                complete,
                incomplete,
                interval,
                tracker_id,
                warning,
            } => {
                let Some(torrent) = self.torrents.get_mut(&info_hash) else {
                    return;
                };
                let Some(membership) = torrent.memberships.get_mut(&tracker) else {
                    return;
                };
                sender.warning = None;
                membership.warning = warning.as_deref().map(excerpt);
                if let Some(id) = tracker_id {
                    membership.keep_tracker_id(id);
                }
                let dropped = membership.replied(complete, incomplete, interval);
                torrent.not_relayed(tracker, Some(&dropped));
            }
            TrackerMessage::Failure {
                info_hash, reason, ..
            } => {
                let torrent = info_hash.and_then(|info_hash| self.torrents.get_mut(&info_hash));
                match torrent.and_then(|torrent| torrent.memberships.get_mut(&tracker)) {
                    Some(membership) => membership.refused(excerpt(&reason)),
                    None => sender.warning = Some(excerpt(&reason)),
                }
            }
            TrackerMessage::Offer {
                info_hash,
                peer_id,
                offer_id,
                offer,
            } => {
                self.offered(tracker, info_hash, peer_id, offer_id, offer);
            }
            TrackerMessage::Answer {
                info_hash,
                peer_id,
                offer_id,
                answer,
            } => {
                self.answered(info_hash, peer_id, offer_id, answer);
            }
            TrackerMessage::Scraped { .. } => {}
        }
    }

    /// The WebSocket could not be opened, or has closed; `reason` in words for the user.
    pub fn handle_disconnected(&mut self, now: Time, tracker: TrackerId, reason: &str) {
        self.wake(now);
        self.lose(tracker, reason);
    }

    /// The moment of [`Output::Timeout`] has come. Harmless at any other.
    pub fn handle_timeout(&mut self, now: Time) {
        self.wake(now);
    }

    /// What to do next; ends with [`Output::Timeout`], which is given again until something happens.
    #[must_use]
    pub fn poll_output(&mut self) -> Output {
        // Acting only here lets everything that happened at one moment be seen together.
        if self.outputs.is_empty() && self.changed && self.awake {
            self.changed = false;
            self.step();
        }
        self.outputs.pop_front().unwrap_or_else(|| {
            self.awake = false;
            Output::Timeout(if self.changed {
                Some(self.now)
            } else {
                self.deadline()
            })
        })
    }

    /// How a torrent stands with each of its trackers.
    pub fn trackers(&self, info_hash: InfoHash) -> impl Iterator<Item = TrackerStatus<'_>> {
        let memberships = self
            .torrents
            .get(&info_hash)
            .into_iter()
            .flat_map(|torrent| &torrent.memberships);
        memberships.filter_map(|(id, membership)| {
            let tracker = self.trackers.get(id)?;
            Some(TrackerStatus {
                url: &tracker.url,
                state: tracker.state(),
                warning: membership.warning.as_deref().or(tracker.warning.as_deref()),
                seeders: membership.seeders,
                leechers: membership.leechers,
            })
        })
    }

    fn wake(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.awake = true;
        self.changed = true;
    }

    fn random_bytes(&mut self) -> [u8; 20] {
        let mut bytes = [0; 20];
        self.rng.fill(&mut bytes);
        bytes
    }
}
