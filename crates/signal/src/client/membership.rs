//! One torrent at one tracker: when to announce, and with how many offers.

use super::io::ConnectionId;
use crate::message::Event;
use causeway_core::Time;
use core::time::Duration;
use serde_json::value::RawValue;

/// Until a tracker says otherwise; what the reference tracker says.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(2);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// The least time between an announce and one out of schedule. It doubles with every such announce that did not
/// lead to a connection.
const EARLY: Duration = Duration::from_secs(15);

/// How long an announce that is due waits for its offers.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);

/// A longer `tracker id` is not kept.
const TRACKER_ID_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Membership {
    /// What the next announce has to tell.
    event: Option<Event>,
    /// When the next regular announce is due.
    next: Time,
    interval: Duration,
    /// When the last announce was sent.
    last: Time,
    /// How long after `last` an announce out of schedule may be sent.
    early: Duration,
    /// Peers are wanted again: announce out of schedule.
    pub(super) eager: bool,
    /// The tracker knows us in this swarm.
    pub(super) started: bool,
    /// The last announce has not been replied to.
    awaiting: bool,
    /// Offers that were sent since the last regular announce and may have found a peer.
    sent: usize,
    /// The offers of the last announce, in their order.
    last_sent: Vec<ConnectionId>,
    pub(super) seeders: Option<u32>,
    pub(super) leechers: Option<u32>,
    pub(super) warning: Option<String>,
    pub(super) tracker_id: Option<Box<RawValue>>,
}

/// What a torrent would do with offers, whatever the tracker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appetite {
    /// The most offers at once.
    pub(super) most: usize,
    /// Nothing is missing.
    pub(super) complete: bool,
    /// Connections that are open or about to be.
    pub(super) peers: usize,
    /// Neither a peer nor an offer that somebody may answer.
    pub(super) stranded: bool,
}

impl Membership {
    pub(super) fn new(now: Time) -> Self {
        Self {
            event: Some(Event::Started),
            next: now,
            interval: DEFAULT_INTERVAL,
            last: now,
            early: EARLY,
            eager: false,
            started: false,
            awaiting: false,
            sent: 0,
            last_sent: Vec::new(),
            seeders: None,
            leechers: None,
            warning: None,
            tracker_id: None,
        }
    }

    /// Begin again: the socket is new, or the torrent runs again.
    pub(super) fn restart(&mut self, now: Time) {
        let known = (self.interval, self.tracker_id.take(), self.warning.take());
        *self = Self::new(now);
        (self.interval, self.tracker_id, self.warning) = known;
    }

    /// Announce this as soon as possible. Whoever has not joined yet has nothing else to tell.
    pub(super) fn tell(&mut self, now: Time, event: Event) {
        if self.event != Some(Event::Started) {
            self.event = Some(event);
            self.next = now;
        }
    }

    /// When the next announce is due, in schedule or out of it.
    pub(super) fn due(&self, appetite: &Appetite) -> Time {
        let lost = appetite.stranded && !appetite.complete && self.others().is_some_and(|others| others > 0);
        if (self.eager || lost) && self.round(appetite) > 0 {
            self.next.min(self.last + self.early)
        } else {
            self.next
        }
    }

    /// How many offers the announce that is due should carry.
    pub(super) fn round(&self, appetite: &Appetite) -> usize {
        match self.event {
            Some(Event::Completed | Event::Stopped | Event::Paused) => 0,
            Some(Event::Started | Event::Update) | None => self.useful(appetite).min(appetite.most),
        }
    }

    /// How many offers more could be answered before the next regular announce.
    pub(super) fn further(&self, appetite: &Appetite) -> usize {
        if self.awaiting || !self.started {
            return 0;
        }
        let others = self.others().unwrap_or(usize::MAX);
        self.useful(appetite)
            .min(appetite.most)
            .min(others)
            .saturating_sub(self.sent)
    }

    /// How many offers that no tracker has passed on are worth keeping for this one.
    pub(super) fn reserve(&self, now: Time, appetite: &Appetite) -> usize {
        if self.awaiting {
            appetite.most
        } else if self.due(appetite) <= now {
            self.round(appetite)
        } else {
            self.further(appetite)
        }
    }

    /// An announce is being sent with these offers; returns what it has to tell.
    pub(super) fn announced(&mut self, now: Time, appetite: &Appetite, offers: &[ConnectionId]) -> Event {
        if self.due(appetite) <= now {
            self.early = if now < self.next {
                (self.early * 2).min(LONGEST_INTERVAL)
            } else {
                self.early
            };
            self.next = now + self.interval;
            self.sent = 0;
            self.eager = false;
        }
        self.last = now;
        self.started = true;
        self.awaiting = true;
        self.sent += offers.len();
        self.last_sent = offers.to_vec();
        self.event.take().unwrap_or_default()
    }

    /// The tracker replied; returns the offers of the last announce that it had nobody for. It has dropped them
    /// (no tracker keeps offers), so they can be sent again.
    pub(super) fn replied(
        &mut self,
        complete: Option<u32>,
        incomplete: Option<u32>,
        interval: Option<u32>,
    ) -> Vec<ConnectionId> {
        let was_awaiting = core::mem::replace(&mut self.awaiting, false);
        (self.seeders, self.leechers) = (complete.or(self.seeders), incomplete.or(self.leechers));
        if let Some(seconds) = interval {
            let interval = Duration::from_secs(seconds.into());
            self.interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
            if self.event.is_none() {
                self.next = self.last + self.interval;
            }
        }
        let others = self.others().unwrap_or(usize::MAX);
        if !was_awaiting || others >= self.last_sent.len() {
            return Vec::new();
        }
        let dropped = self.last_sent.split_off(others);
        self.sent = self.sent.saturating_sub(dropped.len());
        dropped
    }

    /// The tracker refused the last announce.
    pub(super) fn refused(&mut self, reason: String) {
        self.awaiting = false;
        self.warning = Some(reason);
    }

    /// A peer was found: the next announce out of schedule need not be held back.
    pub(super) fn found(&mut self) {
        self.early = EARLY;
    }

    pub(super) fn keep_tracker_id(&mut self, id: &RawValue) {
        if id.get().len() <= TRACKER_ID_BYTES {
            self.tracker_id = Some(id.to_owned());
        }
    }

    /// How many others the tracker knows in the swarm. Every deployed tracker counts us, too.
    fn others(&self) -> Option<usize> {
        let all = self.seeders?.saturating_add(self.leechers?);
        usize::try_from(all.saturating_sub(1)).ok()
    }

    /// How many offers are of use at all.
    fn useful(&self, appetite: &Appetite) -> usize {
        match (appetite.complete, self.others()) {
            // Somebody may have come since the last reply, and an offer in hand saves a round trip then.
            (false, Some(others)) => others.max(1),
            (false, None) => usize::MAX,
            // Who has everything waits for others to ask, and offers itself only to those who did not find it. A
            // tracker may count as complete who has no metadata yet (the reference does for webtorrent), so
            // one offer goes out while anybody unknown is there.
            (true, Some(others)) => {
                let leechers = self
                    .leechers
                    .and_then(|leechers| usize::try_from(leechers).ok())
                    .unwrap_or(0);
                leechers
                    .saturating_sub(appetite.peers)
                    .max(usize::from(others > appetite.peers))
            }
            (true, None) => 0,
        }
    }
}
