//! Whom to serve.
//!
//! While we download, those are served that give us most, and one more whom we know nothing good of yet: the
//! optimistic one, another every 30 s. While we seed, everybody has their turn of 30 s; when nobody waits, those
//! are kept who take fastest. In between a free slot is given away at once ([`Choker::fill`]).

use causeway_core::{Time, sort_by_key};
use core::cmp::Reverse;
use core::time::Duration;
use fastrand::Rng;

use crate::LinkId;

/// Remembers who is the optimistic one.
#[derive(Debug, Default)]
pub(crate) struct Choker {
    optimistic: Option<(LinkId, Time)>,
}

/// A peer that is interested in what we have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) link: LinkId,
    /// Whether it is served at the moment.
    pub(crate) unchoked: bool,
    /// Since when it is served, or waits.
    pub(crate) since: Time,
    /// It is a Causeway peer.
    pub(crate) is_causeway: bool,
    /// Bytes a second: what it gives while we download, what it takes while we seed.
    pub(crate) rate: u64,
}

/// What rates mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// We want something of others.
    Leech,
    /// We only give.
    Seed,
}

impl Choker {
    /// Who is to be served from now on, at most `slots`; `candidates` in any order.
    pub(crate) fn decide(
        &mut self,
        role: Role,
        slots: usize,
        mut candidates: Vec<Candidate>,
        now: Time,
        rng: &mut Rng,
    ) -> Vec<LinkId> {
        match role {
            Role::Leech => self.reward(slots, candidates, now, rng),
            Role::Seed => {
                self.optimistic = None;
                sort_by_key(&mut candidates, |candidate| {
                    (turn(candidate, now), candidate.link)
                });
                candidates.truncate(slots);
                candidates.into_iter().map(|candidate| candidate.link).collect()
            }
        }
    }

    /// Who of those that wait is to be served too, now that there is a slot free.
    pub(crate) fn fill(role: Role, candidates: &[Candidate]) -> Option<LinkId> {
        let waiting = candidates.iter().filter(|candidate| !candidate.unchoked);
        let best = match role {
            Role::Leech => waiting
                .max_by_key(|candidate| (candidate.rate, candidate.is_causeway, Reverse(candidate.since))),
            Role::Seed => waiting.min_by_key(|candidate| candidate.since),
        };
        best.map(|candidate| candidate.link)
    }

    fn reward(
        &mut self,
        slots: usize,
        mut candidates: Vec<Candidate>,
        now: Time,
        rng: &mut Rng,
    ) -> Vec<LinkId> {
        sort_by_key(&mut candidates, |candidate| {
            (
                Reverse(candidate.rate),
                !candidate.is_causeway,
                !candidate.unchoked,
                candidate.since,
                candidate.link,
            )
        });
        let regular = slots.saturating_sub(1).min(candidates.len());
        let rest = candidates.split_off(regular);
        let mut served: Vec<_> = candidates.into_iter().map(|candidate| candidate.link).collect();
        if slots == 0 {
            return served;
        }
        let keeps = |link| rest.iter().any(|candidate| candidate.link == link);
        let optimistic = self
            .optimistic
            .filter(|(link, since)| now.since(*since) < TURN && keeps(*link));
        self.optimistic = optimistic.or_else(|| rng.choice(&rest).map(|candidate| (candidate.link, now)));
        served.extend(self.optimistic.map(|(link, _)| link));
        served
    }
}

/// Orders who is served while seeding: first those whose turn has just begun, then those who wait, the longest
/// first, then those whose turn is over, the fastest first.
fn turn(candidate: &Candidate, now: Time) -> (u8, Time, Reverse<u64>) {
    match candidate.unchoked {
        true if now.since(candidate.since) < TURN => (0, candidate.since, Reverse(0)),
        false => (1, candidate.since, Reverse(0)),
        true => (2, Time::ZERO, Reverse(candidate.rate)),
    }
}

