//! What a person can do on the page. Every component finds this in its context.

use js_sys::Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, FileSystemEntry};

use super::address;
use super::arrange::{Arrangement, arrange};
use super::pick::{self, Chosen};
use super::state::State;
use super::worker_handle::WorkerHandle;
use crate::opening::parse_link;
use crate::protocol::{Notice, Request};

/// The page's state and the way to the worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acts {
    /// What the page shows.
    pub(super) state: RwSignal<State>,
    worker: StoredValue<WorkerHandle, LocalStorage>,
}

/// A torrent file is small; what is larger is something else under its name.
const MAX_TORRENT_FILE: f64 = 64.0 * 1024.0 * 1024.0;

impl Acts {
    /// Acts on this state and this worker.
    pub(super) fn new(state: RwSignal<State>, worker: WorkerHandle) -> Self {
        Self {
            state,
            worker: StoredValue::new_local(worker),
        }
    }

    /// Those of the page that the component is on.
    pub(super) fn here() -> Self {
        expect_context()
    }

    /// Starts the worker, whose notices go to `on_notice` with the browser object that came beside them.
    pub(super) fn start_worker(self, on_notice: impl FnMut(Notice, JsValue) + 'static) {
        self.worker.with_value(|worker| worker.start(on_notice));
    }

    /// Asks the worker for something.
    pub(super) fn send(self, request: &Request) {
        self.worker.with_value(|worker| worker.send(request));
    }

    /// Does what the state makes of it.
    pub(super) fn perform(self, act: impl FnOnce(&mut State) -> Option<Request>) {
        let Some(request) = self.state.try_update(act).flatten() else {
            return;
        };
        if let Request::Remove(id) = request {
            let hash = |state: &State| state.torrent(id)?.info_hash.clone();
            if let Some(hash) = self.state.with_untracked(hash) {
                address::forget(&hash);
            }
        }
        self.send(&request);
    }

    /// Shows what did not work.
    pub(super) fn complain(self, text: impl Into<String>) {
        self.state.update(|state| state.complain(text.into()));
    }

    /// Opens a magnet link, a link to a page with one, or an info-hash; tells whether it is one.
    pub(super) fn open(self, text: &str) -> bool {
        if let Err(refusal) = parse_link(text) {
            self.complain(refusal);
            return false;
        }
        keep_what_is_stored();
        self.send(&Request::Open {
            text: text.trim().to_owned(),
        });
        true
    }

    /// Opens the link that the page's address holds, if it does.
    pub(super) fn open_address(self) {
        if let Some(link) = address::link() {
            self.open(&link);
        }
    }

    /// Opens torrent files.
    pub(super) fn open_torrent_files(self, files: impl IntoIterator<Item = File>) {
        keep_what_is_stored();
        for file in files {
            let name = file.name();
            if file.size() > MAX_TORRENT_FILE {
                self.complain(format!(
                    "“{name}” is too large for a torrent file. Check that it is the right one."
                ));
                continue;
            }
            spawn_local(async move {
                match JsFuture::from(file.array_buffer()).await {
                    Ok(bytes) => self.send_with(&Request::OpenTorrentFile { name }, &bytes),
                    Err(_) => self.complain(format!(
                        "“{name}” could not be read. Check that it is still there."
                    )),
                }
            });
        }
    }

    /// Shares files that somebody chose, as one torrent.
    pub(super) fn share(self, chosen: Chosen) {
        if let Some(Arrangement { name, paths, files }) = arrange(chosen) {
            self.send_with(
                &Request::Share { name, paths },
                &files.into_iter().collect::<Array>(),
            );
        } else {
            self.complain("There is no file in there to share. Choose a folder that has some.");
        }
    }

    /// Opens what was dropped or pasted if it is torrent files alone, and shares it otherwise.
    pub(super) fn take(self, entries: Vec<FileSystemEntry>) {
        spawn_local(async move {
            let all_torrents = entries
                .iter()
                .all(|entry| entry.is_file() && is_torrent(&entry.name()));
            self.state.update(|state| state.reading = true);
            let chosen = pick::walk(entries).await;
            self.state.update(|state| state.reading = false);
            match chosen {
                Ok(chosen) if all_torrents => {
                    self.open_torrent_files(chosen.into_iter().map(|(_, file)| file));
                }
                Ok(chosen) => self.share(chosen),
                Err(trouble) => self.complain(trouble),
            }
        });
    }

    fn send_with(self, request: &Request, beside: &JsValue) {
        self.worker.with_value(|worker| worker.send_with(request, beside));
    }
}

/// Asks the browser not to delete downloads when it runs short of space. It may ask the user, or say no.
fn keep_what_is_stored() {
    let storage = window().navigator().storage();
    if !JsValue::from(&storage).is_undefined()
        && let Ok(promise) = storage.persist()
    {
        spawn_local(async move {
            // Whatever the answer is, the download goes on.
            JsFuture::from(promise).await.unwrap_or_default();
        });
    }
}

fn is_torrent(name: &str) -> bool {
    name.len() > 8
        && name
            .get(name.len() - 8..)
            .is_some_and(|end| end.eq_ignore_ascii_case(".torrent"))
}
