//! When which swarm is to be looked at.

/// A calendar of slots, each of which stands in it at most once: to put one in, to take it out and to find the next that
/// is due takes the same short time however many there are. Time comes in ticks.
///
/// Invariant: `spokes[n]` is the first of a doubly linked list of the slots that are due at a tick that ends in `n`, and
/// none of them was due before `next`.
#[derive(Debug)]
pub(super) struct Wheel {
    spokes: Vec<u32>,
    links: Vec<Links>,
    /// The first tick that was not looked at.
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Links {
    before: u32,
    after: u32,
    spoke: u32,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            spokes: vec![NONE; SPOKES],
            links: Vec::new(),
            next: 0,
        }
    }

    /// Has the slot come up at `tick`, or as near to it as the calendar reaches.
    pub(super) fn file(&mut self, slot: u32, tick: u64) {
        self.unfile(slot);
        let tick = tick.clamp(self.next, self.next + (SPOKES - 1) as u64);
        let spoke = spoke(tick);
        let after = core::mem::replace(&mut self.spokes[spoke as usize], slot);
        if after != NONE {
            self.links[after as usize].before = slot;
        }
        self.links[slot as usize] = Links {
            before: NONE,
            after,
            spoke,
        };
    }

    /// Takes the slot out, where it is in.
    pub(super) fn unfile(&mut self, slot: u32) {
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, Links::OUT);
        }
        let Links { before, after, spoke } = core::mem::replace(&mut self.links[slot as usize], Links::OUT);
        if spoke == NONE {
            return;
        }
        match before {
            NONE => self.spokes[spoke as usize] = after,
            before => self.links[before as usize].after = after,
        }
        if after != NONE {
            self.links[after as usize].before = before;
        }
    }

    /// Takes out a slot that is due at `now` or before, if any is.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<u32> {
        // After a long silence everything is due, and one round shows it all.
        self.next = self.next.max(now.saturating_sub(SPOKES as u64 - 1));
        while self.next <= now {
            let slot = self.spokes[spoke(self.next) as usize];
            if slot != NONE {
                self.unfile(slot);
                return Some(slot);
            }
            self.next += 1;
        }
        None
    }

    /// Gives memory back, where nothing is in it any more.
    pub(super) fn shrink(&mut self) {
        self.links = Vec::new();
    }

    #[cfg(test)]
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.links
            .get(slot as usize)
            .is_some_and(|links| links.spoke != NONE)
    }
}

impl Links {
    const OUT: Self = Self {
        before: NONE,
        after: NONE,
        spoke: NONE,
    };
}

#[expect(clippy::cast_possible_truncation, reason = "it is below SPOKES")]
fn spoke(tick: u64) -> u32 {
    (tick % SPOKES as u64) as u32
}

/// How far ahead the calendar reaches, in ticks.
const SPOKES: usize = 512;

/// No slot.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut due: Vec<_> = core::iter::from_fn(|| wheel.pop_due(now)).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn each_comes_up_once_and_not_before_it_is_due() {
        let mut wheel = Wheel::new();
        for (slot, tick) in [(0, 5), (1, 5), (2, 6), (3, 300), (4, 5)] {
            wheel.file(slot, tick);
        }
        wheel.unfile(1);
        wheel.file(4, 7);
        assert_eq!(due(&mut wheel, 4), [0; 0]);
        assert_eq!(due(&mut wheel, 5), [0]);
        assert_eq!(due(&mut wheel, 299), [2, 4]);
        assert_eq!(due(&mut wheel, 300), [3]);
        assert_eq!(due(&mut wheel, 10_000), [0; 0]);
    }

    #[test]
    fn what_is_too_far_ahead_comes_up_at_the_horizon_and_what_is_late_at_once() {
        let mut wheel = Wheel::new();
        wheel.file(0, 1_000_000);
        assert_eq!(due(&mut wheel, SPOKES as u64 - 2), [0; 0]);
        assert_eq!(due(&mut wheel, SPOKES as u64 - 1), [0]);
        wheel.file(0, 3);
        assert_eq!(due(&mut wheel, SPOKES as u64), [0]);
    }

    #[test]
    fn a_long_silence_loses_nothing() {
        let mut wheel = Wheel::new();
        for slot in 0..1000 {
            wheel.file(slot, u64::from(slot));
        }
        assert_eq!(due(&mut wheel, 1_000_000).len(), 1000);
    }
}
