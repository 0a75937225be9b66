//! One web seed (BEP 19): an HTTP server that has the files, and is asked for one range of bytes at a time.

use bytes::{Bytes, BytesMut};
use causeway_core::{BLOCK_LENGTH, Block, PeerId, Time};
use core::time::Duration;
use std::collections::VecDeque;

use crate::peer::Traffic;

/// What is asked of one web seed.
///
/// Invariant: `expected` is the rest of the range that is being fetched, in order; empty where none is. `rest` is
/// what came of its first block.
#[derive(Debug)]
pub(crate) struct WebSeed {
    /// The peer that gives the same over a link.
    pub(crate) peer: Option<PeerId>,
    expected: VecDeque<Expected>,
    /// A range was asked for whose end was not told.
    is_busy: bool,
    rest: BytesMut,
    /// When bytes came last, or were asked for.
    last_progress: Time,
    resting_until: Time,
    /// How often in a row nothing came of a fetch.
    failures: u32,
    /// The picker's epoch in which nothing was found to fetch.
    pub(crate) dry_at: Option<u64>,
    pub(crate) down: Traffic,
}

/// A block of the range that is being fetched.
#[derive(Clone, Copy, Debug)]
struct Expected {
    block: Block,
    /// Nobody else has sent it in the meantime.
    is_owed: bool,
}

impl WebSeed {
    pub(crate) fn new(peer: Option<PeerId>, now: Time) -> Self {
        Self {
            peer,
            expected: VecDeque::new(),
            is_busy: false,
            rest: BytesMut::new(),
            last_progress: now,
            resting_until: now,
            failures: 0,
            dry_at: None,
            down: Traffic::default(),
        }
    }

    /// Whether it can be asked for something now.
    pub(crate) fn is_free(&self, now: Time) -> bool {
        !self.is_busy && !self.is_resting(now)
    }

    /// Whether it is left alone.
    pub(crate) fn is_resting(&self, now: Time) -> bool {
        self.resting_until > now
    }

    /// Whether a fetch is under way.
    pub(crate) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether something of the range is still to come.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.expected.is_empty()
    }

    /// Whether a fetch is under way that brings nothing.
    pub(crate) fn is_stuck(&self, now: Time) -> bool {
        self.is_busy && now.since(self.last_progress) >= PATIENCE
    }

    /// Whether a fetch is under way of which nothing is wanted any more.
    pub(crate) fn is_pointless(&self) -> bool {
        !self.expected.is_empty() && self.expected.iter().all(|expected| !expected.is_owed)
    }

    /// How many blocks make a range that takes a few seconds.
    pub(crate) fn appetite(&self, now: Time) -> usize {
        let bytes = self.down.rate.per_second(now).saturating_mul(RANGE_SECONDS);
        let blocks = usize::try_from(bytes / u64::from(BLOCK_LENGTH)).unwrap_or(MOST_BLOCKS);
        blocks.clamp(LEAST_BLOCKS, MOST_BLOCKS)
    }

    /// These blocks, which follow one another, are fetched from now on.
    pub(crate) fn fetches(&mut self, blocks: &[Block], now: Time) {
        self.last_progress = now;
        self.is_busy = true;
        let expected = blocks.iter().map(|block| Expected {
            block: *block,
            is_owed: true,
        });
        self.expected = expected.collect();
    }

    /// The next bytes of the range came. Gives back the blocks that they complete.
    pub(crate) fn received(&mut self, mut bytes: Bytes, now: Time) -> Vec<(Block, Bytes)> {
        self.last_progress = now;
        let mut blocks = Vec::new();
        while let Some(Expected { block, .. }) = self.expected.front().copied() {
            let missing = block.length() as usize - self.rest.len();
            if bytes.len() < missing {
                self.rest.extend_from_slice(&bytes);
                break;
            }
            let last = bytes.split_to(missing);
            let data = if self.rest.is_empty() {
                last
            } else {
                self.rest.extend_from_slice(&last);
                self.rest.split().freeze()
            };
            blocks.push((block, data));
            self.expected.pop_front();
        }
        if !blocks.is_empty() {
            self.failures = 0;
        }
        blocks
    }

    /// Another has sent this block.
    pub(crate) fn disown(&mut self, block: Block) {
        for expected in self
            .expected
            .iter_mut()
            .filter(|expected| expected.block == block)
        {
            expected.is_owed = false;
        }
    }

    /// The blocks that it still owes.
    pub(crate) fn owed(&self) -> impl Iterator<Item = Block> {
        let owed = self.expected.iter().filter(|expected| expected.is_owed);
        owed.map(|expected| expected.block)
    }

    /// The fetch is over: forgets what was to come.
    pub(crate) fn end(&mut self) {
        self.is_busy = false;
        self.expected.clear();
        self.rest.clear();
        self.dry_at = None;
    }

    /// Nothing came of the fetch: the server is left alone, twice as long each time, or for as long as it says.
    pub(crate) fn back_off(&mut self, wish: Option<Duration>, now: Time) {
        let pause = wish.unwrap_or(FIRST_PAUSE * (1 << self.failures.min(MOST_DOUBLINGS)));
        self.failures += 1;
        self.resting_until = now + pause.min(LONGEST_PAUSE);
    }
}

