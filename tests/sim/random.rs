//! Swarms of all kinds: whatever happens, everybody who stays gets everything.

use crate::scenario::{Scenario, Trouble};
use crate::script::Conduct;
use crate::with_many_seeds;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn whoever_stays_gets_everything() {
    with_many_seeds(|seed| drop(Scenario::random(seed).run()));
}

#[test]
fn whoever_stays_gets_everything_over_links_that_break() {
    with_many_seeds(|seed| {
        let trouble = Trouble {
            cuts: 50,
            ..Trouble::default()
        };
        let scenario = Scenario::random(seed);
        drop(Scenario { trouble, ..scenario }.run());
    });
}

#[test]
fn whoever_stays_gets_everything_though_everybody_keeps_reloading() {
    with_many_seeds(|seed| {
        let trouble = Trouble {
            cuts: 5,
            pauses: 20,
            restarts: 50,
        };
        let scenario = Scenario::random(seed);
        drop(Scenario { trouble, ..scenario }.run());
    });
}

#[test]
fn whoever_stays_gets_everything_among_those_who_mean_harm() {
    with_many_seeds(|seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let hostile = (0..rng.usize(1..4))
            .map(|_| Conduct::ALL[rng.usize(..Conduct::ALL.len())])
            .collect();
        let scenario = Scenario::random(seed);
        drop(Scenario { hostile, ..scenario }.run());
    });
}
