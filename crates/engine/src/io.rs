//! What the world tells a torrent, and what the torrent asks of the world.

use bytes::Bytes;
use causeway_core::{Block, PeerId, PieceIndex, Sha1Hash, Time};
use core::net::SocketAddr;
use core::ops::Range;
use std::sync::Arc;

/// The driver's name of a link, never used twice for one torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Which side opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We did.
    Outgoing,
    /// The other peer did.
    Incoming,
}

/// What carries a link. The engine treats all kinds alike, and counts them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// A TCP connection.
    Tcp,
    /// A uTP connection (BEP 29).
    Utp,
    /// A WebRTC data channel.
    WebRtc,
    /// HTTP requests to a web seed (BEP 19).
    Http,
}

impl LinkKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Utp, Self::WebRtc, Self::Http];
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A link to a peer is open: a reliable, ordered stream of bytes, on which nothing has been sent yet.
    LinkOpened {
        /// A new name.
        link: LinkId,
        /// Who opened it.
        direction: Direction,
        /// The peer id that the introduction named, where there was one. The handshake may bear another (libtorrent
        /// makes up a new one for each link), but two links to one introduced peer are one too many.
        expected: Option<PeerId>,
        /// What carries it.
        kind: LinkKind,
        /// The other end's address, where there is one that means anything to others.
        addr: Option<SocketAddr>,
    },
    /// Bytes arrived; where the stream was cut has no meaning.
    Received {
        /// On this link.
        link: LinkId,
        /// The next bytes of the stream.
        bytes: Bytes,
    },
    /// The link takes `budget` more bytes from now on, whatever was said before. Zero until this is said first.
    ///
    /// An idle link must offer at least 132 KiB, or the longest blocks that a peer may ask for are never sent.
    Writable {
        /// This link.
        link: LinkId,
        /// Bytes; blocks are sent only within it, the small messages always.
        budget: usize,
    },
    /// The link is gone. Nothing of it may follow.
    LinkClosed {
        /// This link.
        link: LinkId,
    },
    /// There is a web seed (BEP 19), which goes by this name from now on; [`Input::LinkClosed`] takes it away. The
    /// driver knows its URL, and that nothing private may be fetched on a stranger's word.
    WebSeedAdded {
        /// A new name, of no other link.
        link: LinkId,
        /// The peer that gives the same over a link, where there is one. The web seed is then asked for what that peer has,
        /// while it is there and serves us; and the peer itself for nothing, except while the web seed rests.
        peer: Option<PeerId>,
    },
    /// The next bytes of [`Output::Fetch`], cut anywhere.
    Fetched {
        /// The web seed.
        link: LinkId,
        /// The bytes; past the end of the range they are ignored.
        bytes: Bytes,
    },
    /// Nothing more follows of [`Output::Fetch`].
    FetchEnded {
        /// The web seed.
        link: LinkId,
        /// Whether everything came.
        result: Result<(), FetchError>,
    },
    /// Answer to [`Output::Read`].
    BlockRead {
        /// The block that was asked for.
        block: Block,
        /// Its bytes, exactly as many as the block is long.
        result: Result<Bytes, StorageError>,
    },
    /// Answer to [`Output::Write`].
    BlockWritten {
        /// The block that was given.
        block: Block,
        /// Whether a later read of it will succeed.
        result: Result<(), StorageError>,
    },
    /// Answer to [`Output::Hash`].
    PieceHashed {
        /// The piece that was asked for.
        piece: PieceIndex,
        /// SHA-1 of the piece as it is stored; [`StorageError::Missing`] where it isn't there at all.
        result: Result<Sha1Hash, StorageError>,
    },
    /// Storage failed at what it had said to have done: it keeps that in memory until there is room.
    StorageFailed(StorageError),
    /// Storage no longer has this piece, which was verified: peers are told (BEP 54), and it is fetched again where it
    /// is wanted. Where the torrent is carried over, there is no room for the piece any more, verified or not; say so only
    /// of a piece that is not [`PieceUse::Busy`].
    PieceLost {
        /// The piece.
        piece: PieceIndex,
    },
    /// Answer to [`Output::PieceDemanded`], or in advance of it: storage has room for this piece, and it is fetched.
    PieceAdmitted {
        /// The piece.
        piece: PieceIndex,
    },
    /// The deadline of the last [`Output::Timeout`] has passed.
    TimedOut,
    /// The user wants something.
    Command(Command),
}

