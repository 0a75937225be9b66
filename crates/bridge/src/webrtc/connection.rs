//! One connection to a peer, without I/O.
//!
//! [`Connection`] is all that the endpoint knows of the WebRTC stack beneath, so that another one can take its place.

use core::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::description::{Credentials, Description};

/// ICE, DTLS, SCTP and one data channel over it.
///
/// Call `handle_*` as things happen and then [`poll`](Self::poll) until it has no more. No packet leaves otherwise.
pub(super) trait Connection: fmt::Debug + Send {
    /// A packet has come.
    fn handle_datagram(&mut self, now: Instant, path: Path, bytes: BytesMut);

    /// Time has passed; harmless at any moment.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    fn deadline(&mut self) -> Option<Instant>;

    /// What has come of it.
    fn poll(&mut self) -> Option<Happening>;

    /// The next bytes that have come on the open channel. The peer has to wait while nobody asks for them.
    fn receive(&mut self) -> Option<Bytes>;

    /// Sends a message, no longer than the peer takes, on the open channel.
    fn send(&mut self, now: Instant, message: BytesMut) -> Result<(), Failure>;

    /// Bytes that were sent and that the peer has not acknowledged.
    fn outstanding(&mut self) -> usize;

    /// Takes leave of the peer, as far as [`poll`](Self::poll) is asked for packets after it.
    fn close(&mut self);
}

/// Between which addresses a packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// What comes out of a connection.
#[derive(Debug)]
pub(super) enum Happening {
    /// Send this packet.
    Transmit(Path, BytesMut),
    /// The data channel is open.
    Opened,
    /// The connection or its channel has ended; nothing follows.
    Closed(&'static str),
}

/// The stack refuses, in its words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(pub(super) String);

/// What a connection is made of.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) role: Role,
    pub(super) credentials: Credentials,
    pub(super) remote: Description,
    /// Where this side receives, each of them bound.
    pub(super) local: Vec<SocketAddr>,
    /// Where a relay receives for it.
    pub(super) relayed: Option<SocketAddr>,
    pub(super) channel: Channel,
}

/// Which side has made the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// This one.
    Offerer,
    /// The other one.
    Answerer,
}

/// The data channel of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Both sides make it with an agreed number. So do two peers of our kind.
    Agreed,
    /// Whoever offers announces it, with this label. So does everybody else.
    Announced(String),
}
