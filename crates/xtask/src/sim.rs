//! `cargo xtask sim`: whole swarms in virtual time, as many as one likes.

use anyhow::Result;

use crate::process;

/// Runs every scenario of the simulator with so many seeds; with `seed`, with that one alone. A failure prints its seed.
///
/// # Errors
/// A scenario failed.
pub(crate) fn run(seeds: u64, seed: Option<u64>, scenario: Option<&str>, figures: bool) -> Result<()> {
    let mut command = process::cargo(["test", "--release", "--package=causeway-sim", "--test=sim", "--"]);
    // A name with its module is that of one scenario, and not the beginning of others'.
    let is_exact = scenario.is_some_and(|name| name.contains("::"));
    command.args(scenario).args(is_exact.then_some("--exact"));
    command.env("CAUSEWAY_SEEDS", seeds.to_string());
    if let Some(seed) = seed {
        command.env("CAUSEWAY_SEED", seed.to_string());
    }
    if figures {
        command
            .args(["--ignored", "--nocapture"])
            .env("CAUSEWAY_SEEDS", "1");
    }
    process::run(&mut command)
}
