//! `causeway get`: download a torrent.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail, ensure};
use causeway_bridge::{Addition, Bridge, Contents, Handle, Overwrite, Selection, Status, Subject};
use causeway_core::{Info, InfoHash, Magnet};
use causeway_engine::State;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::native::{Network, runtime};
use crate::show::{bytes, plain, read_torrent};
use crate::stop::Stop;

/// Download what a torrent file or a link names.
///
/// Files are called NAME.part until they are complete and verified. Interrupted, it goes on where it was when it is run again;
/// run again after the end, it checks what is there. The exit status is 0 where everything is there and verified, 1 where it was
/// interrupted before, and 2 where something is wrong.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A torrent file, a magnet link, a page's link, or an info-hash
    #[arg(value_name = "TORRENT|MAGNET")]
    what: String,

    /// Folder for the files
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,

    /// Only files whose path matches, `*` standing for anything (may be repeated)
    #[arg(long, value_name = "GLOB")]
    select: Vec<String>,

    /// Go on with files that are there and aren't parts of an earlier download
    #[arg(long)]
    overwrite: bool,

    /// Take the whole space of a file on the disk when it is begun
    #[arg(long)]
    preallocate: bool,

    #[command(flatten)]
    network: Network,
}

/// Downloads.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let subject = subject(&arguments.what)?;
    let runtime = runtime()?;
    let result = runtime.block_on(get(arguments, subject));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// What the word on the command line stands for.
pub(crate) fn subject(what: &str) -> Result<Subject> {
    if let Some(magnet) = magnet_of(what) {
        return Ok(Subject::Magnet(magnet.parse()?));
    }
    if let Ok(info_hash) = what.parse::<InfoHash>()
        && !Path::new(what).exists()
    {
        return Ok(Subject::Magnet(Magnet::new(info_hash)));
    }
    Ok(Subject::Metainfo(read_torrent(Path::new(what))?))
}

/// The magnet link that this is, or that stands after the `#` of a page's link.
fn magnet_of(what: &str) -> Option<&str> {
    let is_page = what.starts_with("http://") || what.starts_with("https://");
    let link = what
        .split_once('#')
        .filter(|_| is_page)
        .map_or(what, |(_, link)| link);
    let start = link.get(..7)?;
    start.eq_ignore_ascii_case("magnet:").then_some(link)
}

async fn get(arguments: Arguments, subject: Subject) -> Result<ExitCode> {
    let mut stop = Stop::install()?;
    let Arguments { network, output, .. } = &arguments;
    let bridge = network.start(None).await?;
    let of_link = match &subject {
        Subject::Magnet(magnet) => magnet.peers.as_slice(),
        Subject::Metainfo(_) => &[],
    };
    let peers = network.peers(of_link).await?;
    let selection = selection(&arguments.select, &subject);
    let torrent = bridge.add(Addition {
        subject,
        contents: Contents::Download {
            folder: output.clone(),
            overwrite: if arguments.overwrite {
                Overwrite::Allowed
            } else {
                Overwrite::Never
            },
            preallocate: arguments.preallocate,
        },
        selection,
        peers,
    })?;
    let outcome = tokio::select! {
        outcome = watch(network, &bridge, &torrent) => Some(outcome),
        () = stop.wait() => None,
    };
    let info = torrent.status().borrow().info.clone();
    bridge.stop().await;
    match (outcome, info) {
        (Some(Err(error)), _) => {
            network.tell(&json!({"event": "error", "message": format!("{error:#}")}))?;
            Err(error)
        }
        (Some(Ok(())), Some(info)) => {
            let path = output.join(info.name());
            network.tell(
                &json!({"event": "complete", "infoHash": torrent.info_hash().to_string(), "path": path}),
            )?;
            if !network.json {
                eprintln!("{} is complete", plain(&path.display().to_string()));
            }
            Ok(ExitCode::SUCCESS)
        }
        (Some(Ok(())) | None, _) => {
            network.tell(&json!({"event": "interrupted"}))?;
            if !network.json {
                eprintln!("interrupted: run it again to go on");
            }
            Ok(ExitCode::from(1))
        }
    }
}

