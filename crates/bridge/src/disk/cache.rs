//! A bounded place for pieces of any torrents: one file, cut into chunks. It keeps nothing across runs.
//!
//! Whoever wants to store a piece asks for room ([`Portion::ask`]) and is told when there is some; for that another piece goes,
//! which its owner is asked for. The operating system keeps in memory what is read often.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_core::{Info, PieceIndex};
use causeway_engine::StorageError;
use std::collections::BTreeMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ledger::{Decision, Key, Ledger, Room};
use super::platform::{preallocate, read_exact_at, write_all_at};
use super::store::Medium;

/// Room for pieces on a disk, a bounded amount of it for all torrents together.
#[derive(Debug)]
pub struct Cache {
    file: File,
    path: PathBuf,
    state: Mutex<State>,
    free: Arc<Free>,
    evictions: AtomicU64,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// By torrent and the piece's number.
    slots: BTreeMap<(Key, u32), Arc<Slot>>,
    owners: BTreeMap<Key, UnboundedSender<Room>>,
}

/// Chunks that nobody holds.
#[derive(Debug)]
struct Free(Mutex<Chunks>);

#[derive(Debug)]
struct Chunks {
    /// Some of those before `grown`.
    free: Vec<u32>,
    /// So long is the file, in chunks.
    grown: u32,
    /// So long may it be.
    most: u32,
}

/// The room of one piece. It is free when the last one who reads or writes there is done with it.
#[derive(Debug)]
struct Slot {
    chunks: Vec<u32>,
    home: Arc<Free>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.home.lock().free.append(&mut self.chunks);
    }
}

impl Free {
    fn lock(&self) -> MutexGuard<'_, Chunks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chunks {
    fn available(&self) -> u32 {
        let free = u32::try_from(self.free.len()).unwrap_or(u32::MAX);
        free.saturating_add(self.most.saturating_sub(self.grown))
    }
}

impl Cache {
    /// A cache of so many bytes at the most in a file of this folder; what an earlier run left there goes.
    ///
    /// # Errors
    /// When the folder or the file can't be made.
    pub fn open(folder: &Path, bytes: u64) -> io::Result<Arc<Self>> {
        fs::create_dir_all(folder)?;
        let path = folder.join(FILE);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        let chunks = Chunks {
            free: Vec::new(),
            grown: 0,
            most: u32::try_from(bytes / CHUNK).unwrap_or(u32::MAX),
        };
        Ok(Arc::new(Self {
            file,
            path,
            state: Mutex::new(State {
                ledger: Ledger::default(),
                slots: BTreeMap::new(),
                owners: BTreeMap::new(),
            }),
            free: Arc::new(Free(Mutex::new(chunks))),
            evictions: AtomicU64::new(0),
        }))
    }

