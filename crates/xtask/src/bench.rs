//! `cargo xtask bench`: what the parts of Causeway cost, in real browsers as ratios to what others reach in the same run.

use std::path::PathBuf;

use anyhow::Result;

use crate::browser::Browser;
use crate::{page, process, setup};

/// Measures the browser peer against npm `webtorrent` and a bare data channel, with the arguments of
/// `bench-browser`.
///
/// # Errors
/// A build or the measurement failed.
pub(crate) fn browser(arguments: &[String]) -> Result<()> {
    with_browser("bench-browser", arguments, None)
}

/// Measures the native peer against libtorrent, serving a page, with the arguments of `bench-native`.
///
/// # Errors
/// A build or the measurement failed.
pub(crate) fn native(arguments: &[String]) -> Result<()> {
    with_browser("bench-native", arguments, None)
}

/// Measures the native peer over TCP against libtorrent and rqbit, and its web seed against its data channels, with the arguments of
/// `bench-bridge`.
///
/// # Errors
/// A build or the measurement failed.
pub(crate) fn bridge(arguments: &[String]) -> Result<()> {
    let rqbit = setup::optimised_rqbit()?;
    with_browser("bench-bridge", arguments, Some(("CAUSEWAY_RQBIT", rqbit)))
}

fn with_browser(program: &str, arguments: &[String], variable: Option<(&str, PathBuf)>) -> Result<()> {
    setup::all()?;
    page::build(None)?;
    process::run(&mut process::cargo(["build", "--release", "--package=causeway"]))?;
    let mut command = process::cargo([
        "run",
        "--release",
        "--package=causeway-tests",
        "--bin",
        program,
        "--",
    ]);
    Browser::require()?.prepare(&mut command);
    process::run(command.envs(variable).args(arguments))
}

/// Measures what WebRTC links cost the native peer, with the arguments of `crates/bridge/benches/webrtc.rs`.
///
/// # Errors
/// The build or the measurement failed.
pub(crate) fn webrtc(arguments: &[String]) -> Result<()> {
    let mut command = process::cargo(["bench", "--package=causeway-bridge", "--bench=webrtc", "--"]);
    process::run(command.args(arguments))
}

/// Measures what the engine itself costs, without links, disks or hashing, and with hashing.
///
/// # Errors
/// A build or the measurement failed.
pub(crate) fn engine() -> Result<()> {
    process::run(&mut process::cargo([
        "bench",
        "--package=causeway-engine",
        "--bench=engine",
    ]))
}

/// Measures the tracker against aquatic and npm's `bittorrent-tracker`, with the arguments of `bench-tracker`.
///
/// # Errors
/// A build or the measurement failed.
pub(crate) fn tracker(arguments: &[String]) -> Result<()> {
    setup::npm_packages()?;
    process::run(&mut process::cargo(["build", "--release", "--package=causeway"]))?;
    let mut command = process::cargo([
        "run",
        "--release",
        "--package=causeway-tests",
        "--bin=bench-tracker",
        "--",
    ]);
    process::run(command.args(arguments))
}