/// How often it is decided anew whom to serve.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// How long somebody is served at least while seeding, and how long the optimistic one is while downloading.
const TURN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Candidates from a table: a letter for the link, `+` if it is served, its rate, since which second.
    fn candidates(table: &[(char, bool, u64, u64)]) -> Vec<Candidate> {
        let candidate = |(name, unchoked, rate, since): &(char, bool, u64, u64)| Candidate {
            link: LinkId(u64::from(u32::from(*name))),
            unchoked: *unchoked,
            since: Time::from_micros(since * 1_000_000),
            rate: *rate,
            is_causeway: false,
        };
        table.iter().map(candidate).collect()
    }

    fn names(links: impl IntoIterator<Item = LinkId>) -> String {
        let name = |link: LinkId| {
            u32::try_from(link.0)
                .ok()
                .and_then(char::from_u32)
                .expect("a letter")
        };
        let mut names: Vec<_> = links.into_iter().map(name).collect();
        names.sort_unstable();
        names.into_iter().collect()
    }

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn those_who_give_most_are_served_and_one_more() {
        let table = candidates(&[
            ('a', true, 10, 0),
            ('b', false, 30, 0),
            ('c', true, 20, 0),
            ('d', true, 0, 0),
        ]);
        let mut choker = Choker::default();
        let mut rng = Rng::with_seed(1);
        let served = choker.decide(Role::Leech, 3, table.clone(), at(0), &mut rng);
        assert_eq!(names(served[..2].iter().copied()), "bc");
        assert!(
            "ad".contains(&names([served[2]])),
            "the optimistic one is of the others"
        );
        assert!(choker.decide(Role::Leech, 0, table, at(0), &mut rng).is_empty());
    }

    #[test]
    fn the_optimistic_one_keeps_its_slot_for_its_turn_and_everybody_has_one() {
        let table = candidates(&[
            ('a', true, 10, 0),
            ('b', false, 0, 0),
            ('c', false, 0, 0),
            ('d', false, 0, 0),
        ]);
        let mut choker = Choker::default();
        let mut rng = Rng::with_seed(7);
        let mut seen = String::new();
        for turn in 0..20 {
            let first = choker.decide(Role::Leech, 2, table.clone(), at(turn * 30), &mut rng);
            let later = choker.decide(Role::Leech, 2, table.clone(), at(turn * 30 + 20), &mut rng);
            assert_eq!(first, later, "the turn is not over");
            seen += &names(first[1..].iter().copied());
        }
        assert!("bcd".chars().all(|name| seen.contains(name)), "{seen}");
    }

    #[test]
    fn a_seed_gives_everybody_a_turn() {
        for (table, expected, why) in [
            (
                vec![('a', true, 9, 80), ('b', true, 1, 90), ('c', false, 0, 10)],
                "ab",
                "turns have just begun",
            ),
            (
                vec![('a', true, 9, 10), ('b', true, 1, 10), ('c', false, 0, 60)],
                "ac",
                "the slower one gives way",
            ),
            (
                vec![('a', true, 9, 10), ('b', false, 0, 20), ('c', false, 0, 30)],
                "bc",
                "the longest waits first",
            ),
            (
                vec![('a', true, 9, 10), ('b', true, 0, 20)],
                "ab",
                "nobody else wants it",
            ),
        ] {
            let served =
                Choker::default().decide(Role::Seed, 2, candidates(&table), at(100), &mut Rng::with_seed(1));
            assert_eq!(names(served), expected, "{why}");
        }
    }

    #[test]
    fn a_free_slot_goes_to_the_best_that_waits() {
        let table = candidates(&[
            ('a', true, 90, 0),
            ('b', false, 5, 7),
            ('c', false, 9, 8),
            ('d', false, 9, 6),
        ]);
        assert_eq!(names(Choker::fill(Role::Leech, &table)), "d");
        assert_eq!(names(Choker::fill(Role::Seed, &table)), "d");
        assert_eq!(Choker::fill(Role::Seed, &table[..1]), None);
    }
}
