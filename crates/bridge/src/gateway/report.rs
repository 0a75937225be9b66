//! What the gateway does, in numbers.

use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use super::quota::Quotas;
use crate::disk::Cache;

/// Why the gateway does not join a swarm, or leaves it early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The operator's list doesn't have it, or a list of others does.
    Policy,
    /// No token was given, or a wrong one.
    Token,
    /// As many torrents are carried over as may be.
    TooManyTorrents,
    /// The same, of this address.
    TooManyOfAddress,
    /// A quota is used up.
    Quota,
    /// It was left lately, because nothing came of it.
    Resting,
    /// It is private.
    Private,
    /// It or its pieces are too large.
    TooLarge,
    /// Nobody had its metadata.
    NoMetadata,
    /// Storage failed.
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

/// Counts and levels; the gateway's task writes them.
#[derive(Debug)]
pub(super) struct Report {
    cache: Arc<Cache>,
    quotas: Arc<Quotas>,
    pub(super) torrents: AtomicUsize,
    pub(super) browsers: AtomicUsize,
    pub(super) joined: AtomicU64,
    pub(super) left: AtomicU64,
    /// Payload from others, and payload to browsers.
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
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
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            refused: <[AtomicU64; REASONS.len()]>::default(),
        }
    }

    pub(super) fn refused(&self, reason: Reason) {
        if let Some(place) = REASONS.iter().position(|(known, _)| *known == reason) {
            self.refused[place].fetch_add(1, Ordering::Relaxed);
        }
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
                count(&self.received),
            ),
            (
                "sent_bytes_total",
                "counter",
                "Payload to WebRTC peers.",
                count(&self.sent),
            ),
        ] {
            writeln!(text, "# HELP causeway_gateway_{name} {help}")?;
            writeln!(text, "# TYPE causeway_gateway_{name} {kind}")?;
            writeln!(text, "causeway_gateway_{name} {value}")?;
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
