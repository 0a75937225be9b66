//! What a browser loads before the page works: WebAssembly, JavaScript, CSS and HTML, as `gzip -9` leaves them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::figures::{Goal, print_head};

/// The kinds of files that make the page.
const KINDS: [&str; 4] = ["wasm", "js", "css", "html"];

pub(crate) fn measure(dist: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(dist, &mut files)
        .with_context(|| format!("{}: build it with `cargo xtask dist`", dist.display()))?;
    files.sort();
    print_head("Weight of the page");
    let mut total = 0.0;
    for file in files {
        let packed = Command::new("gzip").args(["-9", "-c"]).arg(&file).output()?;
        ensure!(packed.status.success(), "gzip failed on {}", file.display());
        let kilobytes = f64::from(u32::try_from(packed.stdout.len())?) / 1000.0;
        total += kilobytes;
        println!(
            "| kB of {} | Causeway | {kilobytes:.1} | |",
            file.strip_prefix(dist)?.display()
        );
    }
    println!(
        "| kB in all | Causeway | {total:.1} | {} |",
        Goal::AtMost(250.0).judge(total)
    );
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|kind| KINDS.contains(&kind))
        {
            files.push(path);
        }
    }
    Ok(())
}
