//! The browser peer: the page and the worker behind it, in one WebAssembly module.
//!
//! The worker owns everything that lasts: the torrents, the trackers, the storage. The page shows it
//! ([`protocol::TorrentView`]) and does the two things that only a page can: talk to a person, and make
//! `RTCPeerConnection`s, whose data channels it hands to the worker.

pub mod protocol;

mod opening;
mod page;
mod worker;

use wasm_bindgen::prelude::*;

/// Runs the page in this document, with its worker (already loading) and its configuration: `trackers`, an array
/// of URLs that may be relative to the page, and `iceServers` as `RTCPeerConnection` takes them.
#[wasm_bindgen]
pub fn start_page(worker: web_sys::Worker, config: &JsValue) {
    let worker = page::worker_handle::WorkerHandle::new(worker, config);
    page::app::mount(worker);
}

/// Runs the engine in this dedicated worker, whose page speaks first.
#[wasm_bindgen]
pub fn start_worker() {
    worker::start();
}
