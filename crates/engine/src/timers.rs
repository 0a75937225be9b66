//! The moments at which a torrent acts of its own accord.

use causeway_core::Time;

/// Why a torrent wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Look at every peer: time-outs, keep-alives, requests that nobody answers.
    Housekeeping,
    /// Decide anew whom to serve.
    Rechoke,
    /// A rate limit lets something through again.
    Allowance,
}

/// At most one deadline for each [`Timer`].
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: [Option<Time>; TIMERS.len()],
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, deadline: Time) {
        self.deadlines[timer as usize] = Some(deadline);
    }

    /// Sets it where it isn't set.
    pub(crate) fn start(&mut self, timer: Timer, deadline: Time) {
        self.deadlines[timer as usize].get_or_insert(deadline);
    }

    /// Sets it to this moment, if there is one, where it isn't set to an earlier one.
    pub(crate) fn start_at(&mut self, timer: Timer, deadline: Option<Time>) {
        let set = &mut self.deadlines[timer as usize];
        *set = [*set, deadline].into_iter().flatten().min();
    }

    pub(crate) fn clear(&mut self) {
        self.deadlines = Default::default();
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// Takes a timer whose deadline has come.
    pub(crate) fn expired(&mut self, now: Time) -> Option<Timer> {
        let is_due = |timer: &Timer| self.deadlines[*timer as usize].is_some_and(|deadline| deadline <= now);
        let timer = TIMERS.into_iter().find(is_due)?;
        self.deadlines[timer as usize] = None;
        Some(timer)
    }
}

const TIMERS: [Timer; 3] = [Timer::Housekeeping, Timer::Rechoke, Timer::Allowance];

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_earliest_deadline_is_told_and_each_expires_once() {
        let at = Time::from_micros;
        let mut timers = Timers::default();
        timers.set(Timer::Rechoke, at(20));
        timers.set(Timer::Housekeeping, at(10));
        timers.start(Timer::Housekeeping, at(5));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.expired(at(9)), None);
        assert_eq!(timers.expired(at(20)), Some(Timer::Housekeeping));
        assert_eq!(timers.expired(at(20)), Some(Timer::Rechoke));
        assert_eq!(timers.expired(at(20)), None);
        assert_eq!(timers.next(), None);
    }
}
