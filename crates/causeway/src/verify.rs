//! `causeway verify`: whether files are those of a torrent.

use core::fmt;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use causeway_core::{FileEntry, FileSlice, Info, PieceIndex, Sha1};
use clap::Args;

use crate::show::{plain, read_torrent};

/// Check files against a torrent.
///
/// Prints every file that is missing or damaged, with the pieces concerned. The exit status is 0 where all is right,
/// 1 where something is missing or damaged, and 2 where the torrent can't be read.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The torrent file
    #[arg(value_name = "TORRENT")]
    torrent: PathBuf,

    /// The file or folder that was shared, or the folder that it lies in
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// Compares, and says what is wrong.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let torrent = read_torrent(&arguments.torrent)?;
    let info = torrent.info();
    let report = Report::of(info, &arguments.path);

    let mut out = BufWriter::new(io::stdout().lock());
    for (file, flaw) in &report.files {
        writeln!(out, "{flaw}: {}", plain(&info.files()[*file].display_path()))?;
    }
    for range in report.bad_pieces.chunk_by(|a, b| a + 1 == *b) {
        match range {
            [first, .., last] => writeln!(out, "bad pieces: {first} to {last}")?,
            [piece] => writeln!(out, "bad piece: {piece}")?,
            [] => {}
        }
    }
    let pieces = info.geometry().pieces();
    writeln!(
        out,
        "{} of {pieces} pieces are right",
        pieces as usize - report.bad_pieces.len()
    )?;
    out.flush()?;
    let is_right = report.files.is_empty() && report.bad_pieces.is_empty();
    Ok(if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Where the files of a torrent lie, each of them whole and right.
pub(crate) fn places(info: &Info, path: &Path) -> Result<Vec<PathBuf>> {
    let report = Report::of(info, path);
    if let Some((file, flaw)) = report.files.first_key_value() {
        bail!("{}: {flaw}", plain(&info.files()[*file].display_path()));
    }
    let disk = Disk::new(info, path);
    Ok(info.files().iter().map(|file| disk.place(file)).collect())
}

/// What is wrong with files on disk.
#[derive(Debug, Default)]
struct Report {
    /// By their numbers in the torrent.
    files: BTreeMap<usize, Flaw>,
    /// In order.
    bad_pieces: Vec<u32>,
}

#[derive(Debug)]
enum Flaw {
    Missing,
    NoFile,
    Length {
        found: u64,
        expected: u64,
    },
    Unreadable(io::Error),
    /// Or the other file that shares a bad piece with it is.
    Damaged,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::NoFile => f.write_str("not a file"),
            Self::Length { found, expected } => write!(f, "{found} bytes long instead of {expected}"),
            Self::Unreadable(error) => write!(f, "can't be read ({error})"),
            Self::Damaged => f.write_str("damaged"),
        }
    }
}

impl Report {
    fn of(info: &Info, path: &Path) -> Self {
        let mut report = Self::default();
        let mut disk = Disk::new(info, path);
        for (number, file) in info
            .files()
            .iter()
            .enumerate()
            .filter(|(_, file)| !file.is_padding())
        {
            let flaw = match fs::metadata(disk.place(file)) {
                Ok(metadata) if !metadata.is_file() => Flaw::NoFile,
                Ok(metadata) if metadata.len() != file.length() => Flaw::Length {
                    found: metadata.len(),
                    expected: file.length(),
                },
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Flaw::Missing,
                Err(error) => Flaw::Unreadable(error),
            };
            report.files.insert(number, flaw);
        }
        for piece in info.geometry().all_pieces() {
            report.check(&mut disk, piece);
        }
        report
    }

    fn check(&mut self, disk: &mut Disk<'_>, piece: PieceIndex) {
        let info = disk.info;
        let slices: Vec<FileSlice> = info.slices(info.geometry().whole(piece)).collect();
        let mut hash = Sha1::new();
        for slice in &slices {
            let is_readable = !matches!(self.files.get(&slice.file), Some(Flaw::Missing | Flaw::NoFile));
            match if is_readable {
                disk.hash(*slice, &mut hash)
            } else {
                Ok(())
            } {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    self.files.insert(slice.file, Flaw::Unreadable(error));
                }
                // What is missing makes another hash.
                Ok(()) | Err(_) => {}
            }
        }
        if hash.finish() == info.piece_hash(piece) {
            return;
        }
        self.bad_pieces.push(piece.get());
        // A file that is missing or has the wrong length explains the piece; else it may be any of them.
        let explains = |slice: &FileSlice| {
            self.files
                .get(&slice.file)
                .is_some_and(|flaw| !matches!(flaw, Flaw::Damaged))
        };
        if !slices.iter().any(explains) {
            let files = slices
                .iter()
                .map(|slice| slice.file)
                .filter(|file| !info.files()[*file].is_padding());
            self.files.extend(files.map(|file| (file, Flaw::Damaged)));
        }
    }
}

/// The files on disk.
struct Disk<'a> {
    info: &'a Info,
    /// The one file of a single-file torrent, or the folder that has the files.
    root: PathBuf,
    /// The file that was read last, and its number.
    open: Option<(usize, File)>,
}

impl<'a> Disk<'a> {
    /// `path` is what was shared, or the folder that it lies in.
    fn new(info: &'a Info, path: &Path) -> Self {
        let within = path.join(info.name());
        let is_parent = if info.is_multi_file() {
            path.file_name() != Some(info.name().as_ref()) && within.is_dir()
        } else {
            path.is_dir()
        };
        Self {
            info,
            root: if is_parent { within } else { path.to_owned() },
            open: None,
        }
    }

    fn place(&self, file: &FileEntry) -> PathBuf {
        if self.info.is_multi_file() {
            self.root.join(file.path().iter().collect::<PathBuf>())
        } else {
            self.root.clone()
        }
    }

    fn hash(&mut self, slice: FileSlice, hash: &mut Sha1) -> io::Result<()> {
        let entry = &self.info.files()[slice.file];
        if entry.is_padding() {
            return copy(&mut io::repeat(0), slice.length, hash);
        }
        let mut file = match self.open.take() {
            Some((number, file)) if number == slice.file => file,
            _ => File::open(self.place(entry))?,
        };
        file.seek(SeekFrom::Start(slice.offset))?;
        let result = copy(&mut file, slice.length, hash);
        self.open = Some((slice.file, file));
        result
    }
}

fn copy(from: &mut impl Read, length: u32, hash: &mut Sha1) -> io::Result<()> {
    let mut left = length as usize;
    let mut buffer = vec![0; left.min(BUFFER)];
    while left > 0 {
        let part = &mut buffer[..left.min(BUFFER)];
        from.read_exact(part)?;
        hash.update(part);
        left -= part.len();
    }
    Ok(())
}

/// How much is read at once.
const BUFFER: usize = 1 << 20;
