//! What of a torrent can be read by those who are no peers: a web seed's clients.

use core::ops::Range;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use causeway_core::{Bitfield, Info, Metainfo, PieceIndex};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::disk::Medium;

/// The verified pieces of a torrent, shared between its task, which says what is there, and whoever reads.
#[derive(Debug)]
pub(crate) struct Shelf {
    stock: Mutex<Option<Stock>>,
    changed: Notify,
    taken: AtomicU64,
    visitors: AtomicUsize,
    is_relayed: bool,
}

/// Invariant: a piece is in its place in the medium from when `have` says so until it is among the `lost`.
#[derive(Debug)]
struct Stock {
    metainfo: Metainfo,
    medium: Arc<dyn Medium>,
    have: Bitfield,
    /// The pieces that went last, and how many did in all.
    lost: VecDeque<PieceIndex>,
    losses: u64,
}

/// Somebody who reads, until this is dropped.
#[derive(Debug)]
pub(crate) struct Visit(Arc<Shelf>);

/// Why bytes that were there can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// They have gone in the meantime, and may come again.
    Gone,
    /// The disk fails.
    Failed,
}

impl Shelf {
    /// With nothing on it yet. Of a torrent that is carried over pieces go as they come.
    pub(super) fn new(is_relayed: bool) -> Self {
        Self {
            stock: Mutex::default(),
            changed: Notify::new(),
            taken: AtomicU64::new(0),
            visitors: AtomicUsize::new(0),
            is_relayed,
        }
    }

    /// The metadata and the storage are there, and these pieces.
    pub(super) fn open(&self, metainfo: Metainfo, medium: Arc<dyn Medium>, have: Bitfield) {
        *self.stock() = Some(Stock {
            metainfo,
            medium,
            have,
            lost: VecDeque::new(),
            losses: 0,
        });
        self.changed.notify_waiters();
    }

    /// Nothing is there any more.
    pub(super) fn close(&self) {
        *self.stock() = None;
    }

    /// This piece is there from now on.
    pub(super) fn put(&self, piece: PieceIndex) {
        if let Some(stock) = &mut *self.stock() {
            stock.have.insert(piece);
        }
        self.changed.notify_waiters();
    }

    /// This piece goes: nothing that is being read of it counts. Said before its place is another's.
    pub(super) fn remove(&self, piece: PieceIndex) {
        if let Some(stock) = &mut *self.stock()
            && stock.have.remove(piece)
        {
            stock.losses += 1;
            stock.lost.push_back(piece);
            if stock.lost.len() > MOST_LOST {
                stock.lost.pop_front();
            }
        }
    }

    /// Whether the torrent is only carried over.
    pub(crate) const fn is_relayed(&self) -> bool {
        self.is_relayed
    }

    /// Somebody begins to read.
    pub(crate) fn visit(self: &Arc<Self>) -> Visit {
        self.visitors.fetch_add(1, Ordering::Relaxed);
        Visit(self.clone())
    }

    /// How many read at the moment.
    pub(crate) fn visitors(&self) -> usize {
        self.visitors.load(Ordering::Relaxed)
    }

    /// The torrent file, where the metadata is there.
    pub(crate) fn metainfo(&self) -> Option<Metainfo> {
        self.stock().as_ref().map(|stock| stock.metainfo.clone())
    }

    /// Waits for that.
    pub(crate) async fn opened(&self) -> Metainfo {
        self.until(Self::metainfo).await
    }

    /// Bytes that were read in all.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until something of these bytes can be read, and says how many can be in a row.
    pub(crate) async fn wait(&self, bytes: Range<u64>) -> u64 {
        self.until(|shelf| Some(shelf.ready(bytes.clone())).filter(|ready| *ready > 0))
            .await
    }

