//! What a person can do on the page. Every part of the page has it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use js_sys::Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Document, File, FileSystemEntry, HtmlElement, Window};

use super::address;
use super::arrange::{Arrangement, arrange};
use super::pick::{self, Chosen};
use super::state::State;
use super::view;
use super::view::part::Part;
use super::worker_handle::WorkerHandle;
use crate::protocol::{Notice, Request};

/// The page's state, the way to the worker, and what is to be seen of the state. Clones act on the same page.
#[derive(Clone)]
pub(super) struct Acts {
    inner: Rc<Inner>,
}

struct Inner {
    state: RefCell<State>,
    worker: WorkerHandle,
    page: RefCell<Option<Part>>,
    /// Whether the page is about to be brought up to date.
    is_stale: Cell<bool>,
}

/// A torrent file is small; what is larger is something else under its name.
const MAX_TORRENT_FILE: f64 = 64.0 * 1024.0 * 1024.0;

impl Acts {
    /// Acts on a new state and this worker; nothing is shown yet.
    pub(super) fn new(worker: WorkerHandle) -> Self {
        let inner = Inner {
            state: RefCell::default(),
            worker,
            page: RefCell::default(),
            is_stale: Cell::new(false),
        };
        Self {
            inner: Rc::new(inner),
        }
    }

    /// Shows the state in `place`, from now on.
    pub(super) fn show(&self, place: &HtmlElement) {
        let page = view::page(self, place);
        self.inner.page.replace(Some(page));
        self.update(|_| ());
    }

    /// Starts the worker, whose notices go to `on_notice` with the browser object that came beside them.
    pub(super) fn start_worker(&self, on_notice: impl FnMut(Notice, JsValue) + 'static) {
        self.inner.worker.start(on_notice);
    }

    /// Asks the worker for something.
    pub(super) fn send(&self, request: &Request) {
        self.inner.worker.send(request);
    }

    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner.state.borrow())
    }

    /// Changes the state; the page follows once whoever is acting now has finished, once for all that happens until then.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.inner.state.borrow_mut());
        self.follow();
        outcome
    }

    fn follow(&self) {
        if self.inner.is_stale.replace(true) {
            return;
        }
        let inner = self.inner.clone();
        spawn_local(async move {
            inner.is_stale.set(false);
            if let Some(page) = inner.page.borrow_mut().as_mut() {
                page.update(&inner.state.borrow());
            }
        });
    }

    /// Does what the state makes of it.
    pub(super) fn perform(&self, act: impl FnOnce(&mut State) -> Option<Request>) {
        let Some(request) = self.update(act) else {
            return;
        };
        if let Request::Remove(id) = request {
            let hash = self.read(|state| state.torrent(id)?.info_hash.clone());
            if let Some(hash) = hash {
                address::forget(&hash);
            }
        }
        self.send(&request);
    }

    /// Shows what did not work.
    pub(super) fn complain(&self, text: impl Into<String>) {
        self.update(|state| state.complain(text.into()));
    }

    /// Opens a magnet link, a link to a page with one, or an info-hash.
    pub(super) fn open(&self, text: &str) {
        self.send(&Request::Open {
            text: text.trim().to_owned(),
        });
    }

    /// Opens the link that the page's address holds, if it does.
    pub(super) fn open_address(&self) {
        if let Some(link) = address::link() {
            self.open(&link);
        }
    }

    /// Opens torrent files.
    pub(super) fn open_torrent_files(&self, files: impl IntoIterator<Item = File>) {
        for file in files {
            let name = file.name();
            if file.size() > MAX_TORRENT_FILE {
                self.complain(format!(
                    "“{name}” is too large for a torrent file. Check that it is the right one."
                ));
                continue;
            }
            let acts = self.clone();
            spawn_local(async move {
                match JsFuture::from(file.array_buffer()).await {
                    Ok(bytes) => acts.send_with(&Request::OpenTorrentFile { name }, &bytes),
                    Err(_) => acts.complain(format!(
                        "“{name}” could not be read. Check that it is still there."
                    )),
                }
            });
        }
    }

    /// Shares files that somebody chose, as one torrent.
    pub(super) fn share(&self, chosen: Chosen) {
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
    pub(super) fn take(&self, entries: Vec<FileSystemEntry>) {
        let acts = self.clone();
        spawn_local(async move {
            let all_torrents = entries
                .iter()
                .all(|entry| entry.is_file() && is_torrent(&entry.name()));
            acts.update(|state| state.reading = true);
            let chosen = pick::walk(entries).await;
            acts.update(|state| state.reading = false);
            match chosen {
                Ok(chosen) if all_torrents => {
                    acts.open_torrent_files(chosen.into_iter().map(|(_, file)| file));
                }
                Ok(chosen) => acts.share(chosen),
                Err(trouble) => acts.complain(trouble),
            }
        });
    }

    fn send_with(&self, request: &Request, beside: &JsValue) {
        self.inner.worker.send_with(request, beside);
    }
}

/// The window that the page is in.
///
/// # Panics
/// In a worker.
pub(super) fn window() -> Window {
    web_sys::window().expect("a page has a window")
}

/// The document that the page is in.
///
/// # Panics
/// In a worker.
pub(super) fn document() -> Document {
    window().document().expect("a window has a document")
}

/// Does something later.
pub(super) fn after(time: Duration, act: impl FnOnce() + 'static) {
    let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let act = Closure::once_into_js(act);
    window()
        .set_timeout_with_callback_and_timeout_and_arguments_0(act.unchecked_ref(), milliseconds)
        .unwrap_or_default();
}

fn is_torrent(name: &str) -> bool {
    name.len() > 8
        && name
            .get(name.len() - 8..)
            .is_some_and(|end| end.eq_ignore_ascii_case(".torrent"))
}
