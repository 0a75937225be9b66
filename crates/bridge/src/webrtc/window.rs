//! How much is given to the WebRTC stack before the peer has acknowledged it.
//!
//! SCTP has a congestion window of its own, but what it sends in one go is lost where the receiver's socket buffer is
//! small and its process busy, as a browser's is: with a megabyte under way a transfer collapses, with 64 KiB nothing is
//! lost. On a long path that is too little. So there the window grows while what is under way travels, and does not wait
//! at its end, and shrinks once it does.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

/// The window of one link.
#[derive(Debug)]
pub(super) struct Window {
    limit: usize,
    /// Bytes sent and acknowledged since the beginning.
    sent: u64,
    acknowledged: u64,
    /// What was sent when, up to which byte.
    marks: VecDeque<(u64, Instant)>,
    /// The shortest time to an acknowledgement.
    base: Duration,
    /// Acknowledgements up to here belong to what was sent before the last change.
    settled: u64,
    /// When the peer last acknowledged anything, or nothing was under way.
    progress: Instant,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            limit: FIRST,
            sent: 0,
            acknowledged: 0,
            marks: VecDeque::new(),
            base: Duration::MAX,
            settled: 0,
            progress: now,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn handle_sent(&mut self, now: Instant, bytes: usize) {
        if self.sent == self.acknowledged {
            self.progress = now;
        }
        self.sent += bytes as u64;
        self.marks.push_back((self.sent, now));
    }

    /// So many bytes are under way; how many were acknowledged since this was said last.
    pub(super) fn handle_outstanding(&mut self, now: Instant, outstanding: usize) -> usize {
        let acknowledged = self.sent.saturating_sub(outstanding as u64);
        let news = acknowledged.saturating_sub(self.acknowledged);
        if news == 0 {
            return 0;
        }
        self.acknowledged = acknowledged;
        self.progress = now;
        while let Some((end, at)) = self.marks.front().copied()
            && end <= acknowledged
        {
            self.marks.pop_front();
            self.judge(end, now.saturating_duration_since(at));
        }
        usize::try_from(news).unwrap_or(usize::MAX)
    }

    /// The peer has acknowledged nothing for too long.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.sent > self.acknowledged && now.saturating_duration_since(self.progress) > STUCK
    }

    /// When it will be, if nothing comes.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        (self.sent > self.acknowledged).then(|| self.progress + STUCK + Duration::from_millis(1))
    }

    /// What was sent up to `end` took so long.
    fn judge(&mut self, end: u64, took: Duration) {
        self.base = self.base.min(took);
        if end < self.settled {
            return;
        }
        // Of what was under way, so much waited for the peer or a slow line.
        let late = took.saturating_sub(self.base).as_secs_f64() / took.as_secs_f64().max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_precision_loss, reason = "windows are small")]
        let waited = self.limit as f64 * late;
        if took > self.base * 2 + LATE {
            self.limit = (self.limit - self.limit / 4).max(FIRST);
        } else if self.base >= LONG && waited < FEW {
            self.limit = (self.limit + STEP).min(MOST);
        }
        // A change shows in what is sent from now on.
        self.settled = self.sent;
    }
}

const FIRST: usize = 64 * 1024;
const STEP: usize = 16 * 1024;
/// The largest window, in bytes.
pub(super) const MOST: usize = 512 * 1024;
/// The peer's process may be busy for so long without being slow.
const LATE: Duration = Duration::from_millis(25);
/// Paths that take at least so long have windows that grow: the first one is 32 MB/s there, and more on shorter ones. Chromium's
/// socket buffer holds 100 KB in all.
const LONG: Duration = Duration::from_millis(2);
/// Bytes that may wait where the window grows: those of a message, which leave a slow line one after the other.
const FEW: f64 = 64.0 * 1024.0;
/// Longer without an acknowledgement, and the link is given up.
const STUCK: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends for two seconds over a path that takes so long, and so many bytes a millisecond; the window at the end.
    fn run(delay: u64, rate: u64) -> usize {
        let start = Instant::now();
        let mut window = Window::new(start);
        let (mut free, mut under_way, mut bytes) = (0, VecDeque::new(), 0);
        for tick in 0..2000_u64 {
            let now = start + Duration::from_millis(tick);
            while under_way.front().is_some_and(|(at, _)| *at <= tick) {
                bytes -= under_way.pop_front().map_or(0, |(_, length)| length);
                window.handle_outstanding(now, bytes);
            }
            while bytes < window.limit() {
                window.handle_sent(now, 16_384);
                bytes += 16_384;
                free = free.max(tick) + 16_384 / rate;
                under_way.push_back((free + delay, 16_384));
            }
        }
        window.limit()
    }

    #[test]
    fn it_grows_on_a_long_path_that_has_room() {
        assert_eq!(run(40, 100_000), MOST);
    }

    #[test]
    fn it_stays_small_where_more_under_way_only_waits() {
        // A browser on the same machine.
        assert_eq!(run(1, 20_000), FIRST);
        // A slow line.
        assert!(run(20, 2_000) <= 2 * FIRST, "{}", run(20, 2_000));
    }

    #[test]
    fn it_tells_how_much_was_acknowledged_and_when_nothing_is() {
        let start = Instant::now();
        let mut window = Window::new(start);
        window.handle_sent(start, 1000);
        assert_eq!(window.handle_outstanding(start, 1000), 0);
        assert_eq!(window.handle_outstanding(start, 400), 600);
        assert_eq!(window.handle_outstanding(start, 400), 0);
        assert!(!window.is_stuck(start + STUCK));
        assert!(window.is_stuck(start + STUCK * 2));
        assert_eq!(window.handle_outstanding(start + STUCK * 2, 0), 400);
        assert!(!window.is_stuck(start + STUCK * 4));
    }
}
