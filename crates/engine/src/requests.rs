//! What one peer owes us, and how much more to ask of it.

use causeway_core::{BLOCK_LENGTH, Block, Time};
use core::time::Duration;
use std::collections::VecDeque;

/// The requests to one peer that wait for an answer.
///
/// So many are kept waiting as the peer delivers in [`HORIZON_SECONDS`], which is well above any round trip: the pipe
/// never runs dry, and the peer is not asked for what it can't deliver soon. Before the rate is known the number
/// is that of a fast link and grows with every block: it costs little where the link is slow, and a careful start
/// would cost much where it is fast.
///
/// Invariant: `waiting` is in the order of asking, without duplicates. A block of `late` may have been asked for
/// again; then its first rejection is for the first time.
#[derive(Debug)]
pub(crate) struct Requests {
    waiting: VecDeque<Block>,
    /// Blocks that were given up and may still arrive.
    late: VecDeque<Block>,
    most: u32,
    window: Option<Window>,
    rate: Option<u64>,
    last_progress: Time,
    resting_until: Time,
    snubbed: bool,
    /// It was asked in vain, and has sent nothing since.
    disappoints: bool,
}

/// A stretch of time in which the peer always owed us something.
#[derive(Debug)]
struct Window {
    start: Time,
    bytes: u64,
    blocks: usize,
    /// When the last block arrived, and the first one after the last pause: peers that look after their links twice
    /// a second answer in bursts, of which every block counts for the pause before it.
    last: Time,
    burst: Time,
    /// Since when nothing is owed.
    idle: Option<Time>,
}

impl Window {
    const fn new(start: Time) -> Self {
        Self {
            start,
            bytes: 0,
            blocks: 0,
            last: start,
            burst: start,
            idle: None,
        }
    }

    /// Something is owed again: the time without does not count.
    fn go_on(&mut self, now: Time) {
        if let Some(idle) = self.idle.take() {
            let pause = now.since(idle);
            for time in [&mut self.start, &mut self.last, &mut self.burst] {
                *time += pause;
            }
        }
    }

    /// Bytes per second until then, where that was long enough to say; a new window begins then.
    fn rate(&mut self, until: Time) -> Option<u64> {
        let elapsed = until.since(self.start);
        if elapsed < WINDOW {
            return None;
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let rate = self.bytes * 1_000_000 / micros;
        (self.start, self.bytes, self.blocks) = (until, 0, 0);
        Some(rate)
    }
}

/// Whether a block was to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was waited for.
    Expected,
    /// It had been given up.
    Late,
    /// It was never asked for.
    Unasked,
}

