//! One data channel over SCTP (RFC 8831), which two agree on beforehand or one announces (RFC 8832). Its packets travel in DTLS.

use core::fmt;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Kind, ServerConfig, StreamEvent, StreamId, TransportConfig,
    max_payload_size_for_mtu,
};
use rtc_shared::TransportProtocol;

use super::{HERE, MAX_RECEIVED_MESSAGE, THERE, failure};
use crate::webrtc::connection::{Channel, Failure};

/// The data channel of a connection, and the SCTP association that it has for itself.
pub(super) struct DataChannel {
    endpoint: Option<Endpoint>,
    /// More than one only while the peer repeats how it begins, because the answer was lost.
    associations: Vec<(AssociationHandle, Association)>,
    opening: Opening,
    stream: Option<StreamId>,
    state: State,
    /// Messages that came before the association ended.
    last: VecDeque<Bytes>,
    /// Channels beside this one.
    strangers: usize,
    /// Bytes that have come since a message was read: a window full and what came twice, where the peer heeds the window.
    unread: usize,
    news: VecDeque<News>,
}

/// How the channel comes about.
#[derive(Debug)]
enum Opening {
    Agreed,
    /// By this side, under a label.
    Announce(String),
    /// By the peer.
    Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no association.
    Connecting,
    /// There is no channel.
    Connected,
    Open,
    Closed,
}

