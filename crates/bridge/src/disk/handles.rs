//! The open files of all torrents.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open files of all torrents, a bounded number of them.
#[derive(Debug)]
pub(crate) struct Handles {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<(u64, usize), Open>,
    /// Counts uses: the file that was used least recently is closed first.
    uses: u64,
    torrents: u64,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    for_writing: bool,
    /// Whether it was written to since it was brought to the disk last.
    is_dirty: bool,
    used: u64,
}

impl Handles {
    /// Keeps so many files open at the most.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::default(),
        }
    }

    /// A name for one more torrent.
    pub(super) fn name_torrent(&self) -> u64 {
        let mut state = self.state();
        state.torrents += 1;
        state.torrents
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This file of this torrent, if it is open for that.
    pub(super) fn find(&self, key: (u64, usize), for_writing: bool) -> Option<Arc<File>> {
        let mut state = self.state();
        state.uses += 1;
        let uses = state.uses;
        let open = state.open.get_mut(&key)?;
        open.used = uses;
        open.is_dirty |= for_writing;
        (open.for_writing || !for_writing).then(|| open.file.clone())
    }

    /// Keeps a file open, and closes another one where there are too many.
    pub(super) fn keep(&self, key: (u64, usize), file: Arc<File>, for_writing: bool) {
        let mut state = self.state();
        let used = state.uses;
        let open = Open {
            file,
            for_writing,
            is_dirty: for_writing,
            used,
        };
        state.open.insert(key, open);
        if state.open.len() > self.most {
            let oldest = state.open.iter().min_by_key(|(_, open)| open.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                state.open.remove(&oldest);
            }
        }
    }

    /// Closes this torrent's files.
    pub(super) fn forget(&self, torrent: u64) {
        let mut state = self.state();
        let open = state.open.range((torrent, 0)..=(torrent, usize::MAX));
        let keys: Vec<_> = open.map(|(key, _)| *key).collect();
        for key in keys {
            state.open.remove(&key);
        }
    }

    /// Takes this torrent's files that were written to.
    pub(super) fn dirty(&self, torrent: u64) -> Vec<Arc<File>> {
        let mut state = self.state();
        let files = state.open.range_mut((torrent, 0)..=(torrent, usize::MAX));
        files
            .filter_map(|(_, open)| core::mem::take(&mut open.is_dirty).then(|| open.file.clone()))
            .collect()
    }
}
