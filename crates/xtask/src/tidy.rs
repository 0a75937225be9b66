//! `cargo xtask tidy`: what a reviewer would otherwise have to look for.

mod documents;
mod layers;
mod manifests;
mod sources;

use anyhow::{Result, bail};

use crate::workspace;

/// The crates that do no I/O: time, randomness and everything from outside are their inputs.
const PURE: [&str; 4] = ["core", "wire", "signal", "engine"];

/// Runs all checks and shows everything that they find.
///
/// # Errors
/// They found something, or a file could not be read.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let findings = [
        layers::check(&layers::packages()?),
        manifests::check(root)?,
        sources::check(root)?,
        documents::check(root)?,
    ]
    .concat();
    for finding in &findings {
        eprintln!("  {finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 thing is not tidy: it stands above"),
        n => bail!("{n} things are not tidy: they stand above"),
    }
}

/// Writes a small project into a temporary folder, for the tests of the checks.
#[cfg(test)]
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }
    folder
}
