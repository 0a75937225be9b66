//! The gateway: whoever opens a magnet link of the classic swarm in a browser gets it.
//!
//! It hears what is asked for at the tracker. Where a browser asks for a torrent that nobody there has, and the operator's
//! rules admit it, the bridge joins both swarms: it meets the browser at the tracker and classic peers wherever they are
//! found, fetches what browsers ask for, and keeps it in a bounded cache for a while. When the last browser is gone it leaves.
//!
//! - this file: when to join and when to leave; `policy`: for whom; `quota`: how much; `gate`: both, over HTTP; `report`: numbers for the operator.

mod gate;
mod policy;
mod quota;
mod report;

use core::net::IpAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use causeway_core::{InfoHash, Magnet, PeerId};
use causeway_engine::{LinkKind, State, Stats};
use causeway_signal::Event;
use causeway_tracker::Tracker;
use causeway_tracker::registry::{Announcer, Heard};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub(crate) use gate::{Denied, Gate, Guest};
pub use policy::Policy;
pub use quota::Quota;
pub(crate) use quota::Quotas;
use quota::network;
use report::{Reason, Report};

pub use crate::disk::Cache;
use crate::session::Bridge;
use crate::torrent::{Addition, Contents, Handle, Manner, Origin, Refusal, Relayed, Status, Subject};
use crate::web_seed::{WebSeed, WebSeedConfig};

/// What a gateway does, and how much of it.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Trackers at which browsers are met, over WebSocket, and those at which classic peers are.
    pub trackers: Vec<String>,
    /// What may be given in a day.
    pub quota: Quota,
    /// Torrents at once.
    pub max_torrents: usize,
    /// Torrents at once that one address has asked for first.
    pub max_torrents_per_address: usize,
    /// Links of one torrent at once, to classic peers and to browsers.
    pub max_peers: usize,
    /// The length of the longest torrent, in bytes.
    pub max_length: u64,
    /// How long a swarm is stayed in without any browser.
    pub linger: Duration,
    /// How long the metadata may take.
    pub patience: Duration,
    /// Whether classic peers that announce themselves at the tracker may be in our own network.
    pub allow_local: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            trackers: Vec::new(),
            quota: Quota::default(),
            max_torrents: 200,
            max_torrents_per_address: 20,
            max_peers: 120,
            max_length: 100 << 30,
            linger: Duration::from_mins(2),
            patience: Duration::from_mins(2),
            allow_local: false,
        }
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    ending: watch::Sender<bool>,
    report: Arc<Report>,
    gate: Arc<Gate>,
}

impl Gateway {
    /// Carries over what browsers ask for, from now on: at this tracker. Without one it is a member of the swarms of the
    /// torrents that the policy allows, at the trackers that speak WebSocket, and joins the classic swarm of each while a
    /// browser is there.
    #[must_use]
    pub fn start(
        bridge: Arc<Bridge>,
        tracker: Option<Tracker>,
        cache: Arc<Cache>,
        policy: Policy,
        config: GatewayConfig,
    ) -> Self {
        let quotas = Arc::new(Quotas::new(config.quota));
        let report = Arc::new(Report::new(cache.clone(), quotas.clone()));
        let policy = Arc::new(Mutex::new(Arc::new(policy)));
        let gate = Arc::new(Gate {
            policy: policy.clone(),
            quotas: quotas.clone(),
        });
        let (ending, ended) = watch::channel(false);
        let heard = tracker.as_ref().map(Tracker::subscribe);
        let task = Task {
            relayed: Relayed {
                cache,
                quotas,
                max_length: config.max_length,
                max_peers: config.max_peers,
            },
            bridge,
            tracker,
            config,
            policy,
            report: report.clone(),
            joined: BTreeMap::new(),
            rests: BTreeMap::new(),
            served: BTreeMap::new(),
            refused: Vec::new(),
            leaving: JoinSet::new(),
        };
        tokio::spawn(task.run(heard, ended));
        Self { ending, report, gate }
    }

