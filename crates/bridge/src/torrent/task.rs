//! The task: what happens goes into the engine, and what the engine asks for is done.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use causeway_core::{Info, InfoHash, Metainfo, Time};
use causeway_engine::{
    Command, Config, Direction, Input, Limits, LinkId, LinkKind, PexSupport, Source, StorageError, Torrent,
};
use core::net::SocketAddr;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::book::Book;
use super::contents::{Place, Storage};
use super::fetches::Fetches;
use super::links::Links;
use super::readers::Readers;
use super::relay::{Refusal, Relaying};
use super::shelf::Shelf;
use super::{Addition, Contents, Handle, Order, Origin, Selection, Status, Subject};
use crate::disk::{Answer, Answers, Medium, Room};
use crate::link::Meeting;
use crate::session::Shared;

/// Starts a torrent.
pub(crate) fn spawn(shared: Arc<Shared>, addition: Addition) -> Handle {
    let (info_hash, trackers, web_seeds) = match &addition.subject {
        Subject::Metainfo(metainfo) => (
            metainfo.info().info_hash(),
            metainfo.trackers().to_vec(),
            metainfo.web_seeds().to_vec(),
        ),
        Subject::Magnet(magnet) => {
            let tiers = magnet.trackers.iter().map(|tracker| vec![tracker.clone()]);
            (magnet.info_hash, tiers.collect(), magnet.web_seeds.clone())
        }
    };
    let mut relaying = match &addition.contents {
        Contents::Relayed(relayed) => Some(Relaying::new(relayed.clone())),
        Contents::Download { .. } | Contents::Shared(_) => None,
    };
    let place = Place::new(shared.handles.clone(), addition.contents, info_hash);
    let mut kept = place.kept();
    if addition.manner.is_rechecked {
        kept.snapshot = None;
    }
    let metainfo = match addition.subject {
        Subject::Metainfo(metainfo) => Some(metainfo),
        Subject::Magnet(_) => kept.metainfo,
    };
    let (orders, told) = mpsc::channel(MOST_ORDERS);
    let (source, disk) = match &metainfo {
        None => (Source::Magnet(info_hash), None),
        Some(metainfo) => {
            let info = metainfo.info().clone();
            let (storage, answers, stored) = place.open(&info, kept.snapshot, relaying.as_mut());
            (Source::Info { info, stored }, Some((storage, answers)))
        }
    };
    let now = shared.now();
    let config = config(&shared, relaying.as_ref());
    let torrent = Torrent::new(config, source, fastrand::u64(..), now);
    let shelf = Arc::new(Shelf::new(relaying.is_some()));
    let (status, watch) = watch::channel(Status {
        state: torrent.state().clone(),
        stats: torrent.stats(),
        info: torrent.info().cloned(),
        wanted_peers: torrent.wanted_peers(),
        has_completed: false,
        is_done: false,
        browsers: 0,
        refused: None,
    });
    let handle = Handle {
        info_hash,
        orders,
        status: watch,
        shelf: shelf.clone(),
    };
    let (storage, answers) = disk.unzip();
    let mut task = Task {
        info_hash,
        torrent,
        place,
        storage,
        trackers,
        web_seeds,
        user_web_seeds: addition.web_seeds,
        fetches: Fetches::default(),
        readers: Readers::new(addition.manner.is_sequential),
        shelf: shelf.clone(),
        selection: addition.selection,
        links: Links::default(),
        met: BTreeMap::new(),
        sent: BTreeSet::new(),
        inputs: VecDeque::new(),
        book: Book::default(),
        limits: usual_limits(&shared, relaying.as_ref()),
        share: None,
        connecting: 0,
        deadline: None,
        status,
        has_completed: false,
        is_announced: false,
        shown: now,
        record_due: None,
        handle: handle.clone(),
        shared,
        last_read: None,
        new_answers: None,
        relaying,
        refused: None,
    };
    for address in addition.peers {
        task.book.add(address, Origin::User, now);
    }
    task.open_shelf();
    tokio::spawn(async move {
        let stopped = task.run(told, answers).await;
        task.end().await;
        drop(task);
        if let Some(stopped) = stopped {
            // Whoever asked may have gone.
            stopped.send(()).unwrap_or_default();
        }
    });
    handle
}