/// What a user may ask of a running torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Close every link and ask for nothing more.
    Pause,
    /// Go on after a pause or a storage error.
    Resume,
    /// Fetch the files with `true` only; an entry a file of the torrent. Entries that are missing count as true.
    SelectFiles(Vec<bool>),
    /// Fetch the files with `true` before all others that are selected, as far as peers have them; an entry a file of the torrent.
    /// Entries that are missing count as false. What a reader waits for comes before that.
    PreferFiles(Vec<bool>),
    /// Hide from peers that connect from now on what we have, and show them one piece after the other, so that a whole
    /// copy is out soon over a slow line (BEP 16); or stop doing so. It ends by itself once the copy is out, and does nothing
    /// where the torrent is not complete.
    SuperSeed(bool),
    /// Replace the limits.
    SetLimits(Limits),
    /// These are reading now, in place of those that were: what they read next is fetched before everything else.
    /// Tell a reader's new position after each seek, and now and then while it goes on.
    Stream(Vec<Reader>),
}

/// A player, or whoever else reads a part of the torrent from some place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The next byte that it reads, counted from the start of the torrent.
    pub position: u64,
    /// Where it ends, at the end of its file for example.
    pub end: u64,
    /// Bytes a second that it reads once it has begun, about.
    pub rate: u64,
}

/// Bounds that a user may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most links at once; further ones are closed as they open.
    pub peers: usize,
    /// The most peers that are served at once, the optimistic one included; fewer where `upload_rate` would leave
    /// each next to nothing.
    pub upload_slots: usize,
    /// Payload bytes a second that are given at the most.
    pub upload_rate: u64,
    /// Payload bytes a second that are taken at the most.
    pub download_rate: u64,
}

impl Limits {
    /// A rate without a bound.
    pub const UNLIMITED: u64 = u64::MAX;

    /// The lower of each bound of these two.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            peers: self.peers.min(other.peers),
            upload_slots: self.upload_slots.min(other.upload_slots),
            upload_rate: self.upload_rate.min(other.upload_rate),
            download_rate: self.download_rate.min(other.download_rate),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers: 55,
            upload_slots: 8,
            upload_rate: Self::UNLIMITED,
            download_rate: Self::UNLIMITED,
        }
    }
}

/// What a piece of a torrent that is carried over is needed for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceUse {
    /// Nothing: it can be given up.
    Idle,
    /// Somebody has asked for it, and has not got all of that.
    Awaited,
    /// It is being written or hashed, and can't be given up.
    Busy,
}

/// Why a web seed gave less than it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It has other files, or can't send parts of them: it is not asked again.
    #[error("the web seed does not have what it is asked for")]
    Useless,
    /// It asks to be left alone for so long (`Retry-After`).
    #[error("the web seed asks to be left alone for a while")]
    Busy(core::time::Duration),
    /// Anything else: it is tried again later.
    #[error("the web seed could not be reached, or sent less than it was asked for")]
    Failed,
}

/// Why storage could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Nothing is stored there.
    #[error("nothing is stored there")]
    Missing,
    /// The disk or the quota is full.
    #[error("there is no space left")]
    Full,
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