/// What has become of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Opened,
    Closed(&'static str),
}

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("state", &self.state)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl DataChannel {
    /// A channel whose association [`begin`](Self::begin) begins. `announces`: it is this side that has announced it, where
    /// nothing is agreed.
    pub(super) fn new(channel: &Channel, announces: bool) -> Self {
        Self {
            endpoint: None,
            associations: Vec::new(),
            opening: match channel {
                Channel::Agreed => Opening::Agreed,
                Channel::Announced(label) if announces => Opening::Announce(label.clone()),
                Channel::Announced(_) => Opening::Wait,
            },
            stream: None,
            state: State::Connecting,
            last: VecDeque::new(),
            strangers: 0,
            unread: 0,
            news: VecDeque::new(),
        }
    }

    /// Packets can be exchanged, no longer than `longest` bytes. The association is for the side to begin that has begun the DTLS
    /// handshake, `begins`.
    pub(super) fn begin(&mut self, now: Instant, longest: u32, begins: bool) -> Result<(), Failure> {
        let config = TransportConfig::default()
            .with_max_message_size(MAX_RECEIVED_MESSAGE)
            .with_max_receive_buffer_size(RECEIVE_BUFFER)
            .with_max_num_inbound_streams(MAX_STREAMS)
            .with_max_num_outbound_streams(MAX_STREAMS);
        let mut packets = EndpointConfig::new();
        packets.max_payload_size(max_payload_size_for_mtu(longest));
        let server = (!begins).then(|| Arc::new(ServerConfig::new(config.clone())));
        let mut endpoint = Endpoint::new(HERE, TransportProtocol::UDP, Arc::new(packets), server);
        if begins {
            let association = endpoint.connect(now, ClientConfig::new(config), THERE);
            self.associations.push(association.map_err(failure)?);
        }
        self.endpoint = Some(endpoint);
        Ok(())
    }

    /// A packet has come.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        if packet.get(HEADER) == Some(&ABORT) {
            // With the association goes what was not read.
            while let Some(message) = self.receive(now) {
                self.last.push_back(message);
            }
        }
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        if has_data(&packet) {
            self.unread += packet.len();
        }
        if self.unread > 2 * RECEIVE_BUFFER as usize {
            // SCTP itself takes the next part of a message whatever its window says, and has no end of it.
            self.end("the peer has sent more than it may");
            return;
        }
        match endpoint.handle(now, THERE, None, packet) {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = self.associations.iter_mut().find(|(it, _)| *it == handle) {
                    association.handle_event(event);
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.associations.push((handle, association));
                if self.associations.len() == MAX_BEGINNINGS {
                    endpoint.reject_new_associations();
                }
            }
            _ => return,
        }
        self.look(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for (_, association) in &mut self.associations {
            association.handle_timeout(now);
        }
        self.look(now);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.associations
            .iter()
            .filter_map(|(_, association)| association.poll_timeout())
            .min()
    }

    /// What has happened.
    pub(super) fn poll(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Hands out the packets that are to be sent now, some or all of them at a time.
    pub(super) fn transmit(&mut self, now: Instant, mut send: impl FnMut(&[Bytes])) {
        for (_, association) in &mut self.associations {
            while let Some(transmit) = association.poll_transmit(now) {
                if let Payload::RawEncode(packets) = transmit.message {
                    send(&packets);
                }
            }
        }
    }

    /// The next message on the open channel.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Bytes> {
        let Some(stream) = self.stream.filter(|_| self.state == State::Open) else {
            return self.last.pop_front();
        };
        while let Some((kind, message)) = self.read(stream) {
            #[expect(clippy::wildcard_enum_match_arm, reason = "not exhaustive; all else is text")]
            match kind {
                Kind::Binary => return Some(message),
                Kind::BinaryEmpty => {}
                Kind::Dcep => self.handle_control(now, stream, &message),
                _ => self.end("the peer has sent text, which is no part of the protocol"),
            }
        }
        None
    }

    pub(super) fn send(&mut self, now: Instant, message: &Bytes) -> Result<(), Failure> {
        let stream = self.stream.filter(|_| self.state == State::Open);
        let stream = stream.ok_or_else(|| Failure("the data channel is not open".to_owned()))?;
        self.write(now, stream, message, Kind::Binary)
    }

    /// Bytes that were sent and that the peer has not acknowledged.
    pub(super) fn outstanding(&mut self) -> usize {
        let (Some(stream), Some((_, association))) = (self.stream, self.associations.first_mut()) else {
            return 0;
        };
        let stream = association.stream(stream);
        stream.and_then(|stream| stream.buffered_amount()).unwrap_or(0)
    }

    /// Ends the association, for which a last packet is [sent](Self::transmit).
    pub(super) fn close(&mut self) {
        for (_, association) in &mut self.associations {
            if let Err(error) = association.abort() {
                tracing::trace!("an association is ended with an error: {error}");
            }
        }
    }

    /// Takes what the associations report.
    fn look(&mut self, now: Instant) {
        let mut index = 0;
        while let Some((_, association)) = self.associations.get_mut(index) {
            match association.poll() {
                Some(Event::Connected) if self.state == State::Connecting => {
                    if let Some(endpoint) = &mut self.endpoint {
                        endpoint.reject_new_associations();
                    }
                    self.associations.swap(0, index);
                    self.associations.truncate(1);
                    index = 0;
                    self.state = State::Connected;
                    if let Err(failure) = self.open(now) {
                        tracing::debug!("a data channel can't be opened: {failure}");
                        self.end("the data channel can't be opened");
                    }
                }
                Some(Event::Stream(StreamEvent::Readable { id })) if self.state != State::Connecting => {
                    self.read_control(now, id);
                }
                Some(Event::AssociationLost { id, .. }) if Some(id) == self.stream => {
                    self.end("the peer has closed the channel");
                }
                Some(Event::HandshakeFailed { .. }) => self.end("the peer does not answer"),
                Some(_) => {}
                // One that has yet to begin is as closed as one that has ended.
                None if association.is_closed() && !association.is_handshaking() => {
                    self.end("the connection has failed");
                    return;
                }
                None => index += 1,
            }
        }
    }

    /// There is an association.
    fn open(&mut self, now: Instant) -> Result<(), Failure> {
        let Some((_, association)) = self.associations.first_mut() else {
            return Ok(());
        };
        let (stream, announcement) = match &self.opening {
            Opening::Agreed => (AGREED_ID, None),
            // RFC 8832 section 6: who has begun DTLS has the even ones.
            Opening::Announce(label) => (
                u16::from(association.side().is_server()),
                Some(announcement(label)),
            ),
            Opening::Wait => {
                for stream in association.stream_ids() {
                    self.read_control(now, stream);
                }
                return Ok(());
            }
        };
        // The peer's first message may have made it.
        if association.stream(stream).is_err() {
            association.open_stream(stream, Kind::Binary).map_err(failure)?;
        }
        self.stream = Some(stream);
        match announcement {
            Some(announcement) => self.write(now, stream, &announcement, Kind::Dcep)?,
            None => self.opened(),
        }
        Ok(())
    }

    fn opened(&mut self) {
        if self.state == State::Connected {
            self.state = State::Open;
            self.news.push_back(News::Opened);
        }
    }

    /// Reads a stream whose messages nobody waits for.
    fn read_control(&mut self, now: Instant, stream: StreamId) {
        while !(self.state == State::Open && self.stream == Some(stream))
            && let Some((kind, message)) = self.read(stream)
        {
            if kind == Kind::Dcep {
                self.handle_control(now, stream, &message);
            }
        }
    }

    /// A message about a channel itself.
    fn handle_control(&mut self, now: Instant, stream: StreamId, message: &[u8]) {
        match message.first() {
            Some(&ACKNOWLEDGED) if Some(stream) == self.stream => self.opened(),
            Some(&ANNOUNCED) => {
                if let Err(failure) =
                    self.write(now, stream, &Bytes::from_static(&[ACKNOWLEDGED]), Kind::Dcep)
                {
                    tracing::trace!("an announced channel is not acknowledged: {failure}");
                }
                if self.stream.is_none() && matches!(self.opening, Opening::Wait) {
                    self.stream = Some(stream);
                    self.opened();
                } else if Some(stream) != self.stream {
                    // Browsers of our kind announce one channel in vain. More are nobody's habit.
                    self.strangers += 1;
                    if self.strangers > MAX_STRANGERS {
                        self.end("the peer opens channels that nobody uses");
                    }
                }
            }
            _ => {}
        }
    }

    /// The next message of a stream, whole.
    fn read(&mut self, stream: StreamId) -> Option<(Kind, Bytes)> {
        let (_, association) = self.associations.first_mut()?;
        let chunks = association.stream(stream).ok()?.read_sctp().ok()??;
        self.unread = 0;
        let Ok(message) = chunks.to_payload(MAX_RECEIVED_MESSAGE as usize) else {
            self.end("the peer has sent a longer message than this one takes");
            return None;
        };
        Some((chunks.ppi, message.freeze()))
    }

    fn write(&mut self, now: Instant, stream: StreamId, message: &Bytes, kind: Kind) -> Result<(), Failure> {
        let association = self.associations.first_mut();
        let (_, association) = association.ok_or_else(|| Failure("there is no association".to_owned()))?;
        let mut stream = association.stream(stream).map_err(failure)?;
        stream.write_chunk_with_ppi(now, message, kind).map_err(failure)?;
        Ok(())
    }

    fn end(&mut self, reason: &'static str) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.news.push_back(News::Closed(reason));
        }
    }
}

