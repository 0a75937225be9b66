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
    /// Peers are wanted again.
    pub(super) eager: bool,
    /// The next announce has been brought forward.
    hastened: bool,
    standing: Standing,
    /// Offers that were sent since the last announce that was due, that one included.
    sent: usize,
    /// What the reply to our last announce told of the swarm.
    swarm: Option<Swarm>,
    /// The latest counts, for the user.
    pub(super) seeders: Option<u32>,
    pub(super) leechers: Option<u32>,
    pub(super) warning: Option<String>,
    pub(super) tracker_id: Option<Box<RawValue>>,
}

/// What the tracker knows of us in this swarm.
#[derive(Debug)]
enum Standing {
    /// Nothing has been announced on this socket.
    Absent,
    /// The last announce, with these offers in this order, has not been replied to.
    Asked { offers: Vec<ConnectionId> },
    /// It has.
    Replied,
}

/// Who else is there, as a tracker counts.
#[derive(Clone, Copy, Debug)]
struct Swarm {
    others: usize,
    leechers: usize,
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
    /// Offers that somebody may answer.
    pub(super) offered: usize,
    /// There are no peers, and none are on the way.
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
            hastened: false,
            standing: Standing::Absent,
            sent: 0,
            swarm: None,
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

    /// Whether anything was announced on this socket.
    pub(super) const fn is_started(&self) -> bool {
        !matches!(self.standing, Standing::Absent)
    }

    /// When the next announce is due.
    pub(super) const fn due(&self) -> Time {
        self.next
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        self.next <= now
    }

    /// Brings the next announce forward where peers are wanted again, or where there are some that none of our
    /// offers reached.
    pub(super) fn hasten(&mut self, now: Time, appetite: &Appetite) {
        let lost = appetite.stranded && !appetite.complete && self.others().is_some_and(|others| others > 0);
        let sooner = now.max(self.last + self.early);
        if (self.eager || lost) && self.round(appetite) > 0 && sooner < self.next {
            self.next = sooner;
            self.hastened = true;
        }
    }

    /// How many offers can be sent at this moment.
    pub(super) fn wanted(&self, now: Time, appetite: &Appetite) -> usize {
        if self.is_due(now) {
            self.round(appetite)
        } else {
            self.further(appetite)
        }
    }

    /// How many offers that no tracker has passed on are worth keeping for this one.
    pub(super) fn reserve(&self, now: Time, appetite: &Appetite) -> usize {
        if let Standing::Asked { .. } = self.standing {
            appetite.most
        } else {
            self.wanted(now, appetite)
        }
    }

    /// How many offers the announce that is due should carry.
    fn round(&self, appetite: &Appetite) -> usize {
        if let Some(Event::Completed | Event::Stopped | Event::Paused) = self.event {
            return 0;
        }
        // Somebody may have come since the last reply: an offer in hand saves a round trip then.
        let least = usize::from(!appetite.complete);
        self.unmet(appetite).max(least).min(appetite.most)
    }

    /// How many offers more could be answered before the next regular announce.
    fn further(&self, appetite: &Appetite) -> usize {
        let Standing::Replied = self.standing else {
            return 0;
        };
        let round = self
            .others()
            .unwrap_or(usize::MAX)
            .min(appetite.most)
            .saturating_sub(self.sent);
        round.min(self.unmet(appetite).saturating_sub(appetite.offered))
    }

    /// An announce is being sent with these offers; returns what it has to tell.
    pub(super) fn announced(&mut self, now: Time, offers: &[ConnectionId]) -> Event {
        if self.is_due(now) {
            if core::mem::take(&mut self.hastened) {
                self.early = (self.early * 2).min(LONGEST_INTERVAL);
            }
            self.next = now + self.interval;
            self.sent = 0;
            self.eager = false;
        }
        self.last = now;
        self.sent += offers.len();
        self.standing = Standing::Asked {
            offers: offers.to_vec(),
        };
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
        (self.seeders, self.leechers) = (complete.or(self.seeders), incomplete.or(self.leechers));
        if let Some(seconds) = interval {
            let interval = Duration::from_secs(seconds.into());
            self.interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
            if self.event.is_none() && !self.hastened {
                self.next = self.last + self.interval;
            }
        }
        // Only a reply that we asked for makes us act: a tracker can't set us going over and over.
        let Standing::Asked { offers } = &mut self.standing else {
            return Vec::new();
        };
        let mut offers = core::mem::take(offers);
        self.standing = Standing::Replied;
        self.swarm = Swarm::counted(self.seeders, self.leechers);
        let used = self.others().unwrap_or(usize::MAX).min(offers.len());
        offers.split_off(used)
    }

    /// The tracker refused something, perhaps the last announce: no more offers before the next one.
    pub(super) fn refused(&mut self, reason: String) {
        if let Standing::Asked { .. } = self.standing {
            self.standing = Standing::Replied;
            self.swarm = Some(Swarm {
                others: 0,
                leechers: 0,
            });
        }
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

    fn others(&self) -> Option<usize> {
        self.swarm.map(|swarm| swarm.others)
    }

    /// How many peers there are to be met.
    fn unmet(&self, appetite: &Appetite) -> usize {
        match (appetite.complete, self.swarm) {
            (false, Some(swarm)) => swarm.others.saturating_sub(appetite.peers),
            (false, None) => usize::MAX,
            // Who has everything waits for others to ask, and offers itself only to those who did not find it. A
            // tracker may count as complete who has no metadata yet (the reference does for webtorrent), so
            // anybody unknown counts for one.
            (true, Some(swarm)) => {
                let leechers = swarm.leechers.saturating_sub(appetite.peers);
                leechers.max(usize::from(swarm.others > appetite.peers))
            }
            (true, None) => 0,
        }
    }
}

impl Swarm {
    /// Every deployed tracker counts us, too.
    fn counted(complete: Option<u32>, incomplete: Option<u32>) -> Option<Self> {
        let (complete, leechers) = (complete?, incomplete?);
        let others = complete.saturating_add(leechers).saturating_sub(1);
        Some(Self {
            others: usize::try_from(others).ok()?,
            leechers: usize::try_from(leechers).ok()?,
        })
    }
}
