//! `cargo xtask dist`: the page as static files, for web servers that know nothing of it.
//!
//! What `causeway serve` adds when it serves the page has to be in the files then: `config.json`, and the
//! Content-Security-Policy as a `<meta>` element. The policy admits the trackers and web seeds of `config.json`
//! and nobody else; to the worker, whose script has no such element, the page says the same.

use std::fs;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{page, setup, workspace};

/// Builds the page into `folder`, by default one in the build folder, for these trackers, by default those of
/// `www/config.json`.
///
/// # Errors
/// The folder holds something else, or a build failed.
pub(crate) fn run(folder: Option<PathBuf>, trackers: &[String]) -> Result<()> {
    let folder = path::absolute(folder.unwrap_or_else(|| workspace::target().join("site")))?;
    if !is_free(&folder) {
        bail!(
            "{} holds something else, which the build would delete: name another folder",
            folder.display()
        );
    }
    let settings = settings(&read(&workspace::root().join("www/config.json"))?, trackers)?;

    setup::build()?;
    page::build(Some(&folder))?;
    let index = folder.join("index.html");
    fs::write(&index, with_policy(&read(&index)?, &settings)?)?;
    fs::write(folder.join("config.json"), format!("{settings:#}\n"))?;
    fs::write(folder.join(NOTE_FILE), NOTE)?;
    eprintln!("{} has the page.\n\n{NOTE}", folder.display());
    Ok(())
}

/// Whether nothing gets lost when the page is built into `folder`: it's not there, empty, or from an earlier
/// run.
fn is_free(folder: &Path) -> bool {
    let is_empty = folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_none());
    !folder.exists() || is_empty || folder.join(NOTE_FILE).is_file()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

/// What the page is told, with other trackers where some are named.
fn settings(defaults: &str, trackers: &[String]) -> Result<Value> {
    let mut settings: Value = serde_json::from_str(defaults).context("www/config.json is not JSON")?;
    if !trackers.is_empty() {
        settings["trackers"] = json!(trackers);
    }
    Ok(settings)
}

/// Adds the policy in front of everything that it applies to.
fn with_policy(html: &str, settings: &Value) -> Result<String> {
    let mut admitted = String::new();
    let mut admit = |list: &Value, schemes: [&str; 2], kind: &str| {
        for url in list.as_array().into_iter().flatten() {
            let url = url.as_str().with_context(|| format!("a {kind} is a URL"))?;
            // `'self'` admits what lies beside the page.
            if !is_relative(url) {
                let named = origin(url, schemes).with_context(|| format!("{url} is not a {kind}"))?;
                admitted = format!("{admitted} {named}");
            }
        }
        anyhow::Ok(())
    };
    admit(
        &settings["trackers"],
        ["ws", "wss"],
        "WebSocket tracker (wss://HOST/PATH)",
    )?;
    admit(
        &settings["webSeeds"],
        ["http", "https"],
        "web seed's origin (https://HOST)",
    )?;
    let policy = format!("{POLICY}; connect-src 'self'{admitted}");
    let (before, after) = html
        .split_once("<head>")
        .context("the built index.html has no <head>")?;
    Ok(format!(
        "{before}<head>\n  <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">{after}"
    ))
}

/// Whether a tracker's address says where it lies on the page's own server.
fn is_relative(url: &str) -> bool {
    url.starts_with(['/', '.']) && !url.starts_with("//")
}

/// The part of a URL that a policy can name.
fn origin(url: &str, schemes: [&str; 2]) -> Result<String> {
    let split = url
        .split_once("://")
        .filter(|(scheme, _)| schemes.contains(scheme));
    let (scheme, rest) = split.context("its scheme is another")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // Whatever else stands there could end the attribute, or the directive, that it is put into.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:-_[]".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        bail!("it has no plain host name");
    }
    Ok(format!("{scheme}://{host}"))
}

/// The same as `causeway serve` sends, but for what a `<meta>` element can't say and who may be connected to.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data: blob:; worker-src 'self'; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'";

const NOTE_FILE: &str = "HOSTING.txt";

const NOTE: &str = "\
Put these files anywhere on a web server, under any path. Browsers let a page do what this one does
only over https or on localhost. Serve `.wasm` as `application/wasm`, so that it is compiled while it
arrives, and everything compressed.

config.json names the trackers that introduce visitors to each other, and the STUN and TURN servers
that help them to connect. For other trackers, `causeway serve` at wss://HOST/announce for example,
build it again with --tracker URL: the page may connect only to those that index.html admits.
";

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = r#"{"trackers":["wss://a.example/announce"],"iceServers":[]}"#;

    #[test]
    fn the_policy_stands_before_everything_that_is_loaded() {
        let settings = settings(DEFAULTS, &[]).expect("good settings");
        let html = with_policy("<head><link rel=\"icon\"></head>", &settings).expect("there is a head");
        let policy = html.find("http-equiv").expect("the policy is there");
        assert!(policy < html.find("<link").expect("the link is still there"));
        with_policy("<html></html>", &settings).expect_err("nowhere to put it");
    }

    #[test]
    fn the_policy_admits_the_trackers_that_the_page_is_told_of_and_no_others() {
        let chosen = ["ws://b.example:8000/x?y".to_owned(), "wss://[::1]/".to_owned()];
        for (trackers, admitted) in [
            (&[][..], "'self' wss://a.example\""),
            (&chosen[..], "'self' ws://b.example:8000 wss://[::1]\""),
        ] {
            let settings = settings(DEFAULTS, trackers).expect("good settings");
            let html = with_policy("<head>", &settings).expect("there is a head");
            assert!(html.contains(&format!("connect-src {admitted}")), "{html}");
        }
    }

    #[test]
    fn the_policy_admits_web_seeds_and_needs_no_word_for_what_lies_beside_the_page() {
        let settings =
            json!({ "trackers": ["/announce", "./announce"], "webSeeds": ["https://files.example:8443"] });
        let html = with_policy("<head>", &settings).expect("good settings");
        assert!(
            html.contains("connect-src 'self' https://files.example:8443\""),
            "{html}"
        );
        let settings = json!({ "trackers": [], "webSeeds": ["wss://files.example"] });
        with_policy("<head>", &settings).expect_err("no web seed");
    }

    #[test]
    fn what_is_no_tracker_for_a_page_is_refused() {
        for url in [
            "udp://a.example:80",
            "https://a.example",
            "wss://",
            "wss://a;script-src *",
            "wss://a\"b",
            "//a.example",
            "a",
        ] {
            let settings = settings(DEFAULTS, &[url.to_owned()]).expect("good settings");
            with_policy("<head>", &settings).expect_err(url);
        }
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