impl Requests {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            waiting: VecDeque::new(),
            late: VecDeque::new(),
            most,
            window: None,
            rate: None,
            last_progress: Time::ZERO,
            resting_until: Time::ZERO,
            snubbed: false,
            disappoints: false,
        }
    }

    /// The peer keeps no more than so many waiting (`reqq` of BEP 10).
    pub(crate) fn set_most(&mut self, most: u32) {
        self.most = most.max(1);
    }

    /// How many more to ask for now: none, or so many that they are worth a message.
    pub(crate) fn room(&self, now: Time) -> usize {
        if now < self.resting_until {
            return 0;
        }
        let depth = self.depth();
        let room = depth.saturating_sub(self.waiting.len());
        if room >= depth.div_ceil(8) { room } else { 0 }
    }

    /// How many requests are to wait at once.
    pub(crate) fn depth(&self) -> usize {
        let blocks = match self.rate {
            _ if self.snubbed => 1,
            None => FIRST_DEPTH + self.window.as_ref().map_or(0, |window| window.blocks),
            Some(rate) => {
                let blocks = rate.saturating_mul(HORIZON_SECONDS) / u64::from(BLOCK_LENGTH);
                usize::try_from(blocks).unwrap_or(usize::MAX).max(LEAST_DEPTH)
            }
        };
        blocks.min(self.most as usize)
    }

    /// How many requests are to wait at once while a reader waits: what is asked for comes after all of them.
    pub(crate) fn brisk_depth(&self) -> usize {
        match self.rate {
            None => TRIAL.min(self.depth()),
            Some(_) => (self.depth() / BRISK).max(LEAST_DEPTH.min(self.depth())),
        }
    }

    /// The block was asked for.
    pub(crate) fn asked(&mut self, block: Block, now: Time) {
        if self.waiting.is_empty() {
            self.last_progress = now;
            self.window.get_or_insert_with(|| Window::new(now)).go_on(now);
        }
        self.waiting.push_back(block);
    }

    /// The block arrived.
    pub(crate) fn answered(&mut self, block: Block, now: Time) -> Answer {
        let answer = if remove(&mut self.waiting, block) {
            Answer::Expected
        } else if remove(&mut self.late, block) {
            Answer::Late
        } else {
            return Answer::Unasked;
        };
        self.last_progress = now;
        (self.snubbed, self.disappoints) = (false, false);
        self.measure(block.length(), now);
        answer
    }

    /// The peer will not send the block. Says whether it was waited for.
    pub(crate) fn rejected(&mut self, block: Block) -> bool {
        !remove(&mut self.late, block) && remove(&mut self.waiting, block)
    }

    /// Nothing is asked of the peer for a while, so that one which sends nothing is not asked in circles.
    pub(crate) fn rest(&mut self, now: Time) {
        self.resting_until = now + REST;
        self.disappoints = true;
    }

    /// Whether the peer was asked in vain, by silence or by rejection, and has sent nothing since, whether or not it says
    /// that it serves us: others come first.
    pub(crate) const fn disappoints(&self) -> bool {
        self.disappoints
    }

    /// The block is not wanted any more. Says whether it was waited for.
    pub(crate) fn cancelled(&mut self, block: Block) -> bool {
        let expected = remove(&mut self.waiting, block);
        if expected {
            self.give_up(block);
        }
        expected
    }

    /// Takes everything that is waited for, since the peer has forgotten it.
    pub(crate) fn forgotten(&mut self) -> VecDeque<Block> {
        core::mem::take(&mut self.waiting)
    }

    /// The peer serves again: how fast it was before says little.
    pub(crate) fn measure_afresh(&mut self) {
        (self.window, self.rate, self.snubbed) = (None, None, false);
    }

    /// Takes back what the peer will not deliver soon, so that others can be asked: everything where it has been
    /// silent for too long, else what is far beyond its depth. Some of it may still arrive.
    pub(crate) fn overdue(&mut self, now: Time) -> Vec<Block> {
        let mut keep = self.waiting.len();
        if keep > 0 && now.since(self.last_progress) >= self.patience() {
            self.snubbed = true;
            (self.window, self.rate) = (None, None);
            // Others come first now: what one peer alone is to supply must not fall to this one again and again.
            self.rest(now);
            keep = 0;
        } else if self.rate.is_some() && keep > 2 * self.depth() + LEAST_DEPTH {
            keep = self.depth();
        }
        let overdue: Vec<_> = self.waiting.drain(keep..).collect();
        for block in &overdue {
            self.give_up(*block);
        }
        overdue
    }

    /// Whether the peer let us wait for too long, and has sent nothing since.
    pub(crate) const fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// Whether so little is waited for that the peer will soon have nothing to do.
    pub(crate) fn is_nearly_done(&self) -> bool {
        self.waiting.len() <= self.depth() / 4
    }

    /// What is waited for, in the order of asking.
    pub(crate) fn waiting(&self) -> impl DoubleEndedIterator<Item = Block> + ExactSizeIterator {
        self.waiting.iter().copied()
    }

    /// How long the peer will take for what is waited for, if that is anything; very long where it is slower than
    /// it was, or nobody knows.
    pub(crate) fn time_left(&self, now: Time) -> Option<Duration> {
        let blocks = self.waiting.len();
        if blocks == 0 {
            return None;
        }
        let known = self
            .rate
            .map(|rate| (time_for(blocks, rate), time_for(1, rate) + STALLED));
        let time = known
            .filter(|(_, next)| now.since(self.last_progress) < *next)
            .map(|(all, _)| all);
        Some(time.unwrap_or(UNKNOWN))
    }

    /// How long the peer will take for so many blocks on top of what is waited for. A new one has the benefit of
    /// the doubt.
    pub(crate) fn time_for_more(&self, blocks: usize) -> Duration {
        match self.rate {
            Some(rate) => time_for(self.waiting.len() + blocks, rate),
            None if self.waiting.is_empty() && !self.snubbed => Duration::ZERO,
            None => UNKNOWN,
        }
    }

    /// How long the peer will take until it delivers this block, which is waited for; very long where nobody knows.
    pub(crate) fn time_until(&self, block: Block, now: Time) -> Duration {
        let before = self.waiting.iter().position(|other| *other == block);
        match (before, self.rate) {
            (Some(before), Some(rate)) if now.since(self.last_progress) < time_for(1, rate) + STALLED => {
                time_for(before + 1, rate)
            }
            _ => UNKNOWN,
        }
    }

    /// Bytes a second that the peer delivers, where that is known.
    pub(crate) const fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// For tests: the invariant, and the bounds.
    pub(crate) fn check_invariants(&self) {
        let mut waiting: Vec<_> = self.waiting.iter().collect();
        waiting.sort_unstable();
        waiting.dedup();
        assert_eq!(waiting.len(), self.waiting.len(), "no block is waited for twice");
        assert!(self.late.len() <= MOST_LATE, "{} late blocks", self.late.len());
    }

    /// How long nothing may come: a few times as long as all that is waited for should take at the rate that was measured.
    fn patience(&self) -> Duration {
        let all = |rate| time_for(self.waiting.len(), rate);
        self.rate.map_or(PATIENCE, |rate| {
            (OVERTIME * all(rate)).clamp(LEAST_PATIENCE, PATIENCE)
        })
    }

    fn measure(&mut self, length: u32, now: Time) {
        let Some(window) = &mut self.window else { return };
        let is_first = now.since(window.last) >= PAUSE;
        let before = if is_first { window.rate(window.last) } else { None };
        if is_first {
            window.burst = now;
        }
        window.bytes += u64::from(length);
        window.blocks += 1;
        window.last = now;
        let is_over = self.waiting.is_empty() || now.since(window.burst) >= PAUSE;
        let with_this = if is_over { window.rate(now) } else { None };
        if self.waiting.is_empty() {
            window.idle = Some(now);
        }
        for sample in before.into_iter().chain(with_this) {
            self.rate = Some(self.rate.map_or(sample, |rate| u64::midpoint(rate, sample)));
        }
    }

    fn give_up(&mut self, block: Block) {
        if self.late.len() >= MOST_LATE {
            self.late.pop_front();
        }
        self.late.push_back(block);
    }
}

