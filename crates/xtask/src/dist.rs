//! `cargo xtask dist`: the page as static files, for web servers that know nothing of it.
//!
//! What `causeway serve` adds when it serves the page has to be in the files then: `config.json`, and the
//! Content-Security-Policy as a `<meta>` element.

use std::fs;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{page, setup, workspace};

/// Builds the page into `folder`, by default one in the build folder.
///
/// # Errors
/// The folder holds something else, or a build failed.
pub(crate) fn run(folder: Option<PathBuf>) -> Result<()> {
    let folder = path::absolute(folder.unwrap_or_else(|| workspace::target().join("site")))?;
    if !is_free(&folder) {
        bail!(
            "{} holds something else, which the build would delete: name another folder",
            folder.display()
        );
    }
    setup::build()?;
    page::build(Some(&folder))?;

    let index = folder.join("index.html");
    let html = fs::read_to_string(&index).with_context(|| format!("can't read {}", index.display()))?;
    fs::write(&index, with_policy(&html)?)?;
    fs::copy(
        workspace::root().join("www/config.json"),
        folder.join("config.json"),
    )?;
    fs::write(folder.join(NOTE_FILE), NOTE)?;
    eprintln!("{} has the page.\n\n{NOTE}", folder.display());
    Ok(())
}

/// Whether nothing gets lost when the page is built into `folder`: it's not there, empty, or from an earlier run.
fn is_free(folder: &Path) -> bool {
    let is_empty = folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_none());
    !folder.exists() || is_empty || folder.join(NOTE_FILE).is_file()
}

/// Adds the policy in front of everything that it applies to.
fn with_policy(html: &str) -> Result<String> {
    const START: &str = "<head>";
    let Some((before, after)) = html.split_once(START) else {
        bail!("the built index.html has no {START}")
    };
    Ok(format!(
        "{before}{START}\n  <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">{after}"
    ))
}

/// Trackers and peers may be anywhere; code, styles and pictures come from beside the page alone.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; \
    img-src 'self'; manifest-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

const NOTE_FILE: &str = "HOSTING.txt";

const NOTE: &str = "\
Hosting this page: put these files anywhere on a web server, under any path. Browsers give a page what Causeway needs
over https (or from localhost) alone. `.wasm` should be served as `application/wasm`, so that it is compiled while it
arrives, and everything compressed. config.json names the trackers that introduce visitors to each other, and the STUN
and TURN servers that help them to connect: set your own there (`causeway serve` is a tracker, too, at `/announce`).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_stands_before_everything_that_is_loaded() {
        let html = with_policy("<html><head><link rel=\"icon\"></head></html>").expect("there is a head");
        let policy = html.find("http-equiv").expect("the policy is there");
        assert!(policy < html.find("<link").expect("the link is still there"));
        with_policy("<html></html>").expect_err("nowhere to put it");
    }

    #[test]
    fn a_folder_of_somebody_elses_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(is_free(&folder.path().join("new")) && is_free(folder.path()));
        fs::write(folder.path().join("thesis.tex"), "").expect("writable");
        assert!(!is_free(folder.path()));
        fs::write(folder.path().join(NOTE_FILE), "").expect("writable");
        assert!(is_free(folder.path()));
    }
}
