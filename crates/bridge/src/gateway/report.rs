//! What the gateway does, in numbers.

use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use causeway_engine::{Carried, LinkKind, Stats};

use super::quota::Quotas;
use crate::disk::Cache;

/// Why the gateway does not join a swarm, or leaves it early, in words for who has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    /// The operator's list doesn't have it, or a list of others does.
    #[error("its operator does not allow it")]
    Policy,
    /// No token was given, or a wrong one.
    #[error("it is for those who were given a link with a token; open the page by that link")]
    Token,
    /// As many torrents are carried over as may be.
    #[error("it carries as many as it may; try again later")]
    TooManyTorrents,
    /// The same, of this address.
    #[error("it carries as many for you as it may; remove one of those that you have opened")]
    TooManyOfAddress,
    /// A quota is used up.
    #[error("it has given as much as it may in a day; try again tomorrow")]
    Quota,
    /// It was left lately, because nothing came of it.
    #[error("it was left lately; it is tried again by itself")]
    Resting,
    /// It is private.
    #[error("the torrent is private")]
    Private,
    /// It or its pieces are too large.
    #[error("the torrent is too large")]
    TooLarge,
    /// Nobody had its metadata.
    #[error("nobody who has it was found; it is looked for again by itself")]
    NoMetadata,
    /// Storage failed.
    #[error("its disk has failed; tell its operator")]
    Storage,
}

const REASONS: [(Reason, &str); 10] = [
    (Reason::Policy, "policy"),
    (Reason::Token, "token"),
    (Reason::TooManyTorrents, "too_many_torrents"),
    (Reason::TooManyOfAddress, "too_many_of_address"),
    (Reason::Quota, "quota"),
    (Reason::Resting, "resting"),
    (Reason::Private, "private"),
    (Reason::TooLarge, "too_large"),
    (Reason::NoMetadata, "no_metadata"),
    (Reason::Storage, "storage"),
];

/// Whom bytes come from, and whom they go to.
const CLASSIC: [LinkKind; 2] = [LinkKind::Tcp, LinkKind::Utp];
const BROWSERS: [LinkKind; 2] = [LinkKind::WebRtc, LinkKind::Http];

/// Counts and levels; the gateway's task writes them.
#[derive(Debug)]
pub(super) struct Report {
    cache: Arc<Cache>,
    quotas: Arc<Quotas>,
    pub(super) torrents: AtomicUsize,
    pub(super) browsers: AtomicUsize,
    pub(super) joined: AtomicU64,
    pub(super) left: AtomicU64,
    /// Payload bytes of all torrents, in the order of [`LinkKind::ALL`].
    carried: [Moved; LinkKind::ALL.len()],
    refused: [AtomicU64; REASONS.len()],
}

/// Payload bytes in both directions.
#[derive(Debug, Default)]
struct Moved {
    down: AtomicU64,
    up: AtomicU64,
}

/// How the links of this kind are called.
const fn name(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Tcp => "tcp",
        LinkKind::Utp => "utp",
        LinkKind::WebRtc => "webrtc",
        LinkKind::Http => "http",
    }
}

impl Report {
    pub(super) fn new(cache: Arc<Cache>, quotas: Arc<Quotas>) -> Self {
        Self {
            cache,
            quotas,
            torrents: AtomicUsize::new(0),
            browsers: AtomicUsize::new(0),
            joined: AtomicU64::new(0),
            left: AtomicU64::new(0),
            carried: <[Moved; LinkKind::ALL.len()]>::default(),
            refused: <[AtomicU64; REASONS.len()]>::default(),
        }
    }

    pub(super) fn refused(&self, reason: Reason) {
        if let Some(place) = REASONS.iter().position(|(known, _)| *known == reason) {
            self.refused[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A torrent has moved so much, and this is what was counted of it before.
    pub(super) fn count(&self, stats: &Stats, counted: &mut Stats) {
        for kind in LinkKind::ALL {
            let (now, before) = (stats.carried_by(kind), counted.carried_by(kind));
            let Moved { down, up } = &self.carried[kind as usize];
            let Carried { downloaded, uploaded } = now;
            down.fetch_add(downloaded.saturating_sub(before.downloaded), Ordering::Relaxed);
            up.fetch_add(uploaded.saturating_sub(before.uploaded), Ordering::Relaxed);
        }
        *counted = *stats;
    }

    fn sum(&self, kinds: &[LinkKind], direction: fn(&Moved) -> &AtomicU64) -> u64 {
        let counts = kinds.iter().map(|kind| direction(&self.carried[*kind as usize]));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// As Prometheus reads it (text format 0.0.4).
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        self.write(&mut text).unwrap_or_default();
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let level = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        for (name, kind, help, value) in [
            (
                "torrents",
                "gauge",
                "Torrents that are carried over.",
                level(&self.torrents),
            ),
            (
                "browsers",
                "gauge",
                "WebRTC links of them.",
                level(&self.browsers),
            ),
            ("cache_bytes", "gauge", "Bytes in the cache.", self.cache.used()),
            (
                "cache_capacity_bytes",
                "gauge",
                "Bytes that the cache may have.",
                self.cache.capacity(),
            ),
            (
                "cache_evictions_total",
                "counter",
                "Pieces that went for others.",
                self.cache.evictions(),
            ),
            (
                "joined_total",
                "counter",
                "Swarms that were joined.",
                count(&self.joined),
            ),
            (
                "left_total",
                "counter",
                "Swarms that were left.",
                count(&self.left),
            ),
            (
                "received_bytes_total",
                "counter",
                "Payload from classic peers.",
                self.sum(&CLASSIC, |moved| &moved.down),
            ),
            (
                "sent_bytes_total",
                "counter",
                "Payload to browsers.",
                self.sum(&BROWSERS, |moved| &moved.up),
            ),
        ] {
            writeln!(text, "# HELP causeway_gateway_{name} {help}")?;
            writeln!(text, "# TYPE causeway_gateway_{name} {kind}")?;
            writeln!(text, "causeway_gateway_{name} {value}")?;
        }
        writeln!(
            text,
            "# HELP causeway_gateway_bytes_total Payload by the kind of link and the direction, as seen from here."
        )?;
        writeln!(text, "# TYPE causeway_gateway_bytes_total counter")?;
        for (kind, moved) in LinkKind::ALL.into_iter().zip(&self.carried) {
            for (direction, bytes) in [("down", &moved.down), ("up", &moved.up)] {
                let (link, bytes) = (name(kind), count(bytes));
                writeln!(
                    text,
                    "causeway_gateway_bytes_total{{link=\"{link}\",direction=\"{direction}\"}} {bytes}"
                )?;
            }
        }
        let name = "causeway_gateway_refused_total";
        writeln!(
            text,
            "# HELP {name} Torrents that were not joined, or left early, by reason."
        )?;
        writeln!(text, "# TYPE {name} counter")?;
        for ((reason, label), refused) in REASONS.iter().zip(&self.refused) {
            let refused = if *reason == Reason::Quota {
                // Browsers are refused, too, after their torrent was not.
                self.quotas.refusals()
            } else {
                count(refused)
            };
            writeln!(text, "{name}{{reason=\"{label}\"}} {refused}")?;
        }
        Ok(())
    }
}
