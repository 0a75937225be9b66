//! Torrent files for tests: honest ones, and such as no honest client would make.

use std::path::Path;

use anyhow::{Context, Result};
use causeway_core::{CreateOptions, Draft, DraftFile, Metainfo};

/// The torrent file of a file, as our page makes it.
///
/// # Errors
/// When the file can't be read.
pub fn of_file(path: &Path) -> Result<Vec<u8>> {
    make(path, CreateOptions::default())
}

/// The same with a tracker in it.
///
/// # Errors
/// When the file can't be read.
pub fn of_file_with(path: &Path, tracker: &str) -> Result<Vec<u8>> {
    let options = CreateOptions {
        trackers: vec![vec![tracker.to_owned()]],
        ..CreateOptions::default()
    };
    make(path, options)
}

fn make(path: &Path, options: CreateOptions) -> Result<Vec<u8>> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("a file of a test has a plain name")?;
    let file = DraftFile {
        path: vec![name.to_owned()],
        length: path.metadata()?.len(),
    };
    let mut creator = Draft::new(name, vec![file], options)?.hasher();
    creator.update(&std::fs::read(path)?);
    Ok(creator.finish()?.to_bytes())
}

/// A torrent file whose files have exactly these paths, cut at each `/`, and lengths, whatever anybody thinks of
/// them. Nobody has its pieces.
#[must_use]
pub fn of_files(name: &str, files: &[(&str, u64)]) -> Vec<u8> {
    let text = |text: &str| format!("{}:{text}", text.len());
    let file = |(path, length): &(&str, u64)| {
        let path: String = path.split('/').map(text).collect();
        format!("d6:lengthi{length}e4:pathl{path}ee")
    };
    let list = files.iter().map(file).collect::<Vec<_>>().concat();
    let total: u64 = files.iter().map(|(_, length)| length).sum();
    let pieces = "x".repeat(usize::try_from(total.div_ceil(PIECE)).unwrap_or(0) * 20);
    let name = text(name);
    let pieces = text(&pieces);
    format!("d4:infod5:filesl{list}e4:name{name}12:piece lengthi{PIECE}e6:pieces{pieces}ee").into_bytes()
}

/// The info-hash of a torrent file, as 40 hexadecimal digits.
///
/// # Panics
/// When it isn't one.
#[must_use]
pub fn info_hash(torrent: &[u8]) -> String {
    Metainfo::from_bytes(torrent)
        .expect("a test's torrent file")
        .info()
        .info_hash()
        .to_string()
}

/// The piece length of torrents that nobody has.
const PIECE: u64 = 1 << 18;
