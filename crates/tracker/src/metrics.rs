//! What the tracker did, in the text format that Prometheus reads.
//!
//! Counting is done with atomics alone: the histograms of the usual libraries take a lock that all announces would share.

use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use causeway_signal::Event;

use crate::registry::Refusal;

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    WebSocket,
    Http,
    Udp,
}

/// Why something was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was not understood.
    Malformed,
    /// The torrent is not served.
    Torrent,
    /// A passkey was wanted.
    Passkey,
    /// The page may not use this tracker.
    Origin,
    /// The tracker is full.
    Full,
    /// The socket is in too many swarms.
    TooManyTorrents,
    /// The address has too many members.
    TooManyFromAddress,
    /// The address asks too often.
    TooFast,
    /// The address has too many connections, or all have.
    TooManyConnections,
    /// An answer to an offer that its sender did not get.
    Answer,
    /// A UDP connection id that was not given to this address lately.
    ConnectionId,
    /// What was to be passed on to somebody who has much to read already.
    Busy,
    /// It did not read.
    SlowReader,
    /// It did not complete a message.
    SlowSender,
    /// It gave no sign of life.
    Silent,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooManyTorrents(_) => Self::TooManyTorrents,
            Refusal::TooManyFromAddress(_) => Self::TooManyFromAddress,
            Refusal::Full => Self::Full,
        }
    }
}

/// All counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    announces: [[AtomicU64; EVENTS.len()]; DOORS.len()],
    scrapes: [AtomicU64; DOORS.len()],
    latencies: [Histogram; DOORS.len()],
    failures: [AtomicU64; FAILURES.len()],
    offers: AtomicU64,
    answers: AtomicU64,
    subscriber_missed: AtomicU64,
}

/// What is not counted but is so at the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    pub(crate) sockets: usize,
    pub(crate) swarms: usize,
    pub(crate) members: usize,
}

impl Metrics {
    pub(crate) fn announced(&self, door: Door, event: Event, took: Duration) {
        count(&self.announces[door as usize][event as usize]);
        self.latencies[door as usize].observe(took);
    }

    pub(crate) fn scraped(&self, door: Door) {
        count(&self.scrapes[door as usize]);
    }

    pub(crate) fn failed(&self, failure: Failure) {
        count(&self.failures[failure as usize]);
    }

    pub(crate) fn offers_relayed(&self, number: usize) {
        self.offers.fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(crate) fn answer_relayed(&self) {
        count(&self.answers);
    }

    pub(crate) fn subscriber_missed(&self) {
        count(&self.subscriber_missed);
    }

    /// The exposition (text format 0.0.4).
    pub(crate) fn to_text(&self, levels: Levels) -> String {
        let mut text = Exposition::default();
        text.family(
            "causeway_tracker_connections",
            "gauge",
            "Open WebSocket connections.",
        );
        text.sample("", levels.sockets as u64);
        text.family(
            "causeway_tracker_swarms",
            "gauge",
            "Torrents with at least one peer.",
        );
        text.sample("", levels.swarms as u64);
        text.family(
            "causeway_tracker_peers",
            "gauge",
            "Members of all swarms together.",
        );
        text.sample("", levels.members as u64);
        if let Some(bytes) = resident_memory() {
            text.family("process_resident_memory_bytes", "gauge", "Memory of the process.");
            text.sample("", bytes);
        }
        text.family(
            "causeway_tracker_announces_total",
            "counter",
            "Announces by door and event.",
        );
        for (door, events) in DOORS.iter().zip(&self.announces) {
            for (event, number) in EVENTS.iter().zip(events) {
                let labels = format!("{{door=\"{}\",event=\"{}\"}}", door.1, event.1);
                text.sample(&labels, number.load(Ordering::Relaxed));
            }
        }
        text.family("causeway_tracker_scrapes_total", "counter", "Scrapes by door.");
        for (door, number) in DOORS.iter().zip(&self.scrapes) {
            text.sample(
                &format!("{{door=\"{}\"}}", door.1),
                number.load(Ordering::Relaxed),
            );
        }
        text.family(
            "causeway_tracker_offers_relayed_total",
            "counter",
            "Offers passed on.",
        );
        text.sample("", self.offers.load(Ordering::Relaxed));
        text.family(
            "causeway_tracker_answers_relayed_total",
            "counter",
            "Answers passed on.",
        );
        text.sample("", self.answers.load(Ordering::Relaxed));
        text.family(
            "causeway_tracker_failures_total",
            "counter",
            "What was refused or ended, by reason.",
        );
        for (failure, number) in FAILURES.iter().zip(&self.failures) {
            let labels = format!("{{reason=\"{}\"}}", failure.1);
            text.sample(&labels, number.load(Ordering::Relaxed));
        }
        text.family(
            "causeway_tracker_subscriber_missed_total",
            "counter",
            "Announces that the subscriber was too slow to hear of.",
        );
        text.sample("", self.subscriber_missed.load(Ordering::Relaxed));
        text.family(
            "causeway_tracker_announce_seconds",
            "histogram",
            "Time from an announce being read to its reply being queued.",
        );
        for (door, histogram) in DOORS.iter().zip(&self.latencies) {
            histogram.write(&mut text, door.1);
        }
        text.text
    }
}

/// In the order of [`Door`].
const DOORS: [(Door, &str); 3] = [
    (Door::WebSocket, "websocket"),
    (Door::Http, "http"),
    (Door::Udp, "udp"),
];

/// In the order of [`Event`].
const EVENTS: [(Event, &str); 5] = [
    (Event::Update, "update"),
    (Event::Started, "started"),
    (Event::Completed, "completed"),
    (Event::Stopped, "stopped"),
    (Event::Paused, "paused"),
];

/// In the order of [`Failure`].
const FAILURES: [(Failure, &str); 15] = [
    (Failure::Malformed, "malformed"),
    (Failure::Torrent, "torrent"),
    (Failure::Passkey, "passkey"),
    (Failure::Origin, "origin"),
    (Failure::Full, "full"),
    (Failure::TooManyTorrents, "too_many_torrents"),
    (Failure::TooManyFromAddress, "too_many_from_address"),
    (Failure::TooFast, "too_fast"),
    (Failure::TooManyConnections, "too_many_connections"),
    (Failure::Answer, "answer"),
    (Failure::ConnectionId, "connection_id"),
    (Failure::Busy, "busy"),
    (Failure::SlowReader, "slow_reader"),
    (Failure::SlowSender, "slow_sender"),
    (Failure::Silent, "silent"),
];

/// How many took at most so long, in microseconds, and in the last bucket longer.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicUsize; BOUNDS.len() + 1],
    micros: AtomicU64,
}

