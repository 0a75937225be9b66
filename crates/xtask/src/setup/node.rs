//! The npm packages that the end-to-end tests use as the other side: the clients and trackers that are
//! deployed.

use std::fs;

use anyhow::Result;

use super::{doing, done, program_from_debian};
use crate::{process, workspace};

/// Installs exactly what `tests/package-lock.json` names, where that has changed since the last time.
pub(super) fn packages() -> Result<()> {
    let folder = workspace::root().join("tests");
    let Ok(wanted) = fs::read(folder.join("package-lock.json")) else {
        return Ok(());
    };
    let record = folder.join("node_modules/.installed-lock.json");
    if fs::read(&record).is_ok_and(|installed| installed == wanted) {
        done("the npm packages of tests/");
        return Ok(());
    }
    let by_hand =
        "the end-to-end tests need Node.js 20 or later and npm: install both, from nodejs.org for example";
    program_from_debian("node", &["nodejs"], by_hand)?;
    program_from_debian("npm", &["npm"], by_hand)?;
    doing("the npm packages of tests/", "about a minute");
    // No package needs its install script here, and some would fetch a program with it: native parts come as packages.
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    process::run(process::program("npm", arguments).current_dir(&folder))?;
    fs::write(record, wanted)?;
    Ok(())
}
