//! A torrent's storage, from the first look at what is there to the names of complete files.

use std::sync::Arc;

use causeway_core::{Info, InfoHash, Metainfo, PieceIndex};
use causeway_engine::{Snapshot, StorageError, Stored};
use tokio::task::JoinSet;

use super::Contents;
use super::relay::Relaying;
use crate::disk::{Answers, Files, Handles, Keeper, Kept, Layout, Medium as _, Store};

/// Where one torrent's bytes go, whether or not it is known yet what they are.
#[derive(Debug)]
pub(super) struct Place {
    handles: Arc<Handles>,
    contents: Contents,
    keeper: Option<Keeper>,
}

/// The storage of a torrent whose metadata is known.
#[derive(Debug)]
pub(super) struct Storage {
    /// Blocks in and out.
    pub(super) store: Store,
    /// Missing where nothing stays.
    pub(super) files: Option<Arc<Files>>,
    keeper: Option<Keeper>,
    /// Something is being kept or completed.
    under_way: JoinSet<Result<(), StorageError>>,
}

impl Place {
    pub(super) fn new(handles: Arc<Handles>, contents: Contents, info_hash: InfoHash) -> Self {
        let keeper = match &contents {
            Contents::Download { folder, .. } => Some(Keeper::new(folder, info_hash)),
            Contents::Shared(_) | Contents::Relayed(_) => None,
        };
        Self {
            handles,
            contents,
            keeper,
        }
    }

    /// What an earlier run has left.
    pub(super) fn kept(&self) -> Kept {
        self.keeper.as_ref().map(Keeper::read).unwrap_or_default()
    }

    /// Looks at what is there. This waits for the disk, briefly.
    pub(super) fn open(
        &self,
        info: &Arc<Info>,
        snapshot: Option<Snapshot>,
        relaying: Option<&mut Relaying>,
    ) -> (Storage, Answers, Stored) {
        if let Some(relaying) = relaying {
            let (store, answers) = Store::new(relaying.open(info), RELAYED_RUNS);
            let storage = Storage {
                store,
                files: None,
                keeper: None,
                under_way: JoinSet::new(),
            };
            return (storage, answers, Stored::Nothing);
        }
        let (layout, preallocate) = self.layout(info);
        let is_any_there = layout.is_any_there();
        let files = Files::new(info.clone(), layout, self.handles.clone(), preallocate);
        let stored = match (&self.contents, snapshot) {
            (Contents::Shared(_), _) => Stored::Everything,
            (Contents::Download { .. }, Some(snapshot)) if is_usable(&files, &snapshot) => {
                Stored::Partly(snapshot)
            }
            (Contents::Download { .. }, _) if is_any_there => Stored::Unknown,
            (Contents::Relayed(_) | Contents::Download { .. }, _) => Stored::Nothing,
        };
        let files = Arc::new(files);
        let (store, answers) = Store::new(files.clone(), RUNS);
        let storage = Storage {
            store,
            files: Some(files),
            keeper: self.keeper.clone(),
            under_way: JoinSet::new(),
        };
        (storage, answers, stored)
    }

    fn layout(&self, info: &Info) -> (Layout, bool) {
        match &self.contents {
            Contents::Download {
                folder,
                overwrite,
                preallocate,
            } => (Layout::downloads(info, folder, *overwrite), *preallocate),
            Contents::Shared(files) => (Layout::shared(files.clone()), false),
            Contents::Relayed(_) => (Layout::shared(Vec::new()), false),
        }
    }
}

impl Storage {
    /// Keeps the metadata for the next run.
    pub(super) fn keep_metainfo(&mut self, metainfo: Metainfo) {
        if let Some(keeper) = self.keeper.clone() {
            let keep = move || keeper.keep_metainfo(&metainfo).map_err(|error| not_kept(&error));
            self.under_way.spawn_blocking(keep);
        }
    }

    /// Keeps how far the torrent has come, after what that speaks of is on the disk.
    pub(super) fn keep_snapshot(&mut self, snapshot: Snapshot) {
        if let (Some(keeper), Some(files)) = (self.keeper.clone(), self.files.clone()) {
            self.under_way.spawn_blocking(move || {
                let kept = files
                    .sync()
                    .and_then(|()| keeper.keep_snapshot(&snapshot, files.info()));
                let kept = kept.inspect_err(|_| keeper.distrust());
                kept.map_err(|error| not_kept(&error))
            });
        }
    }

    /// Gives a file that is complete its own name.
    pub(super) fn complete(&mut self, file: usize) {
        if let Some(files) = self.files.clone() {
            self.under_way.spawn_blocking(move || files.complete(file));
        }
    }

    /// Whether nothing is being kept or named.
    pub(super) fn is_settled(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Waits for the next of those to be done; for ever where there is none.
    pub(super) async fn settled(&mut self) -> Result<(), StorageError> {
        match self.under_way.join_next().await {
            // A job that panicked has said so.
            Some(result) => result.unwrap_or(Ok(())),
            None => core::future::pending().await,
        }
    }

    /// The download is complete: there is nothing to resume.
    pub(super) fn forget(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.forget();
        }
    }
}

/// Runs of bytes that stay in memory after they were read for peers, and so many where there may be hundreds of torrents.
const RUNS: usize = 16;
const RELAYED_RUNS: usize = 4;

/// Whether what the snapshot speaks of can be there: somebody may have moved it away since.
fn is_usable(files: &Files, snapshot: &Snapshot) -> bool {
    let has = |piece: PieceIndex| snapshot.have.has(piece) || snapshot.partial.contains_key(&piece.get());
    snapshot.have.len() == files.info().geometry().pieces() && files.could_have(has)
}

fn not_kept(error: &std::io::Error) -> StorageError {
    StorageError::Failed(format!("how far the download has come can't be kept: {error}"))
}