const BOUNDS: [u64; 12] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 25_000, 100_000, 1_000_000,
];

impl Histogram {
    fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn write(&self, text: &mut Exposition, door: &str) {
        let mut number = 0;
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain(["+Inf".into()]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            number += bucket.load(Ordering::Relaxed) as u64;
            text.part("_bucket", &format!("{{door=\"{door}\",le=\"{bound}\"}}"), number);
        }
        let labels = format!("{{door=\"{door}\"}}");
        text.part("_sum", &labels, seconds(self.micros.load(Ordering::Relaxed)));
        text.part("_count", &labels, number);
    }
}

fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Default)]
struct Exposition {
    text: String,
    name: &'static str,
}

impl Exposition {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, labels: &str, value: u64) {
        self.part("", labels, value);
    }

    fn part(&mut self, suffix: &str, labels: &str, value: impl fmt::Display) {
        let name = self.name;
        self.line(format_args!("{name}{suffix}{labels} {value}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string takes all that is written");
    }
}

/// What the process has in memory, in bytes, where the system says so (Linux).
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_stand_in_the_order_of_what_they_name() {
        assert!(
            DOORS
                .iter()
                .enumerate()
                .all(|(place, (door, _))| *door as usize == place)
        );
        assert!(
            EVENTS
                .iter()
                .enumerate()
                .all(|(place, (event, _))| *event as usize == place)
        );
        let mut failures = FAILURES.iter().enumerate();
        assert!(failures.all(|(place, (failure, _))| *failure as usize == place));
    }

    #[test]
    fn what_happened_is_told() {
        let metrics = Metrics::default();
        metrics.announced(Door::Udp, Event::Completed, Duration::from_micros(30));
        metrics.announced(Door::Udp, Event::Completed, Duration::from_secs(2));
        metrics.failed(Failure::SlowReader);
        metrics.offers_relayed(5);
        let text = metrics.to_text(Levels {
            sockets: 1,
            swarms: 2,
            members: 3,
        });
        for line in [
            "causeway_tracker_connections 1",
            "causeway_tracker_announces_total{door=\"udp\",event=\"completed\"} 2",
            "causeway_tracker_announces_total{door=\"http\",event=\"completed\"} 0",
            "causeway_tracker_failures_total{reason=\"slow_reader\"} 1",
            "causeway_tracker_offers_relayed_total 5",
            "causeway_tracker_announce_seconds_bucket{door=\"udp\",le=\"0.000025\"} 0",
            "causeway_tracker_announce_seconds_bucket{door=\"udp\",le=\"0.00005\"} 1",
            "causeway_tracker_announce_seconds_bucket{door=\"udp\",le=\"1\"} 1",
            "causeway_tracker_announce_seconds_bucket{door=\"udp\",le=\"+Inf\"} 2",
            "causeway_tracker_announce_seconds_sum{door=\"udp\"} 2.00003",
            "causeway_tracker_announce_seconds_count{door=\"udp\"} 2",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
