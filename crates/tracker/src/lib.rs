//! The tracker: it introduces peers to each other, and carries nothing but their introductions.
//!
//! [`registry`] decides: who is in which swarm, who gets whose offer, who may answer whom. It names no socket and no
//! clock. Around it are three doors: WebSocket for WebRTC peers, HTTP and UDP for classic ones. A door reads what comes,
//! asks the registry, and sends what the registry decided to those concerned. [`Tracker`] is all together; WebSocket and
//! HTTP are mounted in an axum router, and UDP has a socket of its own ([`Tracker::serve_udp`]):
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use std::net::SocketAddr;
//! let tracker = causeway_tracker::Tracker::new(causeway_tracker::Config::default());
//! let service = tracker.router(axum::Router::new()).into_make_service_with_connect_info::<SocketAddr>();
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8000").await?, service).await
//! # }
//! ```
//!
//! The WebTorrent tracker protocol has no BEP: it is what the deployed clients speak. Where a rule of theirs is kept, it
//! stands beside the code that keeps it, and a test names it.

#![forbid(unsafe_code)]

mod access;
mod config;
mod deadline;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
mod limit;
mod metrics;
pub mod registry;
mod stats;
mod tracker;
mod udp;
mod websocket;

pub use access::{Access, Denial, OriginRule, ParseOriginError};
pub use config::Config;
pub use deadline::WriteDeadline;
pub use limit::{Connections, Counted};
pub use tracker::Tracker;
