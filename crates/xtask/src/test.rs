//! `cargo xtask test`: everything that a change has to pass, as steps that can be repeated one by one.
//!
//! The cheap ones come first. Steps that build the same thing name the same packages, since cargo would
//! compile a dependency again for another selection of features. The end-to-end tests are last, so that the
//! runner's own summary closes the output.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::browser::Browser;
use crate::toolchain::{TARGET, WasmToolchain};
use crate::{page, process, setup, tidy, workspace};

/// One part of the tests.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        about: "the rules that no other tool knows",
        run: tidy::run,
    },
    Step {
        name: "format",
        about: "rustfmt",
        run: format,
    },
    Step {
        name: "unused",
        about: "dependencies that nothing uses",
        run: unused,
    },
    Step {
        name: "deny",
        about: "licences, sources and known faults of the dependencies",
        run: deny,
    },
    Step {
        name: "clippy",
        about: "lints, natively",
        run: clippy,
    },
    Step {
        name: "clippy-wasm",
        about: "lints, for the browser",
        run: clippy_wasm,
    },
    Step {
        name: "docs",
        about: "the documentation and its links",
        run: docs,
    },
    Step {
        name: "unit",
        about: "unit, property and simulation tests",
        run: unit,
    },
    Step {
        name: "examples",
        about: "the examples in the documentation",
        run: examples,
    },
    Step {
        name: "wasm",
        about: "unit, property and simulation tests in a browser's worker",
        run: wasm,
    },
    Step {
        name: "end-to-end",
        about: "the page as it is released, in browsers and against real clients",
        run: end_to_end,
    },
];

/// The crates that do no I/O, which run the same natively and in a browser.
const PURE: [&str; 5] = [
    "causeway-core",
    "causeway-wire",
    "causeway-signal",
    "causeway-engine",
    "causeway-sim",
];

/// The end-to-end tests' package, as nextest's filters call it.
const END_TO_END: &str = "package(causeway-tests)";

/// The names of all steps, in their order.
pub(crate) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// Runs the steps, or only those in `only`, without those in `skip`.
///
/// # Errors
/// A step failed; the sentence has the command that repeats it.
pub(crate) fn run(only: &[String], skip: &[String]) -> Result<()> {
    eprintln!("== setup");
    setup::all()?;

    let steps: Vec<&Step> = STEPS
        .iter()
        .filter(|step| is_wanted(step.name, only, skip))
        .collect();
    for (index, step) in steps.iter().enumerate() {
        eprintln!(
            "== {} ({} of {}): {}",
            step.name,
            index + 1,
            steps.len(),
            step.about
        );
        let start = Instant::now();
        (step.run)().with_context(|| {
            format!(
                "step `{0}` failed; `cargo xtask test --only {0}` repeats it alone",
                step.name
            )
        })?;
        // The last word is the test runner's.
        if index + 1 < steps.len() {
            eprintln!("== {}: passed in {} s", step.name, start.elapsed().as_secs());
        }
    }
    Ok(())
}

fn is_wanted(name: &str, only: &[String], skip: &[String]) -> bool {
    (only.is_empty() || only.iter().any(|wanted| wanted == name))
        && !skip.iter().any(|unwanted| unwanted == name)
}

fn format() -> Result<()> {
    process::run(&mut process::cargo(["fmt", "--all", "--check"]))
}

fn unused() -> Result<()> {
    process::run(&mut process::program("cargo-machete", ["crates", "tests"]))
}

fn deny() -> Result<()> {
    // Warnings, of a crate in two versions for example, are for `cargo deny check` by hand.
    let deny = |arguments: &[&str]| {
        let mut command = process::cargo(["deny", "--log-level", "error"]);
        command.args(arguments);
        command
    };
    process::run(&mut deny(&["check", "bans", "licenses", "sources"]))?;
    // The list of known faults lies on a server of its own, which not every machine can reach.
    if process::answer(&mut deny(&["fetch", "db"])).is_none() {
        eprintln!("  skipped: the list of known faults (advisories) can't be fetched from here");
        return Ok(());
    }
    process::run(&mut deny(&["check", "--disable-fetch", "advisories"]))
}

fn clippy() -> Result<()> {
    process::run(&mut process::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn clippy_wasm() -> Result<()> {
    let mut command = WasmToolchain::require()?.cargo(&["clippy", "--target", TARGET, "--all-targets"]);
    process::run(
        command
            .args(packages(&PURE))
            .args(["--package=causeway-web", "--", "-D", "warnings"]),
    )
}

fn docs() -> Result<()> {
    let mut command = process::cargo(["doc", "--workspace", "--no-deps"]);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn unit() -> Result<()> {
    let filter = format!("not {END_TO_END}");
    process::run(&mut process::cargo([
        "nextest",
        "run",
        "--workspace",
        "--filterset",
        &filter,
    ]))
}

fn examples() -> Result<()> {
    process::run(&mut process::cargo(["test", "--workspace", "--doc"]))
}

fn wasm() -> Result<()> {
    let mut command = WasmToolchain::require()?.cargo(&["test", "--target", TARGET, "--tests"]);
    command
        .args(packages(&PURE))
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
            "wasm-bindgen-test-runner",
        )
        // Where the engine lives when it is at work, unless a test asks for something else.
        .env("WASM_BINDGEN_USE_DEDICATED_WORKER", "1")
        .env(
            "WASM_BINDGEN_TEST_WEBDRIVER_JSON",
            workspace::root().join(".config/webdriver.json"),
        )
        .env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60")
        .env("WASM_BINDGEN_TEST_TIMEOUT", "300");
    Browser::require()?.prepare(&mut command);
    process::run(&mut command)
}

fn end_to_end() -> Result<()> {
    page::build(None)?;
    process::run(&mut process::cargo(["build", "--workspace", "--bin", "causeway"]))?;
    let mut command = process::cargo(["nextest", "run", "--workspace", "--filterset", END_TO_END]);
    Browser::require()?.prepare(&mut command);
    process::run(&mut command)
}

fn packages(names: &[&'static str]) -> impl Iterator<Item = &'static str> {
    names.iter().flat_map(|name| ["--package", name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_and_skip_choose_the_steps() {
        let none: [String; 0] = [];
        let unit = ["unit".to_owned()];
        assert!(is_wanted("unit", &none, &none) && is_wanted("unit", &unit, &none));
        assert!(!is_wanted("docs", &unit, &none) && is_wanted("docs", &none, &unit));
        assert!(!is_wanted("unit", &unit, &unit));
    }

    #[test]
    fn the_end_to_end_tests_close_the_output() {
        assert_eq!(names().last(), Some(&"end-to-end"));
    }
}
