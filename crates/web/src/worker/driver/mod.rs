//! What the worker does when something happens: it tells the engine and the announce client, and performs what
//! they answer with.
//!
//! - this file: events in, effects out, time;
//! - `list`: what a user does to the list of torrents;
//! - `limits`: what the torrents may use together;
//! - `peers`: connections, from the first offer to the closed link.

mod limits;
mod list;
mod peers;

use causeway_core::{InfoHash, PeerId, SortedMap, SortedSet, Time};
use causeway_engine::{self as engine, Input, LinkId, Output, Shares};
use causeway_signal::{self as signal, Client, ConnectionId, TrackerId};

use super::clock::{self, Alarm, scope};
use super::page_port::PagePort;
use super::session::{Phase, Running, Session};
use super::storage::Library;
use super::tabs::Tabs;
use super::tracker_socket::{SocketEvent, TrackerSocket};
use super::trackers::Trackers;
use super::web_seed::Gateway;
use super::{Event, Events, tell, view};
use crate::protocol::{Notice, Request, TorrentId};
use peers::Connection;

/// All that the worker has.
///
/// Invariant: `by_hash` names every session that has an info-hash, and no other; each connection's torrent runs.
pub(super) struct Driver {
    events: Events,
    page: PagePort,
    alarm: Alarm,
    /// The election among the tabs, from [`Request::Start`] on.
    tabs: Option<Tabs>,
    /// The storage, once this tab is elected.
    library: Option<Library>,
    /// What the page asked for before that.
    waiting: Vec<(Request, wasm_bindgen::JsValue)>,
    /// Another tab runs Causeway.
    passive: bool,
    peer_id: PeerId,
    random: fastrand::Rng,
    trackers: Trackers,
    /// Origins of web seeds that the page's policy admits beside its own.
    web_origins: Vec<String>,
    gateway: Option<Gateway>,
    client: Client,
    client_deadline: Option<Time>,
    sockets: SortedMap<TrackerId, TrackerSocket>,
    sessions: SortedMap<TorrentId, Session>,
    by_hash: SortedMap<InfoHash, TorrentId>,
    shares: Shares<TorrentId>,
    last_id: u32,
    connections: SortedMap<ConnectionId, Connection>,
    /// Torrents and links that something happened to since things were settled last.
    touched: SortedSet<TorrentId>,
    touched_links: SortedSet<ConnectionId>,
    /// When the page is told next how things are, if anything changed.
    view_due: Option<Time>,
}

impl Driver {
    /// Waits for the page to speak.
    pub(super) fn new(events: &Events) -> Self {
        let mut seed = [0; 32];
        if let Ok(crypto) = scope().crypto() {
            crypto
                .get_random_values_with_u8_array(&mut seed)
                .unwrap_or_default();
        }
        let (for_random, for_id) = seed.split_at(8);
        let mut random =
            fastrand::Rng::with_seed(u64::from_le_bytes(for_random.try_into().unwrap_or_default()));
        let mut id = *PEER_ID_PREFIX;
        for (byte, random) in id.iter_mut().skip(8).zip(for_id) {
            *byte = b"0123456789abcdef"[usize::from(random % 16)];
        }
        let peer_id = PeerId::new(id);
        let client = Client::new(signal::Config::new(peer_id), random.u64(..), clock::now());
        Self {
            page: PagePort::new(events.clone()),
            alarm: Alarm::new(events.clone()),
            events: events.clone(),
            tabs: None,
            library: None,
            waiting: Vec::new(),
            passive: false,
            peer_id,
            random,
            trackers: Trackers::default(),
            web_origins: Vec::new(),
            gateway: None,
            client,
            client_deadline: None,
            sockets: SortedMap::new(),
            sessions: SortedMap::new(),
            by_hash: SortedMap::new(),
            shares: Shares::new(limits::ALL),
            last_id: 0,
            connections: SortedMap::new(),
            touched: SortedSet::new(),
            touched_links: SortedSet::new(),
            view_due: None,
        }
    }

