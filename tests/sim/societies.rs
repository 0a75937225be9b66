//! Swarms in which one thing is peculiar, and what must come of it.

use core::time::Duration;

use crate::scenario::{Has, Member, Outcome, Scenario, Trouble};
use crate::with_seeds;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PIECE: u32 = 32 * 1024;
/// Bytes a second.
const UP: u64 = 200_000;

/// A seed and so many leeches, all equal.
fn equals(leeches: usize) -> Vec<Member> {
    let mut members = vec![Member::new(Has::Metadata, UP, 8 * UP); leeches + 1];
    members[0].has = Has::Everything;
    members
}

fn swarm(seed: u64, pieces: u32, members: Vec<Member>) -> Scenario {
    Scenario {
        check_one_in: 500,
        ..Scenario::new(seed, (pieces * PIECE) as usize, PIECE, members)
    }
}

/// Seconds that these took, the last of them.
fn last(outcome: &Outcome, members: impl Iterator<Item = usize>) -> f64 {
    let done = members.map(|number| outcome.done[number].expect("it is done"));
    done.max().expect("there is one").as_secs_f64()
}

#[test]
fn one_peer_carries_everything_from_one_half_to_the_other() {
    with_seeds(|seed| {
        let mut scenario = swarm(seed, 60, equals(16));
        for member in &mut scenario.members[8..] {
            member.groups = 2;
        }
        scenario.members[7].groups = 3;
        let outcome = scenario.run();
        // Its own uplink takes 10 s for one copy, and it has its own half to help, too.
        let took = last(&outcome, 1..17);
        assert!(took < 50.0, "{took} s");
        let given = outcome.given[7];
        assert!(
            given >= 60 * u64::from(PIECE),
            "{given} bytes went over the bridge"
        );
    });
}

#[test]
fn one_slow_uplink_holds_up_nobody_else() {
    with_seeds(|seed| {
        let fast = last(&swarm(seed, 100, equals(8)).run(), 1..9);
        let mut scenario = swarm(seed, 100, equals(8));
        scenario.members[8].up = UP / 20;
        let outcome = scenario.run();
        let took = last(&outcome, 1..8);
        assert!(
            took < 1.5 * fast,
            "{took} s in place of {fast} s: {:?}",
            outcome.done
        );
    });
}

#[test]
fn links_that_are_cut_now_and_then_cost_little() {
    with_seeds(|seed| {
        let calm = last(&swarm(seed, 400, equals(12)).run(), 1..13);
        // A link is looked at from both sides, each second: 5 % a minute.
        let trouble = Trouble {
            cuts: 50_000 / 60 / 2,
            ..Trouble::default()
        };
        let took = last(&swarm(seed, 400, equals(12)).with(trouble).run(), 1..13);
        assert!(took < 1.2 * calm, "{took} s in place of {calm} s");
    });
}

#[test]
fn few_pieces_and_many_pieces_both_arrive() {
    with_seeds(|seed| {
        for pieces in [10, 1000] {
            let outcome = swarm(seed, pieces, equals(6)).run();
            // The seed's time for one copy, and the time of what begins and ends it.
            let bound = f64::from(pieces * PIECE) / 200_000.0;
            let took = last(&outcome, 1..7);
            assert!(
                took < 2.0 * bound + 4.0,
                "{pieces} pieces took {took} s, at least {bound} s"
            );
        }
    });
}

#[test]
fn reload_storms_are_weathered() {
    with_seeds(|seed| {
        let trouble = Trouble {
            storms: Some(7),
            ..Trouble::default()
        };
        let scenario = swarm(seed, 100, equals(12)).with(trouble);
        let outcome = Scenario {
            limit: Duration::from_mins(5),
            ..scenario
        }
        .run();
        let length = u64::from(100 * PIECE);
        let needed = 12 * length / u64::from(causeway_core::BLOCK_LENGTH);
        // What was stored is kept: only what was on its way is fetched again.
        assert!(
            outcome.blocks < needed * 12 / 10,
            "{} blocks in place of {needed}",
            outcome.blocks
        );
    });
}

/// Twelve of whom all stay but the seed, which leaves once it has given so many copies.
fn with_a_seed_that_leaves(seed: u64, hundredths: u64, super_seeds: bool) -> Scenario {
    let mut scenario = swarm(seed, 200, equals(12));
    scenario.members[0].super_seeds = super_seeds;
    scenario.members[0].leaves_after = Some(u64::from(200 * PIECE) * hundredths / 100);
    scenario
}

#[test]
fn everything_stays_of_what_a_super_seed_gave_a_little_more_than_once() {
    with_seeds(|seed| drop(with_a_seed_that_leaves(seed, 105, true).run()));
}

/// The others choose for themselves what to ask it for, and at first none of them knows what the rest ask for.
#[test]
fn everything_stays_of_what_a_seed_that_hides_nothing_gave_twice() {
    with_seeds(|seed| drop(with_a_seed_that_leaves(seed, 200, false).run()));
}
