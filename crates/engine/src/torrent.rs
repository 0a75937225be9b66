//! The state machine: what comes in, what goes out, and what is looked after in between.

use bytes::Bytes;
use causeway_core::{Bitfield, Info, InfoHash, PeerId, PieceIndex, SortedMap, SortedSet, Time};
use core::net::SocketAddr;
use core::time::Duration;
use fastrand::Rng;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::acquaintances::Acquaintances;
use crate::allowance::Allowance;
use crate::content::Content;
use crate::first_copy::FirstCopy;
use crate::metadata::MetadataFetch;
use crate::peer::{Greeting, Origin, Peer, Traffic};
use crate::timers::{Timer, Timers};
use crate::trial::Trials;
use crate::uploads::Reads;
use crate::web_seed::WebSeed;
use crate::{
    AnnounceEvent, Carried, CloseReason, Command, Config, Event, Input, KnownPeer, LinkId, LinkKind, Output,
    PeerView, Reader, Snapshot, Source, State, Stats, StorageError, Stored,
};

pub use pex::PexSupport;
use relaying::Relay;

mod choking;
mod download;
mod extensions;
mod fetching;
mod invariants;
mod links;
mod messages;
mod metadata;
mod pex;
mod relaying;
mod spreading;
mod storage;
mod streaming;
mod trials;
mod upload;

/// One torrent of one peer.
///
/// After every [`Self::handle_input`], and once after [`Self::new`], call [`Self::poll_output`] until it says
/// [`Output::Timeout`]. Moments must not go back; where one does, the latest counts. Every [`Output::Read`],
/// [`Output::Write`] and [`Output::Hash`] has to be answered once, whatever happens in between; answers that
/// nobody waits for do nothing, and neither do inputs about links that are closed.
///
/// Invariants: a link is in `greetings` or in `peers`, and in neither once it is closed; while the torrent is
/// paused or failed there is none; `unwritten` adds up the blocks that storage was given and has not answered for.
#[derive(Debug)]
pub struct Torrent {
    config: Config,
    info_hash: InfoHash,
    rng: Rng,
    now: Time,
    run: Run,
    /// Whether some peers may have been told that we download nothing (BEP 21).
    has_said_upload_only: bool,
    /// What was last told by [`Event::StateChanged`].
    state: State,
    metadata: Metadata,
    greetings: SortedMap<LinkId, Greeting>,
    peers: SortedMap<LinkId, Peer>,
    web_seeds: SortedMap<LinkId, WebSeed>,
    /// Peers that sent wrong data, the latest last.
    banned: VecDeque<PeerId>,
    acquaintances: Acquaintances,
    readers: Vec<Reader>,
    trials: Trials,
    first_copy: FirstCopy,
    /// Whether new peers are to be told that we have nothing (BEP 16).
    super_seeds: bool,
    /// Pieces that storage has in memory, most likely; the latest last.
    lately_read: VecDeque<PieceIndex>,
    reads: Reads,
    relay: Relay,
    unwritten: u64,
    totals: Totals,
    allowances: Allowances,
    timers: Timers,
    /// Peers that may have something to do or to be told since the input.
    touched: SortedSet<LinkId>,
    out: VecDeque<Output>,
}

/// What the user and storage let us do.
#[derive(Debug)]
enum Run {
    Running,
    Paused,
    Failed(StorageError),
}

/// What is known of the torrent.
#[derive(Debug)]
enum Metadata {
    Fetching {
        fetch: MetadataFetch,
        /// What the user selected already.
        selected: Vec<bool>,
        /// What of that is to come first.
        preferred: Vec<bool>,
    },
    Known(Box<Content>),
}

/// Payload of all links, over all runs.
#[derive(Debug, Default)]
struct Totals {
    down: Traffic,
    up: Traffic,
    wasted: u64,
    carried: [Carried; LinkKind::ALL.len()],
}

/// What the user's rate limits leave.
#[derive(Debug)]
struct Allowances {
    up: Allowance,
    down: Allowance,
    /// Whose turn it was when one of them ran out: others come first the next time.
    last: LinkId,
}