    /// What this bridge has, and what the gateway carries over on it by its rules, for whoever asks for it over HTTP.
    #[must_use]
    pub fn web_seed(&self, bridge: &Bridge, config: WebSeedConfig) -> WebSeed {
        WebSeed::behind(bridge, Some(self.gate.clone()), config)
    }

    /// Changes the rules. Torrents that they admit no more are left.
    pub fn set_policy(&self, policy: Policy) {
        *self.gate.policy.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// What it did so far, as Prometheus reads it (text format 0.0.4).
    #[must_use]
    pub fn metrics(&self) -> String {
        self.report.to_text()
    }

    /// Leaves all swarms.
    pub async fn stop(&self) {
        self.ending.send_replace(true);
        // The task has a receiver until it has ended.
        self.ending.closed().await;
    }
}

struct Task {
    bridge: Arc<Bridge>,
    /// Where it runs in this process.
    tracker: Option<Tracker>,
    relayed: Relayed,
    config: GatewayConfig,
    policy: Arc<Mutex<Arc<Policy>>>,
    report: Arc<Report>,
    joined: BTreeMap<InfoHash, Joined>,
    /// Torrents of which nothing came, and which are left alone for a while.
    rests: BTreeMap<InfoHash, Rest>,
    /// Torrents that browsers have asked for while others there had them, and who asked.
    served: BTreeMap<InfoHash, Asker>,
    /// Who is to be told why a torrent is not carried over, once the tracker has replied to it.
    refused: Vec<(InfoHash, PeerId, Reason)>,
    leaving: JoinSet<()>,
}

/// A torrent that is carried over.
struct Joined {
    handle: Handle,
    status: watch::Receiver<Status>,
    asker: Asker,
    since: Instant,
    /// When a browser was there last.
    browsers_at: Instant,
    /// It is a member among browsers, and not in the classic swarm.
    is_member: bool,
    /// What the report knows of already.
    counted: Stats,
}

/// Who asks.
#[derive(Clone, Debug)]
struct Asker {
    peer_id: PeerId,
    address: IpAddr,
    token: Option<Box<str>>,
}

struct Rest {
    until: Instant,
    times: u32,
    /// Why, if it is not only that it was left.
    reason: Option<Reason>,
}

impl Task {
    async fn run(mut self, mut heard: Option<mpsc::Receiver<Heard>>, mut ended: watch::Receiver<bool>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(heard) = next(heard.as_mut()) => self.hear(&heard),
                _ = ticks.tick() => self.look_after(),
                _ = ended.changed() => break,
            }
        }
        for info_hash in self.joined.keys().copied().collect::<Vec<_>>() {
            self.leave(info_hash);
        }
        let leaving = core::mem::take(&mut self.leaving);
        // Whoever waits for the end has the bridge for itself then.
        drop(self);
        leaving.join_all().await;
        drop(ended);
    }

    fn hear(&mut self, heard: &Heard) {
        let info_hash = heard.info_hash;
        match heard.announcer {
            Announcer::Classic(_, address) if heard.event != Event::Stopped => {
                if let Some(joined) = self.joined.get(&info_hash) {
                    joined.handle.add_peers(vec![address], self.origin());
                }
            }
            Announcer::WebRtc(peer_id) if peer_id != self.bridge.peer_id() => {
                let Some(caller) = &heard.caller else { return };
                if heard.event != Event::Stopped && !heard.complete {
                    let asker = Asker {
                        peer_id,
                        address: caller.address,
                        token: caller.token.clone(),
                    };
                    self.consider(info_hash, asker);
                } else if let Some(asker) = self.served.get(&info_hash).cloned() {
                    // Somebody who had it may have gone.
                    if heard.event == Event::Stopped && heard.counts.incomplete > 0 {
                        self.consider(info_hash, asker);
                    }
                }
            }
            Announcer::Classic(..) | Announcer::WebRtc(_) => {}
        }
    }

    /// A browser asks for this torrent.
    fn consider(&mut self, info_hash: InfoHash, asker: Asker) {
        if self.joined.contains_key(&info_hash) {
            let quotas = &self.relayed.quotas;
            if quotas.admit(Some(asker.address), info_hash).is_err() {
                self.refuse(info_hash, &asker, Reason::Quota);
            }
            return;
        }
        let seeders = self
            .tracker
            .as_ref()
            .map(|tracker| tracker.webrtc_seeders(info_hash));
        if seeders.is_some_and(|seeders| seeders > 0) {
            if self.served.len() >= MOST_SERVED {
                self.served.pop_first();
            }
            self.served.insert(info_hash, asker);
            return;
        }
        self.served.remove(&info_hash);
        match self.admit(info_hash, &asker) {
            Ok(()) => self.join(info_hash, asker),
            Err(reason) => {
                tracing::debug!(torrent = %info_hash, ?reason, "not carried over");
                self.refuse(info_hash, &asker, reason);
            }
        }
    }

    /// A torrent is not carried over, which who asked for it is told.
    fn refuse(&mut self, info_hash: InfoHash, asker: &Asker, reason: Reason) {
        self.report.refused(reason);
        let told = if reason == Reason::Resting {
            self.rests.get(&info_hash).and_then(|rest| rest.reason)
        } else {
            Some(reason)
        };
        if let Some(reason) = told.filter(|_| self.refused.len() < MOST_REFUSED) {
            self.refused.push((info_hash, asker.peer_id, reason));
        }
    }

    fn tell_refused(&mut self) {
        let Some(tracker) = &self.tracker else { return };
        for (info_hash, peer_id, reason) in self.refused.drain(..) {
            let sentence = format!("the gateway does not carry this torrent over: {reason}");
            tracker.warn(info_hash, peer_id, &sentence);
        }
    }

    fn admit(&self, info_hash: InfoHash, asker: &Asker) -> Result<(), Reason> {
        let policy = self.policy();
        policy.admit(info_hash, asker.token.as_deref())?;
        let rest = self.rests.get(&info_hash);
        if rest.is_some_and(|rest| rest.until > Instant::now()) {
            return Err(Reason::Resting);
        }
        let quotas = &self.relayed.quotas;
        quotas
            .admit(Some(asker.address), info_hash)
            .map_err(|_| Reason::Quota)?;
        let host = network(asker.address);
        let of_address = self.joined.values();
        let of_address = of_address.filter(|joined| network(joined.asker.address) == host);
        if of_address.count() >= self.config.max_torrents_per_address {
            return Err(Reason::TooManyOfAddress);
        }
        if self.joined.len() >= self.config.max_torrents {
            return Err(Reason::TooManyTorrents);
        }
        Ok(())
    }

    fn join(&mut self, info_hash: InfoHash, asker: Asker) {
        let added = self.bridge.add(self.addition(info_hash));
        // Whoever runs the bridge may have it already.
        let Ok(handle) = added else { return };
        let members = self
            .tracker
            .as_ref()
            .map(|tracker| tracker.classic_peers(info_hash, MOST_MEMBERS));
        let members = members.unwrap_or_default();
        tracing::info!(torrent = %info_hash, members = members.len(), "a browser asks for it: the classic swarm is joined");
        handle.add_peers(members, self.origin());
        self.joined.insert(info_hash, Joined::new(handle, asker, false));
        self.report.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// How a torrent is joined.
    fn addition(&self, info_hash: InfoHash) -> Addition {
        let magnet = Magnet {
            trackers: self.config.trackers.clone(),
            ..Magnet::new(info_hash)
        };
        Addition {
            subject: Subject::Magnet(magnet),
            contents: Contents::Relayed(self.relayed.clone()),
            selection: None,
            peers: Vec::new(),
            web_seeds: Vec::new(),
            manner: Manner::default(),
        }
    }

    /// Becomes a member of the swarms of all torrents that are listed, among browsers alone.
    fn join_listed(&mut self) {
        let policy = self.policy();
        let listed = policy.allowed.iter().flatten().copied();
        for info_hash in listed {
            let is_known = self.joined.contains_key(&info_hash);
            let rests = self
                .rests
                .get(&info_hash)
                .is_some_and(|rest| rest.until > Instant::now());
            if is_known || rests || self.joined.len() >= self.config.max_torrents {
                continue;
            }
            let added = self.bridge.add_for_browsers(self.addition(info_hash));
            let Ok(handle) = added else { continue };
            let nobody = Asker {
                peer_id: self.bridge.peer_id(),
                address: core::net::Ipv4Addr::UNSPECIFIED.into(),
                token: None,
            };
            self.joined.insert(info_hash, Joined::new(handle, nobody, true));
        }
    }

    /// Once a second: numbers, and whom to leave.
    fn look_after(&mut self) {
        while self.leaving.try_join_next().is_some() {}
        self.relayed.cache.tick();
        self.tell_refused();
        if self.tracker.is_none() {
            self.join_listed();
        }
        let (now, policy) = (Instant::now(), self.policy());
        self.rests.retain(|_, rest| rest.until + FORGET > now);
        let mut gone = Vec::new();
        let mut browsers = 0;
        for (info_hash, joined) in &mut self.joined {
            let mut status = joined.status.borrow_and_update().clone();
            // The web seed knows what it gives, and the engine does not.
            status.stats.carried[LinkKind::Http as usize].uploaded = joined.handle.served_over_http();
            browsers += status.browsers;
            if status.browsers > 0 || joined.handle.shelf().visitors() > 0 {
                joined.browsers_at = now;
                if std::mem::take(&mut joined.is_member) {
                    joined.since = now;
                    self.report.joined.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(torrent = %info_hash, "a browser is there: the classic swarm is joined");
                    self.bridge
                        .look_for_classic_peers(&joined.handle, &self.config.trackers);
                }
            }
            self.report.count(&status.stats, &mut joined.counted);
            if let Some(end) = joined.end(&status, now, &self.config) {
                gone.push((*info_hash, end));
            } else if let Err(reason) = policy.admit(*info_hash, joined.asker.token.as_deref()) {
                gone.push((
                    *info_hash,
                    End::Refused(reason, "the rules have changed".to_owned()),
                ));
            }
        }
        for (info_hash, end) in gone {
            match end {
                End::Unused => {
                    tracing::info!(torrent = %info_hash, "the last browser is gone: it is left");
                    let was_used = self.joined.get(&info_hash).is_some_and(Joined::was_used);
                    self.leave(info_hash);
                    if was_used {
                        // Until trackers and browsers know that it was left.
                        let rest = Rest {
                            until: now + LEAVING,
                            times: 0,
                            reason: None,
                        };
                        self.rests.insert(info_hash, rest);
                    } else {
                        self.rest(info_hash, now, SHORT_REST, None);
                    }
                }
                End::Refused(reason, why) => {
                    tracing::info!(torrent = %info_hash, "it is not carried over: {why}");
                    if let Some(asker) = self.joined.get(&info_hash).map(|joined| joined.asker.clone()) {
                        self.refuse(info_hash, &asker, reason);
                    }
                    self.leave(info_hash);
                    let is_final = matches!(reason, Reason::Private | Reason::TooLarge);
                    let least = if is_final { LONG_REST } else { SHORT_REST };
                    self.rest(info_hash, now, least, Some(reason));
                }
            }
        }
        self.report.torrents.store(self.joined.len(), Ordering::Relaxed);
        self.report.browsers.store(browsers, Ordering::Relaxed);
    }

    fn leave(&mut self, info_hash: InfoHash) {
        self.joined.remove(&info_hash);
        self.report.left.fetch_add(1, Ordering::Relaxed);
        let bridge = self.bridge.clone();
        self.leaving.spawn(async move { bridge.remove(info_hash).await });
    }

    /// Leaves a torrent alone for a while, each time longer.
    fn rest(&mut self, info_hash: InfoHash, now: Instant, least: Duration, reason: Option<Reason>) {
        if self.rests.len() >= MOST_RESTS {
            let next = self.rests.iter().min_by_key(|(_, rest)| rest.until);
            if let Some(next) = next.map(|(info_hash, _)| *info_hash) {
                self.rests.remove(&next);
            }
        }
        let rest = self.rests.entry(info_hash).or_insert(Rest {
            until: now,
            times: 0,
            reason,
        });
        rest.reason = reason;
        rest.until = now + (least * 2u32.pow(rest.times.min(8))).min(LONG_REST);
        rest.times += 1;
    }

    fn policy(&self) -> Arc<Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever announces is at the address that it announces from. That is in our own network where it is there itself, and
    /// where a proxy is.
    const fn origin(&self) -> Origin {
        Origin::Stranger {
            is_local: self.config.allow_local,
        }
    }
}