    /// Takes in what happened. What is to be done about it is done in [`Driver::settle`].
    pub(super) fn handle(&mut self, event: Event) {
        let now = clock::now();
        match event {
            Event::Page(request, beside) => self.handle_request(now, request, beside),
            Event::Tracker(tracker, event) => self.handle_socket(now, tracker, event),
            Event::Link(connection, event) => self.handle_link(now, connection, event),
            Event::Storage(id, input) => self.tell_torrent(now, id, input),
            Event::Fetched(id, input, wanted) => {
                if wanted.get() {
                    self.tell_torrent(now, id, input);
                }
            }
            Event::StorageOpened(id, Err(error)) => self.stick(now, id, &error),
            Event::StorageOpened(_, Ok(())) => {}
            Event::File(name, Ok(file)) => self.page.send_with(&Notice::File { name }, &file),
            Event::File(name, Err(error)) => {
                self.page
                    .send(&Notice::Error(format!("“{name}” can't be saved: {error}.")));
            }
            Event::Trouble(sentence) => self.page.send(&Notice::Error(sentence)),
            Event::Hashing(id, progress) => {
                if let Some(Session {
                    phase: Phase::Hashing(hashing),
                    ..
                }) = self.sessions.get_mut(&id)
                {
                    hashing.progress = progress;
                    self.show_soon(now);
                }
            }
            Event::Hashed(id, result) => self.finish_share(now, id, result),
            Event::Elected(restored) => self.restore(now, restored),
            Event::OtherTab => {
                self.passive = true;
                self.page.send(&Notice::OtherTab);
                for (request, beside) in std::mem::take(&mut self.waiting) {
                    self.handle_request(now, request, beside);
                }
            }
            Event::Handed(text) => {
                // What comes before the library is read waits for it, like the wishes of this tab's own user.
                if !self.passive {
                    self.handle_request(now, Request::Open { text }, wasm_bindgen::JsValue::UNDEFINED);
                }
            }
            Event::Alarm => self.handle_alarm(now),
        }
    }

    fn handle_alarm(&mut self, now: Time) {
        self.alarm.rang();
        for (id, session) in &mut self.sessions {
            if let Some(running) = session.running()
                && running.deadline.is_some_and(|deadline| deadline <= now)
            {
                running.torrent.handle_input(now, Input::TimedOut);
                self.touched.insert(*id);
            }
        }
        if self.client_deadline.is_some_and(|deadline| deadline <= now) {
            self.client.handle_timeout(now);
        }
        self.end_gathering(now);
    }

    /// Performs everything that is to be done, and sets the alarm for what comes later.
    pub(super) fn settle(&mut self) {
        let now = clock::now();
        if self.view_due.is_some_and(|due| due <= now) {
            self.show(now);
            self.share_limits(now);
        }
        loop {
            while let Some(id) = self.touched.pop_first() {
                self.perform_torrent(now, id);
            }
            self.perform_client(now);
            while let Some(id) = self.touched_links.pop_first() {
                self.flush_link(now, id);
            }
            if self.touched.is_empty() {
                break;
            }
        }
        let others = [self.client_deadline, self.view_due, self.gathering_deadline()];
        let torrents = self
            .sessions
            .values_mut()
            .filter_map(|session| session.running()?.deadline);
        let next = torrents.chain(others.into_iter().flatten()).min();
        self.alarm.set(next, now);
    }

    fn tell_torrent(&mut self, now: Time, id: TorrentId, input: Input) {
        if let Some(running) = self.sessions.get_mut(&id).and_then(Session::running) {
            running.torrent.handle_input(now, input);
            self.touched.insert(id);
        }
    }

