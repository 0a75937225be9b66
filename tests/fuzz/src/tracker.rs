//! What classic clients ask a tracker, over UDP and HTTP.

use causeway_tracker::{Config, Tracker, fuzzing};
use std::net::SocketAddr;

use crate::source::Source;

/// A tracker that a few clients ask one thing after the other: nobody gets more than is due.
pub(crate) fn doors(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("it needs nothing of the system");
    runtime.block_on(ask(Source(data)));
}

async fn ask(mut source: Source<'_>) {
    let tracker = Tracker::new(Config::default());
    while !source.is_empty() {
        let kind = source.byte();
        let client: SocketAddr = if kind & 1 == 0 {
            ([10, 0, 0, kind], 6881).into()
        } else {
            (std::net::Ipv6Addr::from(u128::from(kind)), 6881).into()
        };
        let asked = source.bytes(600);
        if kind & 2 == 0 {
            over_udp(&tracker, client, &asked, kind & 4 == 0).await;
        } else if let Ok(text) = core::str::from_utf8(&asked)
            && let Ok(uri) = text.parse()
        {
            match fuzzing::announce(&tracker, client, &uri).await {
                Ok(reply) => assert!(
                    reply.starts_with(b"d") && reply.ends_with(b"e"),
                    "it is a dictionary"
                ),
                Err(reason) => assert!(!reason.is_empty(), "a refusal says why"),
            }
        }
    }
}

/// Packets whose sender may have asked for its connection id before.
async fn over_udp(tracker: &Tracker, client: SocketAddr, packet: &[u8], is_known: bool) {
    if !is_known {
        let answer = fuzzing::packet(tracker, client, packet).await;
        assert!(
            answer.len() <= packet.len(),
            "a stranger gets no more than it sent"
        );
        return;
    }
    let connect = [&0x0417_2710_1980_u64.to_be_bytes()[..], &[0, 0, 0, 0, 1, 2, 3, 4]].concat();
    let answer = fuzzing::packet(tracker, client, &connect).await;
    assert_eq!(
        answer.get(..8),
        Some(&[0, 0, 0, 0, 1, 2, 3, 4][..]),
        "who asks for an id gets one"
    );
    let id = answer.get(8..).unwrap_or_default();
    let packet = [id, packet.get(8..).unwrap_or_default()].concat();
    let answer = fuzzing::packet(tracker, client, &packet).await;
    assert!(
        answer.len() <= 8 + 12 * 74 + 18 * 100,
        "an answer fits into a packet: {}",
        answer.len()
    );
    assert!(
        answer.is_empty() || answer.get(4..8) == packet.get(12..16),
        "it names its question"
    );
}