async fn next(heard: Option<&mut mpsc::Receiver<Heard>>) -> Option<Heard> {
    match heard {
        Some(heard) => heard.recv().await,
        None => core::future::pending().await,
    }
}

/// Why a swarm is left.
enum End {
    /// No browser is there any more.
    Unused,
    /// It can't be carried over, in words why.
    Refused(Reason, String),
}

impl Joined {
    fn new(handle: Handle, asker: Asker, is_member: bool) -> Self {
        let now = Instant::now();
        Self {
            status: handle.status(),
            handle,
            asker,
            since: now,
            browsers_at: now,
            is_member,
            counted: Stats::default(),
        }
    }

    /// Whether a browser was given anything.
    fn was_used(&self) -> bool {
        let sent = [LinkKind::WebRtc, LinkKind::Http].map(|kind| self.counted.carried_by(kind).uploaded);
        sent.iter().any(|sent| *sent > 0)
    }

    fn end(&self, status: &Status, now: Instant, config: &GatewayConfig) -> Option<End> {
        if let Some(refusal) = status.refused {
            let reason = match refusal {
                Refusal::Private => Reason::Private,
                Refusal::TooLarge { .. } | Refusal::PieceTooLarge { .. } => Reason::TooLarge,
            };
            return Some(End::Refused(reason, refusal.to_string()));
        }
        if let State::Failed(error) = &status.state {
            return Some(End::Refused(Reason::Storage, error.to_string()));
        }
        if self.is_member {
            return None;
        }
        if now - self.browsers_at >= config.linger {
            return Some(End::Unused);
        }
        if status.info.is_none() && now - self.since >= config.patience {
            let why = "nobody who has its metadata was found in time".to_owned();
            return Some(End::Refused(Reason::NoMetadata, why));
        }
        None
    }
}

const TICK: Duration = Duration::from_secs(1);
const LEAVING: Duration = Duration::from_secs(2);
/// Classic members of a swarm that are tried at once.
const MOST_MEMBERS: usize = 100;
/// Torrents that browsers ask for and others have.
const MOST_SERVED: usize = 10_000;
/// Refusals that are told at once.
const MOST_REFUSED: usize = 1_000;
/// Torrents that are left alone.
const MOST_RESTS: usize = 10_000;
/// For so long a torrent is left alone of which nothing came, and twice as long each further time,
const SHORT_REST: Duration = Duration::from_secs(30);
/// but not longer than this; so long from the first time if nothing can ever come of it.
const LONG_REST: Duration = Duration::from_hours(1);
/// After that the times are forgotten.
const FORGET: Duration = Duration::from_hours(1);
