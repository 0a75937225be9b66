//! One connection in the endpoint: between the WebRTC stack and the link.

use core::net::IpAddr;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::connection::{Connection, Happening, Path, Terms};
use super::window::{self, Window};
use crate::link::{Closed, End, Link, Meeting, link};

/// A connection and the link that it carries.
#[derive(Debug)]
pub(super) struct Peer {
    connection: Box<dyn Connection>,
    /// The user fragment that its checks name.
    pub(super) ufrag: String,
    /// Where its peer was found, [`MAX_PATHS`] at most.
    pub(super) paths: Vec<Path>,
    /// When the endpoint serves it next.
    pub(super) due: Option<Instant>,
    /// Where its peer may be found.
    expected: Vec<Path>,
    /// Wakes the endpoint for its link.
    waker: Waker,
    meeting: Meeting,
    max_message: usize,
    since: Instant,
    state: State,
    /// Where its last packet came from.
    heard: Option<IpAddr>,
}

#[derive(Debug)]
enum State {
    Connecting,
    Open(Channel),
    /// What was written last is on its way.
    Closing {
        window: Window,
        until: Instant,
        reason: String,
    },
}

#[derive(Debug)]
struct Channel {
    end: End,
    window: Window,
    /// The next bytes of the link, which had no room in the message before.
    carried: Option<Bytes>,
}

/// What came of serving a peer.
#[derive(Debug)]
pub(super) enum Served {
    Nothing,
    /// Its channel is open, and this is the torrent's side.
    Opened(Link),
    /// It has ended.
    Ended(String),
}

impl Peer {
    /// A connection that is not open yet.
    pub(super) fn new(
        now: Instant,
        connection: Box<dyn Connection>,
        terms: &Terms,
        meeting: Meeting,
        waker: Waker,
    ) -> Self {
        let locals = [terms.local.first().copied(), terms.relayed];
        let remotes = terms.remote.candidates.iter().map(|candidate| candidate.address);
        Self {
            connection,
            ufrag: terms.credentials.ufrag.clone(),
            paths: Vec::new(),
            due: None,
            expected: remotes
                .flat_map(|remote| {
                    locals
                        .into_iter()
                        .flatten()
                        .map(move |local| Path { local, remote })
                })
                .collect(),
            waker,
            meeting,
            max_message: terms
                .remote
                .max_message_size
                .map_or(MAX_MESSAGE, |size| size.min(MAX_MESSAGE)),
            since: now,
            state: State::Connecting,
            heard: None,
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    /// Whether packets between this port and that address may be its own.
    pub(super) fn expects(&self, path: Path) -> bool {
        let mut known = self.expected.iter().chain(&self.paths);
        known.any(|it| it.local.port() == path.local.port() && it.remote == path.remote)
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, path: Path, packet: &[u8]) {
        self.heard = Some(path.remote.ip().to_canonical());
        self.connection.handle_datagram(now, path, BytesMut::from(packet));
    }

    /// Does everything that can be done now: time, what has come, what is to be sent. Packets are added to `packets`.
    pub(super) fn serve(&mut self, now: Instant, packets: &mut VecDeque<(Path, BytesMut)>) -> Served {
        if self.connection.deadline().is_some_and(|deadline| deadline <= now) {
            self.connection.handle_timeout(now);
        }
        let mut served = Served::Nothing;
        while let Some(happening) = self.connection.poll() {
            match happening {
                Happening::Transmit(path, packet) => packets.push_back((path, packet)),
                Happening::Opened => served = self.open(now),
                Happening::Closed(reason) => return self.end(reason.to_owned()),
            }
        }
        if let Err(reason) = self.carry(now) {
            return self.end(reason);
        }
        while let Some(happening) = self.connection.poll() {
            match happening {
                Happening::Transmit(path, packet) => packets.push_back((path, packet)),
                Happening::Opened => {}
                Happening::Closed(reason) => return self.end(reason.to_owned()),
            }
        }
        served
    }

    /// When it is to be served next, if nothing happens before.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let own = match &self.state {
            State::Connecting => Some(self.since + CONNECTING),
            State::Open(channel) => channel.window.stuck_at(),
            State::Closing { until, .. } => Some(*until),
        };
        [self.connection.deadline(), own].into_iter().flatten().min()
    }

    /// Takes leave of the peer.
    pub(super) fn close(&mut self, reason: &str, packets: &mut VecDeque<(Path, BytesMut)>) {
        if let State::Open(channel) = &self.state {
            channel.end.incoming.close(reason);
        }
        self.connection.close();
        while let Some(happening) = self.connection.poll() {
            if let Happening::Transmit(path, packet) = happening {
                packets.push_back((path, packet));
            }
        }
    }

