//! The architecture page has a section for every crate, and the changelog a place for what comes next.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::manifests;

/// Finds crates that `crates/README.md` says nothing about, and a changelog without 'Unreleased'.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let page = fs::read_to_string(root.join("crates/README.md")).unwrap_or_default();
    for folder in manifests::crates(root)? {
        let heading = format!("### `{folder}`");
        if !page.lines().any(|line| line.starts_with(&heading)) {
            findings.push(format!(
                "crates/README.md must have a section that begins with `{heading}`"
            ));
        }
    }
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).unwrap_or_default();
    if !changelog.lines().any(|line| line == "## Unreleased") {
        findings.push("CHANGELOG.md must have a section `## Unreleased`".to_owned());
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::super::project;
    use super::*;

    #[test]
    fn every_crate_has_its_section_in_the_architecture_page() {
        let crates = [
            ("crates/core/Cargo.toml", ""),
            ("tests/Cargo.toml", ""),
            ("CHANGELOG.md", "## Unreleased\n"),
        ];
        let with_page = |page| {
            let files = [&crates[..], &[("crates/README.md", page)]].concat();
            check(project(&files).path()).expect("a fixture that can be read")
        };
        assert_eq!(with_page("### `crates/core`: ids\n\n### `tests`\n"), [""; 0]);
        let found = with_page("The crate `crates/core` is named, but not explained.\n### `tests`\n");
        assert!(
            found.len() == 1 && found[0].contains("`### `crates/core``"),
            "{found:?}"
        );
    }

    #[test]
    fn the_changelog_has_a_place_for_what_comes_next() {
        let fixture = project(&[("crates/README.md", ""), ("CHANGELOG.md", "## 0.1.0\n")]);
        let found = check(fixture.path()).expect("a fixture that can be read");
        assert!(
            found.iter().any(|finding| finding.contains("## Unreleased")),
            "{found:?}"
        );
    }
}
