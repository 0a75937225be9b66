//! One torrent of the list, from the user's wish on: being made of their files, waiting for them, or running.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use causeway_core::{Bitfield, Info, InfoHash, Magnet, Metainfo, PieceIndex, SortedMap, SortedSet, Time};
use causeway_engine::{LinkId, Source, State, StorageError, Stored, Torrent};
use web_sys::File;

use super::storage::{Record, Store};
use super::trackers::without_token;
use super::web_seed::WebSeed;
use crate::protocol::TorrentId;

/// A torrent of the list.
pub(super) struct Session {
    /// Its name between page and worker.
    pub(super) id: TorrentId,
    /// What the user knows it by, before the metadata says.
    pub(super) name: String,
    /// The trackers that it is announced to.
    pub(super) trackers: Vec<String>,
    /// Those of them that this page adds, and neither the torrent nor its link names. They are not kept: the page may
    /// have others when it is loaded next.
    pub(super) page_trackers: Vec<String>,
    /// Other sources that its link names.
    pub(super) web_seeds: Vec<String>,
    /// What is kept of it besides its metadata and bytes.
    pub(super) record: Record,
    /// What it is about.
    pub(super) phase: Phase,
    /// The files that the link names (BEP 53), and no others are wanted; until the metadata tells which there are.
    wanted_by_link: Option<Vec<RangeInclusive<u32>>>,
    /// What was said last of its trackers.
    pub(super) tracker_hint: Option<String>,
    /// Whether the page has the list of files.
    pub(super) files_shown: bool,
    /// Files whose progress the page has not been told since.
    pub(super) changed_files: SortedSet<usize>,
}

/// What a session is about.
pub(super) enum Phase {
    /// It is about to get another phase, in the same turn.
    Beginning,
    /// The user's files are being hashed.
    Hashing(Hashing),
    /// It can't go on.
    Stuck(Stuck),
    /// The engine has it.
    Running(Box<Running>),
}

/// The user's files on their way to a torrent.
pub(super) struct Hashing {
    /// How far that is, 0 to 1.
    pub(super) progress: f64,
    /// The files.
    pub(super) files: Vec<File>,
    /// Whoever hashes looks whether this is still there, and stops where it is not.
    pub(super) _wanted: Rc<()>,
}

