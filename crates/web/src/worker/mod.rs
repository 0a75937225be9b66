//! The worker: the engine's driver in a browser.
//!
//! Everything that happens (a message of the page, bytes on a link, a piece that was hashed) is an [`Event`] in
//! one queue; one loop takes them out and lets the [`Driver`](driver::Driver) act. No callback touches state of its
//! own, so nothing can be re-entered.
//!
//! - `driver` runs the torrents and the announce client, and performs what they ask for;
//! - `session` is one torrent with its storage, `share` makes a torrent of the user's files;
//! - `trackers` says which trackers are used, as whom;
//! - `link`, `tracker_socket`, `page_port`, `tabs`, `clock`, `discard` are the browser's side of each effect;
//! - `storage` keeps pieces in the origin private file system or reads them from the user's own files.

mod clock;
mod discard;
mod driver;
mod hash;
mod link;
mod page_port;
mod session;
mod share;
mod storage;
mod tabs;
mod tracker_socket;
mod trackers;
mod view;
mod web_seed;

use causeway_core::Metainfo;
use causeway_engine::Input;
use causeway_signal::{ConnectionId, TrackerId};
use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::StreamExt as _;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use crate::protocol::{Request, TorrentId};

/// What happens to the worker.
#[derive(Debug)]
enum Event {
    /// The page asks for something, with browser objects beside it.
    Page(Request, JsValue),
    /// Something happened on a tracker's socket.
    Tracker(TrackerId, tracker_socket::SocketEvent),
    /// Something happened on a link.
    Link(ConnectionId, link::LinkEvent),
    /// Storage answers the engine.
    Storage(TorrentId, Input),
    /// What comes from a web seed, while it is wanted.
    Fetched(TorrentId, Input, web_seed::Wanted),
    /// The bytes of a torrent can be stored or read now, or can't be.
    StorageOpened(TorrentId, Result<(), String>),
    /// A file of a torrent lies on disk, to be saved under this name.
    File(String, Result<web_sys::File, String>),
    /// This part of the user's files has been hashed, 0 to 1.
    Hashing(TorrentId, f64),
    /// The user's files are hashed.
    Hashed(TorrentId, Result<Metainfo, String>),
    /// Something that the user asked for did not work, in a sentence.
    Trouble(String),
    /// The alarm rang.
    Alarm,
    /// This tab is the one that runs Causeway, with what it stored earlier.
    Elected(storage::Restored),
    /// Another tab runs Causeway.
    OtherTab,
    /// Another tab was asked to open this, while this one runs Causeway.
    Handed(String),
}

/// Where events go.
type Events = UnboundedSender<Event>;

/// Runs the worker for as long as its page lives.
pub(crate) fn start() {
    let (events, mut queue) = unbounded();
    let mut driver = driver::Driver::new(&events);
    spawn_local(async move {
        while let Some(event) = queue.next().await {
            driver.handle(event);
            // What has happened at once is answered at once: fewer, larger messages.
            while let Ok(event) = queue.try_recv() {
                driver.handle(event);
            }
            driver.settle();
        }
    });
}

/// Adds an event. The queue lives as long as the worker.
fn tell(events: &Events, event: Event) {
    events.unbounded_send(event).unwrap_or_default();
}
