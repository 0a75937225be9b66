//! What a user does to the list of torrents.

use std::rc::Rc;
use std::sync::Arc;

use causeway_core::{Info, Magnet, Metainfo, SortedMap, Time};
use causeway_engine::{Command, Config, Input, LinkId, Source, StorageError, Stored, Torrent};
use js_sys::{Array, Date, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::File;

use super::Driver;
use super::limits::{EACH, MAX_OUTSTANDING_REQUESTS};
use super::peers::log_closed;
use crate::opening::parse_link;
use crate::protocol::{Notice, Request, TorrentId};
use crate::worker::clock::scope;
use crate::worker::session::{Hashing, Phase, Running, Session, Stuck, source};
use crate::worker::share;
use crate::worker::storage::{Contents, Kept, Library, Restored};
use crate::worker::tabs::Tabs;
use crate::worker::trackers::Trackers;
use crate::worker::web_seed::{Gateway, WebSeed, refusal};

impl Driver {
    pub(super) fn handle_request(&mut self, now: Time, request: Request, beside: JsValue) {
        match request {
            Request::Start {
                trackers,
                web_origins,
                gateway,
            } => {
                let origin = scope().location().origin();
                self.trackers = Trackers::new(&origin, trackers);
                self.web_origins = web_origins;
                self.gateway = gateway.and_then(|(peer_id, path)| Gateway::new(&origin, &peer_id, &path));
                self.tabs = Some(Tabs::new(&self.events));
            }
            Request::OfferCreated(id, sdp) => {
                self.note_described(signal_id(id));
                self.client.handle_offer(now, signal_id(id), sdp);
            }
            Request::AnswerCreated(id, sdp) => {
                self.note_described(signal_id(id));
                self.client.handle_answer(now, signal_id(id), sdp);
            }
            Request::Channel(id, channel) => self.take_channel(signal_id(id), channel, beside),
            Request::ConnectionClosed(id) => {
                log_closed(signal_id(id), "the connection has failed");
                self.drop_connection(now, signal_id(id), true);
            }
            Request::Open { text } if self.passive => {
                if let Some(tabs) = &self.tabs {
                    tabs.hand(&text);
                }
            }
            request if self.passive => {
                if matches!(request, Request::Share { .. } | Request::OpenTorrentFile { .. }) {
                    self.page.send(&Notice::Error(IN_OTHER_TAB.to_owned()));
                }
            }
            request if self.library.is_none() => self.waiting.push((request, beside)),
            Request::Share { name, paths } => self.share(now, name, paths, &beside),
            Request::Open { text } => self.open(now, &text),
            Request::OpenTorrentFile { name } => self.open_torrent_file(now, &name, &beside),
            Request::Pause(id) => self.command(now, id, Command::Pause),
            Request::Resume(id) => self.command(now, id, Command::Resume),
            Request::SelectFiles(id, selected) => self.select(now, id, selected),
            Request::Remove(id) => self.remove(now, id, true),
            Request::Save(id, file) => self.save(id, file as usize),
        }
    }

    /// This tab runs from now on: what was kept goes on, then what was asked for meanwhile is done.
    pub(super) fn restore(&mut self, now: Time, restored: Restored) {
        if std::mem::take(&mut self.passive) {
            self.page.send(&Notice::TakenOver);
        }
        self.page.send(&Notice::Ready {
            storage: restored.library.usable(),
        });
        self.library = Some(restored.library);
        for kept in restored.torrents {
            self.restore_one(now, kept);
        }
        self.show_now(now);
        for (request, beside) in std::mem::take(&mut self.waiting) {
            self.handle_request(now, request, beside);
        }
    }

    fn restore_one(&mut self, now: Time, kept: Kept) {
        let Kept {
            info_hash,
            metainfo,
            magnet,
            record,
        } = kept;
        let id = self.next_id();
        let added = record.as_ref().map_or(0, |record| record.added);
        let mut session = Session::new(id, String::new(), added, Phase::Beginning);
        session.record = record.clone().unwrap_or(session.record);
        let (source, contents) = match (metainfo, magnet) {
            (Some(metainfo), _) => {
                session.adopt_metainfo(&metainfo, self.trackers.of_page());
                if session.record.own == 1 {
                    session.phase = Phase::Stuck(Stuck {
                        message: CHOOSE_AGAIN.to_owned(),
                        info_hash,
                        info: Some(metainfo.info().clone()),
                        stored: 0,
                    });
                    self.by_hash.insert(info_hash, id);
                    self.sessions.insert(id, session);
                    return;
                }
                let info = metainfo.info().clone();
                (
                    source(&metainfo, record.as_ref()),
                    Some(Contents::Downloads(info)),
                )
            }
            (None, Some(magnet)) => {
                session.adopt(&magnet, self.trackers.of_page());
                (Source::Magnet(info_hash), None)
            }
            (None, None) => return,
        };
        self.run(now, session, source, contents);
    }

    /// Makes a torrent of the user's files. Beside the request lies an array of them.
    fn share(&mut self, now: Time, name: String, paths: Vec<Vec<String>>, beside: &JsValue) {
        let files: Vec<File> = Array::from(beside)
            .iter()
            .filter_map(|file| file.dyn_into().ok())
            .collect();
        let id = self.next_id();
        let trackers = self.trackers.of_page().to_vec();
        let selection = share::Selection {
            name: name.clone(),
            paths,
            files: files.clone(),
            trackers,
        };
        let wanted = Rc::new(());
        share::create(id, selection, Rc::downgrade(&wanted), self.events.clone());
        let hashing = Hashing {
            progress: 0.0,
            files,
            _wanted: wanted,
        };
        let mut session = Session::new(id, name, added_now(), Phase::Hashing(hashing));
        session.record.own = 1;
        self.sessions.insert(id, session);
        self.show_now(now);
    }

    /// The user's files are hashed: they are shared from now on.
    pub(super) fn finish_share(&mut self, now: Time, id: TorrentId, result: Result<Metainfo, String>) {
        // The user may have removed it meanwhile.
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        let Phase::Hashing(Hashing { files, .. }) = std::mem::replace(&mut session.phase, Phase::Beginning)
        else {
            return;
        };
        self.show_now(now);
        let metainfo = match result {
            Ok(metainfo) => metainfo,
            Err(sentence) => return self.page.send(&Notice::Error(sentence)),
        };
        let info = metainfo.info().clone();
        if let Some(other) = self.by_hash.get(&info.info_hash()).copied() {
            // A complete download is shared already, and needs nobody to choose it again after a reload.
            if self
                .sessions
                .get_mut(&other)
                .is_some_and(Session::is_complete_download)
            {
                self.page.send(&Notice::Known(other));
                return self.command(now, other, Command::Resume);
            }
            // The same files again: after a reload, or in place of a download that is not complete.
            if let Some(other) = self.sessions.get(&other) {
                session.record = other.record.clone();
                session.trackers.clone_from(&other.trackers);
                session.page_trackers.clone_from(&other.page_trackers);
            }
            self.remove(now, other, false);
        }
        session.record.own = 1;
        session.record.paused = 0;
        for tracker in metainfo.trackers().iter().flatten() {
            session.add_tracker(tracker);
        }
        let source = Source::Info {
            info: info.clone(),
            stored: Stored::Everything,
        };
        self.run(now, session, source, Some(Contents::Own(info, files)));
    }

    fn open(&mut self, now: Time, text: &str) {
        match parse_link(text) {
            Ok(magnet) => {
                if let Some(id) = self.by_hash.get(&magnet.info_hash).copied() {
                    self.use_trackers(now, id, &magnet);
                    return self.page.send(&Notice::Known(id));
                }
                let mut session = self.new_session();
                session.adopt(&magnet, self.trackers.of_page());
                let info_hash = magnet.info_hash;
                self.run_download(now, session, Source::Magnet(info_hash), None);
            }
            Err(error) => self.page.send(&Notice::Error(error)),
        }
    }

    /// Announces a torrent to the trackers of another link to it, too. A private one's are those of its metadata.
    fn use_trackers(&mut self, now: Time, id: TorrentId, magnet: &Magnet) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.is_private()) else {
            return;
        };
        for tracker in &magnet.trackers {
            session.add_tracker(tracker);
        }
        if session.running().is_some() {
            let usable = self.trackers.usable(&session.trackers);
            self.client.add_torrent(now, magnet.info_hash, &usable);
            self.keep_source(now, id);
            self.update_client(id);
        }
    }

    /// Opens a torrent file. Beside the request lie its bytes.
    fn open_torrent_file(&mut self, now: Time, name: &str, beside: &JsValue) {
        let bytes = Uint8Array::new(beside);
        let metainfo = if bytes.length() as usize > Metainfo::MAX_BYTES {
            Err("it is too large to be one".to_owned())
        } else {
            Metainfo::from_bytes(&bytes.to_vec()).map_err(|error| error.to_string())
        };
        let metainfo = match metainfo {
            Ok(metainfo) => metainfo,
            Err(error) => {
                let notice = format!(
                    "“{name}” is not a torrent file that can be opened: {error}. Ask for a new copy of it."
                );
                return self.page.send(&Notice::Error(notice));
            }
        };
        let info = metainfo.info().clone();
        if let Some(id) = self.by_hash.get(&info.info_hash()).copied() {
            return self.page.send(&Notice::Known(id));
        }
        let mut session = self.new_session();
        session.adopt_metainfo(&metainfo, self.trackers.of_page());
        let source = Source::Info {
            info: info.clone(),
            stored: Stored::Nothing,
        };
        self.run_download(now, session, source, Some(Contents::Downloads(info)));
    }

    /// Runs a torrent whose bytes will be stored here, if they can be.
    fn run_download(&mut self, now: Time, mut session: Session, source: Source, contents: Option<Contents>) {
        if let Some(Err(error)) = self.library.as_ref().map(Library::usable) {
            let (info_hash, info) = match source {
                Source::Magnet(info_hash) => (info_hash, None),
                Source::Info { info, .. } => (info.info_hash(), Some(info)),
            };
            self.by_hash.insert(info_hash, session.id);
            session.phase = Phase::Stuck(Stuck {
                message: error,
                info_hash,
                info,
                stored: 0,
            });
            self.sessions.insert(session.id, session);
            return self.show_now(now);
        }
        self.run(now, session, source, contents);
    }

    /// Starts the engine of a session, and announces it.
    fn run(&mut self, now: Time, mut session: Session, source: Source, contents: Option<Contents>) {
        let Some(library) = &self.library else { return };
        let (id, paused) = (session.id, session.record.paused == 1);
        let torrent = Torrent::new(self.config(), source, self.random.u64(..), now);
        let info_hash = torrent.info_hash();
        let store = library.store(id, info_hash, &self.events);
        self.shares.remove(id);
        if let Some(contents) = contents {
            store.use_contents(contents);
        }
        session.phase = Phase::Running(Box::new(Running::new(torrent, store)));
        let usable = self.trackers.usable(&session.trackers);
        self.client.add_torrent(now, info_hash, &usable);
        self.by_hash.insert(info_hash, id);
        self.sessions.insert(id, session);
        self.tell_what_is_known(now, id);
        if paused {
            self.tell_torrent(now, id, Input::Command(Command::Pause));
        }
        self.update_client(id);
        self.touched.insert(id);
    }

    /// Starts the engine of a torrent anew, whose bytes are not all where they were: it looks what is left.
    fn recheck(&mut self, now: Time, id: TorrentId) {
        let (config, seed) = (self.config(), self.random.u64(..));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(info) = session.info().cloned() else {
            return;
        };
        let Some(running) = session.running() else { return };
        running.store.use_contents(Contents::Downloads(info.clone()));
        running.web_seeds = SortedMap::new();
        let source = Source::Info {
            info,
            stored: Stored::Unknown,
        };
        running.torrent = Torrent::new(config, source, seed, now);
        self.tell_what_is_known(now, id);
        self.touched.insert(id);
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.peer_id);
        config.limits = EACH;
        config.max_outstanding_requests = MAX_OUTSTANDING_REQUESTS;
        config
    }

    /// Tells an engine that has just begun, or learnt the metadata, what it is to do, and keeps what that is.
    fn tell_what_is_known(&mut self, now: Time, id: TorrentId) {
        self.keep_source(now, id);
        self.add_web_seeds(now, id);
        self.use_gateway(now, id);
        if let Some(selected) = self.sessions.get(&id).and_then(Session::selected) {
            self.tell_torrent(now, id, Input::Command(Command::SelectFiles(selected)));
        }
    }

    /// Peers have told what a torrent is made of.
    pub(super) fn use_metadata(&mut self, now: Time, id: TorrentId, info: Arc<Info>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.select_by_link(&info);
        // A private torrent is announced to its own trackers alone (BEP 27).
        if info.is_private() && session.drop_page_trackers() {
            self.client.remove_torrent(now, info.info_hash());
            let usable = self.trackers.usable(&session.trackers);
            self.client.add_torrent(now, info.info_hash(), &usable);
        }
        let Some(running) = session.running() else { return };
        running.store.use_contents(Contents::Downloads(info));
        self.tell_what_is_known(now, id);
    }

    /// Tells the engine of the web seeds that the torrent and its link name, as far as this page may use them.
    fn add_web_seeds(&mut self, now: Time, id: TorrentId) {
        let Some(session) = self
            .sessions
            .get_mut(&id)
            .filter(|session| session.record.own != 1 && session.info().is_some())
        else {
            return;
        };
        let urls = session.web_seeds.clone();
        for (number, url) in (0..MOST_WEB_SEEDS).zip(urls) {
            let Some(running) = self.sessions.get_mut(&id).and_then(Session::running) else {
                return;
            };
            if let Some(refusal) = refusal(&url, &self.web_origins) {
                running.web_trouble.get_or_insert(refusal);
                continue;
            }
            let (link, peer) = (LinkId(WEB_SEEDS + number), None);
            running.web_seeds.insert(link, WebSeed::new(url));
            self.tell_torrent(now, id, Input::WebSeedAdded { link, peer });
        }
    }

    /// Tells the engine of the gateway's web seed, before the metadata is there, so that nothing of what it gives is asked of the
    /// gateway's peer; and takes it back where the torrent turns out to be private (BEP 27).
    fn use_gateway(&mut self, now: Time, id: TorrentId) {
        let link = LinkId(WEB_SEEDS + MOST_WEB_SEEDS);
        let (Some(gateway), Some(session)) = (&self.gateway, self.sessions.get_mut(&id)) else {
            return;
        };
        let (is_own, is_private) = (session.record.own == 1, session.is_private());
        let Some(running) = session.running().filter(|_| !is_own) else {
            return;
        };
        if is_private {
            running.web_seeds.remove(&link);
            return self.tell_torrent(now, id, Input::LinkClosed { link });
        }
        if running.web_seeds.contains_key(&link) {
            return;
        }
        let info_hash = running.torrent.info_hash();
        running.web_seeds.insert(link, gateway.web_seed(info_hash));
        let peer = Some(gateway.peer_id);
        self.tell_torrent(now, id, Input::WebSeedAdded { link, peer });
    }

    /// Keeps what a torrent is made of, or its link before that is known, and shows its files.
    fn keep_source(&mut self, now: Time, id: TorrentId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (metainfo, magnet) = (session.metainfo(), session.kept_magnet());
        let Some(running) = session.running() else { return };
        if let Some(metainfo) = metainfo {
            running.store.keep_metainfo(metainfo);
        } else if let Some(magnet) = magnet {
            running.store.keep_magnet(&magnet);
        }
        session.set_unkept();
        session.files_shown = false;
        self.show_now(now);
    }

    /// A session can't go on; its row says why.
    pub(super) fn stick(&mut self, now: Time, id: TorrentId, error: &str) {
        self.drop_connections_of(now, id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(running) = session.running() else { return };
        let stuck = Stuck {
            message: format!(
                "The download can't be stored: {error}. Free some space if that is why, and reload the page to go on."
            ),
            info_hash: running.torrent.info_hash(),
            info: running.torrent.info().cloned(),
            stored: running.stored(),
        };
        self.client.remove_torrent(now, stuck.info_hash);
        session.phase = Phase::Stuck(stuck);
        self.show_now(now);
    }

    fn command(&mut self, now: Time, id: TorrentId, command: Command) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.record.paused = (command == Command::Pause).into();
        session.set_unkept();
        if let (Command::Resume, Some(error)) = (&command, session.failure()) {
            if error == StorageError::Missing && session.record.own != 1 {
                return self.recheck(now, id);
            }
            // What it is made of may be what there was no room for.
            self.keep_source(now, id);
        }
        self.tell_torrent(now, id, Input::Command(command));
    }

    fn select(&mut self, now: Time, id: TorrentId, selected: Vec<bool>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.record.selected = selected
            .iter()
            .map(|selected| u8::from(*selected))
            .collect::<Vec<_>>()
            .into();
        session.changed_files.extend(0..selected.len());
        session.set_unkept();
        self.tell_torrent(now, id, Input::Command(Command::SelectFiles(selected)));
        self.show_soon(now);
    }

    /// Takes a session from the list; what was stored for it is deleted if `forget`.
    fn remove(&mut self, now: Time, id: TorrentId, forget: bool) {
        self.drop_connections_of(now, id);
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        let info_hash = session.info_hash();
        if let Some(info_hash) = info_hash {
            self.client.remove_torrent(now, info_hash);
            self.by_hash.remove(&info_hash);
        }
        if forget {
            match (&mut session.phase, info_hash, &self.library) {
                (Phase::Running(running), ..) => running.store.forget(),
                (_, Some(info_hash), Some(library)) => library.store(id, info_hash, &self.events).forget(),
                _ => {}
            }
        }
        self.shares.remove(id);
        self.show_now(now);
    }

    fn save(&mut self, id: TorrentId, file: usize) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(running) = session.running() else { return };
        let entry = running.torrent.info().and_then(|info| info.files().get(file));
        if let Some(name) = entry.and_then(|entry| entry.path().last()).cloned() {
            running.store.file(file, name);
        }
    }

    fn new_session(&mut self) -> Session {
        let id = self.next_id();
        Session::new(id, String::new(), added_now(), Phase::Beginning)
    }

    fn next_id(&mut self) -> TorrentId {
        self.last_id += 1;
        TorrentId(self.last_id)
    }
}

/// The names of web seeds begin here: those of connections are smaller.
const WEB_SEEDS: u64 = 1 << 32;
/// Web seeds of one torrent.
const MOST_WEB_SEEDS: u64 = 8;

fn signal_id(id: crate::protocol::ConnectionId) -> causeway_signal::ConnectionId {
    causeway_signal::ConnectionId(id.0)
}

/// Milliseconds since 1970.
fn added_now() -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number until the year 280000"
    )]
    let millis = Date::now() as u64;
    millis
}

/// What a row of the user's own files says after a reload.
const CHOOSE_AGAIN: &str =
    "Choose the same files again to go on sharing them: a page may not read them by itself after a reload.";
/// What another tab answers.
const IN_OTHER_TAB: &str =
    "Causeway runs in another tab of this browser. Do this there, or close that tab first.";