impl Torrent {
    /// A torrent that runs from now on. `seed` decides all its random choices.
    #[must_use]
    pub fn new(config: Config, source: Source, seed: u64, now: Time) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut totals = Totals::default();
        let mut acquaintances = Acquaintances::default();
        let (info_hash, metadata) = match source {
            Source::Magnet(info_hash) => {
                let fetch = MetadataFetch::new(info_hash);
                (
                    info_hash,
                    Metadata::Fetching {
                        fetch,
                        selected: Vec::new(),
                        preferred: Vec::new(),
                    },
                )
            }
            Source::Info { info, stored } => {
                if let Stored::Partly(snapshot) = &stored {
                    totals.up.bytes = snapshot.uploaded;
                    totals.down.bytes = snapshot.downloaded;
                    acquaintances = Acquaintances::new(&snapshot.peers);
                }
                let info_hash = info.info_hash();
                let selected = relaying::selection(&config, &info);
                (
                    info_hash,
                    Metadata::Known(Box::new(Content::new(info, &stored, selected, &mut rng))),
                )
            }
        };
        let allowances = Allowances {
            up: Allowance::new(config.limits.upload_rate, now),
            down: Allowance::new(config.limits.download_rate, now),
            last: LinkId(0),
        };
        let mut torrent = Self {
            config,
            info_hash,
            rng,
            now,
            run: Run::Running,
            has_said_upload_only: false,
            state: State::FetchingMetadata,
            metadata,
            greetings: SortedMap::new(),
            peers: SortedMap::new(),
            web_seeds: SortedMap::new(),
            banned: VecDeque::new(),
            acquaintances,
            readers: Vec::new(),
            trials: Trials::default(),
            first_copy: FirstCopy::Ahead,
            super_seeds: false,
            lately_read: VecDeque::new(),
            reads: Reads::default(),
            relay: Relay::default(),
            unwritten: 0,
            totals,
            allowances,
            timers: Timers::default(),
            touched: SortedSet::new(),
            out: VecDeque::new(),
        };
        torrent.state = torrent.current_state();
        torrent.out.push_back(Output::Announce(AnnounceEvent::Started));
        torrent.hash_what_is_written();
        torrent.check_stored();
        torrent
    }

    /// Something happened at this moment.
    pub fn handle_input(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::LinkOpened {
                link,
                direction,
                expected,
                kind,
                addr,
            } => {
                let origin = Origin {
                    direction,
                    introduced: expected,
                    kind,
                    addr,
                };
                self.link_opened(link, origin);
            }
            Input::Received { link, bytes } => self.received(link, bytes),
            Input::Writable { link, budget } => self.writable(link, budget),
            Input::LinkClosed { link } => {
                self.forget_web_seed(link);
                self.forget(link);
            }
            Input::WebSeedAdded { link, peer } => self.web_seed_added(link, peer),
            Input::Fetched { link, bytes } => self.fetched(link, bytes),
            Input::FetchEnded { link, result } => self.fetch_ended(link, &result),
            Input::BlockRead { block, result } => self.block_read(block, result),
            Input::BlockWritten { block, result } => self.block_written(block, result),
            Input::PieceHashed { piece, result } => self.piece_hashed(piece, result),
            Input::StorageFailed(error) => self.fail(error),
            Input::PieceLost { piece } if self.config.relay => self.retract(piece),
            Input::PieceLost { piece } => self.piece_lost(piece),
            Input::PieceAdmitted { piece } => self.admit(piece),
            Input::TimedOut => {}
            Input::Command(command) => self.command(command),
        }
        while let Some(timer) = self.timers.expired(self.now) {
            match timer {
                Timer::Housekeeping => self.keep_house(),
                Timer::Rechoke => self.rechoke(),
                Timer::Allowance => self.touch_all(),
            }
        }
        self.settle();
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Output {
        self.out
            .pop_front()
            .unwrap_or_else(|| Output::Timeout(self.timers.next()))
    }

    /// The name of the torrent and of its swarm.
    #[must_use]
    pub const fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The metadata, where it is there.
    #[must_use]
    pub fn info(&self) -> Option<&Arc<Info>> {
        self.content().map(|content| &content.info)
    }

    /// What the torrent is about.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The torrent in numbers, as of the last input.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let tally = self.content().map(Content::tally).unwrap_or_default();
        Stats {
            peers: self.peers.len(),
            interested: self.peers.values().filter(|peer| peer.them.is_interested).count(),
            seeds: self.peers.values().filter(|peer| peer.pieces.is_all()).count(),
            downloaded: self.totals.down.bytes,
            uploaded: self.totals.up.bytes,
            wasted: self.totals.wasted,
            download_rate: self.totals.down.rate.per_second(self.now),
            upload_rate: self.totals.up.rate.per_second(self.now),
            wanted: tally.wanted,
            wanted_verified: tally.wanted_verified,
            verified: tally.verified,
            carried: self.totals.carried,
            unchecked_pieces: self.content().map_or(0, Content::unchecked),
        }
    }

    /// The verified bytes of this file; 0 for one that there isn't.
    #[must_use]
    pub fn file_progress(&self, file: usize) -> u64 {
        self.content().map_or(0, |content| content.verified_of_file(file))
    }

    /// Whether the user wants this file; false for one that there isn't.
    #[must_use]
    pub fn is_selected(&self, file: usize) -> bool {
        self.content().is_some_and(|content| content.is_selected(file))
    }

    /// The pieces that are stored and verified, where the metadata is there.
    #[must_use]
    pub fn have(&self) -> Option<&Bitfield> {
        self.content().map(Content::have)
    }

    /// What to start with the next time; `None` without metadata, and while nobody knows what is stored.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let snapshot = self.content()?.snapshot()?;
        Some(Snapshot {
            uploaded: self.totals.up.bytes,
            downloaded: self.totals.down.bytes,
            peers: self.known_peers(),
            ..snapshot
        })
    }

    /// Peers that may be connected to, those that are and those that were, the best first.
    #[must_use]
    pub fn known_peers(&self) -> Vec<KnownPeer> {
        self.acquaintances
            .with(self.peers.values().filter_map(|peer| peer.known(self.now)))
    }

    /// What the peer at this address has been worth; nothing where it is not known. The best are worth connecting to
    /// first, and those below nothing last.
    #[must_use]
    pub fn score_of(&self, addr: SocketAddr) -> i64 {
        let peers = self.peers.values().filter_map(|peer| peer.known(self.now));
        let connected = peers
            .filter(|peer| peer.addr == addr)
            .map(|peer| peer.score)
            .next();
        connected.unwrap_or_else(|| self.acquaintances.score_of(addr))
    }

    /// How many more links are welcome.
    #[must_use]
    pub fn wanted_peers(&self) -> usize {
        match self.run {
            Run::Running => self
                .config
                .limits
                .peers
                .saturating_sub(self.peers.len() + self.greetings.len()),
            Run::Paused | Run::Failed(_) => 0,
        }
    }

    /// The connected peers.
    pub fn peers(&self) -> impl Iterator<Item = PeerView> {
        self.peers.iter().map(|(link, peer)| peer.view(*link, self.now))
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Pause => {
                if matches!(self.run, Run::Running) {
                    self.out.push_back(Output::Announce(AnnounceEvent::Stopped));
                }
                self.stop(Run::Paused);
            }
            Command::Resume => {
                if !matches!(self.run, Run::Running) {
                    self.run = Run::Running;
                    self.out.push_back(Output::Announce(AnnounceEvent::Started));
                    self.timers.start(Timer::Housekeeping, self.now + SECOND);
                    self.hash_what_is_written();
                    self.check_stored();
                }
            }
            Command::SelectFiles(files) => self.select_files(files),
            Command::PreferFiles(files) => match &mut self.metadata {
                Metadata::Fetching { preferred, .. } => *preferred = files,
                Metadata::Known(content) => content.prefer(files),
            },
            Command::Stream(readers) => self.stream(readers),
            Command::SuperSeed(wanted) => self.super_seed(wanted),
            Command::SetLimits(limits) => {
                let slots = self.slots();
                self.config.limits = limits;
                self.close_excess();
                self.allowances.up.set_rate(limits.upload_rate, self.now);
                self.allowances.down.set_rate(limits.download_rate, self.now);
                // Limits may change every second, which must not make the choker restless.
                if self.slots() != slots {
                    self.rechoke();
                }
                self.touch_all();
            }
        }
    }

    fn select_files(&mut self, files: Vec<bool>) {
        match &mut self.metadata {
            // What peers ask for is wanted, and nothing else.
            _ if self.config.relay => {}
            Metadata::Fetching { selected, .. } => *selected = files,
            Metadata::Known(content) => {
                content.select(files, &mut self.rng);
                for peer in self.peers.values_mut() {
                    peer.lacking = peer.pieces.known().map_or(0, |have| content.lacking_of(have));
                }
                self.cancel_unwanted();
                self.disown_unwanted();
                self.plan_streaming();
                self.touch_all();
            }
        }
    }

    /// Storage or the metadata is at fault: nothing can go on before the user has done something about it.
    fn fail(&mut self, error: StorageError) {
        if matches!(self.run, Run::Running) {
            self.out.push_back(Output::Announce(AnnounceEvent::Stopped));
            self.stop(Run::Failed(error));
        }
    }

    fn stop(&mut self, run: Run) {
        self.run = run;
        let links: Vec<_> = self.greetings.keys().chain(self.peers.keys()).copied().collect();
        for link in links {
            self.close(link, CloseReason::Stopped);
        }
        self.stop_fetches();
        self.timers.clear();
    }

    /// Once a second while there is a link.
    fn keep_house(&mut self) {
        if self.peers.is_empty() && self.greetings.is_empty() && self.web_seeds.is_empty() {
            return;
        }
        self.timers.set(Timer::Housekeeping, self.now + SECOND);
        let now = self.now;
        let late = self
            .greetings
            .iter()
            .filter(|(_, greeting)| greeting.is_overdue(now));
        let gone = self.peers.iter().filter(|(_, peer)| peer.is_gone(now));
        let silent: Vec<_> = late
            .map(|(link, _)| *link)
            .chain(gone.map(|(link, _)| *link))
            .collect();
        for link in silent {
            self.close(link, CloseReason::Silent);
        }
        for peer in self.peers.values_mut() {
            peer.keep_alive(now);
        }
        self.make_room();
        self.give_up_overdue();
        self.give_up_demands();
        self.look_after_fetches();
        self.look_after_first_copy();
        if let Some(support) = self.config.peer_exchange {
            support.tell(self);
        }
        if let Metadata::Fetching { fetch, .. } = &mut self.metadata {
            fetch.expire(now);
        }
        self.touch_all();
    }

    /// Does what follows from the input: tells peers what they are to know, asks for blocks, sends blocks.
    fn settle(&mut self) {
        self.update_state();
        self.ask_for_metadata();
        if !self.web_seeds.is_empty() {
            self.fetch_from_web_seeds();
        }
        // What one disappointing peer gives back must not go to the next one: two of them could keep a piece for good.
        let mut last = SortedSet::new();
        loop {
            match self.next_touched() {
                Some(link) if self.disappoints(link) => drop(last.insert(link)),
                Some(link) => self.look_after(link),
                None => match last.pop_first() {
                    Some(link) => self.look_after(link),
                    None => break,
                },
            }
        }
    }

    fn disappoints(&self, link: LinkId) -> bool {
        self.peers
            .get(&link)
            .is_some_and(|peer| peer.requests.disappoints())
    }

    fn look_after(&mut self, link: LinkId) {
        if let Some(reason) = self.reason_to_close(link) {
            return self.close(link, reason);
        }
        self.update_interest(link);
        self.offer_pieces(link);
        self.request_blocks(link);
        self.send_blocks(link);
        if let Some(peer) = self.peers.get_mut(&link)
            && peer.outbox.flush(link, &mut self.out)
        {
            peer.last_sent = self.now;
        }
    }

    /// Takes a peer that has something to do: in turns where a limit lets not everybody have all that they want.
    fn next_touched(&mut self) -> Option<LinkId> {
        let after = LinkId(self.allowances.last.0.saturating_add(1));
        let link = self
            .touched
            .range(after..)
            .next()
            .or_else(|| self.touched.first());
        let link = *link?;
        self.touched.remove(&link);
        Some(link)
    }

    fn update_state(&mut self) {
        let state = self.current_state();
        if state != self.state {
            let was_seeding = core::mem::replace(&mut self.state, state.clone()) == State::Seeding;
            if was_seeding || state == State::Seeding {
                self.has_said_upload_only = true;
                self.tell_everybody();
            }
            self.tell(Event::StateChanged(state));
        }
    }

    fn current_state(&self) -> State {
        match (&self.run, &self.metadata) {
            (Run::Paused, _) => State::Paused,
            (Run::Failed(error), _) => State::Failed(error.clone()),
            (Run::Running, Metadata::Fetching { .. }) => State::FetchingMetadata,
            (Run::Running, Metadata::Known(content)) if content.is_checking() => State::Checking,
            (Run::Running, Metadata::Known(content)) if content.is_finished() && !self.config.relay => {
                State::Seeding
            }
            (Run::Running, Metadata::Known(_)) => State::Downloading,
        }
    }

    fn content(&self) -> Option<&Content> {
        match &self.metadata {
            Metadata::Fetching { .. } => None,
            Metadata::Known(content) => Some(content),
        }
    }

    fn tell(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn touch_all(&mut self) {
        self.touched.extend(self.peers.keys().copied());
    }
}

const SECOND: Duration = Duration::from_secs(1);