/// How all torrents behave towards others. Classic peers tell each other of others (BEP 11).
pub(super) fn config(shared: &Shared, relaying: Option<&Relaying>) -> Config {
    Config {
        limits: usual_limits(shared, relaying),
        peer_exchange: Some(PexSupport::default()),
        listen_port: shared.port,
        relay: relaying.is_some(),
        ..Config::new(shared.peer_id)
    }
}

fn usual_limits(shared: &Shared, relaying: Option<&Relaying>) -> Limits {
    relaying.map_or(shared.limits, |relaying| Limits {
        peers: relaying.max_peers(),
        // Nobody who asks a gateway has anything to give for it: all are served at once.
        upload_slots: relaying.max_peers(),
        ..shared.limits
    })
}

/// The engine, and all that it is told of and asks of.
pub(super) struct Task {
    pub(super) info_hash: InfoHash,
    pub(super) torrent: Torrent,
    pub(super) place: Place,
    pub(super) storage: Option<Storage>,
    /// The answers of a storage that was opened since the loop looked last.
    pub(super) new_answers: Option<Answers>,
    pub(super) trackers: Vec<Vec<String>>,
    pub(super) web_seeds: Vec<String>,
    /// Web seeds that the user named.
    pub(super) user_web_seeds: Vec<String>,
    pub(super) fetches: Fetches,
    pub(super) readers: Readers,
    pub(super) shelf: Arc<Shelf>,
    pub(super) selection: Option<Selection>,
    pub(super) links: Links,
    /// The links whose peers are in the book: those that we opened, and those over uTP.
    pub(super) met: BTreeMap<LinkId, Met>,
    /// Links that something was sent on since they were looked at.
    pub(super) sent: BTreeSet<LinkId>,
    /// What is to go into the engine next.
    pub(super) inputs: VecDeque<Input>,
    pub(super) book: Book,
    /// What it may use alone, and as one of all torrents.
    limits: Limits,
    share: Option<Limits>,
    pub(super) connecting: usize,
    pub(super) deadline: Option<Time>,
    pub(super) status: watch::Sender<Status>,
    pub(super) has_completed: bool,
    /// Whether the status speaks of all that has happened.
    pub(super) is_announced: bool,
    pub(super) shown: Time,
    pub(super) record_due: Option<Time>,
    pub(super) handle: Handle,
    pub(super) shared: Arc<Shared>,
    /// When something was read for a peer last; what was read is in memory since.
    pub(super) last_read: Option<Time>,
    /// Where it is only carried over.
    pub(super) relaying: Option<Relaying>,
    /// Why it is not, after all.
    pub(super) refused: Option<Refusal>,
}

/// A peer that is in the book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    /// Its address in the book.
    pub(super) address: SocketAddr,
    /// Whether anything has come from it.
    pub(super) is_heard: bool,
}

