//! When to announce to which tracker (BEP 3, BEP 12).
//!
//! Each tier has a task of its own, which announces to one tracker of it: the first that answers, from then on before the
//! others. Tiers are not held back until those before them fail, as BEP 12 has it, since the swarms of different
//! trackers are seldom the same, and who names several means them all.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout};

use super::{Announce, Event, Failure, Reply, World, udp};
use crate::torrent::{Handle, Origin, Status};

/// Whether this is a tracker that classic peers are met at.
pub(super) fn is_classic(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    ["http", "https", "udp"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Whether this tracker is reached over UDP.
pub(super) fn is_udp(url: &str) -> bool {
    url.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("udp:"))
}

/// Announces a torrent to the trackers of one tier until it has ended.
pub(super) async fn announce(world: Arc<World>, torrent: Handle, mut tier: Vec<String>) {
    fastrand::shuffle(&mut tier);
    let mut changes = torrent.status();
    let mut told = Told::default();
    let (mut due, mut failures) = (Instant::now(), 0u32);
    loop {
        let status = changes.borrow_and_update().clone();
        let has_ended = changes.has_changed().is_err();
        let event = told.event(&status, has_ended);
        if event.is_some() || (due <= Instant::now() && status.is_running() && !has_ended) {
            let announce = announcement(&world, &torrent, &status, event);
            match tell(&world, &mut tier, &announce).await {
                Ok(reply) => {
                    failures = 0;
                    told.note(event);
                    let wait = reply.interval.clamp(LEAST_INTERVAL, MOST_INTERVAL);
                    due = Instant::now() + wait;
                    take(&torrent, reply);
                }
                Err(_) if has_ended => {}
                Err(_) => {
                    failures += 1;
                    due = Instant::now() + RETRY * 2u32.pow(failures.min(7));
                }
            }
        }
        if has_ended {
            return;
        }
        // A tracker that is down hears of what happened when it is tried the next time.
        let is_waiting = failures > 0;
        loop {
            tokio::select! {
                () = sleep_until(due) => break,
                result = changes.changed() => {
                    let has_news = told.event(&changes.borrow(), result.is_err()).is_some();
                    if result.is_err() || (has_news && !is_waiting) {
                        break;
                    }
                }
            }
        }
    }
}

/// What the trackers of the tier know.
#[derive(Debug, Default)]
struct Told {
    is_started: bool,
    is_completed: bool,
}

impl Told {
    /// What they have to be told.
    fn event(&self, status: &Status, has_ended: bool) -> Option<Event> {
        let is_running = status.is_running() && !has_ended;
        match (self.is_started, is_running) {
            (false, true) => Some(Event::Started),
            (true, false) => Some(Event::Stopped),
            (true, true) if status.has_completed && !self.is_completed => Some(Event::Completed),
            (true, true) | (false, false) => None,
        }
    }

    fn note(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Started) => self.is_started = true,
            Some(Event::Completed) => self.is_completed = true,
            Some(Event::Stopped) => self.is_started = false,
            None => {}
        }
    }
}

fn announcement(world: &World, torrent: &Handle, status: &Status, event: Option<Event>) -> Announce {
    Announce {
        info_hash: torrent.info_hash(),
        peer_id: world.peer_id,
        key: world.key,
        // Many trackers refuse port 0. Nobody listens at 1, which says as much.
        port: world.port.max(1),
        uploaded: status.stats.uploaded,
        downloaded: status.stats.downloaded,
        // Without metadata nobody knows, but it is more than nothing: who lacks nothing gets no seeds named.
        left: status.left().unwrap_or(1),
        event,
        wanted: if event == Some(Event::Stopped) {
            0
        } else {
            status.wanted_peers.min(MOST_WANTED)
        },
    }
}

/// Tells the first tracker of the tier that answers, and puts it first.
async fn tell(world: &World, tier: &mut [String], announce: &Announce) -> Result<Reply, Failure> {
    let mut last = Failure::new("there is no tracker");
    for place in 0..tier.len() {
        let url = &tier[place];
        let told = async {
            if is_udp(url) {
                udp::announce(url, announce).await
            } else {
                world.http.announce(url, announce).await
            }
        };
        let outcome = timeout(PATIENCE, told).await;
        match outcome.unwrap_or_else(|_| Err(Failure::new("it does not answer"))) {
            Ok(reply) => {
                tracing::debug!(torrent = %announce.info_hash, %url, peers = reply.peers.len(), "announced");
                tier[..=place].rotate_right(1);
                return Ok(reply);
            }
            Err(failure) => {
                tracing::debug!(torrent = %announce.info_hash, %url, "not announced: {failure}");
                last = failure;
            }
        }
    }
    Err(last)
}

/// Gives the peers to the torrent.
fn take(torrent: &Handle, reply: Reply) {
    let origin = Origin::Stranger {
        is_local: reply.is_near,
    };
    torrent.add_peers(reply.peers, origin);
}

/// Peers that are asked for at once.
const MOST_WANTED: usize = 100;
/// What a tracker asks for is kept to within these bounds.
const LEAST_INTERVAL: Duration = Duration::from_secs(15);
const MOST_INTERVAL: Duration = Duration::from_hours(1);
/// A tracker that can't be reached is tried again after twice this time, and each time twice as long.
const RETRY: Duration = Duration::from_secs(5);
/// For one tracker.
const PATIENCE: Duration = Duration::from_secs(20);
