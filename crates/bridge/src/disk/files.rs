//! Reading and writing ranges of a torrent across its files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_core::Info;
use causeway_engine::StorageError;

use super::handles::Handles;
use super::layout::{Layout, Overwrite, Place};
use super::platform::{make_executable, preallocate, read_exact_at, write_all_at};
use super::store::Medium;

/// The files of one torrent on disk. Its methods wait for the disk.
#[derive(Debug)]
pub(crate) struct Files {
    info: Arc<Info>,
    layout: Layout,
    handles: Arc<Handles>,
    /// This torrent's name among the handles.
    torrent: u64,
    /// Files that are to be written to are made as long as they will be, so that the space is there.
    preallocate: bool,
}

impl Files {
    /// The files of this torrent at these places.
    pub(crate) fn new(info: Arc<Info>, layout: Layout, handles: Arc<Handles>, preallocate: bool) -> Self {
        let torrent = handles.name_torrent();
        Self {
            info,
            layout,
            handles,
            torrent,
            preallocate,
        }
    }

    /// Gives a file that is complete its own name, and the right to be run where it is a program.
    pub(crate) fn complete(&self, file: usize) -> Result<(), StorageError> {
        let (
            Some(Place {
                whole,
                part: Some(part),
            }),
            Some(entry),
        ) = (self.layout.places.get(file), self.info.files().get(file))
        else {
            return Ok(());
        };
        if entry.is_padding() || whole.exists() && !part.exists() {
            return Ok(());
        }
        let fail = |error: io::Error| self.error(file, "completed", &error);
        if entry.length() == 0 {
            self.make_folders(file)?;
            // What is there stays as it is.
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(whole)
                .map_err(fail)?;
            return Ok(());
        }
        if whole.exists() {
            return Err(StorageError::Failed(occupied(whole)));
        }
        fs::rename(part, whole).map_err(fail)?;
        if entry.is_executable() {
            make_executable(whole).map_err(fail)?;
        }
        Ok(())
    }

