//! The user's own files, read where they lie and never copied.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use causeway_core::{Block, Info, PieceIndex};
use causeway_engine::StorageError;
use js_sys::{ArrayBuffer, Uint8Array};
use web_sys::File;

use super::super::discard::discard;
use super::super::hash::{self, Digest};
use super::opfs::wait;
use super::read_cache::{ReadCache, range_of};

/// The files of a torrent in its order, as the user chose them.
#[derive(Debug)]
pub(super) struct OwnFiles {
    info: Arc<Info>,
    files: Vec<File>,
    cache: ReadCache,
}

impl OwnFiles {
    /// `files` has an entry for each file of the torrent.
    pub(super) fn new(info: Arc<Info>, files: Vec<File>) -> Self {
        let cache = ReadCache::new(true);
        Self { info, files, cache }
    }

    /// The bytes of a block, or why they can't be read: the user may have changed or moved the file.
    pub(super) async fn read(&mut self, block: Block) -> Result<Bytes, StorageError> {
        let geometry = self.info.geometry();
        if let Some(bytes) = self.cache.find(&range_of(geometry, block)) {
            return Ok(bytes);
        }
        let run = self.cache.run_for(geometry, block);
        let start = run.start;
        let bytes = Bytes::from(self.read_run(run).await?);
        let wanted = bytes.slice(..block.length() as usize);
        self.cache.insert(start, bytes);
        Ok(wanted)
    }

    /// Reads a run that may lie in several files.
    async fn read_run(&self, run: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let mut bytes = Vec::new();
        for slice in self.info.slices_of(run) {
            if self
                .info
                .files()
                .get(slice.file)
                .is_some_and(causeway_core::FileEntry::is_padding)
            {
                bytes.resize(bytes.len() + slice.length as usize, 0);
                continue;
            }
            let file = self.files.get(slice.file).ok_or(StorageError::Missing)?;
            let part = read_file(file, slice.offset, slice.length).await?;
            if bytes.is_empty() {
                bytes = part.to_vec();
            } else {
                bytes.extend_from_slice(&part.to_vec());
            }
            discard(&part.buffer());
        }
        Ok(bytes)
    }

    /// Starts to hash a piece.
    pub(super) async fn hash(&self, piece: PieceIndex) -> Result<Digest, StorageError> {
        let geometry = self.info.geometry();
        let whole = range_of(geometry, geometry.whole(piece));
        Ok(hash::start(&self.read_run(whole).await?))
    }

    /// The user's own file.
    pub(super) fn file(&self, file: usize) -> Option<File> {
        self.files.get(file).cloned()
    }
}

/// Reads `length` bytes of a file of the user from `offset` on.
pub(in crate::worker) async fn read_file(
    file: &File,
    offset: u64,
    length: u32,
) -> Result<Uint8Array, StorageError> {
    let changed = || {
        let name = file.name();
        StorageError::Failed(format!(
            "“{name}” can't be read any more: it was changed, moved or deleted. Share it again"
        ))
    };
    #[expect(clippy::cast_precision_loss, reason = "files are shorter than 2^53 bytes")]
    let (start, end) = (offset as f64, (offset + u64::from(length)) as f64);
    let part = file.slice_with_f64_and_f64(start, end).map_err(|_| changed())?;
    let buffer: ArrayBuffer = wait(part.array_buffer()).await.map_err(|_| changed())?;
    if buffer.byte_length() == length {
        Ok(Uint8Array::new(&buffer))
    } else {
        Err(changed())
    }
}
