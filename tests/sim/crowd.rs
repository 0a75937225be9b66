//! Large swarms, and how close they come to what is possible at all.

use core::time::Duration;

use crate::scenario::{Has, Member, Outcome, Scenario};
use crate::{number, run};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// One seed and so many equal leeches, all there from the start, sharing pieces of so many blocks. The crowd can
/// take four times as fast as it gives.
fn flash_crowd(seed: u64, leeches: usize, pieces: u32, blocks: u32) -> Scenario {
    let mut members = vec![Member::new(Has::Metadata, UP, 4 * UP); leeches + 1];
    members[0].has = Has::Everything;
    let piece_length = blocks * 16 * 1024;
    Scenario {
        degree: 40,
        limit: Duration::from_hours(1),
        check_one_in: 20_000,
        ..Scenario::new(seed, (pieces * piece_length) as usize, piece_length, members)
    }
}

/// Seconds below which no protocol whatever can serve everybody: the seed has to send each byte once, all together
/// have to send every byte to every leech, and each leech has to take every byte.
fn fluid_bound(scenario: &Scenario) -> f64 {
    let length = as_f64(scenario.length as u64);
    let (seeds, leeches): (Vec<_>, Vec<_>) = scenario
        .members
        .iter()
        .partition(|member| member.has == Has::Everything);
    let seed_up: u64 = seeds.iter().map(|seed| seed.up).sum();
    let givers = scenario.members.iter().filter(|member| !member.is_free_rider);
    let all_up: u64 = givers.map(|giver| giver.up).sum();
    let slowest = leeches
        .iter()
        .map(|leech| leech.down)
        .min()
        .expect("there is one");
    let all = length * as_f64(leeches.len() as u64) / as_f64(all_up);
    (length / as_f64(seed_up)).max(all).max(length / as_f64(slowest))
}

/// How many times as long as the bound the last of those who give took.
fn last_over_bound(scenario: &Scenario, outcome: &Outcome) -> f64 {
    let last = times(scenario, outcome, false).into_iter().fold(0.0, f64::max);
    last / fluid_bound(scenario)
}

/// When those who give were done, or those who don't, in seconds.
fn times(scenario: &Scenario, outcome: &Outcome, free_riders: bool) -> Vec<f64> {
    let members = scenario.members.iter().zip(&outcome.done);
    let leeches =
        members.filter(|(member, _)| member.has != Has::Everything && member.is_free_rider == free_riders);
    let done = leeches.map(|(_, done)| done.expect("everybody is done").as_secs_f64());
    done.collect()
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / as_f64(times.len() as u64)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// Bytes a second.
const UP: u64 = 500_000;

#[test]
fn a_flash_crowd_takes_little_longer_than_it_must() {
    run(1, |seed| {
        let scenario = flash_crowd(seed, 20, 200, 4);
        let outcome = scenario.clone().run();
        let ratio = last_over_bound(&scenario, &outcome);
        assert!(ratio < 2.0, "{ratio} times the bound");
    });
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn two_hundred_come_at_once() {
    run(1, |seed| {
        let mut scenario = flash_crowd(seed, 200, 100, 4);
        scenario.degree = 20;
        let outcome = scenario.clone().run();
        let ratio = last_over_bound(&scenario, &outcome);
        // The first pieces and the last ones are a large part of so short a time.
        assert!(ratio < 2.5, "{ratio} times the bound");
    });
}

#[test]
fn those_who_give_nothing_come_after_those_who_give() {
    run(3, |seed| {
        let mut scenario = flash_crowd(seed, 30, 500, 4);
        scenario.members[0].up *= 3;
        for member in scenario.members[1..].iter_mut().step_by(5) {
            member.is_free_rider = true;
        }
        let outcome = scenario.clone().run();
        let [givers, riders] = [false, true].map(|rides| mean(&times(&scenario, &outcome, rides)));
        assert!(riders > 1.05 * givers, "{riders} s, givers {givers} s");
    });
}

#[test]
fn those_who_give_nothing_hold_up_nobody_by_what_the_seed_gave_them() {
    run(1, |seed| {
        let mut scenario = flash_crowd(seed, 30, 500, 4);
        for member in scenario.members[1..].iter_mut().step_by(5) {
            member.is_free_rider = true;
        }
        let outcome = scenario.clone().run();
        let ratio = last_over_bound(&scenario, &outcome);
        assert!(ratio < 1.35, "{ratio} times the bound");
    });
}

/// `cargo xtask sim --figures` prints these.
#[test]
#[ignore = "figures of large swarms, for a release build"]
#[expect(clippy::print_stdout, reason = "figures are for people")]
#[expect(
    clippy::disallowed_types,
    reason = "how long the machine takes is one of the figures"
)]
fn figures() {
    run(1, |seed| {
        let blocks = number("CAUSEWAY_BLOCKS").map_or(16, |blocks| u32::try_from(blocks).expect("few"));
        let start = std::time::Instant::now();
        let scenario = flash_crowd(seed, 100, 1000, blocks);
        let outcome = scenario.clone().run();
        let took = start.elapsed().as_secs_f64();
        println!(
            "flash crowd of 100: {:.3} times the bound; {} blocks in {took:.1} s, {:.0} a second",
            last_over_bound(&scenario, &outcome),
            outcome.blocks,
            as_f64(outcome.blocks) / took,
        );
        for faster in [1, 8] {
            let mut scenario = flash_crowd(seed, 100, 1000, 4);
            scenario.members[0].up *= faster;
            for member in scenario.members[1..].iter_mut().step_by(5) {
                member.is_free_rider = true;
            }
            let outcome = scenario.clone().run();
            println!(
                "the same, pieces of 64 KiB, every fifth gives nothing, a seed {faster} times as fast: {:.3} times the bound; givers were done after {:.0} s, free riders after {:.0} s",
                last_over_bound(&scenario, &outcome),
                mean(&times(&scenario, &outcome, false)),
                mean(&times(&scenario, &outcome, true)),
            );
        }
    });
}
