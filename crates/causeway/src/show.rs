//! `causeway show`: what a torrent file or a magnet link says.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use causeway_core::{Magnet, Metainfo};
use clap::Args;
use serde_json::{Value, json};

/// Show what a torrent file or a magnet link says.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A torrent file or a magnet link
    #[arg(value_name = "TORRENT|MAGNET")]
    torrent: String,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Prints it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let is_magnet = arguments
        .torrent
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("magnet:"));
    match (is_magnet, arguments.json) {
        (true, false) => show_magnet(&mut out, &arguments.torrent.parse()?)?,
        (true, true) => writeln!(out, "{:#}", magnet_to_json(&arguments.torrent.parse()?))?,
        (false, false) => show_torrent(&mut out, &read_torrent(Path::new(&arguments.torrent))?)?,
        (false, true) => writeln!(
            out,
            "{:#}",
            torrent_to_json(&read_torrent(Path::new(&arguments.torrent))?)
        )?,
    }
    Ok(out.flush()?)
}

/// Reads a torrent file.
pub(crate) fn read_torrent(path: &Path) -> Result<Metainfo> {
    let unreadable = || format!("can't read {}", path.display());
    let mut raw = Vec::new();
    // A byte more than is allowed is enough to have it refused.
    let limit = Metainfo::MAX_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut raw))
        .with_context(unreadable)?;
    Metainfo::from_bytes(&raw)
        .with_context(|| format!("{} is no torrent file that can be used", path.display()))
}

/// A length for people: `1.5 MiB`.
pub(crate) fn bytes(length: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if length < 1024 {
        return format!("{length} bytes");
    }
    let (mut tenths, mut unit) = (u128::from(length) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A stranger's text for a terminal: without anything that could control it.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(is_unsafe) {
        text.replace(is_unsafe, "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// Control characters, and those that turn the direction of text.
fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn show_torrent(out: &mut impl Write, torrent: &Metainfo) -> Result<()> {
    let info = torrent.info();
    let geometry = info.geometry();
    let total = geometry.total_length();
    let files: Vec<_> = info.files().iter().filter(|file| !file.is_padding()).collect();
    row(out, "name", info.name())?;
    row(out, "info-hash", &info.info_hash().to_string())?;
    row(
        out,
        "size",
        &format!("{} ({total} bytes), files: {}", bytes(total), files.len()),
    )?;
    row(
        out,
        "pieces",
        &format!(
            "{} of {}",
            geometry.pieces(),
            bytes(geometry.piece_length().into())
        ),
    )?;
    if info.is_private() {
        row(out, "private", "yes")?;
    }
    for tier in torrent.trackers() {
        row(out, "tracker", &tier.join(" "))?;
    }
    for url in torrent.web_seeds() {
        row(out, "web seed", url)?;
    }
    if let Some(comment) = torrent.comment() {
        row(out, "comment", &comment)?;
    }
    if let Some(program) = torrent.created_by() {
        row(out, "created by", &program)?;
    }
    row(out, "magnet", &torrent.magnet().to_string())?;
    writeln!(out)?;
    for file in files {
        writeln!(out, "{:>14}  {}", file.length(), plain(&file.display_path()))?;
    }
    Ok(())
}

fn show_magnet(out: &mut impl Write, magnet: &Magnet) -> Result<()> {
    row(out, "name", magnet.name.as_deref().unwrap_or("(none)"))?;
    row(out, "info-hash", &magnet.info_hash.to_string())?;
    for url in &magnet.trackers {
        row(out, "tracker", url)?;
    }
    for url in &magnet.web_seeds {
        row(out, "web seed", url)?;
    }
    for peer in &magnet.peers {
        row(out, "peer", peer)?;
    }
    for range in magnet.selected.iter().flatten() {
        row(out, "files", &format!("{} to {}", range.start(), range.end()))?;
    }
    row(out, "magnet", &magnet.to_string())
}

fn row(out: &mut impl Write, name: &str, value: &str) -> Result<()> {
    Ok(writeln!(out, "{name:<10}  {}", plain(value))?)
}

fn torrent_to_json(torrent: &Metainfo) -> Value {
    let info = torrent.info();
    let files = info.files().iter().filter(|file| !file.is_padding());
    let files: Vec<_> = files
        .map(|file| json!({ "path": file.path(), "length": file.length() }))
        .collect();
    json!({
        "infoHash": info.info_hash().to_string(),
        "name": info.name(),
        "length": info.geometry().total_length(),
        "pieceLength": info.geometry().piece_length(),
        "pieces": info.geometry().pieces(),
        "private": info.is_private(),
        "trackers": torrent.trackers(),
        "webSeeds": torrent.web_seeds(),
        "comment": torrent.comment(),
        "createdBy": torrent.created_by(),
        "creationDate": torrent.creation_date(),
        "magnet": torrent.magnet().to_string(),
        "files": files,
    })
}

fn magnet_to_json(magnet: &Magnet) -> Value {
    let selected = magnet.selected.as_ref();
    json!({
        "infoHash": magnet.info_hash.to_string(),
        "name": magnet.name,
        "trackers": magnet.trackers,
        "webSeeds": magnet.web_seeds,
        "peers": magnet.peers,
        "selected": selected.map(|ranges| ranges.iter().map(|range| [range.start(), range.end()]).collect::<Vec<_>>()),
        "magnet": magnet.to_string(),
    })
}
