//! Whom to serve.
//!
//! While we download, those are served that give us most, and in a quarter of the slots others, whom we know nothing
//! good of yet: the optimistic ones, each for 30 s. Slots that nobody has earned stay free: what is sent to those who give
//! nothing is taken from those who do. While we seed, everybody has their turn of 30 s; when nobody waits, those
//! are kept who take fastest; those who pass nothing on of a first copy come after all others. In between a free slot is
//! given away at once ([`fill`]).

use causeway_core::{Time, sort_by_key};
use core::cmp::Reverse;
use core::time::Duration;
use fastrand::Rng;

use crate::LinkId;

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
    /// It passes on nothing of what we are the first to give.
    pub(crate) hoards: bool,
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

/// Who is to be served from now on, at most `slots`; `candidates` in any order.
pub(crate) fn decide(
    role: Role,
    slots: usize,
    mut candidates: Vec<Candidate>,
    now: Time,
    rng: &mut Rng,
) -> Vec<LinkId> {
    match role {
        Role::Leech => return reward(slots, candidates, now, rng),
        Role::Seed => sort_by_key(&mut candidates, |candidate| {
            (turn(candidate, now), candidate.link)
        }),
    }
    candidates.truncate(slots);
    candidates.into_iter().map(|candidate| candidate.link).collect()
}

/// Who of those that wait is to be served too, now that one of the `slots` is free.
pub(crate) fn fill(role: Role, slots: usize, candidates: &[Candidate]) -> Option<LinkId> {
    let waiting = candidates.iter().filter(|candidate| !candidate.unchoked);
    let best = match role {
        Role::Leech => waiting
            .max_by_key(|candidate| (candidate.rate, candidate.is_causeway, Reverse(candidate.since)))
            .filter(|best| {
                let unearned = candidates.iter().filter(|it| it.unchoked && it.rate == 0);
                best.rate > 0 || unearned.count() < optimistic(slots)
            }),
        Role::Seed => waiting.min_by_key(|candidate| (candidate.hoards, candidate.since)),
    };
    best.map(|candidate| candidate.link)
}

fn reward(slots: usize, mut candidates: Vec<Candidate>, now: Time, rng: &mut Rng) -> Vec<LinkId> {
    sort_by_key(&mut candidates, |candidate| {
        (
            Reverse(candidate.rate),
            !candidate.is_causeway,
            !candidate.unchoked,
            candidate.since,
            candidate.link,
        )
    });
    let givers = candidates.iter().filter(|candidate| candidate.rate > 0).count();
    let earned = givers.min(slots.saturating_sub(optimistic(slots)));
    let mut rest = candidates.split_off(earned);
    rng.shuffle(&mut rest);
    // Whose turn is not over goes before whom chance favours.
    sort_by_key(&mut rest, |candidate| {
        !(candidate.unchoked && now.since(candidate.since) < TURN)
    });
    rest.truncate(optimistic(slots));
    candidates.extend(rest);
    candidates.into_iter().map(|candidate| candidate.link).collect()
}

/// How many slots go to those of whom we know nothing good.
fn optimistic(slots: usize) -> usize {
    (slots / 4).max(1).min(slots)
}

/// Orders who is served while seeding: first those whose turn has just begun, then those who wait, the longest
/// first, then those whose turn is over, the fastest first; after all of them, in the same order, those who hoard.
fn turn(candidate: &Candidate, now: Time) -> (bool, u8, Time, Reverse<u64>) {
    let (order, since, rate) = match candidate.unchoked {
        true if now.since(candidate.since) < TURN => (0, candidate.since, 0),
        false => (1, candidate.since, 0),
        true => (2, Time::ZERO, candidate.rate),
    };
    (candidate.hoards, order, since, Reverse(rate))
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
            hoards: false,
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
        let mut rng = Rng::with_seed(1);
        let served = decide(Role::Leech, 3, table.clone(), at(0), &mut rng);
        assert_eq!(names(served[..2].iter().copied()), "bc");
        assert!(
            "ad".contains(&names([served[2]])),
            "the optimistic one is of the others"
        );
        assert!(decide(Role::Leech, 0, table, at(0), &mut rng).is_empty());
    }

    #[test]
    fn the_optimistic_one_keeps_its_slot_for_its_turn_and_everybody_has_one() {
        let mut rng = Rng::with_seed(7);
        let mut seen = String::new();
        let mut served = String::new();
        for turn in 0..20 {
            let row = |name| {
                let is_served = served.contains(name);
                let since = if is_served { turn * 30 - 30 } else { 0 };
                (name, is_served, if name == 'a' { 10 } else { 0 }, since)
            };
            let table = candidates(&['a', 'b', 'c', 'd'].map(row));
            served = names(decide(Role::Leech, 2, table, at(turn * 30), &mut rng));
            assert_eq!(served.len(), 2, "{served}");
            seen += &served;
        }
        assert!("abcd".chars().all(|name| seen.contains(name)), "{seen}");
        let table = candidates(&[
            ('a', true, 10, 0),
            ('b', false, 0, 0),
            ('c', true, 0, 5),
            ('d', false, 0, 0),
        ]);
        let later = decide(Role::Leech, 2, table, at(34), &mut rng);
        assert_eq!(names(later), "ac", "the turn is not over");
    }

    #[test]
    fn slots_that_nobody_has_earned_are_left_free_but_for_a_quarter() {
        let table = candidates(&[
            ('a', true, 10, 0),
            ('b', true, 0, 0),
            ('c', true, 0, 0),
            ('d', false, 0, 0),
            ('e', false, 7, 0),
        ]);
        let served = decide(Role::Leech, 8, table.clone(), at(100), &mut Rng::with_seed(3));
        let served = names(served);
        assert!(
            served.len() == 4 && served.contains('a') && served.contains('e'),
            "{served}"
        );
        assert_eq!(names(fill(Role::Leech, 8, &table)), "e", "it gives something");
        assert_eq!(
            fill(Role::Leech, 8, &table[..4]),
            None,
            "two others are served already"
        );
        assert_eq!(names(fill(Role::Leech, 12, &table[..4])), "d");
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
            let served = decide(Role::Seed, 2, candidates(&table), at(100), &mut Rng::with_seed(1));
            assert_eq!(names(served), expected, "{why}");
        }
    }

    #[test]
    fn who_hoards_is_served_by_a_seed_after_all_others() {
        let mut table = candidates(&[
            ('a', true, 9, 90),
            ('b', true, 1, 10),
            ('c', false, 0, 60),
            ('d', false, 0, 20),
        ]);
        table[0].hoards = true;
        table[3].hoards = true;
        let served = |slots| {
            names(decide(
                Role::Seed,
                slots,
                table.clone(),
                at(100),
                &mut Rng::with_seed(1),
            ))
        };
        assert_eq!(served(2), "bc");
        assert_eq!(served(3), "abc", "its turn has just begun");
        assert_eq!(names(fill(Role::Seed, 4, &table)), "c");
        assert_eq!(names(fill(Role::Seed, 4, &table[3..])), "d", "nobody else waits");
    }

    #[test]
    fn a_free_slot_goes_to_the_best_that_waits() {
        let table = candidates(&[
            ('a', true, 90, 0),
            ('b', false, 5, 7),
            ('c', false, 9, 8),
            ('d', false, 9, 6),
        ]);
        assert_eq!(names(fill(Role::Leech, 8, &table)), "d");
        assert_eq!(names(fill(Role::Seed, 8, &table)), "d");
        assert_eq!(fill(Role::Seed, 8, &table[..1]), None);
    }
}