/// What is known of a torrent that can't go on.
pub(super) struct Stuck {
    /// Why, and what to do, in a sentence.
    pub(super) message: String,
    /// Its name in the world.
    pub(super) info_hash: InfoHash,
    /// What it is made of, if that is known.
    pub(super) info: Option<Arc<Info>>,
    /// The bytes that are stored of it.
    pub(super) stored: u64,
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
        let (trackers, page_trackers, web_seeds) = (Vec::new(), Vec::new(), Vec::new());
        let changed_files = SortedSet::new();
        Self {
            id,
            name,
            trackers,
            page_trackers,
            web_seeds,
            record,
            phase,
            wanted_by_link: None,
            tracker_hint: None,
            files_shown: false,
            changed_files,
        }
    }

    /// Takes over what a link says besides the info-hash, and the page's trackers.
    pub(super) fn adopt(&mut self, magnet: &Magnet, page_trackers: &[String]) {
        self.name = magnet
            .name
            .clone()
            .unwrap_or_else(|| magnet.info_hash.to_string());
        self.web_seeds.clone_from(&magnet.web_seeds);
        for tracker in &magnet.trackers {
            self.add_tracker(tracker);
        }
        self.add_page_trackers(page_trackers);
        self.wanted_by_link.clone_from(&magnet.selected);
    }

    /// Takes over what the torrent itself says, and the page's trackers, unless it is private (BEP 27).
    pub(super) fn adopt_metainfo(&mut self, metainfo: &Metainfo, page_trackers: &[String]) {
        self.web_seeds = metainfo.web_seeds().to_vec();
        for tracker in metainfo.trackers().iter().flatten() {
            self.add_tracker(tracker);
        }
        if !metainfo.info().is_private() {
            self.add_page_trackers(page_trackers);
        }
    }

    /// Adds a tracker that the torrent or its link names, without the token that somebody left in it.
    pub(super) fn add_tracker(&mut self, tracker: &str) {
        let tracker = without_token(tracker);
        self.page_trackers.retain(|other| *other != tracker);
        if !self.trackers.contains(&tracker) {
            self.trackers.push(tracker);
        }
    }

    fn add_page_trackers(&mut self, trackers: &[String]) {
        for tracker in trackers {
            if !self.trackers.contains(tracker) {
                self.trackers.push(tracker.clone());
                self.page_trackers.push(tracker.clone());
            }
        }
    }

    /// Takes the page's trackers away again, and tells whether there were any.
    pub(super) fn drop_page_trackers(&mut self) -> bool {
        let added = std::mem::take(&mut self.page_trackers);
        self.trackers.retain(|tracker| !added.contains(tracker));
        !added.is_empty()
    }

    /// Whether it is announced to its own trackers alone (BEP 27), as far as is known.
    pub(super) fn is_private(&self) -> bool {
        self.info().is_some_and(|info| info.is_private())
    }

    /// The user's choice of files, if there is one; an entry a file once the metadata is known.
    pub(super) fn selected(&self) -> Option<Vec<bool>> {
        if let Some(ranges) = &self.wanted_by_link {
            let last = ranges.iter().map(|range| *range.end()).max().unwrap_or(0);
            return Some(named(ranges, last.min(MAX_SELECTED) as usize + 1));
        }
        let selected = &self.record.selected;
        (!selected.is_empty()).then(|| selected.iter().map(|selected| *selected == 1).collect())
    }

    /// Makes the link's choice of files the user's own, which is kept, now that it is known what files there are.
    pub(super) fn select_by_link(&mut self, info: &Info) {
        if let Some(ranges) = self.wanted_by_link.take() {
            let selected = named(&ranges, info.files().len());
            self.record.selected = selected.into_iter().map(u8::from).collect::<Vec<_>>().into();
        }
    }

    /// The engine and the storage, if it runs.
    pub(super) fn running(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Running(running) => Some(running),
            Phase::Beginning | Phase::Hashing(..) | Phase::Stuck(..) => None,
        }
    }

    /// Whether all of it was downloaded and is stored.
    pub(super) fn is_complete_download(&mut self) -> bool {
        self.record.own != 1
            && self.failure().is_none()
            && self
                .running()
                .is_some_and(|running| running.torrent.have().is_some_and(Bitfield::is_all))
    }

    /// How its storage has failed it.
    pub(super) fn failure(&mut self) -> Option<StorageError> {
        match self.running()?.torrent.state() {
            State::Failed(error) => Some(error.clone()),
            State::Checking
            | State::FetchingMetadata
            | State::Downloading
            | State::Seeding
            | State::Paused => None,
        }
    }

    /// Its name in the world, once that is known.
    pub(super) fn info_hash(&self) -> Option<InfoHash> {
        match &self.phase {
            Phase::Running(running) => Some(running.torrent.info_hash()),
            Phase::Stuck(stuck) => Some(stuck.info_hash),
            Phase::Beginning | Phase::Hashing(..) => None,
        }
    }

    /// What it is made of, once that is known.
    pub(super) fn info(&self) -> Option<&Arc<Info>> {
        match &self.phase {
            Phase::Running(running) => running.torrent.info(),
            Phase::Stuck(stuck) => stuck.info.as_ref(),
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
        magnet.trackers.clone_from(&self.trackers);
        magnet.web_seeds.clone_from(&self.web_seeds);
        Some(magnet)
    }

    /// The link to keep until the metainfo is known.
    pub(super) fn kept_magnet(&self) -> Option<Magnet> {
        Some(Magnet {
            trackers: self.named_trackers().cloned().collect(),
            selected: self.wanted_by_link.clone(),
            ..self.magnet()?
        })
    }

    /// The metainfo to keep, once it is known.
    pub(super) fn metainfo(&self) -> Option<Metainfo> {
        let trackers = self
            .named_trackers()
            .map(|tracker| vec![tracker.clone()])
            .collect();
        Some(Metainfo::with_info(
            self.info()?.clone(),
            trackers,
            self.web_seeds.clone(),
        ))
    }

    fn named_trackers(&self) -> impl Iterator<Item = &String> {
        self.trackers
            .iter()
            .filter(|tracker| !self.page_trackers.contains(tracker))
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

    /// Bytes that are stored; while they are being checked, at most so many.
    pub(super) fn stored(&self) -> u64 {
        let stats = self.torrent.stats();
        let Some(info) = self.torrent.info() else { return 0 };
        let geometry = info.geometry();
        let unchecked = u64::from(stats.unchecked_pieces) * u64::from(geometry.piece_length());
        (stats.verified + unchecked).min(geometry.total_length())
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

/// Which of the first `count` files these ranges name.
fn named(ranges: &[RangeInclusive<u32>], count: usize) -> Vec<bool> {
    let mut named = vec![false; count];
    for range in ranges {
        let (start, end) = (
            *range.start() as usize,
            (*range.end() as usize).min(count.saturating_sub(1)),
        );
        if let Some(files) = named.get_mut(start..=end) {
            files.fill(true);
        }
    }
    named
}

/// The last file that a link can select: no torrent has more.
const MAX_SELECTED: u32 = 200_000;

#[cfg(test)]
mod tests {
    use causeway_core::{CreateOptions, Draft, DraftFile, sha1};

    use super::*;

    const LINK: &str = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";

    fn opened(parameters: &str, page_trackers: &[&str]) -> Session {
        let magnet = format!("{LINK}{parameters}").parse().expect("a link");
        let mut session = Session::new(TorrentId(1), String::new(), 0, Phase::Beginning);
        let page_trackers: Vec<String> = page_trackers.iter().map(|&url| url.to_owned()).collect();
        session.adopt(&magnet, &page_trackers);
        session
    }

    fn info(files: u32, private: bool) -> Metainfo {
        let file = |number: u32| DraftFile {
            path: vec![number.to_string()],
            length: 1,
        };
        let options = CreateOptions {
            private,
            ..CreateOptions::default()
        };
        let draft = Draft::new("files", (0..files).map(file).collect(), options).expect("valid");
        draft.finish(vec![sha1(b"")]).expect("a single piece")
    }

    #[test]
    fn what_the_page_adds_goes_where_a_torrent_is_private_and_what_the_link_names_stays() {
        let mut session = opened("&tr=wss://own&tr=wss://page", &["wss://page", "wss://other"]);
        assert_eq!(session.trackers, ["wss://own", "wss://page", "wss://other"]);
        assert!(session.drop_page_trackers());
        assert_eq!(session.trackers, ["wss://own", "wss://page"]);
        assert!(!session.drop_page_trackers(), "and there is nothing left to drop");
    }

    #[test]
    fn a_private_torrent_gets_none_of_the_pages_trackers() {
        for (private, trackers) in [(true, 0), (false, 1)] {
            let mut session = opened("", &[]);
            session.adopt_metainfo(&info(1, private), &["wss://page".to_owned()]);
            assert_eq!(session.trackers.len(), trackers);
        }
    }

    #[test]
    fn what_is_kept_names_the_torrents_own_trackers() {
        let mut session = opened("&tr=wss://own", &["wss://page"]);
        let info = info(1, false).info().clone();
        session.phase = Phase::Stuck(Stuck {
            message: String::new(),
            info_hash: info.info_hash(),
            info: Some(info),
            stored: 0,
        });
        let kept = session.metainfo().expect("the metadata is known");
        assert_eq!(kept.trackers().concat(), ["wss://own"]);
        let kept = session.kept_magnet().expect("the info-hash is known");
        assert_eq!(kept.trackers, ["wss://own"]);
        let shared = session.magnet().expect("the info-hash is known");
        assert_eq!(shared.trackers, ["wss://own", "wss://page"]);

        session.add_tracker("wss://page");
        let kept = session.kept_magnet().expect("the info-hash is known");
        assert_eq!(kept.trackers, ["wss://own", "wss://page"], "once a link names it");
    }

    #[test]
    fn a_torrent_that_is_stuck_keeps_its_names() {
        let mut session = opened("&dn=holiday", &[]);
        let info = info(1, false).info().clone();
        let stuck = |info_hash, info| {
            Phase::Stuck(Stuck {
                message: String::new(),
                info_hash,
                info,
                stored: 0,
            })
        };
        session.phase = stuck(info.info_hash(), None);
        assert_eq!(session.display_name(), "holiday");
        assert_eq!(session.info_hash(), Some(info.info_hash()));
        session.phase = stuck(info.info_hash(), Some(info));
        assert_eq!(session.display_name(), "files");
        assert!(session.magnet().is_some(), "others can still be asked for it");
    }

    #[test]
    fn a_token_that_a_link_or_a_torrent_bears_is_not_passed_on() {
        let session = opened(
            "&tr=wss%3A%2F%2Ft%2Fannounce%3Fgateway%3Dopen-sesame",
            &["wss://t/announce"],
        );
        assert_eq!(
            session.trackers,
            ["wss://t/announce"],
            "and it is one tracker, not two"
        );
    }

    #[test]
    fn a_links_choice_of_files_outlives_the_link() {
        let mut session = opened("&so=1,3-99", &[]);
        let before = session.selected().expect("the link has chosen");
        assert_eq!(before.get(..5), Some(&[false, true, false, true, true][..]));

        session.select_by_link(info(6, false).info());
        let chosen = [false, true, false, true, true, true];
        assert_eq!(session.selected().as_deref(), Some(&chosen[..]));
        assert_eq!(*session.record.selected, chosen.map(u8::from));
    }

    #[test]
    fn files_that_a_link_does_not_name_are_not_wanted_wherever_they_stand() {
        let mut session = opened("&so=0", &[]);
        session.select_by_link(info(3, false).info());
        assert_eq!(session.selected().as_deref(), Some(&[true, false, false][..]));
        assert_eq!(opened("", &[]).selected(), None, "without a choice all are");
    }
}
