//! The browser that the tests run in, and the program that drives it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The variables by which a developer names others than those on the PATH, and which the end-to-end tests
/// read.
const BROWSER: &str = "CAUSEWAY_CHROMIUM";
const DRIVER: &str = "CAUSEWAY_CHROMEDRIVER";

/// Chromium, or what is built on it, with its driver.
#[derive(Debug)]
pub(crate) struct Browser {
    program: PathBuf,
    driver: PathBuf,
}

impl Browser {
    /// Looks for both.
    pub(crate) fn find() -> Option<Browser> {
        let chosen = |variable: &str| env::var_os(variable).map(PathBuf::from);
        let names = [
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
            "chrome",
        ];
        Some(Browser {
            program: chosen(BROWSER).or_else(|| process::find(&names))?,
            driver: chosen(DRIVER).or_else(|| process::find(&["chromedriver"]))?,
        })
    }

    /// The same, for commands that can't do without.
    ///
    /// # Errors
    /// One is missing: the sentence says how to get it.
    pub(crate) fn require() -> Result<Browser> {
        Self::find().with_context(|| {
            format!(
                "the tests need Chromium (or Chrome) and its `chromedriver` on the PATH, or named by {BROWSER} and \
                 {DRIVER}: install both (on Debian `apt-get install chromium chromium-driver`)"
            )
        })
    }

    /// Makes a command that runs tests use this browser.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command.env(BROWSER, &self.program).env(DRIVER, &self.driver);
        // What wasm-bindgen's test runner reads.
        command.env("CHROMEDRIVER", &self.driver);
    }
}
