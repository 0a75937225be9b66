//! Files that have grown too long, and what was left for later.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Where a file has become two.
const MAX_LINES: usize = 600;

/// What people write.
const EXTENSIONS: [&str; 5] = ["rs", "css", "js", "mjs", "html"];

/// Words that say that something is not done yet; in halves, so that this file has none of them.
const UNFINISHED: [(&str, &str); 3] = [("TO", "DO"), ("FIX", "ME"), ("db", "g!(")];

/// Looks through everything that people write in `crates/`, `tests/` and `www/`.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["crates", "tests", "www"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();

    let mut findings = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let name = file.strip_prefix(root).unwrap_or(&file).display();
        let lines = text.lines().count();
        if lines > MAX_LINES {
            findings.push(format!(
                "{name} has {lines} lines: over {MAX_LINES} a file has become two"
            ));
        }
        for (number, line) in text.lines().enumerate() {
            for word in UNFINISHED.map(|(start, end)| format!("{start}{end}")) {
                if line.contains(&word) {
                    findings.push(format!("{name}:{} has `{word}`: do it, or file it", number + 1));
                }
            }
        }
    }
    Ok(findings)
}

/// Adds the files below `folder` that people write; what tools make lies in folders that are passed over.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if path.is_dir() {
            if !["node_modules", "target", "dist"].contains(&name) && !name.starts_with('.') {
                collect(&path, files)?;
            }
        } else if path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|it| EXTENSIONS.contains(&it))
        {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::project;
    use super::*;

    #[test]
    fn a_file_of_601_lines_is_too_long_wherever_it_lies() {
        let longest = "x\n".repeat(MAX_LINES);
        let longer = "x\n".repeat(MAX_LINES + 1);
        let fixture = project(&[
            ("crates/core/src/deep/good.rs", &longest),
            ("crates/core/src/deep/bad.rs", &longer),
            ("www/bad.css", &longer),
            ("tests/node_modules/theirs/index.js", &longer),
            ("crates/README.md", &longer),
        ]);
        let found = check(fixture.path()).expect("a fixture that can be read");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("crates/core/src/deep/bad.rs has 601 lines"),
            "{found:?}"
        );
        assert!(found[1].starts_with("www/bad.css"), "{found:?}");
    }

    #[test]
    fn what_was_left_for_later_is_found_with_its_line() {
        let text = format!("fine\n// {}{}: later\n", "TO", "DO");
        let fixture = project(&[("tests/src/lib.rs", &text), ("www/index.html", "<!-- todos -->")]);
        let found = check(fixture.path()).expect("a fixture that can be read");
        assert!(
            found.len() == 1 && found[0].starts_with("tests/src/lib.rs:2 has"),
            "{found:?}"
        );
    }
}