/// Shows how far it is, until everything is there.
async fn watch(network: &Network, bridge: &Bridge, torrent: &Handle) -> Result<()> {
    let mut changes = torrent.status();
    let info_hash = torrent.info_hash().to_string();
    let listen = bridge.listen_address();
    network.tell(&json!({"event": "started", "infoHash": info_hash, "listen": listen}))?;
    let bar = Bar::new(network.json);
    let mut is_named = false;
    loop {
        let status = changes.borrow_and_update().clone();
        if let Some(info) = status.info.as_ref().filter(|_| !is_named) {
            is_named = true;
            let files: Vec<_> = info
                .files()
                .iter()
                .filter(|file| !file.is_padding())
                .map(|file| json!({"path": file.path(), "length": file.length()}))
                .collect();
            network.tell(
                &json!({"event": "metadata", "infoHash": info_hash, "name": info.name(),
                "length": info.geometry().total_length(), "files": files}),
            )?;
            bar.name(info);
        }
        network.tell(&progress(&status))?;
        bar.show(&status);
        if let State::Failed(error) = &status.state {
            bail!("the download has stopped: {error}. What is there is kept: run it again to go on");
        }
        if status.is_done {
            ensure!(status.stats.wanted > 0, "no file matches --select");
            return Ok(());
        }
        changes
            .changed()
            .await
            .map_err(|_| anyhow!("the download has ended by itself, which is a fault of this program"))?;
    }
}

/// How a torrent stands, for a program.
pub(crate) fn progress(status: &Status) -> serde_json::Value {
    let numbers = &status.stats;
    json!({"event": "progress", "state": state(&status.state), "verified": numbers.wanted_verified, "wanted": numbers.wanted,
        "downloaded": numbers.downloaded, "uploaded": numbers.uploaded, "downloadRate": numbers.download_rate,
        "uploadRate": numbers.upload_rate, "peers": numbers.peers, "seeds": numbers.seeds})
}

fn state(state: &State) -> &'static str {
    match state {
        State::Checking => "checking",
        State::FetchingMetadata => "connecting",
        State::Downloading => "downloading",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Failed(_) => "error",
    }
}

/// The files that the patterns, or else the link (BEP 53), choose.
fn selection(patterns: &[String], subject: &Subject) -> Option<Selection> {
    let of_link = match subject {
        Subject::Magnet(magnet) => magnet.selected.clone(),
        Subject::Metainfo(_) => None,
    };
    if !patterns.is_empty() {
        let patterns: Vec<String> = patterns.to_vec();
        return Some(Selection(Box::new(move |info: &Info| {
            let paths = info.files().iter().map(causeway_core::FileEntry::display_path);
            paths
                .map(|path| patterns.iter().any(|pattern| matches(pattern, &path)))
                .collect()
        })));
    }
    let ranges = of_link?;
    Some(Selection(Box::new(move |info: &Info| {
        let numbers = (0u32..).take(info.files().len());
        numbers
            .map(|number| ranges.iter().any(|range| range.contains(&number)))
            .collect()
    })))
}

/// Whether a path matches a pattern, in which `*` stands for anything. One without `/` is held against the name alone.
fn matches(pattern: &str, path: &str) -> bool {
    let text = if pattern.contains('/') {
        path
    } else {
        path.rsplit('/').next().unwrap_or(path)
    };
    let mut parts = pattern.split('*');
    let (Some(first), Some(last)) = (parts.next(), parts.next_back()) else {
        return pattern == text;
    };
    let Some(mut middle) = text.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in parts {
        match middle.split_once(part) {
            Some((_, rest)) => middle = rest,
            None => return false,
        }
    }
    true
}

/// A line on a terminal that shows how far it is.
struct Bar(ProgressBar);

impl Bar {
    fn new(is_hidden: bool) -> Self {
        let bar = if is_hidden {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        let style = ProgressStyle::with_template("{prefix} {bar:30} {percent} % {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message("looking for peers");
        Self(bar)
    }

    fn name(&self, info: &Arc<Info>) {
        self.0.set_prefix(plain(info.name()).into_owned());
    }

    fn show(&self, status: &Status) {
        let numbers = &status.stats;
        self.0.set_length(numbers.wanted);
        self.0.set_position(numbers.wanted_verified);
        self.0.set_message(format!(
            "of {}, {}/s, {} peers, {}",
            bytes(numbers.wanted),
            bytes(numbers.download_rate),
            numbers.peers,
            state(&status.state)
        ));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_names_and_paths() {
        for (pattern, path, expected) in [
            ("*.txt", "a/b/read.txt", true),
            ("*.txt", "a/b/read.txt.gz", false),
            ("a/*", "a/b/read.txt", true),
            ("b/*", "a/b/read.txt", false),
            ("read.txt", "a/b/read.txt", true),
            ("r*d*t", "read.txt", true),
            ("r*dd*t", "read.txt", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pages_link_holds_a_magnet_link() {
        let magnet = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";
        assert_eq!(magnet_of(magnet), Some(magnet));
        assert_eq!(magnet_of(&format!("https://a.example/#{magnet}")), Some(magnet));
        assert_eq!(magnet_of("a.torrent"), None);
        assert_eq!(magnet_of(&format!("file#{magnet}")), None);
    }
}
