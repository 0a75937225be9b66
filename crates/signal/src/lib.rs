//! The WebTorrent tracker protocol: how browsers find each other.
//!
//! A browser reaches another one only through WebRTC, and WebRTC needs an introduction: an offer and an answer
//! (SDP, RFC 8829) that somebody carries between the two. That somebody is a tracker, spoken to in JSON over a
//! WebSocket. There is no BEP for it; what stands here is what the deployed clients and trackers do.
//!
//! - [`message`]: the messages of both directions, for the client below and for a tracker.
//! - [`client`]: one peer's side of it for all its torrents, as a state machine without I/O.

#![forbid(unsafe_code)]

pub mod client;
pub mod message;

pub use client::{Client, Config, ConnectionId, Output, Progress, TrackerId, TrackerState, TrackerStatus};
pub use message::{
    Action, Announce, ClientMessage, Event, Fault, Left, MAX_MESSAGE_BYTES, MessageError, OfferId, OfferItem,
    SwarmCounts, TrackerMessage,
};
