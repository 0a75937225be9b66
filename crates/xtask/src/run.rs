//! `cargo xtask run`: everything from nothing to a page that is served.

use anyhow::Result;

use crate::{page, process, setup};

/// Builds what is missing, then becomes `causeway serve` with these arguments.
///
/// # Errors
/// A build failed, or the server did.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::build()?;
    page::build(None)?;
    let mut command = process::cargo(["run", "--release", "--package", "causeway", "--", "serve"]);
    become_it(command.args(arguments))
}

/// Gives this process to the server, so that signals reach it alone and its status is ours.
#[cfg(unix)]
fn become_it(command: &mut std::process::Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn become_it(command: &mut std::process::Command) -> Result<()> {
    process::run(command)
}
