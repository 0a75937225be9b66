//! Who goes when all places are taken.

use core::time::Duration;

/// For how many sixteenths of its interval a member has not announced, up to [`MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Idle(usize);

impl Idle {
    pub(super) fn new(silent: Duration, interval: Duration) -> Self {
        let sixteenths = silent.as_micros() * 16 / interval.as_micros().max(1);
        Self(usize::try_from(sixteenths).map_or(MOST, |sixteenths| sixteenths.min(MOST)))
    }
}

/// How many members are how idle.
#[derive(Debug)]
pub(super) struct Census([usize; MOST + 1]);

impl Census {
    pub(super) fn new() -> Self {
        Self([0; MOST + 1])
    }

    pub(super) fn note(&mut self, idle: Idle) {
        self.0[idle.0] += 1;
    }

    /// Whom to forget, that `count` places are free: the idlest. Never those that have announced within half their
    /// interval, so that no flood of newcomers pushes them out.
    pub(super) fn idlest(&self, mut count: usize) -> Shedding {
        let mut all_from = MOST + 1;
        while all_from > LEAST && self.0[all_from - 1] <= count {
            all_from -= 1;
            count -= self.0[all_from];
        }
        Shedding {
            all_from: Idle(all_from),
            some_of: (all_from > LEAST).then(|| (Idle(all_from - 1), count)),
        }
    }
}

/// Whom to forget.
#[derive(Debug)]
pub(super) struct Shedding {
    all_from: Idle,
    /// So many of those that are as idle as this.
    some_of: Option<(Idle, usize)>,
}

impl Shedding {
    /// Whether a member is to be forgotten; asked once for each.
    pub(super) fn takes(&mut self, idle: Idle) -> bool {
        match &mut self.some_of {
            Some((some, left)) if *some == idle && *left > 0 => {
                *left -= 1;
                true
            }
            _ => idle >= self.all_from,
        }
    }
}

/// Four intervals: nobody is known for longer.
const MOST: usize = 64;

/// Half an interval.
const LEAST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is forgotten of members with these ages in seconds, whose interval is 160 s.
    fn forgotten(ages: &[u64], count: usize) -> Vec<u64> {
        let idle = |age: u64| Idle::new(Duration::from_secs(age), Duration::from_secs(160));
        let mut census = Census::new();
        for age in ages {
            census.note(idle(*age));
        }
        let mut shedding = census.idlest(count);
        let gone = ages.iter().filter(|age| shedding.takes(idle(**age)));
        gone.copied().collect()
    }

    #[test]
    fn the_idlest_go_first_and_no_more_than_have_to() {
        let ages = [5, 300, 90, 120, 100_000, 301, 85];
        assert_eq!(forgotten(&ages, 1), [100_000]);
        assert_eq!(forgotten(&ages, 2), [300, 100_000], "of equals any");
        assert_eq!(forgotten(&ages, 3), [300, 100_000, 301]);
        assert_eq!(forgotten(&ages, 4), [300, 120, 100_000, 301]);
        assert_eq!(forgotten(&[120; 9], 2), [120, 120]);
    }

    #[test]
    fn those_who_have_announced_lately_stay() {
        assert_eq!(forgotten(&[0, 79, 80, 81], 4), [80, 81]);
        assert_eq!(forgotten(&[10, 20], 1), [0; 0]);
        assert_eq!(forgotten(&[], 1), [0; 0]);
    }
}
