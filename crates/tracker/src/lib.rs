//! The tracker: it introduces peers to each other, and carries nothing but their introductions.
//!
//! [`registry`] decides: who is in which swarm, who gets whose offer, who may answer whom. It names no socket and no
//! clock. [`websocket`] is the door: it reads messages from sockets, asks the registry, and queues what the
//! registry decided on the sockets concerned. [`Tracker`] is both together, to be mounted in an axum router:
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

mod config;
pub mod registry;
mod stats;
pub mod websocket;

pub use config::Config;
pub use websocket::Tracker;