    /// Brings all that was written to the disk itself.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.handles
            .dirty(self.torrent)
            .iter()
            .try_for_each(|file| file.sync_data())
    }

    /// Whether every file that has bytes of a piece for which `has` says so is there and long enough.
    pub(crate) fn could_have(&self, has: impl Fn(causeway_core::PieceIndex) -> bool) -> bool {
        let geometry = self.info.geometry();
        self.info.files().iter().enumerate().all(|(number, file)| {
            if file.is_padding() || file.length() == 0 {
                return true;
            }
            let bytes = file.offset()..file.offset() + file.length();
            let Some(piece) = geometry.pieces_of(bytes).rev().find(|piece| has(*piece)) else {
                return true;
            };
            let end = geometry.start_of(piece) + u64::from(geometry.length_of(piece));
            let least = end.min(file.offset() + file.length()) - file.offset();
            let length = self.open(number).and_then(|file| {
                file.metadata()
                    .map_err(|error| self.error(number, "read", &error))
            });
            length.is_ok_and(|metadata| metadata.len() >= least)
        })
    }

    /// The parts of files that a range of the torrent covers: file, where in it, how much.
    fn slices(&self, offset: u64, length: usize) -> impl Iterator<Item = (usize, u64, usize)> {
        let (files, end) = (self.info.files(), offset + length as u64);
        let first = files.partition_point(|file| file.offset() + file.length() <= offset);
        files
            .iter()
            .enumerate()
            .skip(first)
            .take_while(move |(_, file)| file.offset() < end)
            .filter(|(_, file)| file.length() > 0)
            .map(move |(number, file)| {
                let start = offset.max(file.offset());
                let end = end.min(file.offset() + file.length());
                (
                    number,
                    start - file.offset(),
                    usize::try_from(end - start).unwrap_or(length),
                )
            })
    }

    fn is_padding(&self, file: usize) -> bool {
        self.info
            .files()
            .get(file)
            .is_some_and(causeway_core::FileEntry::is_padding)
    }

    fn write_file(&self, file: usize, at: u64, parts: &[IoSlice<'_>]) -> Result<(), StorageError> {
        if self.is_padding(file) {
            return Ok(());
        }
        match self.open_part(file)? {
            Some(handle) => {
                write_all_at(&handle, parts, at).map_err(|error| self.error(file, "written", &error))
            }
            None => self.compare(file, at, parts),
        }
    }

    /// A complete file is written to only with what it has: where a piece lies in two files and one is missing, the
    /// whole piece comes again.
    fn compare(&self, file: usize, at: u64, parts: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let handle = self.open(file)?;
        let mut at = at;
        for part in parts {
            let mut there = vec![0; part.len()];
            let read = read_exact_at(&handle, &mut there, at);
            if read.is_err() || there != **part {
                let whole = self.layout.places.get(file).map(|place| occupied(&place.whole));
                return Err(StorageError::Failed(whole.unwrap_or_default()));
            }
            at += part.len() as u64;
        }
        Ok(())
    }

    /// The file, open for reading.
    fn open(&self, file: usize) -> Result<Arc<File>, StorageError> {
        let key = (self.torrent, file);
        if let Some(handle) = self.handles.find(key, false) {
            return Ok(handle);
        }
        let place = self.layout.places.get(file).ok_or(StorageError::Missing)?;
        let mut opened = Err(io::Error::from(ErrorKind::NotFound));
        for path in place.part.iter().chain([&place.whole]) {
            opened = OpenOptions::new().read(true).open(path);
            match &opened {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Ok(_) | Err(_) => break,
            }
        }
        let handle = Arc::new(opened.map_err(|error| self.error(file, "read", &error))?);
        self.handles.keep(key, handle.clone(), false);
        Ok(handle)
    }

    /// The file as a part, open for writing; `None` where it is complete.
    fn open_part(&self, file: usize) -> Result<Option<Arc<File>>, StorageError> {
        let key = (self.torrent, file);
        if let Some(handle) = self.handles.find(key, true) {
            return Ok(Some(handle));
        }
        let Some(Place {
            whole,
            part: Some(part),
        }) = self.layout.places.get(file)
        else {
            return Err(StorageError::Failed(
                "shared files are never written to".to_owned(),
            ));
        };
        let fail = |error: io::Error| self.error(file, "written", &error);
        self.make_folders(file)?;
        let is_new = part.symlink_metadata().is_err();
        if is_new && whole.symlink_metadata().is_ok() {
            if self.layout.overwrite == Overwrite::Never {
                return Ok(None);
            }
            fs::rename(whole, part).map_err(fail)?;
        }
        if part.is_symlink() {
            return Err(StorageError::Failed(leads_away(part)));
        }
        let mut options = OpenOptions::new();
        let handle = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(part);
        let handle = handle.map_err(fail)?;
        let length = self
            .info
            .files()
            .get(file)
            .map_or(0, causeway_core::FileEntry::length);
        if is_new && self.preallocate {
            preallocate(&handle, length).map_err(fail)?;
        }
        if handle.metadata().map_err(fail)?.len() > length {
            handle.set_len(length).map_err(fail)?;
        }
        let handle = Arc::new(handle);
        self.handles.keep(key, handle.clone(), true);
        Ok(Some(handle))
    }

    /// Makes the folders that the file lies in. One that is a link to somewhere else is not followed.
    fn make_folders(&self, file: usize) -> Result<(), StorageError> {
        let (Some(root), Some(place)) = (&self.layout.root, self.layout.places.get(file)) else {
            return Ok(());
        };
        let fail = |error: io::Error| self.error(file, "written", &error);
        fs::create_dir_all(root).map_err(fail)?;
        let within = place
            .whole
            .parent()
            .and_then(|parent| parent.strip_prefix(root).ok());
        let mut folder = root.clone();
        for component in within.into_iter().flat_map(Path::components) {
            folder.push(component);
            if folder.is_symlink() {
                return Err(StorageError::Failed(leads_away(&folder)));
            }
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(fail(error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn error(&self, file: usize, what: &str, error: &io::Error) -> StorageError {
        let kind = error.kind();
        if matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            return StorageError::Full;
        }
        if matches!(kind, ErrorKind::NotFound | ErrorKind::UnexpectedEof) {
            return StorageError::Missing;
        }
        let place = self.layout.places.get(file);
        let path = place.map_or_else(PathBuf::new, |place| place.whole.clone());
        StorageError::Failed(format!("{} can't be {what}: {error}", path.display()))
    }
}

impl Medium for Files {
    fn info(&self) -> &Arc<Info> {
        &self.info
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let mut rest = buffer;
        for (file, at, length) in self.slices(offset, rest.len()) {
            let (now, later) = rest.split_at_mut(length);
            rest = later;
            if self.is_padding(file) {
                now.fill(0);
                continue;
            }
            let handle = self.open(file)?;
            read_exact_at(&handle, now, at).map_err(|error| self.error(file, "read", &error))?;
        }
        Ok(())
    }

    fn write(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut slices = self.slices(offset, length);
        // Nearly every range lies in one file.
        if let (Some((file, at, _)), None) = (slices.next(), slices.next()) {
            return self.write_file(file, at, parts);
        }
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.iter()).copied().collect();
        let mut rest = joined.as_slice();
        for (file, at, length) in self.slices(offset, length) {
            let (now, later) = rest.split_at(length);
            rest = later;
            self.write_file(file, at, &[IoSlice::new(now)])?;
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.handles.forget(self.torrent);
    }
}

fn occupied(path: &Path) -> String {
    format!(
        "{} is there already and is not what the torrent has: move it away, or allow to overwrite it",
        path.display()
    )
}

fn leads_away(path: &Path) -> String {
    format!(
        "{} is a link to somewhere else, and downloads stay in their folder: move it away",
        path.display()
    )
}