    async fn until<T>(&self, is_there: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            let mut changed = core::pin::pin!(self.changed.notified());
            // What changes from here on is noticed.
            changed.as_mut().enable();
            if let Some(there) = is_there(self) {
                return there;
            }
            changed.await;
        }
    }

    /// How many of these bytes can be read in a row.
    pub(crate) fn ready(&self, bytes: Range<u64>) -> u64 {
        self.stock().as_ref().map_or(0, |stock| stock.ready(&bytes))
    }

    /// Reads bytes that are ready.
    pub(crate) async fn read(&self, start: u64, length: usize) -> Result<Bytes, Unread> {
        let range = start..start + length as u64;
        let (medium, losses) = {
            let stock = self.stock();
            let stock = stock.as_ref().ok_or(Unread::Gone)?;
            if stock.ready(&range) < length as u64 {
                return Err(Unread::Gone);
            }
            (stock.medium.clone(), stock.losses)
        };
        let read = spawn_blocking(move || {
            let mut buffer = vec![0; length];
            medium.read(start, &mut buffer).map(|()| Bytes::from(buffer))
        });
        let bytes = read.await.map_err(|_| Unread::Failed)?;
        let is_still_there = |stock: &Stock| !stock.has_lost(&range, losses);
        if !self.stock().as_ref().is_some_and(is_still_there) {
            return Err(Unread::Gone);
        }
        let bytes = bytes.map_err(|error| {
            tracing::warn!("a web seed's client can't be served: {error}");
            Unread::Failed
        })?;
        self.taken.fetch_add(length as u64, Ordering::Relaxed);
        Ok(bytes)
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

    /// Whether something of these bytes has gone since so many pieces had; yes, where too many have to remember.
    fn has_lost(&self, bytes: &Range<u64>, since: u64) -> bool {
        let new = usize::try_from(self.losses - since).unwrap_or(usize::MAX);
        let of_bytes = |lost: &PieceIndex| {
            self.info()
                .geometry()
                .pieces_of(bytes.clone())
                .any(|piece| piece == *lost)
        };
        new > self.lost.len() || self.lost.iter().rev().take(new).any(of_bytes)
    }

    fn info(&self) -> &Arc<Info> {
        self.metainfo.info()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.visitors.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Pieces that are remembered to have gone, for those who read meanwhile.
const MOST_LOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_core::{CreateOptions, Draft, DraftFile};
    use causeway_engine::StorageError;
    use std::io::IoSlice;
    use std::sync::mpsc;

    const PIECE: u32 = 16_384;

    /// Storage that says when it begins to read, and reads when it is told to.
    #[derive(Debug)]
    struct Slow {
        info: Arc<Info>,
        begins: mpsc::Sender<()>,
        turns: Mutex<mpsc::Receiver<()>>,
    }

    impl Medium for Slow {
        fn info(&self) -> &Arc<Info> {
            &self.info
        }

        fn read(&self, _: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
            self.begins.send(()).map_err(|_| StorageError::Missing)?;
            let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.recv().map_err(|_| StorageError::Missing)?;
            buffer.fill(7);
            Ok(())
        }

        fn write(&self, _: u64, _: &[IoSlice<'_>]) -> Result<(), StorageError> {
            Ok(())
        }
    }

    fn torrent() -> Metainfo {
        let file = DraftFile {
            path: vec!["a".to_owned()],
            length: u64::from(4 * PIECE),
        };
        let options = CreateOptions {
            piece_length: Some(PIECE),
            ..CreateOptions::default()
        };
        let mut hasher = Draft::new("a", vec![file], options).expect("valid").hasher();
        hasher.update(&vec![7; 4 * PIECE as usize]);
        hasher.finish().expect("whole")
    }

    /// Reads the first two of four pieces while something happens.
    async fn read_while(happens: impl FnOnce(&Shelf, &Info)) -> Result<Bytes, Unread> {
        let (metainfo, shelf) = (torrent(), Arc::new(Shelf::new(true)));
        let info = metainfo.info().clone();
        let ((begins, begun), (turn, turns)) = (mpsc::channel(), mpsc::channel());
        let medium = Slow {
            info: info.clone(),
            begins,
            turns: turns.into(),
        };
        shelf.open(metainfo, Arc::new(medium), Bitfield::all(4));
        let reading = tokio::spawn({
            let shelf = shelf.clone();
            async move { shelf.read(0, 2 * PIECE as usize).await }
        });
        let begun = spawn_blocking(move || begun.recv());
        begun.await.expect("it does not panic").expect("it begins");
        happens(&shelf, &info);
        turn.send(()).expect("storage waits");
        reading.await.expect("it does not panic")
    }

    #[tokio::test]
    async fn what_goes_while_it_is_read_is_not_given_though_it_has_come_again() {
        let piece = |info: &Info, number| info.geometry().piece(number).expect("in range");
        let whole = read_while(|_, _| ()).await.expect("it is there");
        assert!(whole.iter().all(|byte| *byte == 7));
        let other = read_while(|shelf, info| shelf.remove(piece(info, 3))).await;
        assert!(other.is_ok(), "another piece has gone");
        let again = read_while(|shelf, info| {
            shelf.remove(piece(info, 1));
            shelf.put(piece(info, 1));
        });
        assert_eq!(again.await, Err(Unread::Gone));
        let many = read_while(|shelf, info| {
            for _ in 0..=MOST_LOST {
                shelf.remove(piece(info, 3));
                shelf.put(piece(info, 3));
            }
        });
        assert_eq!(many.await, Err(Unread::Gone), "nobody knows any more");
        assert_eq!(read_while(|shelf, _| shelf.close()).await, Err(Unread::Gone));
    }
}
