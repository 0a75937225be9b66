//! `cargo xtask setup`: what building and testing need beyond Rust itself.
//!
//! Every step looks first whether its work is done already, so that a second run takes a moment and needs no
//! network. What can't be installed from here is an error with the sentence that says what to do by hand.

mod clients;
mod debian;
mod node;
mod tools;
mod wasm;

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::browser::Browser;
use crate::process;

/// What building and running needs: the page is WebAssembly.
///
/// # Errors
/// A step failed.
pub(crate) fn build() -> Result<()> {
    wasm::standard_library()?;
    tools::wasm_bindgen()?;
    tools::trunk()
}

/// What the tests need on top of that.
///
/// # Errors
/// A step failed.
pub(crate) fn all() -> Result<()> {
    build()?;
    tools::for_tests()?;
    browsers()?;
    node::packages()?;
    clients::all()
}

/// The clients and trackers of npm.
///
/// # Errors
/// They can't be installed.
pub(crate) fn npm_packages() -> Result<()> {
    node::packages()
}

/// rqbit as its users have it.
///
/// # Errors
/// It can't be built.
pub(crate) fn optimised_rqbit() -> Result<PathBuf> {
    tools::optimised_rqbit()
}

/// The browsers that the tests run in.
fn browsers() -> Result<()> {
    if Browser::find().is_none() && debian::is_ours() {
        doing("Chromium and its driver from Debian's packages", "about a minute");
        debian::install(&["chromium", "chromium-driver"])?;
    }
    Browser::require()?;
    done("Chromium and its driver");
    let by_hand = "the end-to-end tests need Firefox: install it, and name its program in CAUSEWAY_FIREFOX where that is not firefox-esr";
    if env::var_os("CAUSEWAY_FIREFOX").is_none() {
        program_from_debian("firefox-esr", &["firefox-esr"], by_hand)?;
    }
    done("Firefox");
    Ok(())
}

fn done(what: &str) {
    eprintln!("  there: {what}");
}

fn doing(what: &str, how_long: &str) {
    eprintln!("  {what} ({how_long})");
}

/// Installs Debian packages when a program is missing.
fn program_from_debian(name: &str, packages: &[&str], by_hand: &str) -> Result<()> {
    if process::find(&[name]).is_none() && debian::is_ours() {
        doing(&format!("{name} from Debian's packages"), "about a minute");
        debian::install(packages)?;
    }
    process::find(&[name])
        .map(|_| ())
        .with_context(|| by_hand.to_owned())
}
