//! Whole swarms in one process: real torrents over simulated links and storage, in virtual time, all chance from
//! one seed. A failure prints the seed and the command that replays it, `cargo xtask sim --seed N NAME`, and
//! nothing else happens then.
//!
//! What must hold at every step was broken on purpose once, to see that it is noticed:
//! - A piece that is called verified is as it was shared: an engine that takes every hash for right fails in `note`.
//! - Nothing is written over a verified piece: one that writes blocks which came twice fails in `effect`.
//! - Availability is the sum of the bitfields: one that counts each `have` twice fails in `check_invariants`.
//! - What is asked for is the same on both sides of a link: one that takes requests back without a `cancel` fails in
//!   `check_requests`, and one that chokes without rejecting what it drops in `check_links`.
//! - Nothing grows past its bound: one that accepts three times the requests that it says fails in `check_invariants`, and one
//!   that sends whatever a link takes fails in `send`.
//! - The deadline lies ahead: one that says the present fails in `perform`.
//! - There is no silence while work remains: one in which a silent peer's piece may go to the next silent peer fails in
//!   `check_progress`, with seed 394 of those among whom some mean harm.

#![cfg_attr(
    target_arch = "wasm32",
    expect(
        dead_code,
        reason = "the tracker's registry is native, and so is what is there for it alone"
    )
)]

mod crowd;
mod files;
mod hostile;
mod limits;
mod metadata;
mod node;
mod random;
mod run;
mod scenario;
mod script;
mod societies;
mod stopping;
mod storage;
mod streaming;
mod swarm;
mod web_seeds;
mod web_server;
mod world;

/// Runs a scenario with a handful of seeds.
fn with_seeds(scenario: impl Fn(u64)) {
    run(5, scenario);
}

/// Runs one of the eight random families with its part of three hundred seeds.
fn with_many_seeds(scenario: impl Fn(u64)) {
    run(if cfg!(target_arch = "wasm32") { 3 } else { 38 }, scenario);
}

/// Runs a scenario with so many seeds, with `CAUSEWAY_SEEDS` of them, or with `CAUSEWAY_SEED` alone.
fn run(seeds: u64, scenario: impl Fn(u64)) {
    /// Prints the seed of the run that panics.
    struct Seed(u64);

    impl Drop for Seed {
        #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
        fn drop(&mut self) {
            if std::thread::panicking() {
                let name = std::thread::current().name().unwrap_or_default().to_owned();
                eprintln!("replay with: cargo xtask sim --seed {} {name}", self.0);
            }
        }
    }

    let seeds = match (number("CAUSEWAY_SEED"), number("CAUSEWAY_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => 0..seeds,
        (None, None) => 0..seeds,
    };
    for seed in seeds {
        let seed = Seed(seed);
        scenario(seed.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "a person replays a failure with it")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
