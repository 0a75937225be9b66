//! One torrent of the list, from the user's wish on: being made of their files, waiting for them, or running.

use std::sync::Arc;

use causeway_core::{Info, InfoHash, Magnet, Metainfo, PieceIndex, SortedMap, SortedSet, Time};
use causeway_engine::{LinkId, Source, State, Stored, Torrent};
use web_sys::File;

use super::storage::{Record, Store};
use super::web_seed::WebSeed;
use crate::protocol::TorrentId;

/// A torrent of the list.
pub(super) struct Session {
    /// Its name between page and worker.
    pub(super) id: TorrentId,
    /// What the user knows it by, before the metadata says.
    pub(super) name: String,
    /// The trackers that it is announced to: those that the torrent or its link names, then those of the page.
    pub(super) trackers: Vec<String>,
    /// How many of them the torrent or its link names.
    pub(super) own_trackers: usize,
    /// Other sources that its link names.
    pub(super) web_seeds: Vec<String>,
    /// What is kept of it besides its metadata and bytes.
    pub(super) record: Record,
    /// What it is about.
    pub(super) phase: Phase,
    /// Whether the files were selected by the link (BEP 53), which names all that are wanted.
    pub(super) selected_by_link: bool,
    /// Whether the page has the list of files.
    pub(super) files_shown: bool,
    /// Files whose progress the page has not been told since.
    pub(super) changed_files: SortedSet<usize>,
}

/// What a session is about.
pub(super) enum Phase {
    /// It is about to get another phase, in the same turn.
    Beginning,
    /// The user's files are being hashed, 0 to 1.
    Hashing(f64, Vec<File>),
    /// It can't go on: a sentence says why and what to do.
    Stuck(String, Option<Metainfo>),
    /// The engine has it.
    Running(Box<Running>),
}

/// A session with an engine and storage.
pub(super) struct Running {
    /// The engine.
    pub(super) torrent: Torrent,
    /// Its storage.
    pub(super) store: Store,
    /// Its web seeds, by the names that the engine has for them.
    pub(super) web_seeds: SortedMap<LinkId, WebSeed>,
    /// Why one of them is not used, in a sentence.
    pub(super) web_trouble: Option<String>,
    /// When the engine wants to be called.
    pub(super) deadline: Option<Time>,
    /// Whether the record has changed since it was kept.
    pub(super) unkept: bool,
}

impl Session {
    /// Nothing of it is there yet but its name.
    pub(super) fn new(id: TorrentId, name: String, added: u64, phase: Phase) -> Self {
        let record = Record::new(added);
        let (trackers, web_seeds) = (Vec::new(), Vec::new());
        let changed_files = SortedSet::new();
        Self {
            id,
            name,
            trackers,
            own_trackers: 0,
            web_seeds,
            record,
            phase,
            selected_by_link: false,
            files_shown: false,
            changed_files,
        }
    }

