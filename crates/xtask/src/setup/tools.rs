//! The programs that cargo itself installs, from their source.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{doing, done};
use crate::{process, workspace};

/// `wasm-bindgen`, which must be of the version that the page was compiled against.
pub(super) fn wasm_bindgen() -> Result<()> {
    let wanted = workspace::locked_version("wasm-bindgen")?;
    if version_of("wasm-bindgen").as_deref() == Some(wanted.as_str()) {
        done(&format!("wasm-bindgen {wanted}"));
        return Ok(());
    }
    // Not `--locked`: what its own lock file names may not have come to every registry yet.
    let version = format!("={wanted}");
    install(
        "wasm-bindgen",
        &["wasm-bindgen-cli", "--version", &version],
        "two to three minutes",
    )
}

/// Trunk, which builds the page.
pub(super) fn trunk() -> Result<()> {
    if let Some(version) = version_of("trunk")
        && is_at_least(&version, (0, 21))
    {
        done(&format!("Trunk {version}"));
        return Ok(());
    }
    install(
        "trunk",
        &["trunk", "--version", "^0.21", "--locked"],
        "five to ten minutes",
    )
}

/// The test runner, and the two programs that check the dependencies.
pub(super) fn for_tests() -> Result<()> {
    for (program, how_long) in [
        ("cargo-nextest", "three to six minutes"),
        ("cargo-deny", "three to six minutes"),
        ("cargo-machete", "less than a minute"),
    ] {
        if process::find(&[program]).is_some() {
            done(program);
        } else {
            install(program, &[program, "--locked"], how_long)?;
        }
    }
    Ok(())
}

/// rqbit, a BitTorrent client, built in the quickest way and with no more than seeding and downloading need.
pub(super) fn rqbit() -> Result<()> {
    if process::find(&["rqbit"]).is_some() {
        done("rqbit");
        return Ok(());
    }
    let quickly = ["--debug", "--config", "profile.dev.debug=false"];
    install("rqbit", &[&RQBIT[..], &quickly].concat(), "two to three minutes")
}

/// The same program with optimisation, which nothing but a benchmark needs, beside what cargo builds.
pub(super) fn optimised_rqbit() -> Result<PathBuf> {
    let folder = workspace::target().join("rqbit");
    let program = folder.join("bin/rqbit");
    if program.is_file() {
        done("rqbit with optimisation");
        return Ok(program);
    }
    doing(
        "rqbit with optimisation, built from its source",
        "five to ten minutes",
    );
    let mut command = process::cargo(["install", "--root"]);
    command.arg(&folder).args(RQBIT).env_remove("CARGO_TARGET_DIR");
    process::run(&mut command)?;
    Ok(program)
}

const RQBIT: [&str; 7] = [
    "rqbit",
    "--version",
    "^9.1",
    "--locked",
    "--no-default-features",
    "--features",
    "rust-tls",
];

fn install(program: &str, arguments: &[&str], how_long: &str) -> Result<()> {
    doing(&format!("{program}, built from its source"), how_long);
    // In a folder of cargo's own, which it removes afterwards: the project's would only grow.
    process::run(
        process::cargo(["install"])
            .args(arguments)
            .env_remove("CARGO_TARGET_DIR"),
    )?;
    process::find(&[program]).map(|_| ()).with_context(|| {
        format!(
            "{program} was installed but is not on the PATH: add cargo's folder, usually ~/.cargo/bin, to it"
        )
    })
}

/// The version that a program says it has: the first word that begins with a digit.
fn version_of(program: &str) -> Option<String> {
    let answer = process::answer(Command::new(program).arg("--version"))?;
    let version = answer
        .lines()
        .next()?
        .split_whitespace()
        .find(|word| word.starts_with(char::is_numeric))?;
    Some(version.to_owned())
}

fn is_at_least(version: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= wanted,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, enough) in [
            ("0.21.14", true),
            ("0.22.0-beta.1", true),
            ("1.0.0", true),
            ("0.3.9", false),
            ("", false),
            ("x.y", false),
        ] {
            assert_eq!(is_at_least(version, (0, 21)), enough, "{version}");
        }
    }
}
