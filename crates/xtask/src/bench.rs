//! `cargo xtask bench`: measurements in real browsers, as ratios to what others reach in the same run.

use anyhow::Result;

use crate::browser::Browser;
use crate::{page, process, setup};

/// Measures the browser peer against npm `webtorrent` and a bare data channel, with the arguments of
/// `bench-browser`.
///
/// # Errors
/// A build or the measurement failed.
pub(crate) fn browser(arguments: &[String]) -> Result<()> {
    setup::all()?;
    page::build(None)?;
    process::run(&mut process::cargo(["build", "--release", "--package=causeway"]))?;
    let mut command = process::cargo([
        "run",
        "--release",
        "--package=causeway-tests",
        "--bin=bench-browser",
        "--",
    ]);
    Browser::require()?.prepare(&mut command);
    process::run(command.args(arguments))
}
