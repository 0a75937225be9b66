//! What a torrent does of its own accord: connecting, keeping its record, telling how it stands.

use core::time::Duration;

use causeway_core::Time;
use causeway_engine::{LinkKind, State};

use super::Status;
use super::contents::Storage;
use super::relay::Relaying;
use super::task::{RECORD_EVERY, Task};
use crate::dial;

impl Task {
    /// What is due by itself: connections, the record, the status.
    pub(super) fn look_after(&mut self, now: Time) {
        while self.connecting < MOST_CONNECTING && self.wanted_classic() > self.connecting {
            let Some(attempt) = self.book.next(now) else { break };
            self.connecting += 1;
            tokio::spawn(dial::connect(self.shared.clone(), self.handle.clone(), attempt));
        }
        self.keep_relaying(now);
        if self.record_due.is_some_and(|due| due <= now) {
            self.keep_record(now);
        }
        if self.last_read.is_some_and(|last| now.since(last) >= KEEP_READS) {
            self.last_read = None;
            if let Some(storage) = &mut self.storage {
                storage.store.forget_reads();
            }
        }
        if self.readers.due.is_some_and(|due| due <= now) {
            self.tell_readers();
        }
        if !self.is_announced && now.since(self.shown) >= SHOW_EVERY {
            self.show(now);
        }
    }

    pub(super) fn next_wake(&self, now: Time) -> Time {
        let wants_peers = self.connecting < MOST_CONNECTING && self.wanted_classic() > self.connecting;
        let due = self.book.due().filter(|_| wants_peers);
        let show = (!self.is_announced).then_some(self.shown + SHOW_EVERY);
        let reads = self.last_read.map(|last| last + KEEP_READS);
        let far = Some(now + Duration::from_hours(1));
        let relay = self.relaying.as_ref().map(Relaying::due);
        let all = [
            self.deadline,
            due,
            show,
            reads,
            self.record_due,
            self.readers.due,
            relay,
            far,
        ];
        all.into_iter().flatten().min().unwrap_or(now)
    }

    /// How many more peers are to be connected to. A few suppliers are enough for what is only carried over.
    fn wanted_classic(&self) -> usize {
        let wanted = self.torrent.wanted_peers();
        let Some(relaying) = &self.relaying else {
            return wanted;
        };
        let suppliers = self.links.len() - self.links.count(LinkKind::WebRtc);
        // Half of the places are for browsers.
        let most = MOST_SUPPLIERS.min(relaying.max_peers().div_ceil(2));
        wanted.min(most.saturating_sub(suppliers))
    }

    fn keep_record(&mut self, now: Time) {
        self.record_due = Some(now + RECORD_EVERY);
        let is_complete = self.torrent.have().is_some_and(causeway_core::Bitfield::is_all);
        let snapshot = self.torrent.snapshot();
        let Some(storage) = self.storage.as_mut().filter(|storage| storage.is_settled()) else {
            return;
        };
        if is_complete {
            // Every file has its own name now: there is nothing to resume.
            storage.forget();
            self.record_due = None;
        } else if let Some(snapshot) = snapshot {
            storage.keep_snapshot(snapshot);
        }
    }

    pub(super) fn show(&mut self, now: Time) {
        (self.is_announced, self.shown) = (true, now);
        let is_settled = self.storage.as_ref().is_some_and(Storage::is_settled);
        let status = Status {
            state: self.torrent.state().clone(),
            stats: self.torrent.stats(),
            info: self.torrent.info().cloned(),
            wanted_peers: self.torrent.wanted_peers(),
            has_completed: self.has_completed,
            is_done: *self.torrent.state() == State::Seeding && is_settled,
            browsers: self.links.count(LinkKind::WebRtc),
            refused: self.refused,
        };
        self.status.send_replace(status);
    }
}

/// Classic peers that a torrent which is carried over connects to.
const MOST_SUPPLIERS: usize = 25;
/// Connections that are being opened.
const MOST_CONNECTING: usize = 16;
/// What was read for peers stays in memory so long after the last of it was wanted.
const KEEP_READS: Duration = Duration::from_secs(10);
/// The status is told so often at the most.
const SHOW_EVERY: Duration = Duration::from_millis(200);