fn time_for(blocks: usize, bytes_per_second: u64) -> Duration {
    let bytes = blocks as u64 * u64::from(BLOCK_LENGTH);
    Duration::from_micros(bytes * 1_000_000 / bytes_per_second.max(1))
}

/// Answers mostly come in the order of asking, so that the block is found at once.
fn remove(blocks: &mut VecDeque<Block>, block: Block) -> bool {
    let place = blocks.iter().position(|other| *other == block);
    place.and_then(|place| blocks.remove(place)).is_some()
}

/// What a peer delivers in this time is kept asked for.
const HORIZON_SECONDS: u64 = 1;
/// Requests that wait at first: 1 MiB, 40 MB/s at a round trip of 25 ms.
const FIRST_DEPTH: usize = 64;
/// Requests that wait at least, so that a link that has become faster shows it.
const LEAST_DEPTH: usize = 4;
/// Requests that wait at a peer of unknown speed while a reader waits.
const TRIAL: usize = 4;
/// By how much fewer requests wait then at others.
const BRISK: usize = 2;
/// The rate is taken over so long.
const WINDOW: Duration = Duration::from_millis(200);
/// Without a block for so long a burst is over.
const PAUSE: Duration = Duration::from_millis(20);
/// Without a block for so long what the peer owes is asked of others, and earlier where everything should have come so many
/// times over; not so early that a link which sends again what got lost would be taken for one that has stopped.
const PATIENCE: Duration = Duration::from_secs(10);
const OVERTIME: u32 = 4;
const LEAST_PATIENCE: Duration = Duration::from_secs(3);
/// How long a peer is left alone after it rejected a request.
const REST: Duration = Duration::from_secs(2);
/// A peer that is late by so much is not as fast as it was.
const STALLED: Duration = Duration::from_secs(1);
/// Stands for the time that a peer of unknown rate takes.
const UNKNOWN: Duration = Duration::from_hours(1);
/// Blocks that were given up and are remembered.
const MOST_LATE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::Geometry;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn block(index: u32) -> Block {
        let geometry = Geometry::new(1 << 36, 1 << 20).expect("valid");
        geometry
            .block(index / 64, index % 64 * BLOCK_LENGTH, BLOCK_LENGTH)
            .expect("in range")
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    /// A peer that answers `blocks_per_second` requests for `seconds`, always kept busy.
    fn served(blocks_per_second: u64, seconds: u64) -> Requests {
        let mut requests = Requests::new(10_000);
        let (mut next, mut answered) = (0, 0);
        for step in 0..blocks_per_second * seconds {
            let now = at(step * 1000 / blocks_per_second);
            for _ in 0..requests.room(now) {
                requests.asked(block(next), now);
                next += 1;
            }
            let now = at((step + 1) * 1000 / blocks_per_second);
            assert_eq!(requests.answered(block(answered), now), Answer::Expected);
            answered += 1;
        }
        requests
    }

    #[test]
    fn a_peer_that_answers_in_bursts_is_asked_for_ever_more() {
        // Transmission answers twice a second, whatever it was asked for.
        let geometry = Geometry::new(1 << 30, 1 << 20).expect("valid");
        let mut blocks = geometry.all_pieces().flat_map(|piece| geometry.blocks_of(piece));
        let mut requests = Requests::new(500);
        requests.rate = Some(100_000);
        for turn in 0..20 {
            let asked = Time::from_micros(turn * 500_000);
            for block in blocks.by_ref().take(requests.room(asked)) {
                requests.asked(block, asked);
            }
            let burst: Vec<_> = requests.waiting().collect();
            for (block, micros) in burst.into_iter().zip(0u64..) {
                requests.answered(block, Time::from_micros((turn + 1) * 500_000 - 1_000 + micros));
            }
        }
        assert_eq!(requests.depth(), 500);
    }

    #[test]
    fn a_new_peer_is_asked_for_a_fast_links_worth_in_one_go() {
        let requests = Requests::new(1000);
        assert_eq!(requests.room(at(0)), FIRST_DEPTH);
        assert_eq!(Requests::new(50).room(at(0)), 50, "but for no more than it takes");
    }

    #[test]
    fn the_depth_follows_the_measured_rate() {
        for (rate, least, most) in [(2_500, 2_300, 2_600), (50, 45, 55), (2, LEAST_DEPTH, LEAST_DEPTH)] {
            let depth = served(rate, 10).depth();
            assert!((least..=most).contains(&depth), "{rate} blocks a second: {depth}");
        }
    }

    #[test]
    fn requests_go_out_in_batches() {
        let mut requests = Requests::new(40);
        (0..40).for_each(|index| requests.asked(block(index), at(0)));
        for index in 0..4 {
            requests.answered(block(index), at(1));
            assert_eq!(requests.room(at(1)), 0, "{index}");
        }
        requests.answered(block(4), at(1));
        assert_eq!(requests.room(at(1)), 5);
    }

    #[test]
    fn before_the_rate_is_known_every_block_makes_room_for_two() {
        let mut requests = Requests::new(1000);
        (0..64).for_each(|index| requests.asked(block(index), at(0)));
        (0..64).for_each(|index| assert_eq!(requests.answered(block(index), at(10)), Answer::Expected));
        assert_eq!(requests.depth(), FIRST_DEPTH + 64);
        (64..192).for_each(|index| requests.asked(block(index), at(10)));
        (64..100).for_each(|index| assert_eq!(requests.answered(block(index), at(20)), Answer::Expected));
        assert_eq!(requests.room(at(20)), 36 + 36);
    }

    #[test]
    fn a_silent_peer_loses_its_requests_and_is_tried_with_one() {
        let mut requests = Requests::new(80);
        (0..10).for_each(|index| requests.asked(block(index), at(0)));
        requests.answered(block(0), at(5_000));
        assert!(requests.overdue(at(14_999)).is_empty());
        assert_eq!(requests.overdue(at(15_000)).len(), 9);
        assert!(requests.is_snubbed());
        assert_eq!(requests.room(at(16_999)), 0, "others come first");
        assert_eq!(requests.room(at(17_000)), 1);
        assert_eq!(requests.answered(block(1), at(16_000)), Answer::Late);
        assert!(!requests.is_snubbed(), "it delivers again");
    }

    #[test]
    fn a_fast_peer_that_stops_is_given_up_as_soon_as_its_rate_says_so() {
        for (blocks_per_second, waiting, millis) in [(500, 500, 4_000), (500, 10, 3_000), (50, 100, 8_000)] {
            let mut requests = served(blocks_per_second, 5);
            requests.forgotten();
            (10_000..10_000 + waiting).for_each(|index| requests.asked(block(index), at(5_000)));
            assert!(
                requests.overdue(at(5_000 + millis * 9 / 10)).is_empty(),
                "{millis} ms"
            );
            assert_eq!(
                requests.overdue(at(5_000 + millis * 11 / 10)).len(),
                waiting as usize,
                "{millis} ms"
            );
        }
    }

    #[test]
    fn a_slow_peer_loses_what_it_will_not_deliver_soon() {
        let mut requests = Requests::new(80);
        (0..64).for_each(|index| requests.asked(block(index), at(0)));
        for index in 0..5 {
            let answer = requests.answered(block(index), at(250 * u64::from(index + 1)));
            assert_eq!(answer, Answer::Expected);
        }
        assert_eq!(requests.depth(), LEAST_DEPTH);
        let overdue = requests.overdue(at(1_300));
        assert_eq!(
            overdue,
            (9..64).map(block).collect::<Vec<_>>(),
            "the last are given up"
        );
        assert!(requests.overdue(at(1_300)).is_empty());
        assert!(!requests.is_snubbed());
    }

    #[test]
    fn a_block_that_was_given_up_and_asked_for_again_is_rejected_once_for_the_first_time() {
        let mut requests = Requests::new(80);
        requests.asked(block(0), at(0));
        assert!(requests.cancelled(block(0)));
        requests.asked(block(0), at(1));
        assert!(!requests.rejected(block(0)));
        assert_eq!(requests.answered(block(0), at(2)), Answer::Expected);
    }

    #[test]
    fn what_was_cancelled_may_still_come_but_only_once() {
        let mut requests = Requests::new(80);
        requests.asked(block(0), at(0));
        assert!(requests.cancelled(block(0)));
        assert!(!requests.cancelled(block(0)));
        assert_eq!(requests.answered(block(0), at(1)), Answer::Late);
        assert_eq!(requests.answered(block(0), at(1)), Answer::Unasked);
    }

    #[test]
    fn a_peer_that_rejects_is_left_alone_for_a_while() {
        let mut requests = Requests::new(80);
        requests.asked(block(0), at(0));
        assert!(requests.rejected(block(0)));
        assert!(!requests.rejected(block(0)), "it was rejected already");
        requests.rest(at(0));
        assert_eq!(requests.room(at(1_999)), 0);
        assert!(requests.room(at(2_000)) > 0);
    }
}
