//! Every crate is held to the workspace's lints, and the ones without I/O to more.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::PURE;

/// Finds crates that left the common rules.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for folder in crates(root)? {
        let manifest = fs::read_to_string(root.join(&folder).join("Cargo.toml"))?;
        if !inherits_lints(&manifest) {
            findings.push(format!(
                "{folder}/Cargo.toml must have `[lints]` with `workspace = true`"
            ));
        }
    }
    // The rules of the first one are those of all.
    let rules = fs::read_to_string(root.join("crates/core/clippy.toml")).unwrap_or_default();
    for name in PURE {
        let folder = root.join("crates").join(name);
        let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        if !library.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            findings.push(format!(
                "crates/{name}/src/lib.rs must have `#![forbid(unsafe_code)]`: it does no I/O"
            ));
        }
        let its_rules = fs::read_to_string(folder.join("clippy.toml")).unwrap_or_default();
        if its_rules != rules || rules.is_empty() {
            findings.push(format!(
                "crates/{name}/clippy.toml must be the same as crates/core/clippy.toml: both do no I/O"
            ));
        }
    }
    Ok(findings)
}

/// The folders of all crates: those in `crates/`, and `tests`.
pub(super) fn crates(root: &Path) -> Result<Vec<String>> {
    let mut folders = vec!["tests".to_owned()];
    for entry in fs::read_dir(root.join("crates"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            folders.push(format!("crates/{}", entry.file_name().to_string_lossy()));
        }
    }
    folders.sort();
    Ok(folders)
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]");
    lines.nth(1) == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::super::project;
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    fn findings(library: &str, engine_rules: &str, web: &str) -> Vec<String> {
        let mut files = vec![
            ("tests/Cargo.toml".to_owned(), GOOD),
            ("crates/web/Cargo.toml".to_owned(), web),
        ];
        for name in PURE {
            files.push((format!("crates/{name}/Cargo.toml"), GOOD));
            files.push((format!("crates/{name}/src/lib.rs"), library));
            files.push((
                format!("crates/{name}/clippy.toml"),
                if name == "engine" { engine_rules } else { "a" },
            ));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        check(project(&files).path()).expect("a fixture that can be read")
    }

    #[test]
    fn a_project_by_the_rules_is_tidy() {
        assert_eq!(findings("//! Doc\n#![forbid(unsafe_code)]\n", "a", GOOD), [""; 0]);
    }

    #[test]
    fn crates_that_left_the_rules_are_found() {
        let library = "#![forbid(unsafe_code)]\n";
        assert_eq!(
            findings("// #![forbid(unsafe_code)]\n", "a", GOOD).len(),
            PURE.len()
        );
        let found = findings(library, "b", GOOD);
        assert!(
            found.len() == 1 && found[0].starts_with("crates/engine/clippy.toml"),
            "{found:?}"
        );
        for web in [
            "[package]\n",
            "[lints]\nworkspace = false\n",
            "[lints.rust]\nworkspace = true\n",
        ] {
            let found = findings(library, "a", web);
            assert!(
                found.len() == 1 && found[0].starts_with("crates/web/Cargo.toml"),
                "{found:?}"
            );
        }
    }
}