/// The announcement of a channel that is reliable and in order (RFC 8832 section 5.1).
fn announcement(label: &str) -> Bytes {
    let mut bytes = vec![ANNOUNCED, 0, 0, 0, 0, 0, 0, 0];
    let length = u16::try_from(label.len()).unwrap_or(0);
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(&label.as_bytes()[..length.into()]);
    bytes.into()
}

/// Whether there is anything in a packet that may have to be kept, and with it the whole packet.
fn has_data(packet: &[u8]) -> bool {
    let mut rest = packet.get(HEADER..).unwrap_or_default();
    while let [kind, _, high, low, ..] = rest {
        if *kind == DATA {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low])).max(4);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// The number of the channel that two of our kind agree on, the page as well. Firefox begins with 256, and this stack can't give it more later.
const AGREED_ID: StreamId = 200;
/// As many as Firefox begins with.
const MAX_STREAMS: u16 = 256;
/// How much a peer may send before it is read, in bytes.
const RECEIVE_BUFFER: u32 = 1024 * 1024;
/// Associations that a peer may begin until one is there.
const MAX_BEGINNINGS: usize = 8;
/// Channels beside the one that is used.
const MAX_STRANGERS: usize = 4;
/// The bytes of a packet before its first chunk, and kinds of chunks (RFC 9260 section 3).
const HEADER: usize = 12;
const DATA: u8 = 0;
const ABORT: u8 = 6;
/// `DATA_CHANNEL_OPEN` and `DATA_CHANNEL_ACK` (RFC 8832 section 8.2.1).
const ANNOUNCED: u8 = 3;
const ACKNOWLEDGED: u8 = 2;