    fn open(&mut self, now: Instant) -> Served {
        let (mut link, end) = link(self.meeting, LINK_WINDOW);
        link.host = self.heard;
        self.state = State::Open(Channel {
            end,
            window: Window::new(now),
            carried: None,
        });
        Served::Opened(link)
    }

    fn end(&mut self, reason: String) -> Served {
        if let State::Open(channel) = &self.state {
            // What came before the end; the stack bounds how much that is.
            while let Some(bytes) = self.connection.receive() {
                channel.end.incoming.write(bytes);
            }
            channel.end.incoming.close(reason.clone());
        }
        Served::Ended(reason)
    }

    /// Moves bytes between the stack and the link, as far as both have room.
    fn carry(&mut self, now: Instant) -> Result<(), String> {
        let outstanding = self.connection.outstanding();
        let context = &mut Context::from_waker(&self.waker);
        match &mut self.state {
            State::Connecting => {
                if now >= self.since + CONNECTING {
                    return Err("no connection came about in time".to_owned());
                }
            }
            State::Closing {
                window,
                until,
                reason,
            } => {
                window.handle_outstanding(now, outstanding);
                if outstanding == 0 || now >= *until {
                    return Err(std::mem::take(reason));
                }
            }
            State::Open(channel) => {
                let acknowledged = channel.window.handle_outstanding(now, outstanding);
                channel.end.outgoing.release(acknowledged);
                if channel.window.is_stuck(now) {
                    return Err("the peer takes nothing any more".to_owned());
                }
                let (max, connection) = (self.max_message, &mut *self.connection);
                channel.receive(connection, context);
                if let Err(Closed(reason)) = channel.send(now, max, connection, context) {
                    if self.connection.outstanding() == 0 {
                        return Err(reason);
                    }
                    let State::Open(channel) = std::mem::replace(&mut self.state, State::Connecting) else {
                        return Err(reason);
                    };
                    self.state = State::Closing {
                        window: channel.window,
                        until: now + LINGER,
                        reason,
                    };
                }
            }
        }
        Ok(())
    }
}

impl Channel {
    /// Hands over what has come. What has no room stays with the stack, which tells the peer to wait.
    fn receive(&self, connection: &mut dyn Connection, context: &mut Context<'_>) {
        // Where the torrent has gone it has closed the other direction, too, which may have more to send.
        while let Poll::Ready(Ok(_)) = self.end.incoming.poll_room(context, 1) {
            let Some(bytes) = connection.receive() else { break };
            self.end.incoming.write(bytes);
        }
    }

    /// Sends what waits, in messages as large as the peer takes; a block is not cut in two where that can be helped.
    fn send(
        &mut self,
        now: Instant,
        max_message: usize,
        connection: &mut dyn Connection,
        context: &mut Context<'_>,
    ) -> Result<(), Closed> {
        // A window has several messages, so that the peer acknowledges one while others are under way.
        let max_message = max_message.min(self.window.limit() / 2);
        let mut under_way = connection.outstanding();
        let mut ended = Ok(());
        while under_way < self.window.limit() && ended.is_ok() {
            let mut message = BytesMut::new();
            while message.len() < max_message {
                let mut bytes = match self.carried.take() {
                    Some(bytes) => bytes,
                    None => match self.end.outgoing.poll_read(context) {
                        Poll::Ready(Ok(bytes)) => bytes,
                        Poll::Ready(Err(closed)) => {
                            ended = Err(closed);
                            break;
                        }
                        Poll::Pending => break,
                    },
                };
                let room = max_message - message.len();
                if bytes.len() > room && !message.is_empty() {
                    self.carried = Some(bytes);
                    break;
                }
                let part = bytes.split_to(bytes.len().min(room));
                if message.is_empty() {
                    message.reserve(max_message.min(part.len() * 4));
                }
                message.extend_from_slice(&part);
                if !bytes.is_empty() {
                    self.carried = Some(bytes);
                    break;
                }
            }
            if message.is_empty() {
                break;
            }
            let length = message.len();
            connection
                .send(now, message)
                .map_err(|failure| Closed(failure.to_string()))?;
            self.window.handle_sent(now, length);
            under_way += length;
        }
        ended
    }
}

/// Addresses of one peer that are known at once.
pub(super) const MAX_PATHS: usize = 8;
/// What is sent in one message, in bytes: as much as is received in one.
const MAX_MESSAGE: usize = super::stack::MAX_RECEIVED_MESSAGE as usize;
/// What a link holds that the peer has not acknowledged: what is under way and as much as to go on with.
const LINK_WINDOW: usize = window::MOST + 128 * 1024;
/// A connection that is not open by then never will be.
const CONNECTING: Duration = Duration::from_secs(30);
/// How long the last bytes of a link may take.
const LINGER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
