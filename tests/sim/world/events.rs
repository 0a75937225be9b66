//! What is set to happen, in the order of time.

use bytes::Bytes;
use causeway_core::Time;
use causeway_engine::Input;
use core::cmp::Reverse;
use std::collections::BinaryHeap;

use super::World;
use super::signaling::Introduction;

/// What is set to happen.
pub(super) enum Happening {
    /// Bytes come to where this side takes them off, one after the other, at its own rate.
    Queue {
        link: usize,
        side: usize,
        parts: Vec<Bytes>,
    },
    /// Bytes reach this side of a link.
    Arrive {
        link: usize,
        side: usize,
        parts: Vec<Bytes>,
    },
    /// So many bytes have left this side of a link.
    Leave { link: usize, side: usize, bytes: usize },
    /// This side of a link learns that it is closed.
    Close { link: usize, side: usize },
    /// A script that does things of its own accord has its turn.
    Nudge { link: usize, side: usize },
    /// One has been told where another is, and tries to connect to it.
    Dial { from: usize, to: usize },
    /// Storage answers.
    Answer { node: usize, input: Input },
    /// A web seed sends something, unless it was told to stop.
    Fetched { node: usize, fetch: u64, input: Input },
    /// Something on the way to an introduction by the tracker.
    Introduction(Introduction),
}

/// Whose alarm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Torrent(usize),
    Client(usize),
}

/// What is set to happen, the earliest first; what was set for the same time comes in the order of setting. The heap
/// moves its entries about, so that they are small and the happenings lie elsewhere.
#[derive(Default)]
pub(super) struct Agenda {
    entries: BinaryHeap<Reverse<(Time, u64, usize)>>,
    happenings: Vec<Option<Happening>>,
    free: Vec<usize>,
    sequence: u64,
}

impl Agenda {
    fn push(&mut self, time: Time, happening: Happening) {
        let place = self.free.pop().unwrap_or(self.happenings.len());
        if place == self.happenings.len() {
            self.happenings.push(None);
        }
        self.happenings[place] = Some(happening);
        self.sequence += 1;
        self.entries.push(Reverse((time, self.sequence, place)));
    }

    fn next(&self) -> Option<Time> {
        self.entries.peek().map(|Reverse((time, _, _))| *time)
    }

    fn pop(&mut self) -> Option<(Time, Happening)> {
        let Reverse((time, _, place)) = self.entries.pop()?;
        self.free.push(place);
        Some((time, self.happenings[place].take()?))
    }
}

impl World {
    pub(super) fn answer(&mut self, at: Time, node: usize, input: Input) {
        self.happen(at, Happening::Answer { node, input });
    }

    pub(super) fn happen(&mut self, time: Time, happening: Happening) {
        self.agenda.push(time, happening);
    }

    /// Sets when this party is to be woken, in place of what was set before.
    pub(super) fn set_alarm(&mut self, alarm: Alarm, wake: Option<Time>) {
        let slot = self.alarm_of(alarm);
        if *slot == wake {
            return;
        }
        if let Some(old) = core::mem::replace(slot, wake) {
            self.wakes.remove(&(old, alarm));
        }
        self.wakes.extend(wake.map(|time| (time, alarm)));
    }

    fn alarm_of(&mut self, alarm: Alarm) -> &mut Option<Time> {
        match alarm {
            Alarm::Torrent(party) => &mut self.parties[party].wake,
            Alarm::Client(party) => &mut self.parties[party].client_wake,
        }
    }

    /// Does what happens next, if it happens by then.
    pub(crate) fn step(&mut self, end: Time) -> bool {
        let happening = self.agenda.next();
        if let Some((time, alarm)) = self.wakes.first().copied()
            && happening.is_none_or(|happening| time <= happening)
        {
            if time > end {
                return false;
            }
            self.now = self.now.max(time);
            match alarm {
                Alarm::Torrent(node) => self.input(node, Input::TimedOut),
                Alarm::Client(node) => self.client_timed_out(node),
            }
            return true;
        }
        if happening.is_none_or(|happening| happening > end) {
            return false;
        }
        let Some((time, happening)) = self.agenda.pop() else {
            return false;
        };
        self.now = self.now.max(time);
        self.let_happen(happening);
        true
    }

    fn let_happen(&mut self, happening: Happening) {
        match happening {
            Happening::Queue { link, side, parts } => self.queue(link, side, parts),
            Happening::Arrive { link, side, parts } => self.arrive(link, side, parts),
            Happening::Leave { link, side, bytes } => self.left(link, side, bytes),
            Happening::Close { link, side } => self.close_side(link, side),
            Happening::Nudge { link, side } => self.nudge(link, side),
            Happening::Dial { from, to } => self.dial(from, to),
            Happening::Answer { node, input } => self.input(node, input),
            Happening::Fetched { node, fetch, input } => self.fetched(node, fetch, input),
            Happening::Introduction(introduction) => self.introduce(introduction),
        }
    }
}
