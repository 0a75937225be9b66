//! A real torrent with its storage, and what became of it.

use bytes::Bytes;
use causeway_core::{Block, CreateOptions, Draft, DraftFile, Info, PeerId, Time};
use causeway_engine::{AnnounceEvent, CloseReason, Config, Event, PexSupport, Source, Stored, Torrent};
use std::sync::Arc;

use crate::storage::Storage;
use crate::world::PORT;

/// What is shared in a scenario.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) info: Arc<Info>,
    pub(crate) content: Bytes,
}

impl Shared {
    /// A single file of so many bytes.
    pub(crate) fn file(length: usize, piece_length: u32) -> Self {
        Self::files(&[("file", length)], piece_length)
    }

    /// Files of these names and lengths.
    pub(crate) fn files(files: &[(&str, usize)], piece_length: u32) -> Self {
        let total = files.iter().map(|(_, length)| length).sum();
        let mut content = vec![0; total];
        fastrand::Rng::with_seed(total as u64).fill(&mut content);
        let draft_file = |(name, length): &(&str, usize)| DraftFile {
            path: vec![(*name).to_owned()],
            length: *length as u64,
        };
        let options = CreateOptions {
            piece_length: Some(piece_length),
            ..CreateOptions::default()
        };
        let name = if files.len() == 1 { files[0].0 } else { "folder" };
        let draft = Draft::new(name, files.iter().map(draft_file).collect(), options).expect("valid");
        let mut creator = draft.hasher();
        creator.update(&content);
        let metainfo = creator.finish().expect("all bytes were given");
        Self {
            info: Arc::clone(metainfo.info()),
            content: content.into(),
        }
    }

    /// What belongs there, as a view.
    pub(crate) fn bytes_of(&self, block: Block) -> Bytes {
        let start = self.info.geometry().start_of(block.piece()) + u64::from(block.offset());
        let start = usize::try_from(start).expect("small");
        self.content.slice(start..start + block.length() as usize)
    }
}

/// A torrent that runs in the world.
pub(crate) struct Node {
    pub(crate) torrent: Torrent,
    pub(crate) name: u64,
    pub(crate) peer_id: PeerId,
    /// It has an address.
    pub(crate) is_classic: bool,
    pub(crate) storage: Storage,
    /// Bytes a second that it can send, over all links.
    pub(crate) up_rate: u64,
    /// Bytes a second that it can take, over all links.
    pub(crate) down_rate: u64,
    pub(crate) sending_until: Time,
    pub(crate) receiving_until: Time,
    pub(crate) shared: Shared,
    pub(crate) events: Vec<Event>,
    pub(crate) announced: Vec<AnnounceEvent>,
    pub(crate) closed: Vec<CloseReason>,
    pub(crate) hashed: usize,
    /// Blocks that it has stored.
    pub(crate) blocks: u64,
    /// Where it is read, if somebody reads it.
    pub(crate) position: Option<u64>,
}

impl Node {
    /// The name is that of its peer id; chance decides what it does at random.
    pub(crate) fn new(
        shared: &Shared,
        start: Start,
        (name, chance): (u64, u64),
        is_classic: bool,
        now: Time,
    ) -> Self {
        let (source, storage) = start.parts(shared);
        let config = Config {
            peer_exchange: is_classic.then(PexSupport::new),
            listen_port: is_classic.then_some(PORT),
            ..Config::new(peer_id(name))
        };
        Self {
            torrent: Torrent::new(config, source, chance, now),
            name,
            peer_id: peer_id(name),
            is_classic,
            storage,
            up_rate: 10_000_000,
            down_rate: 1_000_000_000,
            sending_until: now,
            receiving_until: now,
            shared: shared.clone(),
            events: Vec::new(),
            announced: Vec::new(),
            closed: Vec::new(),
            hashed: 0,
            blocks: 0,
            position: None,
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.torrent.have().is_some_and(causeway_core::Bitfield::is_all)
    }

    /// The stored bytes are those that were shared, as far as the torrent says that they are verified.
    pub(crate) fn check_content(&self) {
        let Some(have) = self.torrent.have() else { return };
        let geometry = self.shared.info.geometry();
        for piece in geometry.all_pieces().filter(|piece| have.has(*piece)) {
            assert!(self.storage.is_right(piece), "{piece:?} is as shared");
        }
    }
}

/// How a node starts.
pub(crate) enum Start {
    /// With everything.
    Seed,
    /// With the metadata and nothing else.
    Leech,
    /// With the info-hash and nothing else.
    Magnet,
    /// With the metadata, and with storage that holds what it holds.
    With(Stored, Storage),
}

impl Start {
    fn parts(self, shared: &Shared) -> (Source, Storage) {
        let info = Arc::clone(&shared.info);
        match self {
            Self::Seed => {
                let stored = Stored::Everything;
                (Source::Info { info, stored }, Storage::full(shared))
            }
            Self::Leech => {
                let stored = Stored::Nothing;
                (Source::Info { info, stored }, Storage::empty(shared))
            }
            Self::Magnet => (Source::Magnet(info.info_hash()), Storage::empty(shared)),
            Self::With(stored, storage) => (Source::Info { info, stored }, storage),
        }
    }
}

pub(crate) fn peer_id(chance: u64) -> PeerId {
    let mut id = *b"-CW0100-000000000000";
    id[12..].copy_from_slice(&chance.to_be_bytes());
    PeerId::new(id)
}