    /// Bytes that it may take: less than it was given once its disk has turned out to be full.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::from(self.free.lock().most) * CHUNK
    }

    /// Bytes of the pieces in it, rounded up to chunks.
    #[must_use]
    pub fn used(&self) -> u64 {
        let chunks = self.free.lock();
        u64::from(chunks.most.saturating_sub(chunks.available())) * CHUNK
    }

    /// How many pieces went for others so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// A while has passed: what was in use may not be any more. To be called every second or so.
    pub(crate) fn tick(&self) {
        let mut state = self.lock();
        state.ledger.tick();
        self.settle(&mut state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what follows from a change.
    fn settle(&self, state: &mut State) {
        loop {
            let available = self.free.lock().available();
            let Some(decision) = state.ledger.decide(available) else {
                return;
            };
            let (owner, news) = match decision {
                Decision::Grant(key, piece, length) => {
                    let Some(slot) = self.make_room(length) else {
                        // The disk is full: it is tried again with what there is.
                        state.ledger.release(key, piece);
                        state.ledger.ask(key, piece, length);
                        continue;
                    };
                    state.slots.insert((key, piece.get()), Arc::new(slot));
                    (key, Room::Granted(piece))
                }
                Decision::Evict(key, piece) => (key, Room::Wanted(piece)),
            };
            if let Some(owner) = state.owners.get(&owner) {
                // Who ends gives everything back.
                owner.send(news).unwrap_or_default();
            }
        }
    }

    fn make_room(&self, length: u32) -> Option<Slot> {
        let mut chunks = self.free.lock();
        let free = u32::try_from(chunks.free.len()).unwrap_or(u32::MAX);
        let missing = length.saturating_sub(free);
        if missing > 0 {
            let grown = (chunks.grown + missing.max(GROWTH)).min(chunks.most);
            if let Err(error) = preallocate(&self.file, u64::from(grown) * CHUNK) {
                chunks.most = chunks.grown;
                let (path, left) = (self.path.display(), u64::from(chunks.most) * CHUNK);
                tracing::warn!(
                    "the gateway's cache {path} can't grow, and goes on with {left} bytes: {error}. Make room on that disk, or give it a smaller --gateway-cache"
                );
                return None;
            }
            let new = chunks.grown..grown;
            chunks.free.extend(new);
            chunks.grown = grown;
        }
        let at = chunks.free.len().checked_sub(length as usize)?;
        let taken = chunks.free.split_off(at);
        drop(chunks);
        Some(Slot {
            chunks: taken,
            home: self.free.clone(),
        })
    }
}

/// One torrent's part of the cache. Dropped, it gives back everything.
#[derive(Debug)]
pub(crate) struct Portion {
    cache: Arc<Cache>,
    info: Arc<Info>,
    key: Key,
}

impl Portion {
    /// A part for this torrent, with nothing in it, and what is told of it.
    pub(crate) fn new(cache: Arc<Cache>, info: Arc<Info>) -> (Arc<Self>, UnboundedReceiver<Room>) {
        let (owner, news) = unbounded_channel();
        let key = {
            let mut state = cache.lock();
            let key = state.ledger.join();
            state.owners.insert(key, owner);
            key
        };
        (Arc::new(Self { cache, info, key }), news)
    }

    /// Asks for room for a piece.
    pub(crate) fn ask(&self, piece: PieceIndex) {
        let length = u64::from(self.info.geometry().length_of(piece)).div_ceil(CHUNK);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.change(|state| state.ledger.ask(self.key, piece, length));
    }

    /// Asks no more.
    pub(crate) fn withdraw(&self, piece: PieceIndex) {
        self.change(|state| state.ledger.withdraw(self.key, piece));
    }

    /// Somebody wants a piece that is here.
    pub(crate) fn touch(&self, piece: PieceIndex) {
        self.cache.lock().ledger.touch(self.key, piece);
    }

    /// Gives up a piece because its room is wanted.
    pub(crate) fn evict(&self, piece: PieceIndex) {
        self.cache.evictions.fetch_add(1, Ordering::Relaxed);
        self.release(piece);
    }

    /// Gives up a piece.
    pub(crate) fn release(&self, piece: PieceIndex) {
        self.change(|state| {
            state.slots.remove(&(self.key, piece.get()));
            state.ledger.release(self.key, piece);
        });
    }

    /// Keeps a piece whose room is wanted: it is in use.
    pub(crate) fn refuse(&self, piece: PieceIndex) {
        self.change(|state| state.ledger.refuse(self.key, piece));
    }

    /// Whether somebody waits for room.
    pub(crate) fn is_wanted(&self) -> bool {
        self.cache.lock().ledger.is_wanted()
    }

    /// Whether so many bytes more are within this torrent's equal share of the cache.
    pub(crate) fn has_share_for(&self, bytes: u64) -> bool {
        let (own, _, torrents) = self.cache.lock().ledger.shares(self.key);
        (own + bytes.div_ceil(CHUNK)).saturating_mul(torrents) <= u64::from(self.cache.free.lock().most)
    }

    /// This torrent's equal share of the cache, in bytes.
    pub(crate) fn share(&self) -> u64 {
        let (_, _, torrents) = self.cache.lock().ledger.shares(self.key);
        self.cache.capacity() / torrents.max(1)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.cache.lock();
        change(&mut state);
        self.cache.settle(&mut state);
    }

    fn slot(&self, piece: PieceIndex) -> Option<Arc<Slot>> {
        self.cache.lock().slots.get(&(self.key, piece.get())).cloned()
    }

    /// The parts of a range: piece, where in it, how much.
    fn parts(&self, offset: u64, length: usize) -> impl Iterator<Item = (PieceIndex, u64, usize)> {
        let geometry = self.info.geometry();
        let range = offset..offset + length as u64;
        geometry.pieces_of(range.clone()).map(move |piece| {
            let start = geometry.start_of(piece);
            let end = start + u64::from(geometry.length_of(piece));
            let (from, to) = (range.start.max(start), range.end.min(end));
            (piece, from - start, usize::try_from(to - from).unwrap_or(0))
        })
    }
}

impl Slot {
    /// The parts of a range of the piece: where in the file, how much.
    fn places(&self, offset: u64, length: usize) -> impl Iterator<Item = (u64, usize)> {
        let (mut at, mut left) = (offset, length);
        core::iter::from_fn(move || {
            let chunk = self.chunks.get(usize::try_from(at / CHUNK).ok()?)?;
            let within = at % CHUNK;
            let now = left.min(usize::try_from(CHUNK - within).ok()?);
            at += now as u64;
            left -= now;
            (now > 0).then_some((u64::from(*chunk) * CHUNK + within, now))
        })
    }
}

impl Medium for Portion {
    fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// Of pieces that aren't here there are zeros, beside those that are: nobody asks for them.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let mut rest = buffer;
        let mut found = false;
        for (piece, within, length) in self.parts(offset, rest.len()) {
            let (mut part, later) = rest.split_at_mut(length);
            rest = later;
            let Some(slot) = self.slot(piece) else {
                part.fill(0);
                continue;
            };
            found = true;
            for (at, length) in slot.places(within, length) {
                let (now, later) = part.split_at_mut(length);
                part = later;
                match read_exact_at(&self.cache.file, now, at) {
                    // Nothing was written there yet.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => now.fill(0),
                    result => result.map_err(|error| failed("read", &self.cache.path, &error))?,
                }
            }
        }
        if found { Ok(()) } else { Err(StorageError::Missing) }
    }

    fn write(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StorageError> {
        let mut at = offset;
        for part in parts {
            let mut rest: &[u8] = part;
            for (piece, within, length) in self.parts(at, part.len()) {
                let (mut now, later) = rest.split_at(length);
                rest = later;
                // Where there is no room for it nobody waits for it.
                let Some(slot) = self.slot(piece) else { continue };
                for (place, length) in slot.places(within, length) {
                    let (bytes, later) = now.split_at(length);
                    now = later;
                    write_all_at(&self.cache.file, &[IoSlice::new(bytes)], place)
                        .map_err(|error| failed("written", &self.cache.path, &error))?;
                }
            }
            at += part.len() as u64;
        }
        Ok(())
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.owners.remove(&self.key);
        state.ledger.leave(self.key);
        let own = state.slots.range((self.key, 0)..=(self.key, u32::MAX));
        let own: Vec<_> = own.map(|(place, _)| *place).collect();
        for place in own {
            state.slots.remove(&place);
        }
        self.cache.settle(&mut state);
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StorageError {
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        return StorageError::Full;
    }
    StorageError::Failed(format!(
        "the gateway's cache {} can't be {what}: {error}",
        path.display()
    ))
}

/// Bytes that room is given in. A piece takes at least one.
const CHUNK: u64 = 64 * 1024;
/// The file grows by so many chunks at once: 4 MiB.
const GROWTH: u32 = 64;
const FILE: &str = "gateway.cache";
