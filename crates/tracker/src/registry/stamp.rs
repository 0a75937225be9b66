//! Time in two bytes.

use causeway_core::Time;

/// A tick of the registry's coarse clock, and a mark. It comes round every six days; nothing here lasts for an hour and a
/// half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u16);

impl Stamp {
    #[expect(clippy::cast_possible_truncation, reason = "it comes round")]
    pub(super) fn new(tick: u64) -> Self {
        Self(tick as u16 & TICKS)
    }

    /// How many ticks `earlier` is before this.
    pub(super) fn since(self, earlier: Self) -> u16 {
        self.0.wrapping_sub(earlier.0) & TICKS
    }

    pub(super) fn marked(self, mark: bool) -> Self {
        Self(self.0 & TICKS | if mark { MARK } else { 0 })
    }

    pub(super) fn mark(self) -> bool {
        self.0 & MARK != 0
    }
}

/// The registry's coarse clock.
pub(super) fn tick(time: Time) -> u64 {
    time.as_micros() / TICK_MICROS
}

/// How many ticks a time takes: never less than it.
pub(super) fn ticks(time: core::time::Duration) -> u64 {
    u64::try_from(time.as_micros())
        .unwrap_or(u64::MAX)
        .div_ceil(TICK_MICROS)
}

/// How long so many ticks are.
pub(super) fn age(ticks: u16) -> core::time::Duration {
    core::time::Duration::from_micros(u64::from(ticks) * TICK_MICROS)
}

/// 16 s.
const TICK_MICROS: u64 = 16_000_000;
const TICKS: u16 = 0x7fff;
const MARK: u16 = 0x8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_right_across_the_turn_and_whatever_the_mark() {
        for (earlier, later) in [(0, 0), (0, 7), (0x7ffe, 0x8005), (0xffff, 0x1_0000)] {
            for mark in [false, true] {
                let (early, late) = (Stamp::new(earlier).marked(mark), Stamp::new(later).marked(!mark));
                assert_eq!(u64::from(late.since(early)), later - earlier);
                assert_eq!(early.mark(), mark);
            }
        }
    }
}
