//! `cargo xtask fuzz`: looks for inputs that break what reads strangers' bytes.
//!
//! The fuzzer is libFuzzer, which needs the compiler to count what code is reached. The flags for that are the
//! stable compiler's, too.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// Looks for so many seconds at each target, or at one, for inputs that reach new code, and adds them to its corpus.
///
/// # Errors
/// The fuzzer could not be built, there is no such target, or an input broke one; the last lines name it.
pub(crate) fn run(seconds: u32, only: Option<&str>) -> Result<()> {
    let package = workspace::root().join("tests/fuzz");
    let targets = targets(&package.join("corpus"))?;
    let wanted: Vec<_> = targets
        .iter()
        .filter(|name| only.is_none_or(|only| only == *name))
        .collect();
    if wanted.is_empty() {
        bail!("there is no such target: these are {}", targets.join(", "));
    }
    let host = host()?;
    let mut build = process::cargo(["build", "--release", "--package=causeway-fuzz", "--bin=fuzz"]);
    build.args(["--features=libfuzzer", "--target", &host]);
    process::run(build.env("RUSTFLAGS", FLAGS.join(" ")))?;
    let program = workspace::target().join(&host).join("release/fuzz");
    for name in wanted {
        let found = workspace::target().join("fuzz").join(name);
        let corpus = package.join("corpus").join(name);
        fs::create_dir_all(&found).with_context(|| format!("can't make {}", found.display()))?;
        let mut fuzz = process::program(&program.display().to_string(), LIMITS);
        fuzz.env("CAUSEWAY_FUZZ_TARGET", name)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/broken-", found.display()))
            .arg(&found)
            .arg(&corpus);
        process::run(&mut fuzz)?;
        // What reaches something new, and no more of it than that takes.
        let mut merge = process::program(&program.display().to_string(), ["-set_cover_merge=1"]);
        merge.env("CAUSEWAY_FUZZ_TARGET", name).arg(&corpus).arg(&found);
        process::run(&mut merge)?;
    }
    Ok(())
}

/// The targets are the folders of their corpora.
fn targets(corpora: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(corpora).with_context(|| format!("can't read {}", corpora.display()))?;
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The platform that the compiler runs on, by its name.
fn host() -> Result<String> {
    let answer = process::answer(&mut process::program("rustc", ["-vV"])).context("rustc does not answer")?;
    let line = answer.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned)
        .context("rustc does not say where it runs")
}

/// What counts the code that an input reaches, and what tells the fuzzer by how much a comparison was missed.
const FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Ccodegen-units=1",
];

/// Longer inputs reach nothing else; more memory or time for one is a fault.
const LIMITS: [&str; 3] = ["-max_len=4096", "-rss_limit_mb=1024", "-timeout=10"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_of_inputs_is_a_target() {
        let corpora = workspace::root().join("tests/fuzz/corpus");
        let targets = targets(&corpora).expect("there are corpora");
        assert!(targets.contains(&"engine".to_owned()), "{targets:?}");
    }

    #[test]
    fn the_compiler_says_where_it_runs() {
        assert!(host().expect("it answers").contains('-'));
    }
}
