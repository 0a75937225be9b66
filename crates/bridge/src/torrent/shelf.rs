//! What of a torrent can be read by those who are no peers: a web seed's clients.

use core::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use causeway_core::{Bitfield, Info, Metainfo, PieceIndex};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::disk::{Files, Medium as _};

/// The verified pieces of a torrent, shared between its task, which says what is there, and whoever reads.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    stock: Mutex<Option<Stock>>,
    changed: Notify,
    taken: AtomicU64,
}

#[derive(Debug)]
struct Stock {
    metainfo: Metainfo,
    files: Arc<Files>,
    have: Bitfield,
}

impl Shelf {
    /// The metadata and the storage are there, and these pieces.
    pub(super) fn open(&self, metainfo: Metainfo, files: Arc<Files>, have: Bitfield) {
        *self.stock() = Some(Stock {
            metainfo,
            files,
            have,
        });
        self.changed.notify_waiters();
    }

    /// This piece is there from now on.
    pub(super) fn put(&self, piece: PieceIndex) {
        if let Some(stock) = &mut *self.stock() {
            stock.have.insert(piece);
        }
        self.changed.notify_waiters();
    }

    /// This piece goes: nothing that is read of it from now on counts.
    pub(super) fn remove(&self, piece: PieceIndex) {
        if let Some(stock) = &mut *self.stock() {
            stock.have.remove(piece);
        }
    }

    /// The torrent file, where the metadata is there.
    pub(crate) fn metainfo(&self) -> Option<Metainfo> {
        self.stock().as_ref().map(|stock| stock.metainfo.clone())
    }

    /// Bytes that were read in all.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until something of these bytes can be read, and says how many can be in a row.
    pub(crate) async fn wait(&self, bytes: Range<u64>) -> u64 {
        loop {
            let mut changed = core::pin::pin!(self.changed.notified());
            // What changes from here on is noticed.
            changed.as_mut().enable();
            let ready = self.ready(bytes.clone());
            if ready > 0 {
                return ready;
            }
            changed.await;
        }
    }

    /// How many of these bytes can be read in a row.
    pub(crate) fn ready(&self, bytes: Range<u64>) -> u64 {
        self.stock().as_ref().map_or(0, |stock| stock.ready(&bytes))
    }

    /// Reads bytes that are ready; `None` where they have gone in the meantime, or the disk fails.
    pub(crate) async fn read(&self, start: u64, length: usize) -> Option<Bytes> {
        let files = self.stock().as_ref().map(|stock| stock.files.clone())?;
        let read = spawn_blocking(move || {
            let mut buffer = vec![0; length];
            files.read(start, &mut buffer).map(|()| Bytes::from(buffer))
        });
        let bytes = read.await.ok()?;
        let bytes = bytes.inspect_err(|error| tracing::warn!("a web seed's client can't be served: {error}"));
        let is_still_there = self.ready(start..start + length as u64) == length as u64;
        let bytes = bytes.ok().filter(|_| is_still_there)?;
        self.taken.fetch_add(length as u64, Ordering::Relaxed);
        Some(bytes)
    }

    fn stock(&self) -> MutexGuard<'_, Option<Stock>> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock {
    fn ready(&self, bytes: &Range<u64>) -> u64 {
        let geometry = self.info().geometry();
        let there = geometry
            .pieces_of(bytes.clone())
            .take_while(|piece| self.have.has(*piece));
        let end = there.last().map_or(bytes.start, |piece| {
            geometry.start_of(piece) + u64::from(geometry.length_of(piece))
        });
        end.min(bytes.end).saturating_sub(bytes.start)
    }

    fn info(&self) -> &Arc<Info> {
        self.metainfo.info()
    }
}