    /// The engine and the storage, if it runs.
    pub(super) fn running(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Running(running) => Some(running),
            Phase::Beginning | Phase::Hashing(..) | Phase::Stuck(..) => None,
        }
    }

    /// Its name in the world, once that is known.
    pub(super) fn info_hash(&self) -> Option<InfoHash> {
        match &self.phase {
            Phase::Running(running) => Some(running.torrent.info_hash()),
            Phase::Stuck(_, metainfo) => metainfo.as_ref().map(|metainfo| metainfo.info().info_hash()),
            Phase::Beginning | Phase::Hashing(..) => None,
        }
    }

    /// What it is made of, once that is known.
    pub(super) fn info(&self) -> Option<&Arc<Info>> {
        match &self.phase {
            Phase::Running(running) => running.torrent.info(),
            Phase::Stuck(_, metainfo) => metainfo.as_ref().map(Metainfo::info),
            Phase::Beginning | Phase::Hashing(..) => None,
        }
    }

    /// What the user knows it by.
    pub(super) fn display_name(&self) -> &str {
        self.info().map_or(&self.name, |info| info.name())
    }

    /// The link that opens it anywhere.
    pub(super) fn magnet(&self) -> Option<Magnet> {
        let mut magnet = Magnet::new(self.info_hash()?);
        magnet.name = Some(self.display_name().to_owned()).filter(|name| !name.is_empty());
        magnet.trackers = self.public_trackers().collect();
        magnet.web_seeds.clone_from(&self.web_seeds);
        Some(magnet)
    }

    /// Its trackers as others may know them: without the token that this page was opened with.
    fn public_trackers(&self) -> impl Iterator<Item = String> {
        self.trackers
            .iter()
            .map(|tracker| without_token(tracker).to_owned())
    }

    /// Adds a tracker, unless it is there.
    pub(super) fn add_tracker(&mut self, tracker: &str) {
        if !self.trackers.iter().any(|other| other == tracker) {
            self.trackers.push(tracker.to_owned());
        }
    }

    /// Adds the page's trackers, each in place of the same one without a token, after those that it has: those it names
    /// itself.
    pub(super) fn add_page_trackers(&mut self, trackers: &[String]) {
        self.own_trackers = self.trackers.len();
        for tracker in trackers {
            let same = |other: &&mut String| without_token(other) == without_token(tracker);
            match self.trackers.iter_mut().find(same) {
                Some(same) => same.clone_from(tracker),
                None => self.trackers.push(tracker.clone()),
            }
        }
    }

    /// The metainfo to keep, once it is known.
    pub(super) fn metainfo(&self) -> Option<Metainfo> {
        let trackers = self.public_trackers().map(|tracker| vec![tracker]).collect();
        Some(Metainfo::with_info(
            self.info()?.clone(),
            trackers,
            self.web_seeds.clone(),
        ))
    }

    /// Notes that a piece is there: the page hears of the files that it is part of.
    pub(super) fn note_piece(&mut self, piece: PieceIndex) {
        let Some(info) = self.info() else { return };
        let geometry = info.geometry();
        let whole = geometry.block(piece.get(), 0, geometry.length_of(piece));
        let files: Vec<usize> = whole
            .into_iter()
            .flat_map(|whole| info.slices(whole))
            .map(|slice| slice.file)
            .collect();
        self.changed_files.extend(files);
    }

    /// The record has changed.
    pub(super) fn set_unkept(&mut self) {
        if let Some(running) = self.running() {
            running.unkept = true;
        }
    }

    /// Keeps the record, if it has changed.
    pub(super) fn keep(&mut self) {
        let Self {
            phase: Phase::Running(running),
            record,
            ..
        } = self
        else {
            return;
        };
        if !std::mem::take(&mut running.unkept) {
            return;
        }
        if let (Some(snapshot), Some(info)) = (running.torrent.snapshot(), running.torrent.info()) {
            record.set_snapshot(&snapshot, info);
        }
        running.store.keep_record(record.clone());
    }
}

/// A tracker's URL as others may know it.
fn without_token(tracker: &str) -> &str {
    tracker.split_once("?gateway=").map_or(tracker, |(url, _)| url)
}

impl Running {
    /// An engine that starts now, with its storage.
    pub(super) fn new(torrent: Torrent, store: Store) -> Self {
        Self {
            torrent,
            store,
            web_seeds: SortedMap::new(),
            web_trouble: None,
            deadline: None,
            unkept: true,
        }
    }

    /// Whether there are peers, or bytes come from elsewhere.
    pub(super) fn is_moving(&self) -> bool {
        let stats = self.torrent.stats();
        stats.peers > 0 || stats.download_rate > 0
    }

    /// Whether there is something to download or to serve.
    pub(super) fn is_active(&self) -> bool {
        match self.torrent.state() {
            State::Checking | State::FetchingMetadata | State::Downloading | State::Seeding => true,
            State::Paused | State::Failed(_) => false,
        }
    }
}

/// What the engine is told of a torrent that was kept.
pub(super) fn source(metainfo: &Metainfo, record: Option<&Record>) -> Source {
    let info = metainfo.info().clone();
    let stored = match record {
        None => Stored::Unknown,
        Some(record) => record.snapshot(&info).map_or(Stored::Unknown, Stored::Partly),
    };
    Source::Info { info, stored }
}
