//! Whole swarms in one process: real torrents over simulated links and storage, in virtual time, all chance from
//! one seed. A failure prints the seed; `CAUSEWAY_SEED=n cargo test -p causeway-engine --test sim NAME` replays
//! it alone.

mod files;
mod hostile;
mod limits;
mod metadata;
mod node;
mod script;
mod stopping;
mod storage;
mod swarm;
mod world;

/// Runs a scenario with a handful of seeds, or with the one that is to be replayed.
fn with_seeds(scenario: impl Fn(u64)) {
    /// Prints the seed of the run that panics.
    struct Seed(u64);

    impl Drop for Seed {
        #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("seed {0}: replay with CAUSEWAY_SEED={0}", self.0);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a person replays a failure with it")]
    let replayed = std::env::var("CAUSEWAY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = replayed.map_or(0..5, |seed| seed..seed + 1);
    for seed in seeds {
        let seed = Seed(seed);
        scenario(seed.0);
    }
}
