//! Statistics over HTTP, with the names that the reference tracker gives them.

use core::fmt::Write as _;
use core::hash::BuildHasher;
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use causeway_core::{PeerId, Time};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::registry::{Link, MemberView, Registry};
use crate::tracker::Shared;

/// `/stats`, `/stats.json` and `/health`.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/stats", get(page))
        .route("/stats.json", get(json))
        .route("/health", get(health))
}

/// Whether more is to be sent here: 200, or 503 from the time that the tracker is being stopped.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    if shared.is_closing() {
        (StatusCode::SERVICE_UNAVAILABLE, NO_STORE, "stopping\n").into_response()
    } else {
        (NO_STORE, "ok\n").into_response()
    }
}

async fn json(State(shared): State<Arc<Shared>>) -> Response {
    match shared.statistics.current().await {
        Some(stats) => (NO_STORE, axum::Json(&*stats)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn page(State(shared): State<Arc<Shared>>) -> Response {
    match shared.statistics.current().await {
        Some(stats) => (NO_STORE, Html(stats.to_html())).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Whom to ask for statistics.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    requests: mpsc::Sender<oneshot::Sender<Arc<Stats>>>,
}

impl Desk {
    /// The desk, and the requests that [`serve`] is to answer.
    pub(crate) fn new() -> (Self, mpsc::Receiver<oneshot::Sender<Arc<Stats>>>) {
        let (requests, queue) = mpsc::channel(1);
        (Self { requests }, queue)
    }

    async fn current(&self) -> Option<Arc<Stats>> {
        let (request, answer) = oneshot::channel();
        self.requests.send(request).await.ok()?;
        answer.await.ok()
    }
}

/// Answers requests for statistics, one after the other, until the tracker is gone.
///
/// What is given out is at most as old as twenty times what it took to collect it: however many ask, and however many
/// members there are, that costs a twentieth of a core.
pub(crate) async fn serve(shared: Weak<Shared>, mut requests: mpsc::Receiver<oneshot::Sender<Arc<Stats>>>) {
    let mut latest = Arc::default();
    let mut stale_at = Time::ZERO;
    while let (Some(request), Some(shared)) = (requests.recv().await, shared.upgrade()) {
        let begin = shared.now();
        if begin >= stale_at {
            let tracker = Arc::clone(&shared);
            let collected =
                tokio::task::spawn_blocking(move || Stats::collect(&tracker.registry, PEERS_AT_ONCE)).await;
            latest = collected.map_or(latest, Arc::new);
            let end = shared.now();
            stale_at = end + 20 * end.since(begin);
        }
        if request.send(Arc::clone(&latest)).is_err() {
            tracing::trace!("whoever asked for statistics is gone");
        }
    }
}

/// What is known about all swarms together. A peer is a `peer_id`, in however many swarms it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    torrents: usize,
    active_torrents: usize,
    peers_all: usize,
    peers_seeder_only: usize,
    peers_leecher_only: usize,
    peers_seeder_and_leecher: usize,
    #[serde(rename = "peersIPv4")]
    peers_ipv4: usize,
    #[serde(rename = "peersIPv6")]
    peers_ipv6: usize,
    /// How many peers by client and version.
    clients: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Stats {
    /// A peer may be in any number of swarms, so to count peers means to remember them. That is done for some of them at a
    /// time, in as many passes as it takes, so that it takes the same memory however many there are.
    fn collect(registry: &Registry<impl Link>, at_once: usize) -> Self {
        let (torrents, members) = registry.size();
        let mut stats = Self {
            torrents,
            active_torrents: torrents,
            ..Self::default()
        };
        // Nobody can choose a name for the pass that it falls into.
        let hasher = RandomState::new();
        let passes = members.div_ceil(at_once).max(1) as u64;
        for pass in 0..passes {
            let mut peers: BTreeMap<PeerId, Roles> = BTreeMap::new();
            registry.visit_members(|member| {
                if passes == 1 || hasher.hash_one(member.peer_id) % passes == pass {
                    peers.entry(member.peer_id).or_default().add(member);
                }
            });
            for (peer_id, roles) in peers {
                stats.add(peer_id, roles);
            }
        }
        stats
    }

    fn add(&mut self, peer_id: PeerId, roles: Roles) {
        self.peers_all += 1;
        let role = match (roles.seeds > 0, roles.leeches > 0) {
            (true, true) => &mut self.peers_seeder_and_leecher,
            (true, false) => &mut self.peers_seeder_only,
            (false, _) => &mut self.peers_leecher_only,
        };
        *role += 1;
        self.peers_ipv4 += usize::from(roles.ipv4 > 0);
        self.peers_ipv6 += usize::from(roles.ipv6 > 0);

        let (mut client, mut version) = client_and_version(peer_id);
        if !self.clients.contains_key(&client) && self.clients.len() >= MAX_CLIENTS {
            client = OTHER.into();
        }
        let versions = self.clients.entry(client).or_default();
        if !versions.contains_key(&version) && versions.len() >= MAX_CLIENTS {
            version = OTHER.into();
        }
        *versions.entry(version).or_default() += 1;
    }

    fn to_html(&self) -> String {
        let mut rows = String::new();
        let mut row = |name: &str, value: usize| {
            // Both are ours or alphanumeric, so there is nothing to escape.
            writeln!(rows, "<tr><th scope=row>{name}<td>{value}")
                .expect("a string takes all that is written");
        };
        row("Torrents", self.torrents);
        row("Peers", self.peers_all);
        row("Seeders only", self.peers_seeder_only);
        row("Leechers only", self.peers_leecher_only);
        row("Seeders and leechers", self.peers_seeder_and_leecher);
        row("Over IPv4", self.peers_ipv4);
        row("Over IPv6", self.peers_ipv6);
        for (client, versions) in &self.clients {
            for (version, peers) in versions {
                row(&format!("{client} {version}"), *peers);
            }
        }
        format!(
            "<!doctype html>\n<html lang=en><meta charset=utf-8><title>Tracker statistics</title>\n<table>\n{rows}</table>\n"
        )
    }
}

/// In how many swarms a peer does what.
#[derive(Clone, Copy, Debug, Default)]
struct Roles {
    seeds: u32,
    leeches: u32,
    ipv4: u32,
    ipv6: u32,
}

impl Roles {
    fn add(&mut self, member: MemberView) {
        *(if member.complete {
            &mut self.seeds
        } else {
            &mut self.leeches
        }) += 1;
        *(if member.ipv4 {
            &mut self.ipv4
        } else {
            &mut self.ipv6
        }) += 1;
    }
}

/// What a `peer_id` like `-WW0208-...` says of the program that made it (BEP 20): two letters, then four characters of
/// version.
fn client_and_version(peer_id: PeerId) -> (String, String) {
    let [b'-', code @ .., b'-', _, _, _, _, _, _, _, _, _, _, _, _] = peer_id.as_bytes() else {
        return (OTHER.into(), String::new());
    };
    let text: String = code.iter().copied().map(char::from).collect();
    if !text.chars().all(|char| char.is_ascii_alphanumeric()) {
        return (OTHER.into(), String::new());
    }
    let (code, version) = text.split_at(2);
    let known = CLIENTS.iter().find(|(known, _)| *known == code);
    (known.map_or(code, |(_, name)| name).into(), version.into())
}

/// Programs by the letters in their peer ids, as far as they are likely to come to a tracker of browsers.
const CLIENTS: [(&str, &str); 8] = [
    ("CW", "Causeway"),
    ("LT", "libtorrent"),
    ("WD", "WebTorrent Desktop"),
    ("WW", "WebTorrent"),
    ("lt", "rTorrent"),
    ("qB", "qBittorrent"),
    ("BI", "BiglyBT"),
    ("TR", "Transmission"),
];

/// What names no program that can be told.
const OTHER: &str = "other";

/// So many peers are counted in one pass: some megabytes.
const PEERS_AT_ONCE: usize = 1 << 16;

/// So many programs, and versions of one, are told apart: a `peer_id` may claim anything.
const MAX_CLIENTS: usize = 50;

/// Statistics are of now.
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

#[cfg(test)]
mod tests {
    use causeway_core::InfoHash;
    use causeway_signal::Event;

    use super::*;
    use crate::Config;
    use crate::registry::ClassicAnnounce;
    use crate::websocket::Outbox;

    #[test]
    fn peers_are_counted_the_same_in_however_many_passes() {
        let registry = Registry::<Outbox>::new(Config::default(), 1);
        // Each in two swarms: some seed both, some one of them.
        for number in 0..300_u16 {
            let [high, low] = number.to_be_bytes();
            for swarm in 0..2 {
                let announce = ClassicAnnounce {
                    info_hash: InfoHash::new([swarm; 20]),
                    peer_id: PeerId::new([
                        b'-', b'C', b'W', b'0', b'0', b'0', b'1', b'-', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high,
                        low,
                    ]),
                    address: ([10, 0, high, low], 1).into(),
                    event: Event::Started,
                    complete: number % 3 > u16::from(swarm),
                    downloaded: 0,
                    numwant: 0,
                    both_families: false,
                };
                registry
                    .announce_classic(Time::ZERO, &announce)
                    .expect("there is room");
            }
        }
        let whole = Stats::collect(&registry, 1_000_000);
        assert_eq!((whole.torrents, whole.peers_all), (2, 300));
        assert_eq!(
            (
                whole.peers_seeder_only,
                whole.peers_leecher_only,
                whole.peers_seeder_and_leecher
            ),
            (100, 100, 100)
        );
        for at_once in [1, 7, 100] {
            assert_eq!(Stats::collect(&registry, at_once), whole);
        }
    }
}
