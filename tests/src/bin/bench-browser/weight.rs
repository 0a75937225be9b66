//! What a browser loads before the page works: WebAssembly, JavaScript, CSS and HTML, as they are packed for it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::figures::{Goal, print_head};

/// The kinds of files that make the page.
const KINDS: [&str; 4] = ["wasm", "js", "css", "html"];

pub(crate) fn measure(dist: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(dist, &mut files)
        .with_context(|| format!("{}: build it with `cargo xtask run`", dist.display()))?;
    files.sort();
    print_head("Weight of the page");
    for (coding, extension, goal) in [("gzip", "gz", Some(250.0)), ("Brotli", "br", None)] {
        let mut total = 0.0;
        for file in &files {
            let mut packed = file.as_os_str().to_owned();
            packed.push(format!(".{extension}"));
            let length = fs::metadata(&packed).or_else(|_| fs::metadata(file))?.len();
            let kilobytes = f64::from(u32::try_from(length)?) / 1000.0;
            total += kilobytes;
            println!(
                "| kB of {}, {coding} | Causeway | {kilobytes:.1} | |",
                file.strip_prefix(dist)?.display()
            );
        }
        let judged = goal.map(|goal| Goal::AtMost(goal).judge(total));
        println!(
            "| kB in all, {coding} | Causeway | {total:.1} | {} |",
            judged.unwrap_or_default()
        );
    }
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
