//! One torrent's storage as its task sees it.

use core::fmt::Debug;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use causeway_core::{Block, Info, PieceIndex};
use causeway_engine::{Input, StorageError};
use causeway_wire::Chunks;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::reads::{Lookup, Reads};
use super::writes::{Job, Lane, tell};

/// Where a torrent's bytes lie. Its methods wait for the disk.
pub(crate) trait Medium: Debug + Send + Sync {
    /// What the torrent is made of.
    fn info(&self) -> &Arc<Info>;

    /// Fills the buffer with the torrent's bytes from there on.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError>;

    /// Stores these bytes of the torrent from there on.
    fn write(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<(), StorageError>;
}

/// Takes jobs and never waits. The engine bounds how many it gives.
#[derive(Debug)]
pub(crate) struct Store {
    files: Arc<dyn Medium>,
    lane: Arc<Lane>,
    /// Writes and hashes that were asked for since [`Store::flush`].
    jobs: Vec<Job>,
    reads: Reads,
    runs: UnboundedSender<(u64, Option<Bytes>)>,
    answers: UnboundedSender<Input>,
}

/// What storage answers.
#[derive(Debug)]
pub(crate) struct Answers {
    inputs: UnboundedReceiver<Input>,
    runs: UnboundedReceiver<(u64, Option<Bytes>)>,
}

/// One answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// For the engine.
    Input(Input),
    /// A run was read: for [`Store::run_read`].
    Run(u64, Option<Bytes>),
}

impl Answers {
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Option<Answer> {
        tokio::select! {
            input = self.inputs.recv() => input.map(Answer::Input),
            run = self.runs.recv() => run.map(|(run, bytes)| Answer::Run(run, bytes)),
        }
    }

    /// The next one, if it is there.
    pub(crate) fn try_next(&mut self) -> Option<Answer> {
        let input = self.inputs.try_recv().ok().map(Answer::Input);
        input.or_else(|| {
            self.runs
                .try_recv()
                .ok()
                .map(|(run, bytes)| Answer::Run(run, bytes))
        })
    }
}

impl Store {
    /// The storage of these files. So many runs of 512 KiB stay in memory after they were read.
    pub(crate) fn new(files: Arc<dyn Medium>, most_runs: usize) -> (Self, Answers) {
        let (answers, inputs) = unbounded_channel();
        let (run_sender, runs) = unbounded_channel();
        let store = Self {
            lane: Lane::new(files.clone(), answers.clone()),
            jobs: Vec::new(),
            reads: Reads::new(files.info().geometry(), most_runs),
            files,
            runs: run_sender,
            answers,
        };
        (store, Answers { inputs, runs })
    }

    /// Stores a block; answered.
    pub(crate) fn write(&mut self, block: Block, bytes: Chunks) {
        self.jobs.push(Job::Write(block, bytes));
    }

    /// A block is stored: what was read around it before, or is being read, has what was there until now. It is not asked for
    /// before that.
    pub(crate) fn written(&mut self, block: Block) {
        self.reads.forget(block);
    }

    /// Hashes a piece; answered.
    pub(crate) fn hash(&mut self, piece: PieceIndex) {
        self.jobs.push(Job::Hash(piece));
    }

    /// Reads a block; the answer may be there at once.
    pub(crate) fn read(&mut self, block: Block) -> Option<Input> {
        match self.reads.find(block) {
            Lookup::Found(bytes) => {
                return Some(Input::BlockRead {
                    block,
                    result: Ok(bytes),
                });
            }
            Lookup::Waits => {}
            Lookup::Read(run, start, length) => {
                let (files, runs) = (self.files.clone(), self.runs.clone());
                Handle::current().spawn_blocking(move || {
                    let mut buffer = vec![0; length];
                    let bytes = files.read(start, &mut buffer).ok().map(|()| buffer.into());
                    // Nobody listens once the torrent is gone.
                    runs.send((run, bytes)).unwrap_or_default();
                });
            }
            Lookup::Alone => self.read_alone(block),
        }
        None
    }

    /// A run was read: the answers to those who waited for it.
    pub(crate) fn run_read(&mut self, run: u64, bytes: Option<Bytes>) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (block, bytes) in self.reads.was_read(run, bytes) {
            match bytes {
                Some(bytes) => inputs.push(Input::BlockRead {
                    block,
                    result: Ok(bytes),
                }),
                None => self.read_alone(block),
            }
        }
        inputs
    }

    /// Starts what was asked for.
    pub(crate) fn flush(&mut self) {
        if !self.jobs.is_empty() {
            self.lane.push(&mut self.jobs);
        }
    }

    /// Gives back the memory of what was read.
    pub(crate) fn forget_reads(&mut self) {
        self.reads.clear();
    }

    fn read_alone(&self, block: Block) {
        let (files, answers) = (self.files.clone(), self.answers.clone());
        Handle::current().spawn_blocking(move || {
            let start = files.info().geometry().start_of(block.piece()) + u64::from(block.offset());
            let mut buffer = vec![0; block.length() as usize];
            let result = files.read(start, &mut buffer).map(|()| Bytes::from(buffer));
            let result = result.map_err(|error| match error {
                StorageError::Missing => StorageError::Failed(
                    "a file of this torrent was removed or cut while it was shared: put it back".to_owned(),
                ),
                StorageError::Full | StorageError::Failed(_) => error,
            });
            tell(&answers, Input::BlockRead { block, result });
        });
    }
}
