//! What the client does of its own accord: everything that depends on time, on budgets, or on several torrents
//! and trackers together.

use super::Client;
use super::connection::{Connection, DESCRIBE_TIMEOUT};
use super::io::{ConnectionId, Output, TrackerId};
use super::membership::PATIENCE;
use super::tracker::Tracker;
use crate::message::{Announce, ClientMessage, Event, Left};
use causeway_core::{InfoHash, SortedSet, Time};
use core::ops::Bound;
use core::time::Duration;

/// Announces stay below this, unless one offer alone is longer: `aquatic_ws` takes at most 16 KiB in a frame.
const ANNOUNCE_BYTES: usize = 15 * 1024;

/// What an offer takes in an announce beside its description, at most.
const OFFER_OVERHEAD_BYTES: usize = 160;

/// After an offer could not be made the next is tried no sooner: a browser that can't won't be asked over and
/// over.
const OFFERS_PAUSE: Duration = Duration::from_secs(5);

impl Client {
    /// Does all that is due.
    pub(super) fn step(&mut self) {
        self.tend_trackers();
        self.end_connections();
        self.hasten_announces();
        self.close_surplus();
        self.announce_due();
        self.create_offers();
    }

    /// The next moment at which [`step`](Self::step) has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let trackers = self.trackers.values().filter_map(Tracker::deadline);
        let connections = self
            .torrents
            .values()
            .flat_map(|torrent| torrent.connections.values());
        let connections = connections.filter_map(Connection::deadline);
        let running = self.torrents.values().filter(|torrent| torrent.running);
        let announces = running
            .flat_map(|torrent| &torrent.memberships)
            .filter_map(|(id, membership)| {
                self.trackers.get(id).filter(|tracker| tracker.is_connected())?;
                let patience = if membership.is_due(self.now) {
                    PATIENCE
                } else {
                    Duration::ZERO
                };
                Some(membership.due() + patience)
            });
        let offers =
            (self.now < self.offers_pause && self.next_lacking().is_some()).then_some(self.offers_pause);
        trackers.chain(connections).chain(announces).chain(offers).min()
    }

    fn tend_trackers(&mut self) {
        let running = self.torrents.values().filter(|torrent| torrent.running);
        let wanted: SortedSet<TrackerId> = running
            .flat_map(|torrent| torrent.memberships.keys().copied())
            .collect();
        let mut overdue = Vec::new();
        for (&id, tracker) in &mut self.trackers {
            if !wanted.contains(&id) {
                if tracker.rest() {
                    self.outputs.push_back(Output::Disconnect { tracker: id });
                }
            } else if tracker.can_connect(self.now) {
                tracker.connect(self.now);
                self.outputs.push_back(Output::Connect {
                    tracker: id,
                    url: tracker.url.clone(),
                });
            } else if let Some(reason) = tracker.overdue(self.now) {
                overdue.push((id, reason));
            }
        }
        for (id, reason) in overdue {
            self.outputs.push_back(Output::Disconnect { tracker: id });
            self.lose(id, reason);
        }
    }

    fn end_connections(&mut self) {
        let mut ended = Vec::new();
        for torrent in self.torrents.values() {
            for (id, connection) in &torrent.connections {
                if connection.deadline().is_some_and(|deadline| deadline <= self.now) {
                    ended.push((*id, connection.is_creating()));
                }
            }
        }
        for (id, creating) in ended {
            self.close(id);
            if creating {
                self.pause_offers();
            }
        }
    }

    fn hasten_announces(&mut self) {
        for torrent in self.torrents.values_mut().filter(|torrent| torrent.running) {
            let appetite = torrent.appetite(&self.config);
            torrent
                .memberships
                .values_mut()
                .for_each(|membership| membership.hasten(self.now, &appetite));
        }
    }

    fn close_surplus(&mut self) {
        let (now, config, trackers) = (self.now, &self.config, &self.trackers);
        let surplus: Vec<_> = self
            .torrents
            .values()
            .flat_map(|torrent| torrent.surplus(now, config, trackers))
            .collect();
        for id in surplus {
            self.close(id);
        }
    }

    fn announce_due(&mut self) {
        let pairs: Vec<(InfoHash, TrackerId)> = self
            .torrents
            .iter()
            .filter(|(_, torrent)| torrent.running)
            .flat_map(|(info_hash, torrent)| torrent.memberships.keys().map(|id| (*info_hash, *id)))
            .filter(|(_, id)| self.trackers.get(id).is_some_and(Tracker::is_connected))
            .collect();
        for (info_hash, tracker) in pairs {
            if let Some(offers) = self.offers_to_announce(info_hash, tracker) {
                self.announce_with(info_hash, tracker, &offers);
            }
        }
    }

    /// The offers with which to announce now; `None` where it isn't time, or the offers are worth waiting for.
    fn offers_to_announce(&self, info_hash: InfoHash, tracker: TrackerId) -> Option<Vec<ConnectionId>> {
        let torrent = self.torrents.get(&info_hash)?;
        let membership = torrent.memberships.get(&tracker)?;
        let appetite = torrent.appetite(&self.config);
        let again = membership.is_due(self.now);
        let wanted = membership.wanted(self.now, &appetite);
        let mut offers = Vec::new();
        let mut room = ANNOUNCE_BYTES;
        for (id, offer) in torrent.sendable(self.now, tracker, again).take(wanted) {
            let bytes = offer.description.get().len() + OFFER_OVERHEAD_BYTES;
            if bytes > room && !offers.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            offers.push(id);
        }
        let enough = if !again {
            !offers.is_empty()
        } else if membership.is_started() {
            offers.len() >= wanted || room < ANNOUNCE_BYTES / 8
        } else {
            // Somebody waits for the first piece: the other offers follow.
            wanted == 0 || !offers.is_empty()
        };
        let patient = !again || self.now < membership.due() + PATIENCE;
        (enough || !patient).then_some(offers)
    }

    fn announce_with(&mut self, info_hash: InfoHash, tracker: TrackerId, offers: &[ConnectionId]) {
        let Some(torrent) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        let Some(membership) = torrent.memberships.get_mut(&tracker) else {
            return;
        };
        let event = membership.announced(self.now, offers);
        for id in offers {
            if let Some(Connection::Offered(offer)) = torrent.connections.get_mut(id) {
                offer.relayed_by.insert(tracker);
            }
        }
        self.send_announce(info_hash, tracker, event, offers);
        if let Some(tracker) = self.trackers.get_mut(&tracker) {
            tracker.asked(self.now);
        }
    }

    fn send_announce(
        &mut self,
        info_hash: InfoHash,
        tracker: TrackerId,
        event: Event,
        offers: &[ConnectionId],
    ) {
        let Some(torrent) = self.torrents.get(&info_hash) else {
            return;
        };
        let Some(membership) = torrent.memberships.get(&tracker) else {
            return;
        };
        let offers: Vec<_> = offers
            .iter()
            .filter_map(|id| torrent.connections.get(id)?.offer_item())
            .collect();
        let message = ClientMessage::Announce(Announce {
            info_hash,
            peer_id: self.config.peer_id,
            event,
            uploaded: torrent.progress.uploaded,
            downloaded: torrent.progress.downloaded,
            left: Left::from_bytes(torrent.progress.left),
            numwant: u32::try_from(offers.len()).ok(),
            offers,
            tracker_id: membership.tracker_id.as_deref(),
        });
        self.outputs.push_back(Output::Send {
            tracker,
            text: message.to_json(),
        });
    }

    /// Makes the offers that the torrents lack, as far as the budget goes: one for each torrent in turn.
    fn create_offers(&mut self) {
        if self.now < self.offers_pause {
            return;
        }
        let mut room = self
            .config
            .offer_budget
            .saturating_sub(self.count(Connection::is_offer));
        while room > 0 {
            let Some(info_hash) = self.next_lacking() else {
                return;
            };
            let until = self.now + DESCRIBE_TIMEOUT;
            let connection = self.insert(info_hash, Connection::Creating { until });
            let label = InfoHash::new(self.random_bytes()).to_string();
            self.outputs.push_back(Output::CreateOffer {
                connection,
                info_hash,
                label,
            });
            self.last_served = Some(info_hash);
            room -= 1;
        }
    }

    /// The torrent whose turn it is to get an offer.
    fn next_lacking(&self) -> Option<InfoHash> {
        let after = self.last_served.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.torrents.range((after, Bound::Unbounded));
        // Once more from the start, for those that come before.
        later
            .chain(&self.torrents)
            .find(|(_, torrent)| torrent.lacking(self.now, &self.config, &self.trackers) > 0)
            .map(|(info_hash, _)| *info_hash)
    }

    /// Tells the trackers that the torrent has stopped, and closes what is not open yet.
    pub(super) fn stop(&mut self, info_hash: InfoHash) {
        let Some(torrent) = self.torrents.get_mut(&info_hash) else {
            return;
        };
        torrent.running = false;
        let unfinished = torrent
            .connections
            .iter()
            .filter(|(_, it)| !matches!(it, Connection::Open { .. }));
        let unfinished: Vec<_> = unfinished.map(|(id, _)| *id).collect();
        let joined = torrent
            .memberships
            .iter()
            .filter(|(_, membership)| membership.is_started());
        let joined: Vec<_> = joined.map(|(id, _)| *id).collect();
        for id in joined {
            self.send_announce(info_hash, id, Event::Stopped, &[]);
        }
        if let Some(torrent) = self.torrents.get_mut(&info_hash) {
            torrent
                .memberships
                .values_mut()
                .for_each(|membership| membership.restart(self.now));
        }
        for id in unfinished {
            self.close(id);
        }
    }

    /// A tracker's socket is gone.
    pub(super) fn lose(&mut self, tracker: TrackerId, reason: &str) {
        if self
            .trackers
            .get_mut(&tracker)
            .is_some_and(|it| it.lost(self.now, reason, &mut self.rng))
        {
            for torrent in self.torrents.values_mut() {
                torrent.not_relayed(tracker, None);
                if let Some(membership) = torrent.memberships.get_mut(&tracker) {
                    membership.restart(self.now);
                }
            }
        }
    }

    pub(super) fn pause_offers(&mut self) {
        self.offers_pause = self.now + OFFERS_PAUSE;
    }
}
