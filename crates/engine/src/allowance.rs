//! A bound on bytes a second.

use causeway_core::{BLOCK_LENGTH, Time};
use core::time::Duration;

use crate::Limits;

/// What may still move at a limited rate. It may be overdrawn: what moves is charged as it is, and nothing more
/// moves before that is made good, so that the rate holds in the long run whatever the size of one part.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Bytes a second; [`Limits::UNLIMITED`] is no limit.
    rate: u64,
    /// Bytes; below zero what was overdrawn.
    left: i64,
    at: Time,
    /// Once it is used up it opens with a whole portion, so that not everything goes to whom the next bytes happen
    /// to concern.
    is_open: bool,
}

impl Allowance {
    pub(crate) fn new(rate: u64, now: Time) -> Self {
        let mut allowance = Self {
            rate,
            left: 0,
            at: now,
            is_open: rate > 0,
        };
        allowance.left = allowance.portion();
        allowance
    }

    /// Another rate from now on. What is left stays, or a rate that changes every second would be no limit; what was
    /// overdrawn is made good within a second, or a low rate would pay for a high one for hours.
    pub(crate) fn set_rate(&mut self, rate: u64, now: Time) {
        if rate == self.rate {
            return;
        }
        self.is_open(now);
        let was_unlimited = self.rate == Limits::UNLIMITED;
        let left = self.left;
        *self = Self::new(rate, now);
        if !was_unlimited {
            let most_owed = i64::try_from(rate).unwrap_or(i64::MAX);
            self.left = left.clamp(-most_owed, self.portion());
            self.is_open &= self.left > 0;
        }
    }

    /// Whether something may move now.
    pub(crate) fn is_open(&mut self, now: Time) -> bool {
        if self.rate == Limits::UNLIMITED {
            return true;
        }
        let elapsed = now.since(self.at);
        let earned = u128::from(self.rate) * elapsed.as_micros() / 1_000_000;
        if earned > 0 {
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            self.left = self.left.saturating_add(earned).min(self.portion());
            self.at = now;
        }
        self.is_open |= self.rate > 0 && self.left >= self.portion();
        self.is_open
    }

    /// So many bytes moved.
    pub(crate) fn charge(&mut self, bytes: u64) {
        if self.rate != Limits::UNLIMITED {
            self.left = self.left.saturating_sub_unsigned(bytes);
            self.is_open &= self.left > 0;
        }
    }

    /// The most blocks that may be under way at once: those of half a second, at least one.
    pub(crate) fn blocks_in_flight(&self) -> usize {
        usize::try_from(self.rate / 2 / u64::from(BLOCK_LENGTH))
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// How many peers can be served at this rate so that each gets something worth having.
    pub(crate) fn slots(&self) -> usize {
        usize::try_from(self.rate / WORTHWHILE)
            .unwrap_or(usize::MAX)
            .max(2)
    }

    /// When a whole portion may move; `None` where that is never.
    pub(crate) fn opens_at(&self) -> Option<Time> {
        let missing = u64::try_from(self.portion().saturating_sub(self.left)).unwrap_or(0);
        let rate = u128::from((self.rate > 0).then_some(self.rate)?);
        let micros = (u128::from(missing) * 1_000_000).div_ceil(rate);
        Some(self.at + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX).max(1)))
    }

    /// What may move at once after a pause: the bytes of a tenth of a second, at least a block.
    fn portion(&self) -> i64 {
        let portion = (self.rate / 10).max(u64::from(BLOCK_LENGTH));
        i64::try_from(portion).unwrap_or(i64::MAX)
    }
}

/// Bytes a second below which it is better to serve fewer.
const WORTHWHILE: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    /// What moves in ten seconds in parts of this size, asked for as soon as it is open.
    fn moved(rate: u64, part: u64) -> u64 {
        let mut allowance = Allowance::new(rate, at(0));
        let (mut now, mut sum) = (at(0), 0);
        while now < at(10_000) {
            while allowance.is_open(now) {
                allowance.charge(part);
                sum += part;
            }
            now = allowance.opens_at().expect("there is a rate");
        }
        sum
    }

    #[test]
    fn the_rate_holds_whatever_the_size_of_the_parts() {
        for (rate, part) in [
            (100_000, 16_384),
            (100_000, 100),
            (1_000, 16_384),
            (50_000_000, 16_384),
        ] {
            let (sum, expected) = (moved(rate, part), rate * 10);
            let slack = rate / 10 + 2 * 16_384;
            assert!(
                sum.abs_diff(expected) <= slack,
                "{rate} in parts of {part}: {sum}"
            );
        }
    }

    #[test]
    fn a_pause_earns_one_portion_and_no_more() {
        let mut allowance = Allowance::new(1_000_000, at(0));
        assert!(allowance.is_open(at(60_000)));
        allowance.charge(150_000);
        assert!(!allowance.is_open(at(60_149)));
        assert!(allowance.is_open(at(60_150)));
    }

    #[test]
    fn no_limit_is_always_open_and_a_limit_of_nothing_ends() {
        let mut unlimited = Allowance::new(Limits::UNLIMITED, at(0));
        unlimited.charge(u64::MAX);
        assert!(unlimited.is_open(at(0)));
        let mut nothing = Allowance::new(0, at(0));
        nothing.charge(16_384);
        assert!(!nothing.is_open(at(1_000_000)));
        assert_eq!(nothing.opens_at(), None);
    }
}
