//! How fast a connection is read, and how long it may be silent.

use core::time::Duration;

use causeway_core::Time;

/// A bound on the rate of what a connection sends (a token bucket): so many messages at once, so many a second for long.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long one message is paid with.
    price: Duration,
    /// How far ahead of time a connection may get.
    credit: Duration,
    /// When all that was read is paid for.
    paid_at: Time,
}

impl Pace {
    pub(super) fn new(messages_per_second: u32, burst: u32) -> Self {
        let price = Duration::from_secs(1) / messages_per_second.max(1);
        Self {
            price,
            credit: price * burst,
            paid_at: Time::ZERO,
        }
    }

    /// Takes note of a message that was read and counts as so many.
    pub(super) fn charge(&mut self, now: Time, messages: u32) {
        self.paid_at = self.paid_at.max(now) + self.price.saturating_mul(messages);
    }

    /// When the next message may be read, where that is not now.
    pub(super) fn waits_until(&self, now: Time) -> Option<Time> {
        let too_far_ahead = self.paid_at.since(now).saturating_sub(self.credit);
        (!too_far_ahead.is_zero()).then(|| now + too_far_ahead)
    }
}

/// As how many messages one of `length` bytes counts.
pub(super) fn messages(length: usize) -> u32 {
    u32::try_from(length / UNIT).unwrap_or(u32::MAX).saturating_add(1)
}

/// Up to so many bytes a message counts as one.
const UNIT: usize = 16 * 1024;

/// Whether the other side is there. Browsers can't ping, so the tracker does.
#[derive(Debug)]
pub(super) struct Liveness {
    ping_after: Duration,
    pong_within: Duration,
    heard: Time,
    /// Until when it has to be heard, once it was pinged.
    deadline: Option<Time>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask it for a sign of life.
    Ping,
    /// It gave none.
    GiveUp,
}

impl Liveness {
    pub(super) fn new(now: Time, ping_after: Duration, pong_within: Duration) -> Self {
        Self {
            ping_after,
            pong_within,
            heard: now,
            deadline: None,
        }
    }

    /// Something came from the other side.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
        self.deadline = None;
    }

    /// It was pinged, out of turn, and has to be heard within `patience`.
    pub(super) fn asked(&mut self, now: Time, patience: Duration) {
        let deadline = now + patience;
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    /// What is due now, if anything. After [`Due::Ping`] the ping counts as sent.
    pub(super) fn poll(&mut self, now: Time) -> Option<Due> {
        match self.deadline {
            Some(deadline) => (now >= deadline).then_some(Due::GiveUp),
            None if now.since(self.heard) >= self.ping_after => {
                self.asked(now, self.pong_within);
                Some(Due::Ping)
            }
            None => None,
        }
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Time {
        self.deadline.unwrap_or(self.heard + self.ping_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    #[test]
    fn a_burst_is_read_at_once_and_the_rest_at_the_pace() {
        let mut pace = Pace::new(10, 3);
        for message in 0..3 {
            assert_eq!(
                pace.waits_until(at(5000)),
                None,
                "message {message} is within the burst"
            );
            pace.charge(at(5000), 1);
        }
        pace.charge(at(5000), 1);
        assert_eq!(pace.waits_until(at(5000)), Some(at(5100)));
        assert_eq!(pace.waits_until(at(5100)), None);
        pace.charge(at(5100), 1);
        assert_eq!(pace.waits_until(at(5100)), Some(at(5200)));
    }

    #[test]
    fn a_long_message_counts_as_several() {
        let mut pace = Pace::new(10, 1);
        pace.charge(at(0), messages(2 * UNIT));
        assert_eq!(pace.waits_until(at(0)), Some(at(200)));
    }

    #[test]
    fn silence_saves_up_one_burst_and_no_more() {
        let mut pace = Pace::new(10, 2);
        pace.charge(at(0), 1);
        for _ in 0..3 {
            pace.charge(at(3_600_000), 1);
        }
        assert_eq!(pace.waits_until(at(3_600_000)), Some(at(3_600_100)));
    }

    #[test]
    fn the_silent_are_pinged_and_then_given_up() {
        let mut liveness = Liveness::new(at(0), Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!((liveness.poll(at(29_999)), liveness.next()), (None, at(30_000)));
        assert_eq!(
            (liveness.poll(at(30_000)), liveness.next()),
            (Some(Due::Ping), at(50_000))
        );
        assert_eq!(liveness.poll(at(49_999)), None);
        assert_eq!(liveness.poll(at(50_000)), Some(Due::GiveUp));
    }

    #[test]
    fn any_sign_of_life_starts_over() {
        let mut liveness = Liveness::new(at(0), Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!(liveness.poll(at(30_000)), Some(Due::Ping));
        liveness.heard(at(49_000));
        assert_eq!((liveness.poll(at(50_000)), liveness.next()), (None, at(79_000)));
    }

    #[test]
    fn a_doubted_connection_has_less_time_and_a_second_doubt_does_not_extend_it() {
        let mut liveness = Liveness::new(at(0), Duration::from_secs(30), Duration::from_secs(20));
        liveness.asked(at(1000), Duration::from_secs(5));
        liveness.asked(at(3000), Duration::from_secs(5));
        assert_eq!((liveness.poll(at(5999)), liveness.next()), (None, at(6000)));
        assert_eq!(liveness.poll(at(6000)), Some(Due::GiveUp));
    }
}
