//! Blocks on their way to the disk. They are hashed as they pass, while the processor still has them at hand: where a
//! piece comes in order, which it nearly always does, its hash is known as soon as its last block is written, and
//! what was written need not be read again.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, PoisonError};

use causeway_core::{Block, PieceIndex, Sha1, Sha1Hash};
use causeway_engine::{Input, StorageError};
use causeway_wire::Chunks;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::store::Medium;

/// One torrent's writes: one thread at a time does what is asked for, in its order.
#[derive(Debug)]
pub(super) struct Lane {
    files: Arc<dyn Medium>,
    answers: UnboundedSender<Input>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    /// Whether a thread is at it.
    is_busy: bool,
    hashes: BTreeMap<PieceIndex, Running>,
}

#[derive(Debug)]
pub(super) enum Job {
    Write(Block, Chunks),
    Hash(PieceIndex),
}

/// The hash of the first bytes of a piece.
#[derive(Debug, Default)]
struct Running {
    hash: Sha1,
    length: u32,
}

impl Lane {
    pub(super) fn new(files: Arc<dyn Medium>, answers: UnboundedSender<Input>) -> Arc<Self> {
        Arc::new(Self {
            files,
            answers,
            state: Mutex::default(),
        })
    }

    /// Does these after those that were asked for before.
    pub(super) fn push(self: &Arc<Self>, jobs: &mut Vec<Job>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.append(jobs);
        if !std::mem::replace(&mut state.is_busy, true) {
            let lane = self.clone();
            Handle::current().spawn_blocking(move || lane.work());
        }
    }

    fn work(self: &Arc<Self>) {
        let mut hashes = BTreeMap::new();
        loop {
            let jobs = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.jobs.is_empty() {
                    state.is_busy = false;
                    state.hashes.append(&mut hashes);
                    return;
                }
                hashes.append(&mut state.hashes);
                std::mem::take(&mut state.jobs)
            };
            let mut writes = Vec::new();
            for job in jobs {
                match job {
                    Job::Write(block, chunks) => writes.push((block, chunks)),
                    Job::Hash(piece) => {
                        self.write(&mut writes, &mut hashes);
                        self.hash(piece, &mut hashes);
                    }
                }
            }
            self.write(&mut writes, &mut hashes);
        }
    }

    /// Writes neighbouring blocks in one go.
    fn write(&self, writes: &mut Vec<(Block, Chunks)>, hashes: &mut BTreeMap<PieceIndex, Running>) {
        let geometry = self.files.info().geometry();
        let start = |block: &Block| geometry.start_of(block.piece()) + u64::from(block.offset());
        let writes = std::mem::take(writes);
        for run in writes.chunk_by(|(a, _), (b, _)| start(a) + u64::from(a.length()) == start(b)) {
            let Some((first, _)) = run.first() else { continue };
            let parts: Vec<IoSlice<'_>> = run
                .iter()
                .flat_map(|(_, chunks)| chunks)
                .map(|bytes| IoSlice::new(bytes))
                .collect();
            let result = self.files.write(start(first), &parts);
            for (block, chunks) in run {
                note(hashes, *block, chunks, result.is_ok());
                self.answer(Input::BlockWritten {
                    block: *block,
                    result: result.clone(),
                });
            }
        }
    }

    fn hash(&self, piece: PieceIndex, hashes: &mut BTreeMap<PieceIndex, Running>) {
        let length = self.files.info().geometry().length_of(piece);
        if let Some(running) = hashes.remove(&piece).filter(|running| running.length == length) {
            let result = Ok(running.hash.finish());
            return self.answer(Input::PieceHashed { piece, result });
        }
        let (files, answers) = (self.files.clone(), self.answers.clone());
        Handle::current().spawn_blocking(move || {
            let result = hash_stored(&*files, piece);
            tell(&answers, Input::PieceHashed { piece, result });
        });
    }

    fn answer(&self, input: Input) {
        tell(&self.answers, input);
    }
}

/// Takes a block into the hash of its piece, if it continues it.
fn note(hashes: &mut BTreeMap<PieceIndex, Running>, block: Block, chunks: &Chunks, is_written: bool) {
    let piece = block.piece();
    if block.offset() == 0 {
        if hashes.len() >= MOST_RUNNING {
            hashes.pop_first();
        }
        hashes.insert(piece, Running::default());
    }
    let Some(running) = hashes.get_mut(&piece) else {
        return;
    };
    if is_written && running.length == block.offset() {
        chunks.iter().for_each(|bytes| running.hash.update(bytes));
        running.length += block.length();
    } else {
        hashes.remove(&piece);
    }
}

/// The hash of a piece as it is stored.
fn hash_stored(files: &dyn Medium, piece: PieceIndex) -> Result<Sha1Hash, StorageError> {
    let geometry = files.info().geometry();
    let (mut at, length) = (geometry.start_of(piece), geometry.length_of(piece));
    let mut buffer = vec![0; PART.min(length as usize)];
    let (mut hash, mut left) = (Sha1::new(), length as usize);
    while left > 0 {
        let now = left.min(buffer.len());
        files.read(at, &mut buffer[..now])?;
        hash.update(&buffer[..now]);
        at += now as u64;
        left -= now;
    }
    Ok(hash.finish())
}

/// Nobody listens once the torrent is gone.
pub(super) fn tell(answers: &UnboundedSender<Input>, input: Input) {
    answers.send(input).unwrap_or_default();
}

/// Pieces whose hash is under way.
const MOST_RUNNING: usize = 256;
/// Bytes that are read and hashed at once: what the processor's cache holds.
const PART: usize = 256 * 1024;