/// A range is as long as what comes in so many seconds.
const RANGE_SECONDS: u64 = 4;
/// The shortest range, where there is so much to fetch in one: 512 KiB.
const LEAST_BLOCKS: usize = 32;
/// The longest range: 16 MiB.
const MOST_BLOCKS: usize = 1024;
/// Without a byte for so long a fetch is given up.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MOST_DOUBLINGS: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_mins(20);

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::Geometry;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn seed_with(blocks: u32) -> (WebSeed, Vec<Block>) {
        let length = u64::from(blocks * BLOCK_LENGTH - 1000);
        let geometry = Geometry::new(length, length).expect("valid");
        let piece = geometry.piece(0).expect("in range");
        let blocks: Vec<_> = geometry.blocks_of(piece).collect();
        let mut seed = WebSeed::new(None, Time::ZERO);
        seed.fetches(&blocks, Time::ZERO);
        (seed, blocks)
    }

    #[test]
    fn blocks_are_cut_out_of_whatever_parts_come() {
        for part in [1_000, 16_384, 20_000, 100_000] {
            let (mut seed, blocks) = seed_with(4);
            let content: Vec<u8> = (0..4 * 16_384 - 1000u32).map(|at| at.to_be_bytes()[3]).collect();
            let mut came = Vec::new();
            for part in content.chunks(part) {
                came.extend(seed.received(Bytes::copy_from_slice(part), Time::ZERO));
            }
            let expected = blocks.iter().zip(content.chunks(16_384));
            assert!(
                came.iter().map(|(block, data)| (block, &data[..])).eq(expected),
                "in parts of {part}"
            );
            assert!(
                !seed.is_incomplete() && !seed.is_free(Time::ZERO),
                "its end is to come"
            );
            seed.end();
            assert!(seed.is_free(Time::ZERO));
        }
    }

    #[test]
    fn a_server_that_fails_is_asked_less_and_less_often() {
        let (mut seed, _) = seed_with(1);
        let mut now = Time::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            seed.end();
            seed.back_off(None, now);
            assert!(!seed.is_free(now));
            pauses.push(seed.resting_until.since(now).as_secs());
            now = seed.resting_until;
        }
        assert_eq!(pauses[..4], [5, 10, 20, 40]);
        assert_eq!(pauses[11], 1200);
        seed.back_off(Some(Duration::from_secs(7)), now);
        assert_eq!(seed.resting_until, now + Duration::from_secs(7));
    }

    #[test]
    fn a_range_of_which_others_sent_everything_is_pointless() {
        let (mut seed, blocks) = seed_with(2);
        seed.disown(blocks[0]);
        assert!(!seed.is_pointless());
        assert_eq!(seed.owed().collect::<Vec<_>>(), blocks[1..]);
        seed.disown(blocks[1]);
        assert!(seed.is_pointless());
    }
}
