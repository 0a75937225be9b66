//! Bytes a second over the last seconds, in whole numbers: the same on every platform.

use causeway_core::Time;

/// Invariant: `slots[n % SLOTS]` holds the bytes of slot `n` for the `SLOTS` slots up to `newest`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rate {
    slots: [u64; SLOTS],
    newest: u64,
    started: Option<Time>,
}

impl Rate {
    /// Counts bytes that moved at this moment.
    pub(crate) fn add(&mut self, now: Time, bytes: u64) {
        let started = self.started.get_or_insert(now);
        let slot = slot_of(now);
        if slot >= self.newest + SLOTS as u64 {
            // Nothing moved for a whole window: the pause is no part of the next one.
            *started = now;
            self.slots = [0; SLOTS];
        } else {
            for passed in self.newest + 1..=slot {
                self.slots[index(passed)] = 0;
            }
        }
        self.newest = self.newest.max(slot);
        self.slots[index(self.newest)] += bytes;
    }

    /// The mean of the last five seconds, or since the start where that is later.
    pub(crate) fn per_second(&self, now: Time) -> u64 {
        let Some(started) = self.started else { return 0 };
        let oldest = (slot_of(now) + 1).saturating_sub(SLOTS as u64);
        let kept = oldest..=self.newest;
        let bytes: u64 = kept.map(|slot| self.slots[index(slot)]).sum();
        let start = started.as_micros().max(oldest * SLOT_MICROS);
        let span = now.as_micros().saturating_sub(start).max(SLOT_MICROS);
        bytes.saturating_mul(1_000_000) / span
    }
}

fn slot_of(time: Time) -> u64 {
    time.as_micros() / SLOT_MICROS
}

fn index(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

const SLOTS: usize = 10;
const SLOT_MICROS: u64 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    fn steady(rate: &mut Rate, millis: core::ops::Range<u64>, each: u64) {
        for moment in millis.step_by(100) {
            rate.add(at(moment), each);
        }
    }

    #[test]
    fn a_steady_flow_has_its_rate_from_the_first_second_on() {
        let mut rate = Rate::default();
        steady(&mut rate, 7_000..8_000, 100);
        assert_eq!(rate.per_second(at(8_000)), 1_000);
        steady(&mut rate, 8_000..40_000, 100);
        let long_after = rate.per_second(at(40_000));
        assert!((950..=1_050).contains(&long_after), "{long_after}");
    }

    #[test]
    fn silence_brings_it_down_to_nothing() {
        let mut rate = Rate::default();
        steady(&mut rate, 0..10_000, 100);
        assert!(rate.per_second(at(12_000)) < 700);
        assert_eq!(rate.per_second(at(15_000)), 0);
        assert_eq!(rate.per_second(at(900_000)), 0);
    }

    #[test]
    fn a_pause_is_no_part_of_what_follows() {
        let mut rate = Rate::default();
        steady(&mut rate, 0..10_000, 100);
        steady(&mut rate, 60_000..62_000, 300);
        assert_eq!(rate.per_second(at(62_000)), 3_000);
    }

    #[test]
    fn a_single_block_is_no_infinite_rate() {
        let mut rate = Rate::default();
        rate.add(at(1), 16_384);
        assert_eq!(rate.per_second(at(1)), 32_768);
    }
}
