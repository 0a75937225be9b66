//! What the page and its worker tell each other.
//!
//! Each message is one `postMessage`: the serialized [`Request`] or [`Notice`], and beside it the browser
//! objects that it speaks of (files, a data channel), which cannot be serialized. The worker owns every torrent;
//! the page shows [`TorrentView`]s and makes the connections that only a page can make.

use serde::{Deserialize, Serialize};

/// The worker's name of a torrent, from the moment the user asked for it: a torrent that is still being hashed
/// or whose link is still being read has no info-hash yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TorrentId(pub u32);

/// The worker's name of a connection that the page makes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u32);

/// Which data channel of a connection.
///
/// WebTorrent's is announced on the connection by the side that offers. The side that answers gets it when it is
/// open already, and a browser that then transfers it to a worker may lose the messages that arrive meanwhile
/// (Chromium does): so there the page keeps it and forwards what comes. Two Causeway peers, who know each other by
/// their peer ids, use one that both make beforehand and that is transferred before anything can arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// The one that the offering side announces.
    Announced,
    /// The one that both sides make, with a number agreed upon.
    Agreed,
}

/// From the page to the worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// The first message.
    Start {
        /// WebSocket trackers that every torrent of this page is announced to, as absolute URLs.
        trackers: Vec<String>,
        /// Origins of web seeds that the page's policy lets it fetch from, beside its own.
        web_origins: Vec<String>,
        /// The gateway beside the page, if there is one: its peer id, and the path of its web seed on the page's own server.
        gateway: Option<(String, String)>,
    },
    /// Share files that the user chose. Beside it: an array of `File`s, one for each entry.
    Share {
        /// The torrent's name; a single file's own name, or the folder's, where the user chose one.
        name: String,
        /// Where each file stands in the torrent, without the torrent's name.
        paths: Vec<Vec<String>>,
    },
    /// Open a magnet link, a link to this or another page with a magnet link after its `#`, or a bare info-hash.
    Open {
        /// What the user typed or the address held.
        text: String,
    },
    /// Open a torrent file. Beside it: its bytes as an `ArrayBuffer`.
    OpenTorrentFile {
        /// The file's name, for messages about it.
        name: String,
    },
    /// Stop a torrent until [`Request::Resume`].
    Pause(TorrentId),
    /// Go on.
    Resume(TorrentId),
    /// Forget a torrent and delete what was downloaded for it; files that the user shares are never touched.
    Remove(TorrentId),
    /// Download only the files with `true`, an entry a file.
    SelectFiles(TorrentId, Vec<bool>),
    /// Hand out a complete file: answered by [`Notice::File`].
    Save(TorrentId, u32),
    /// Answer to [`Notice::CreateOffer`]: the complete description, all candidates gathered.
    OfferCreated(ConnectionId, String),
    /// Answer to [`Notice::AcceptOffer`]: the complete description, all candidates gathered.
    AnswerCreated(ConnectionId, String),
    /// A data channel of the connection exists, not yet open. Beside it: the `RTCDataChannel` itself, or, where it
    /// can't be transferred, a `MessagePort` that speaks for it (`link_port.rs`).
    Channel(ConnectionId, Channel),
    /// The connection failed or has ended.
    ConnectionClosed(ConnectionId),
}

/// From the worker to the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// The worker runs. Before it nothing else is said.
    Ready {
        /// Whether this browser can store downloads; where not, in words why and what to do.
        storage: Result<(), String>,
    },
    /// Another tab of this browser runs Causeway: this one waits until that one is closed. What it is asked to
    /// open meanwhile is handed to that tab.
    OtherTab,
    /// The other tab is gone: this one has taken over.
    TakenOver,
    /// Every torrent, in the order the user added them. Sent when something changed; of progress, once a second.
    Torrents(Vec<TorrentView>),
    /// The files of a torrent; sent once when they are known. Their progress follows as [`Notice::FileProgress`].
    Files(TorrentId, Vec<FileView>),
    /// Files whose state has changed: index, bytes that are there and verified, whether it is selected.
    FileProgress(TorrentId, Vec<(u32, f64, bool)>),
    /// What the user wants to open or to share is in the list already.
    Known(TorrentId),
    /// Something that the user asked for did not work: what happened and what to do, in a sentence or two.
    Error(String),
    /// Answer to [`Request::Save`]. Beside it: a `File` that lies on disk.
    File {
        /// The name under which to save it.
        name: String,
    },
    /// Make a connection with a data channel of either kind, the announced one with this label, and tell the
    /// complete offer.
    CreateOffer(ConnectionId, String),
    /// Make a connection for this offer with the data channel of this kind, and tell the complete answer.
    AcceptOffer(ConnectionId, String, Channel),
    /// The answer to the offer of this connection.
    AcceptAnswer(ConnectionId, String),
    /// Candidates for this connection have been gathered for long enough: tell the offer or answer with those that are
    /// there.
    EndGathering(ConnectionId),
    /// Close this connection.
    CloseConnection(ConnectionId),
}

/// A torrent as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TorrentView {
    /// Its name between page and worker.
    pub id: TorrentId,
    /// 40 hexadecimal digits, once it is known.
    pub info_hash: Option<String>,
    /// What the user knows it by.
    pub name: String,
    /// What it is about.
    pub state: ViewState,
    /// What went wrong and what to do, where the state is [`ViewState::Error`]; a hint otherwise (for example
    /// that a tracker is down while everything else goes on).
    pub message: Option<String>,
    /// What is there of what is wanted, 0 to 1; of the hashing while that goes on.
    pub progress: f64,
    /// Bytes in all, 0 where it isn't known yet.
    pub size: f64,
    /// Bytes of what is wanted, as long as `size` is known.
    pub wanted: f64,
    /// Bytes that its removal deletes; while they are being checked, at most so many.
    pub stored: f64,
    /// Bytes a second, payload only.
    pub download_rate: f64,
    /// Bytes a second, payload only.
    pub upload_rate: f64,
    /// Payload bytes given to others so far.
    pub uploaded: f64,
    /// Seconds until all that is wanted is there, where that can be told.
    pub seconds_left: Option<f64>,
    /// Connected peers.
    pub peers: u32,
    /// The link that opens it anywhere, `magnet:?...`, once the info-hash is known.
    pub magnet: Option<String>,
    /// Whether the files are the user's own, shared from where they lie.
    pub own_files: bool,
    /// Whether it can be paused, or resumed.
    pub can_pause: bool,
    /// The number of files, 0 where it isn't known yet.
    pub files: u32,
}

/// What a torrent is about, as the page names it (`data-state` is the lower-case name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewState {
    /// Being created from the user's files, or checked on disk.
    Hashing,
    /// Nobody to get the metadata or the wanted pieces from is there yet.
    Connecting,
    /// Pieces are coming.
    Downloading,
    /// All that is wanted is there; whoever asks is served.
    Seeding,
    /// The user paused it.
    Paused,
    /// It can't go on; the message says why.
    Error,
}

/// A file as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileView {
    /// Path in the torrent, joined with `/`.
    pub path: String,
    /// Bytes.
    pub length: f64,
    /// Bytes that are there and verified.
    pub done: f64,
    /// Whether the user wants it.
    pub selected: bool,
}
