//! One torrent: a task that owns its engine.
//!
//! - this file: what others see of it, and ask of it;
//! - `task`: what happens goes in; `effects`: what is to be done is done; `upkeep`: what is due by itself;
//! - `relay`: what it does where it is only carried over;
//! - `links`: its links, and which of them something has happened to;
//! - `book`: the addresses of classic peers;
//! - `fetches`: its web seeds, and what is being fetched from them;
//! - `readers`, `shelf`: those who read what is there in other ways than as peers, and what they can read;
//! - `contents`: its storage, from the first look at what is there to the names of complete files.

mod book;
mod contents;
mod effects;
mod fetches;
mod links;
mod readers;
mod relay;
mod shelf;
mod task;
mod upkeep;

use core::fmt;
use core::net::SocketAddr;
use core::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_core::{Info, InfoHash, Magnet, Metainfo};
use causeway_engine::{Command, Limits, PeerView, Reader, State, Stats};
use tokio::sync::{mpsc, oneshot, watch};

pub use book::Origin;
pub(crate) use book::is_local;
pub use relay::{Refusal, Relayed};
pub(crate) use shelf::{Shelf, Unread, Visit};
pub(crate) use task::spawn;

use crate::disk::Overwrite;
use crate::link::Link;

/// A torrent to take part in.
#[derive(Debug)]
pub struct Addition {
    /// What is known of it.
    pub subject: Subject,
    /// Where its bytes are, or go.
    pub contents: Contents,
    /// Which files are wanted; all where there is none.
    pub selection: Option<Selection>,
    /// Addresses of peers that the user named.
    pub peers: Vec<SocketAddr>,
    /// URLs of web seeds (BEP 19) that the user named: they may be in our own network.
    pub web_seeds: Vec<String>,
    /// How it is gone about.
    pub manner: Manner,
}

/// How a torrent is gone about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Pieces come in their order, about, rather than the rarest first.
    pub is_sequential: bool,
    /// What an earlier run has left is hashed, whatever is known of it.
    pub is_rechecked: bool,
}

/// What is known of a torrent.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Everything.
    Metainfo(Metainfo),
    /// Its name, and perhaps where to ask.
    Magnet(Magnet),
}

/// Where a torrent's bytes are, or go.
#[derive(Clone, Debug)]
pub enum Contents {
    /// They are downloaded.
    Download {
        /// The folder for them.
        folder: PathBuf,
        /// What to do about other files that are there already.
        overwrite: Overwrite,
        /// Whether a file takes its whole space on the disk when it is begun.
        preallocate: bool,
    },
    /// They are carried over to browsers, and kept for a while only.
    Relayed(Relayed),
    /// They are somebody's files, one for each of the torrent, and known to be right: they are read where they lie, and
    /// never written.
    Shared(Vec<PathBuf>),
}

/// Chooses the files that are wanted, once the metadata is known.
pub struct Selection(pub Box<Choose>);

/// Says which files are wanted, an entry a file.
pub type Choose = dyn Fn(&Info) -> Vec<bool> + Send;

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Selection")
    }
}

/// How a torrent stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is about.
    pub state: State,
    /// In numbers.
    pub stats: Stats,
    /// The metadata, where it is there.
    pub info: Option<Arc<Info>>,
    /// How many more links are welcome.
    pub wanted_peers: usize,
    /// Whether the last missing piece of all came in this run: trackers want to know.
    pub has_completed: bool,
    /// Whether all that is wanted is there, verified, and under its own name.
    pub is_done: bool,
    /// Links over WebRTC: browsers, mostly.
    pub browsers: usize,
    /// Why it is not carried over, where that was asked for; it has ended then.
    pub refused: Option<Refusal>,
}

impl Status {
    /// Whether it takes part in its swarm.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        match self.state {
            State::Checking | State::FetchingMetadata | State::Downloading | State::Seeding => true,
            State::Paused | State::Failed(_) => false,
        }
    }

    /// Bytes that are missing, as trackers are told; `None` without metadata.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        let info = self.info.as_ref()?;
        Some(info.geometry().total_length().saturating_sub(self.stats.verified))
    }
}

/// A running torrent, as the rest of the program has it. It runs until it is told to stop.
#[derive(Clone, Debug)]
pub struct Handle {
    info_hash: InfoHash,
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
    shelf: Arc<Shelf>,
}

/// What a torrent's task is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// A peer is there.
    Link(Link),
    /// Nobody answered at this address.
    Unreachable(SocketAddr),
    /// Who is at this address does not speak as we did.
    Refused(SocketAddr),
    /// Peers may be at these addresses.
    Peers(Vec<SocketAddr>, Origin),
    /// The user wants something.
    Command(Command),
    /// Somebody of this name reads here, or has done so.
    Read(u64, Option<Reader>),
    /// Somebody reads on from here, in a torrent that is carried over.
    ReadOn(Range<u64>),
    /// This is its share of what all torrents may use.
    Share(Limits),
    /// Who is connected?
    View(oneshot::Sender<Vec<PeerView>>),
    /// Keep what is there, say good-bye, and end.
    Stop(oneshot::Sender<()>),
}

impl Handle {
    /// The torrent's name.
    #[must_use]
    pub const fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// How it stands, and when that changes; a few times a second at the most. The sender is gone when the torrent has ended.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Gives it a link to a peer, whose handshake comes as the first bytes of [`Link::incoming`]. Where the torrent has ended
    /// or is overrun the link is dropped, and with that closed.
    pub fn open(&self, link: Link) {
        self.try_tell(Order::Link(link));
    }

    /// Tells it of classic peers. It connects to them as it needs them.
    pub fn add_peers(&self, addresses: Vec<SocketAddr>, origin: Origin) {
        self.try_tell(Order::Peers(addresses, origin));
    }

    /// The user wants something of it.
    pub async fn command(&self, command: Command) {
        self.tell(Order::Command(command)).await;
    }

    /// The peers that it is connected to.
    pub async fn peers(&self) -> Vec<PeerView> {
        let (answer, question) = oneshot::channel();
        self.tell(Order::View(answer)).await;
        question.await.unwrap_or_default()
    }

    /// What can be read of it.
    pub(crate) const fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Payload bytes that were read by clients of its web seed.
    #[must_use]
    pub fn served_over_http(&self) -> u64 {
        self.shelf.taken()
    }

    /// Ends it, after it has kept how far it has come.
    pub async fn stop(&self) {
        let (answer, question) = oneshot::channel();
        self.tell(Order::Stop(answer)).await;
        question.await.unwrap_or_default();
    }

    pub(crate) fn try_tell(&self, order: Order) {
        if let Err(error) = self.orders.try_send(order) {
            tracing::debug!(torrent = %self.info_hash, "{error}");
        }
    }

    pub(crate) async fn tell(&self, order: Order) {
        // It is no fault of the caller's if the torrent has ended.
        self.orders.send(order).await.unwrap_or_default();
    }
}
