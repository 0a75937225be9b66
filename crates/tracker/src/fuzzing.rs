//! What the fuzzer needs of the doors: what came, without the sockets that it came over.

use std::net::SocketAddr;

use axum::http::Uri;

use crate::{Tracker, http, udp};

/// The answer of the UDP door to this packet; empty where there is none.
pub async fn packet(tracker: &Tracker, source: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    udp::handle(&tracker.shared, source, packet, &mut answer).await;
    answer
}

/// The answer of the HTTP door to an announce with this address.
///
/// # Errors
/// It is refused, for the reason that the client is told.
pub async fn announce(tracker: &Tracker, source: SocketAddr, uri: &Uri) -> Result<Vec<u8>, String> {
    http::answer(&tracker.shared, source, uri, uri.query().unwrap_or_default()).await
}