impl Task {
    /// Until somebody stops it.
    async fn run(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        mut answers: Option<Answers>,
    ) -> Option<oneshot::Sender<()>> {
        self.begin();
        loop {
            self.perform();
            if self.refused.is_some() {
                self.show(self.shared.now());
                return None;
            }
            if let Some(opened) = self.new_answers.take() {
                answers = Some(opened);
            }
            let now = self.shared.now();
            self.look_after(now);
            let wake = self.shared.instant(self.next_wake(now));
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Stop(stopped)) => return Some(stopped),
                    Some(order) => self.obey(order),
                    None => return None,
                },
                ready = self.links.ready() => self.serve(ready),
                answer = next(answers.as_mut()) => {
                    let mut answer = answer;
                    while let Some(now) = answer {
                        self.take(now);
                        answer = answers.as_mut().and_then(Answers::try_next);
                    }
                }
                news = self.fetches.next() => self.fetched(news),
                result = settled(self.storage.as_mut()) => self.kept(result),
                room = room(self.relaying.as_mut()) => self.take_room(room),
                () = sleep_until(wake) => self.tell(Input::TimedOut),
            }
            // Whoever is always busy lets others go first now and then.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// What is known from the start.
    pub(super) fn begin(&mut self) {
        for peer in self.torrent.known_peers() {
            self.book.recall(peer, self.shared.now());
        }
        let Some(info) = self.torrent.info().cloned() else {
            return;
        };
        if let Some(metainfo) = self.metainfo()
            && let Some(storage) = &mut self.storage
        {
            storage.keep_metainfo(metainfo);
        }
        self.open_shelf();
        self.select(&info);
        self.add_web_seeds();
        self.tell_readers();
        // A run that ended between the last piece and the renaming has left complete files with the names of parts.
        for (file, entry) in info.files().iter().enumerate() {
            if self.torrent.file_progress(file) == entry.length()
                && self.torrent.is_selected(file)
                && let Some(storage) = &mut self.storage
            {
                storage.complete(file);
            }
        }
        self.record_due = Some(self.shared.now() + FIRST_RECORD);
    }

    fn open_shelf(&self) {
        let files = self.storage.as_ref().and_then(|storage| storage.files.clone());
        let files = files.map(|files| files as Arc<dyn Medium>);
        let portion = self.relaying.as_ref().and_then(Relaying::medium);
        if let (Some(metainfo), Some(medium), Some(have)) =
            (self.metainfo(), files.or(portion), self.torrent.have())
        {
            self.shelf.open(metainfo, medium, have.clone());
        }
    }

    fn select(&mut self, info: &Info) {
        if let Some(Selection(choose)) = &self.selection {
            self.tell(Input::Command(Command::SelectFiles(choose(info))));
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.shared.now();
        match order {
            Order::Link(link) => {
                let Meeting {
                    direction,
                    expected,
                    remote,
                    kind,
                } = link.meeting;
                if direction == Direction::Outgoing && matches!(kind, LinkKind::Tcp | LinkKind::Utp) {
                    self.connecting = self.connecting.saturating_sub(1);
                }
                if let Some(relaying) = self.relaying.as_ref().filter(|_| kind == LinkKind::WebRtc)
                    && let Err(reason) = relaying.admits(self, link.host)
                {
                    return link.outgoing.close(reason);
                }
                let link = self.links.insert(link);
                tracing::debug!(torrent = %self.info_hash, ?link, ?kind, ?remote, "a link");
                if let Some(address) = remote.filter(|_| direction == Direction::Outgoing) {
                    let is_heard = false;
                    self.met.insert(link, Met { address, is_heard });
                }
                // Over uTP a peer comes from where it listens: it is not to be connected to as well.
                if let Some(address) =
                    remote.filter(|_| direction == Direction::Incoming && kind == LinkKind::Utp)
                    && self.book.meet(address, now)
                {
                    let is_heard = true;
                    self.met.insert(link, Met { address, is_heard });
                }
                self.tell(Input::LinkOpened {
                    link,
                    direction,
                    expected,
                    kind,
                    addr: remote,
                });
                self.sent.insert(link);
            }
            Order::Unreachable(address) => {
                self.connecting = self.connecting.saturating_sub(1);
                self.book.failed(address, now);
            }
            Order::Refused(address) => {
                self.connecting = self.connecting.saturating_sub(1);
                self.refused(address, now);
            }
            Order::Peers(addresses, origin) => {
                for address in addresses {
                    self.book.add(address, origin, now);
                }
            }
            Order::Command(Command::SetLimits(limits)) => self.limit(limits, self.share),
            Order::Command(command) => self.tell(Input::Command(command)),
            Order::Read(name, reader) => self.read_by(name, reader),
            Order::ReadOn(bytes) => self.read_on(bytes),
            Order::Share(share) => self.limit(self.limits, Some(share)),
            Order::View(answer) => answer.send(self.torrent.peers().collect()).unwrap_or_default(),
            // The loop has taken it.
            Order::Stop(_) => {}
        }
    }

    /// These are its own limits from now on, and its share of those of all torrents.
    fn limit(&mut self, own: Limits, share: Option<Limits>) {
        (self.limits, self.share) = (own, share);
        let limits = self.limits();
        self.tell(Input::Command(Command::SetLimits(limits)));
    }

    /// What it may use now.
    pub(super) fn limits(&self) -> Limits {
        self.share.map_or(self.limits, |share| self.limits.within(share))
    }

    /// What has come on these links, a fair share of each.
    fn serve(&mut self, ready: Vec<LinkId>) {
        for link in ready {
            for turn in 0.. {
                if turn == TURN {
                    self.links.again(link);
                    break;
                }
                match self.links.receive(link) {
                    Some(Ok(bytes)) => {
                        if let Some(met) = self.met.get_mut(&link) {
                            met.is_heard = true;
                        }
                        self.tell(Input::Received { link, bytes });
                    }
                    Some(Err(closed)) => {
                        tracing::debug!(torrent = %self.info_hash, ?link, "closed: {closed}");
                        self.lost(link, "the other side has closed it");
                        self.tell(Input::LinkClosed { link });
                        break;
                    }
                    None => break,
                }
            }
            self.sent.insert(link);
        }
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Input(input) => {
                if let (Input::BlockWritten { block, .. }, Some(storage)) = (&input, &mut self.storage) {
                    storage.store.written(*block);
                }
                self.tell(input);
            }
            Answer::Run(run, bytes) => {
                let inputs = self
                    .storage
                    .as_mut()
                    .map(|storage| storage.store.run_read(run, bytes));
                for input in inputs.into_iter().flatten() {
                    self.tell(input);
                }
            }
        }
    }

    fn kept(&mut self, result: Result<(), StorageError>) {
        if self.storage.as_ref().is_some_and(Storage::is_settled) {
            // Somebody may wait for the last file to have its name.
            (self.is_announced, self.shown) = (false, Time::ZERO);
        }
        if let Err(error) = result {
            tracing::warn!(torrent = %self.info_hash, "{error}");
        }
    }

    /// The torrent file. Where the torrent is carried over the trackers are the operator's, and nobody else's business.
    pub(super) fn metainfo(&self) -> Option<Metainfo> {
        let info = self.torrent.info()?.clone();
        if self.relaying.is_some() {
            return Some(Metainfo::with_info(info, Vec::new(), Vec::new()));
        }
        Some(Metainfo::with_info(
            info,
            self.trackers.clone(),
            self.web_seeds.clone(),
        ))
    }

    /// Closes the links, and keeps how far the torrent has come.
    async fn end(&mut self) {
        self.tell(Input::Command(Command::Pause));
        self.perform();
        if self.relaying.is_some() {
            self.shelf.close();
        }
        let snapshot = self.torrent.snapshot();
        let is_complete = self.torrent.have().is_some_and(causeway_core::Bitfield::is_all);
        let Some(storage) = &mut self.storage else { return };
        let mut is_kept = true;
        while !storage.is_settled() {
            is_kept &= storage.settled().await.is_ok();
        }
        if is_complete && is_kept {
            storage.forget();
        } else if let Some(snapshot) = snapshot {
            storage.keep_snapshot(snapshot);
            // What is only carried over is kept nowhere.
            while !storage.is_settled() {
                if let Err(error) = storage.settled().await {
                    tracing::warn!(torrent = %self.info_hash, "{error}");
                }
            }
        }
    }
}

async fn next(answers: Option<&mut Answers>) -> Option<Answer> {
    match answers {
        Some(answers) => answers.next().await,
        None => core::future::pending().await,
    }
}

async fn room(relaying: Option<&mut Relaying>) -> Room {
    match relaying {
        Some(relaying) => relaying.room().await,
        None => core::future::pending().await,
    }
}

async fn settled(storage: Option<&mut Storage>) -> Result<(), StorageError> {
    match storage {
        Some(storage) => storage.settled().await,
        None => core::future::pending().await,
    }
}

/// Orders that wait for a torrent which is busy.
const MOST_ORDERS: usize = 256;
/// What is taken from a link before it is another one's turn.
const TURN: u32 = 8;
/// When to try a peer again that was lost.
pub(super) const AGAIN: Duration = Duration::from_secs(5);
/// How much is lost at the most if the machine fails.
pub(super) const RECORD_EVERY: Duration = Duration::from_secs(5);
/// Nothing can be lost before the first record: what is there would be hashed.
const FIRST_RECORD: Duration = Duration::from_millis(500);
