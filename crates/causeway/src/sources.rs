//! Files to be shared: which they are, and what pieces they make.

use core::sync::atomic::{AtomicU32, Ordering};
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use causeway_core::{CreateOptions, Draft, DraftFile, Metainfo, PieceIndex, Sha1, Sha1Hash};

use crate::show::bytes;

/// A file to be shared.
pub(crate) struct Source {
    /// Where it is.
    pub(crate) place: PathBuf,
    /// What it is called in the torrent.
    pub(crate) path: Vec<String>,
    pub(crate) length: u64,
}

/// The files that these paths stand for, in the order in which the torrent has them.
pub(crate) fn find_sources(name: &str, paths: &[PathBuf]) -> Result<Vec<Source>> {
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

/// What a torrent of these is called, if nobody says otherwise.
pub(crate) fn default_name(paths: &[PathBuf]) -> Result<String> {
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

/// The torrent of these files, hashed by all processors.
pub(crate) fn make_torrent(name: &str, sources: &[Source], options: CreateOptions) -> Result<Metainfo> {
    let files = sources.iter().map(|source| DraftFile {
        path: source.path.clone(),
        length: source.length,
    });
    let options = CreateOptions {
        created_by: Some(concat!("Causeway/", env!("CARGO_PKG_VERSION")).into()),
        creation_date: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .map(|age| age.as_secs()),
        ..options
    };
    let draft = Draft::new(name, files.collect(), options)?;
    let hashes = hash(&draft, sources)?;
    Ok(draft.finish(hashes)?)
}

fn hash(draft: &Draft, sources: &[Source]) -> Result<Vec<Sha1Hash>> {
    let pieces: Vec<PieceIndex> = draft.geometry().all_pieces().collect();
    let hashes = Mutex::new(vec![None; pieces.len()]);
    let progress = Mutex::new(Progress::new(draft.geometry().total_length()));
    let next = AtomicU32::new(0);
    let work = || {
        let mut reader = Reader::new(sources);
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let hash = reader.hash(draft, *piece)?;
            let mut hashes = hashes.lock().map_err(|_| anyhow!("a thread has failed"))?;
            hashes[piece.as_usize()] = Some(hash);
            drop(hashes);
            let mut progress = progress.lock().map_err(|_| anyhow!("a thread has failed"))?;
            progress.advance(draft.geometry().length_of(*piece).into());
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
            thread.join().unwrap_or_else(|_| bail!("a thread has failed"))
        };
        threads.into_iter().try_for_each(join)
    })?;
    for source in sources {
        let length = fs::metadata(&source.place).map(|metadata| metadata.len());
        ensure!(
            length.is_ok_and(|length| length == source.length),
            changed(source)
        );
    }
    if let Ok(progress) = progress.lock() {
        progress.end();
    }
    let hashes = hashes.into_inner().map_err(|_| anyhow!("a thread has failed"))?;
    Ok(hashes.into_iter().flatten().collect())
}

fn changed(source: &Source) -> String {
    format!("{} changed while it was read: try again", source.place.display())
}

/// One thread's view of the files.
struct Reader<'a> {
    sources: &'a [Source],
    open: Option<(usize, File)>,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(sources: &'a [Source]) -> Self {
        Self {
            sources,
            open: None,
            buffer: vec![0; BUFFER],
        }
    }

    fn hash(&mut self, draft: &Draft, piece: PieceIndex) -> Result<Sha1Hash> {
        let mut hash = Sha1::new();
        for slice in draft.slices(draft.geometry().whole(piece)) {
            let source = &self.sources[slice.file];
            let unreadable = || format!("can't read {}", source.place.display());
            let mut file = match self.open.take() {
                Some((number, file)) if number == slice.file => file,
                _ => File::open(&source.place).with_context(unreadable)?,
            };
            file.seek(SeekFrom::Start(slice.offset))
                .with_context(unreadable)?;
            let mut left = slice.length as usize;
            while left > 0 {
                let now = left.min(self.buffer.len());
                file.read_exact(&mut self.buffer[..now]).map_err(|error| {
                    if error.kind() == io::ErrorKind::UnexpectedEof {
                        anyhow!(changed(source))
                    } else {
                        anyhow!(error).context(unreadable())
                    }
                })?;
                hash.update(&self.buffer[..now]);
                left -= now;
            }
            self.open = Some((slice.file, file));
        }
        Ok(hash.finish())
    }
}

/// The URL of a tracker or a web seed, from the command line.
pub(crate) fn url(text: &str) -> Result<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let is_known = ["http", "https", "udp", "ws", "wss"].contains(&scheme);
    ensure!(
        is_known && !rest.is_empty(),
        "write it as SCHEME://HOST/PATH, with http, https, udp, ws or wss"
    );
    Ok(text.into())
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
const BUFFER: usize = 256 << 10;
