//! `causeway create`: a torrent file of files and folders.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use causeway_core::CreateOptions;
use clap::Args;

use crate::sources::{default_name, find_sources, make_torrent, url};

/// Make a torrent file, and print its magnet link.
///
/// Folders are walked in sorted order. Links within them are left out.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files and folders; several need a --name
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Where to write the torrent file; by default NAME.torrent
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Overwrite the torrent file where there is one
    #[arg(long)]
    force: bool,

    /// The torrent's name; by default that of the file or folder
    #[arg(long)]
    name: Option<String>,

    /// URL of a tracker (may be repeated)
    #[arg(long = "tracker", value_name = "URL", value_parser = url)]
    trackers: Vec<String>,

    /// URL that serves the same files over HTTP (may be repeated)
    #[arg(long = "web-seed", value_name = "URL", value_parser = url)]
    web_seeds: Vec<String>,

    /// Let peers find each other through the trackers alone
    #[arg(long)]
    private: bool,

    /// Length of a piece: bytes, or with K or M; by default chosen by the size
    #[arg(long, value_name = "LENGTH", value_parser = piece_length)]
    piece_length: Option<u32>,

    /// A text for people
    #[arg(long)]
    comment: Option<String>,
}

/// Writes the torrent file.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let name = arguments
        .name
        .map_or_else(|| default_name(&arguments.paths), Ok)?;
    let output = arguments
        .output
        .unwrap_or_else(|| PathBuf::from(format!("{name}.torrent")));
    ensure!(
        arguments.force || !output.exists(),
        "{} exists: choose another file with -o, or overwrite it with --force",
        output.display()
    );

    let sources = find_sources(&name, &arguments.paths)?;
    let options = CreateOptions {
        piece_length: arguments.piece_length,
        private: arguments.private,
        trackers: arguments.trackers.into_iter().map(|url| vec![url]).collect(),
        web_seeds: arguments.web_seeds,
        comment: arguments.comment,
        ..CreateOptions::default()
    };
    let metainfo = make_torrent(&name, &sources, options)?;

    let mut target = OpenOptions::new();
    let target = if arguments.force {
        target.create(true).truncate(true)
    } else {
        target.create_new(true)
    };
    let written = target
        .write(true)
        .open(&output)
        .and_then(|mut file| file.write_all(&metainfo.to_bytes()));
    written.with_context(|| format!("can't write {}", output.display()))?;
    eprintln!("wrote {}", output.display());
    writeln!(io::stdout(), "{}", metainfo.magnet())?;
    Ok(())
}

fn piece_length(text: &str) -> Result<u32> {
    let (digits, unit) = match text.strip_suffix(['K', 'k', 'M', 'm']) {
        Some(digits) if text.ends_with(['K', 'k']) => (digits, 1 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (text, 1),
    };
    let length = digits
        .parse()
        .ok()
        .and_then(|number: u32| number.checked_mul(unit));
    length.context("write it as a number of bytes, or with K or M: 262144, 256K, 1M")
}