    /// Performs what a torrent asks for.
    fn perform_torrent(&mut self, now: Time, id: TorrentId) {
        loop {
            let Some(running) = self.sessions.get_mut(&id).and_then(Session::running) else {
                return;
            };
            match running.torrent.poll_output() {
                Output::Send { link, bytes } => {
                    let connection = connection_of(link);
                    if let Some(link) = self
                        .connections
                        .get_mut(&connection)
                        .and_then(|link| link.link.as_mut())
                    {
                        link.send(&bytes);
                        self.touched_links.insert(connection);
                    }
                }
                Output::CloseLink { link, reason } => {
                    peers::log_closed(connection_of(link), &reason.to_string());
                    self.drop_connection(now, connection_of(link), false);
                }
                Output::Read { block } => running.store.read(block),
                Output::Write { block, bytes } => running.store.write(block, bytes),
                Output::Hash { piece } => running.store.hash(piece),
                Output::Fetch { link, bytes } => {
                    let Running {
                        torrent, web_seeds, ..
                    } = running;
                    if let (Some(seed), Some(info)) = (web_seeds.get_mut(&link), torrent.info()) {
                        seed.fetch(link, (id, info), bytes, &self.events);
                    }
                }
                Output::StopFetch { link } => {
                    if let Some(seed) = running.web_seeds.get_mut(&link) {
                        seed.stop();
                    }
                }
                // No peer is asked for addresses, and nothing is carried over.
                Output::PeersFound { .. } | Output::PieceDemanded { .. } => {}
                Output::Announce(event) => {
                    let info_hash = running.torrent.info_hash();
                    self.update_client(id);
                    let event = match event {
                        engine::AnnounceEvent::Started => signal::Event::Started,
                        engine::AnnounceEvent::Completed => signal::Event::Completed,
                        engine::AnnounceEvent::Stopped => signal::Event::Stopped,
                    };
                    self.client.announce(now, info_hash, event);
                }
                Output::Event(event) => self.handle_torrent_event(now, id, event),
                Output::Timeout(deadline) => {
                    running.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn handle_torrent_event(&mut self, now: Time, id: TorrentId, event: engine::Event) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match event {
            engine::Event::MetadataReceived(info) => self.use_metadata(now, id, info),
            engine::Event::StateChanged(_) => {
                session.set_unkept();
                self.update_client(id);
                self.show_now(now);
            }
            engine::Event::PieceVerified(piece) => {
                session.note_piece(piece);
                session.set_unkept();
                let Some(running) = session.running() else { return };
                let first = running.torrent.have().is_some_and(|have| have.count_ones() == 1);
                if first {
                    self.show_now(now);
                } else {
                    self.show_soon(now);
                }
            }
            engine::Event::PieceFailed(_) => self.show_soon(now),
            engine::Event::FileCompleted(_) => {
                if let Some(running) = session.running() {
                    running.store.flush();
                }
            }
        }
    }

    /// Performs what the announce client asks for.
    fn perform_client(&mut self, now: Time) {
        loop {
            match self.client.poll_output() {
                signal::Output::Connect { tracker, url } => {
                    match TrackerSocket::connect(tracker, self.trackers.address(&url), &self.events) {
                        Some(socket) => drop(self.sockets.insert(tracker, socket)),
                        None => tell(
                            &self.events,
                            Event::Tracker(
                                tracker,
                                SocketEvent::Closed("its address is no WebSocket URL".to_owned()),
                            ),
                        ),
                    }
                }
                signal::Output::Disconnect { tracker } => drop(self.sockets.remove(&tracker)),
                signal::Output::Send { tracker, text } => {
                    if let Some(socket) = self.sockets.get(&tracker) {
                        socket.send(&text);
                    }
                }
                signal::Output::CreateOffer {
                    connection,
                    info_hash,
                    label,
                } => {
                    self.create_offer(now, connection, info_hash, label);
                }
                signal::Output::AcceptOffer {
                    connection,
                    info_hash,
                    peer_id,
                    sdp,
                } => {
                    self.accept_offer(now, connection, info_hash, (peer_id, sdp));
                }
                signal::Output::AcceptAnswer {
                    connection,
                    peer_id,
                    sdp,
                } => {
                    self.accept_answer(connection, peer_id, sdp);
                }
                signal::Output::Close { connection } => {
                    peers::log_closed(connection, "it is not needed any more");
                    self.drop_connection(now, connection, true);
                }
                signal::Output::Timeout(deadline) => {
                    self.client_deadline = deadline;
                    return;
                }
            }
        }
    }

    fn handle_socket(&mut self, now: Time, tracker: TrackerId, event: SocketEvent) {
        match event {
            SocketEvent::Connected => self.client.handle_connected(now, tracker),
            SocketEvent::Message(text) => self.client.handle_message(now, tracker, &text),
            SocketEvent::Closed(reason) => {
                self.sockets.remove(&tracker);
                self.client.handle_disconnected(now, tracker, &reason);
            }
        }
        self.show_soon(now);
    }

    /// Tells the announce client how a torrent stands.
    fn update_client(&mut self, id: TorrentId) {
        let Some(running) = self.sessions.get_mut(&id).and_then(Session::running) else {
            return;
        };
        let stats = running.torrent.stats();
        let progress = signal::Progress {
            uploaded: stats.uploaded,
            downloaded: stats.downloaded,
            left: running
                .torrent
                .info()
                .map(|_| stats.wanted.saturating_sub(stats.wanted_verified)),
            wanted_peers: running.torrent.wanted_peers(),
        };
        self.client.update(running.torrent.info_hash(), progress);
    }

    /// Tells the page how things are within a second.
    fn show_soon(&mut self, now: Time) {
        self.view_due.get_or_insert(now + VIEW_EVERY);
    }

    /// Tells the page how things are as soon as everything is settled.
    fn show_now(&mut self, now: Time) {
        self.view_due = Some(now);
    }

    fn show(&mut self, now: Time) {
        self.view_due = None;
        self.client.handle_timeout(now);
        let mut views = Vec::with_capacity(self.sessions.len());
        let mut files = Vec::new();
        let ids: Vec<TorrentId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.update_client(id);
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            // Kept before it is shown: what a user has seen is there after a reload.
            session.keep();
            files.extend(view::take_files(session));
            let hint = session.info_hash().and_then(|info_hash| {
                let has_tracker = self.client.trackers(info_hash).next().is_some();
                if has_tracker {
                    tracker_hint(self.client.trackers(info_hash), session.tracker_hint.take())
                } else {
                    Some(self.trackers.refusal(&session.trackers))
                }
            });
            session.tracker_hint.clone_from(&hint);
            views.push(view::torrent(session, hint));
            // Rates fall while nothing happens: as long as there are peers, the page is told.
            if session
                .running()
                .is_some_and(|running| running.is_active() && running.is_moving())
            {
                self.view_due = Some(now + VIEW_EVERY);
            }
        }
        // The page knows a torrent before it hears of its files.
        self.page.send(&Notice::Torrents(views));
        for files in &files {
            self.page.send(files);
        }
    }
}

/// A sentence about the trackers of a torrent, if none of them can be reached or the last word of one was no; the last one
/// while they are tried again.
fn tracker_hint<'a>(
    trackers: impl Iterator<Item = signal::TrackerStatus<'a>>,
    last: Option<String>,
) -> Option<String> {
    let mut warning = None;
    let mut reason = None;
    let mut is_trying = false;
    for status in trackers {
        match status.state {
            signal::TrackerState::Idle => return None,
            signal::TrackerState::Connecting => is_trying = true,
            signal::TrackerState::Connected => match status.warning {
                Some(text) => warning = Some(format!("The tracker {} says: {text}", status.url)),
                None => return None,
            },
            signal::TrackerState::Waiting { reason: why, .. } => {
                let sentence = "No new peers can be found while it is away; it is tried again by itself.";
                reason.get_or_insert(format!(
                    "The tracker {} is not there: {why}. {sentence}",
                    status.url
                ));
            }
        }
    }
    if is_trying { last } else { warning.or(reason) }
}

fn link_of(connection: ConnectionId) -> LinkId {
    LinkId(connection.0.into())
}

/// Link ids are made by [`link_of`].
fn connection_of(link: LinkId) -> ConnectionId {
    ConnectionId(u32::try_from(link.0).unwrap_or(u32::MAX))
}

/// How often the page is told how things are while they change. Each time costs it a layout, its compositor and another
/// process a drawing, and the record a write.
const VIEW_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Azureus style (BEP 20), and room for twelve random digits.
const PEER_ID_PREFIX: &[u8; 20] = b"-CW0100-............";

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: signal::TrackerState<'_>) -> signal::TrackerStatus<'_> {
        signal::TrackerStatus {
            url: "wss://t.example",
            state,
            warning: None,
            seeders: None,
            leechers: None,
        }
    }

    #[test]
    fn what_is_wrong_with_a_tracker_stays_said_until_it_answers() {
        use signal::TrackerState::{Connected, Connecting, Waiting};
        let away = || Waiting {
            reason: "it can't be reached",
            until: Time::from_micros(0),
        };
        let mut said = None;
        let mut says = |states: Vec<signal::TrackerState<'static>>| {
            said = tracker_hint(states.into_iter().map(status), said.take());
            said.is_some()
        };
        assert!(!says(vec![Connecting]), "nothing is known yet");
        assert!(says(vec![away()]));
        assert!(says(vec![Connecting]), "it is tried again");
        assert!(says(vec![Connecting, away()]));
        assert!(!says(vec![Connected]));
        assert!(!says(vec![away(), Connected]), "one is enough");
        assert!(says(vec![away()]));
        assert!(!says(vec![Connecting, Connected]), "wherever it stands");
    }
}