/// What to do next. Matched without a wildcard, so that a new effect does not compile until every driver
/// performs it.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes on this link after what was sent before; boundaries have no meaning, so the driver may
    /// join as many as its transport likes.
    Send {
        /// The link.
        link: LinkId,
        /// The next bytes of the stream.
        bytes: Bytes,
    },
    /// Close this link, after what was sent before; no [`Input::LinkClosed`] need follow.
    CloseLink {
        /// The link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Fetch these bytes of the torrent from this web seed and hand them in as they come with [`Input::Fetched`], then
    /// say [`Input::FetchEnded`]. A range may span files; padding is zeros and on no server. There is one range at a
    /// time for each web seed.
    Fetch {
        /// The web seed.
        link: LinkId,
        /// Counted from the start of the torrent.
        bytes: Range<u64>,
    },
    /// Stop fetching from this web seed, and say nothing more of that range. Another may follow.
    StopFetch {
        /// The web seed.
        link: LinkId,
    },
    /// Read this block; answer with [`Input::BlockRead`]. The same block is not asked for again before that.
    Read {
        /// The block.
        block: Block,
    },
    /// Store this block; answer with [`Input::BlockWritten`].
    Write {
        /// The block.
        block: Block,
        /// Its bytes.
        bytes: causeway_wire::Chunks,
    },
    /// Hash this piece as it is stored; answer with [`Input::PieceHashed`]. All its blocks were written, but
    /// while the state is [`State::Checking`].
    Hash {
        /// The piece.
        piece: PieceIndex,
    },
    /// The torrent is carried over ([`Config::relay`](crate::Config::relay)), and somebody asks for this piece, which is not
    /// here. It is fetched as soon as [`Input::PieceAdmitted`] says that there is room for it.
    ///
    /// Of such a torrent nothing is fetched that nobody asks for. Peers met over WebRTC are told of every piece that a
    /// peer of another kind has, and what they ask for waits here until it is there. It is rejected after 20 s, so
    /// that nobody takes us for dead, and may be asked for again.
    PieceDemanded {
        /// The piece.
        piece: PieceIndex,
    },
    /// This peer named others (BEP 11): where they may be found, and no more than its word.
    PeersFound {
        /// Whose word it is.
        from: LinkId,
        /// At most a hundred.
        addrs: Vec<SocketAddr>,
    },
    /// Tell the trackers of this now, out of their schedule.
    Announce(AnnounceEvent),
    /// Tell the user.
    Event(Event),
    /// Nothing is left to do until an input comes, or this moment: then say [`Input::TimedOut`].
    Timeout(Option<Time>),
}

/// What trackers are told out of schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The torrent runs, from now or again.
    Started,
    /// The last wanted piece has been verified, and the torrent is complete.
    Completed,
    /// The torrent is paused.
    Stopped,
}

/// What a user would want to know.
#[derive(Clone, Debug)]
pub enum Event {
    /// The metadata came from peers and matches the info-hash: storage may be prepared.
    MetadataReceived(Arc<causeway_core::Info>),
    /// The state is another one now.
    StateChanged(State),
    /// This piece is stored and verified.
    PieceVerified(PieceIndex),
    /// This piece was fetched, did not match its hash, and will be fetched again.
    PieceFailed(PieceIndex),
    /// Every piece of this file (an index into the torrent's files) is verified.
    FileCompleted(usize),
}

/// What a torrent is about at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// What is stored is being verified.
    Checking,
    /// The metadata is not there yet.
    FetchingMetadata,
    /// Something that is wanted is missing.
    Downloading,
    /// All that is wanted is there.
    Seeding,
    /// The user paused it.
    Paused,
    /// Storage failed: everything is closed until [`Command::Resume`].
    Failed(StorageError),
}

/// Why a link is closed by us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer broke the protocol; in words what it did.
    #[error("the peer broke the protocol: {0}")]
    Misbehaved(String),
    /// It is us.
    #[error("the peer is this one itself")]
    Ourselves,
    /// There is a link to this peer already.
    #[error("there is another link to the same peer")]
    Duplicate,
    /// As many links as the limit allows, and nothing has moved over this one for long, or it is a new one.
    #[error("there are enough peers")]
    Enough,
    /// Both sides have everything that they want.
    #[error("neither side needs anything of the other")]
    Useless,
    /// No sign of life for too long.
    #[error("the peer has been silent for too long")]
    Silent,
    /// It sent pieces that did not verify.
    #[error("the peer sent wrong data")]
    WrongData,
    /// The torrent is paused or failed.
    #[error("the torrent was stopped here")]
    Stopped,
}
