//! `causeway create`: a torrent file of files and folders.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use causeway_core::{CreateOptions, Creator, Draft, DraftFile};
use clap::Args;

use crate::show::bytes;

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
    let files = sources.iter().map(|source| DraftFile {
        path: source.path.clone(),
        length: source.length,
    });
    let options = CreateOptions {
        piece_length: arguments.piece_length,
        private: arguments.private,
        trackers: arguments.trackers.into_iter().map(|url| vec![url]).collect(),
        web_seeds: arguments.web_seeds,
        comment: arguments.comment,
        created_by: Some(concat!("Causeway/", env!("CARGO_PKG_VERSION")).into()),
        creation_date: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .map(|age| age.as_secs()),
    };
    let draft = Draft::new(&name, files.collect(), options)?;
    let mut progress = Progress::new(draft.geometry().total_length());
    let mut creator = draft.hasher();
    for source in &sources {
        source.hash(&mut creator, &mut progress)?;
    }
    progress.end();
    let metainfo = creator.finish()?;

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

/// A file to be shared.
struct Source {
    /// Where it is.
    place: PathBuf,
    /// What it is called in the torrent.
    path: Vec<String>,
    length: u64,
}

impl Source {
    fn hash(&self, creator: &mut Creator, progress: &mut Progress) -> Result<()> {
        let unreadable = || format!("can't read {}", self.place.display());
        // One byte more than there should be, to see it if there is one.
        let mut file = File::open(&self.place)
            .with_context(unreadable)?
            .take(self.length.saturating_add(1));
        let mut buffer = vec![0; BUFFER];
        let mut hashed = 0;
        loop {
            let length = file.read(&mut buffer).with_context(unreadable)?;
            if length == 0 {
                break;
            }
            hashed += length as u64;
            creator.update(&buffer[..length]);
            progress.advance(length as u64);
        }
        ensure!(
            hashed == self.length,
            "{} changed while it was read: try again",
            self.place.display()
        );
        Ok(())
    }
}

fn find_sources(name: &str, paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    if let [path] = paths {
        // A single file is called what the torrent is called; a folder's name is the torrent's.
        let within = if path.is_dir() {
            Vec::new()
        } else {
            vec![name.to_owned()]
        };
        walk(path, within, &mut sources)?;
    } else {
        let mut named = paths
            .iter()
            .map(|path| Ok((own_name(path)?, path)))
            .collect::<Result<Vec<_>>>()?;
        named.sort();
        for (name, path) in named {
            walk(path, vec![name], &mut sources)?;
        }
    }
    Ok(sources)
}

/// Adds the file `place`, or the files in the folder `place`, in sorted order.
fn walk(place: &Path, path: Vec<String>, sources: &mut Vec<Source>) -> Result<()> {
    let unreadable = || format!("can't read {}", place.display());
    let metadata = fs::metadata(place).with_context(unreadable)?;
    if metadata.is_file() {
        sources.push(Source {
            place: place.to_owned(),
            path,
            length: metadata.len(),
        });
        return Ok(());
    }
    ensure!(
        metadata.is_dir(),
        "{} is neither a file nor a folder",
        place.display()
    );
    let mut entries = Vec::new();
    for entry in fs::read_dir(place).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let file_type = entry.file_type().with_context(unreadable)?;
        if file_type.is_file() || file_type.is_dir() {
            entries.push((own_name(&entry.path())?, entry.path()));
        } else {
            eprintln!(
                "left out: {} (neither a file nor a folder)",
                entry.path().display()
            );
        }
    }
    entries.sort();
    for (name, place) in entries {
        walk(&place, path.iter().cloned().chain([name]).collect(), sources)?;
    }
    Ok(())
}

fn default_name(paths: &[PathBuf]) -> Result<String> {
    match paths {
        [path] => own_name(path),
        _ => bail!("several files or folders need a name for the whole: give one with --name"),
    }
}

/// The last part of a path; also of `.` and the like.
fn own_name(path: &Path) -> Result<String> {
    let absolute;
    let name = if let Some(name) = path.file_name() {
        name
    } else {
        absolute = path
            .canonicalize()
            .with_context(|| format!("can't read {}", path.display()))?;
        absolute
            .file_name()
            .ok_or_else(|| anyhow!("{} has no name: give one with --name", path.display()))?
    };
    let text = name
        .to_str()
        .ok_or_else(|| anyhow!("the name of {} is not UTF-8: rename it first", path.display()))?;
    Ok(text.to_owned())
}

fn url(text: &str) -> Result<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let is_known = ["http", "https", "udp", "ws", "wss"].contains(&scheme);
    ensure!(
        is_known && !rest.is_empty(),
        "write it as SCHEME://HOST/PATH, with http, https, udp, ws or wss"
    );
    Ok(text.into())
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

/// A line on standard error that shows how far the hashing is, where that is a terminal.
struct Progress {
    total: u64,
    done: u64,
    shown: Option<Instant>,
    is_wanted: bool,
}

impl Progress {
    fn new(total: u64) -> Self {
        Self {
            total,
            done: 0,
            shown: None,
            is_wanted: io::stderr().is_terminal(),
        }
    }

    fn advance(&mut self, length: u64) {
        self.done += length;
        let is_due = self
            .shown
            .is_none_or(|shown| shown.elapsed() >= Duration::from_millis(200));
        if self.is_wanted && is_due {
            self.shown = Some(Instant::now());
            let percent = u128::from(self.done) * 100 / u128::from(self.total.max(1));
            eprint!("\rhashing: {percent} % of {} ", bytes(self.total));
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// How much is read at once.
const BUFFER: usize = 1 << 20;
