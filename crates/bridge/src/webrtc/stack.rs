//! Connections on the crate `rtc`.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc::crypto::{self, RTCCryptoProvider, SignatureScheme};
use rtc::data_channel::{RTCDataChannelId, RTCDataChannelInit};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::certificate::RTCCertificate;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::setting_engine::{
    SctpMaxMessageSize, SettingEngine, SettingEngineBuilder,
};
use rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use rtc::peer_connection::transport::{RTCDtlsRole, RTCIceCandidateInit};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::sansio::Protocol as _;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use super::candidate::Candidate;
use super::connection::{Channel, Connection, Failure, Happening, Path, Role, Terms};
use super::description::{Description, Setup};

/// Makes connections that share one certificate.
pub(super) struct Stack {
    certificate: RTCCertificate,
    crypto: Arc<dyn RTCCryptoProvider>,
    fingerprint: String,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl Stack {
    /// Makes the certificate.
    pub(super) fn new() -> Result<Self, Failure> {
        let crypto = crypto::default_provider().map_err(failure)?;
        let parameters = rcgen::CertificateParams::new(vec!["causeway".to_owned()]).map_err(failure)?;
        let scheme = SignatureScheme::EcdsaP256Sha256;
        let certificate = RTCCertificate::generate(crypto.crypto(), scheme, parameters).map_err(failure)?;
        let fingerprints = certificate.get_fingerprints(crypto.crypto()).map_err(failure)?;
        let fingerprint = fingerprints
            .into_iter()
            .find(|fingerprint| fingerprint.algorithm.eq_ignore_ascii_case("sha-256"))
            .ok_or_else(|| Failure("the certificate has no SHA-256 digest".to_owned()))?
            .value
            // RFC 8122: in capitals. Firefox refuses descriptions that have it otherwise.
            .to_ascii_uppercase();
        Ok(Self {
            certificate,
            crypto,
            fingerprint,
        })
    }

    /// The digest of the certificate, for descriptions.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What signs and digests.
    pub(super) fn crypto(&self) -> Arc<dyn RTCCryptoProvider> {
        self.crypto.clone()
    }

    /// Makes a connection, both sides of which are known, and begins to check how the peer is reached.
    pub(super) fn connect(&self, now: Instant, terms: &Terms) -> Result<RtcConnection, Failure> {
        let configuration = RTCConfigurationBuilder::new().with_certificates(vec![self.certificate.clone()]);
        let mut peer = RTCPeerConnectionBuilder::new()
            .with_configuration(configuration.build())
            .with_setting_engine(self.settings(terms))
            .build(now)
            .map_err(failure)?;
        let channel = match (&terms.channel, terms.role) {
            (Channel::Agreed, _) => {
                let options = RTCDataChannelInit {
                    negotiated: Some(AGREED_ID),
                    ..RTCDataChannelInit::default()
                };
                Some(
                    peer.create_data_channel("causeway", Some(options))
                        .map_err(failure)?
                        .id(),
                )
            }
            (Channel::Announced(label), Role::Offerer) => {
                Some(peer.create_data_channel(label, None).map_err(failure)?.id())
            }
            (Channel::Announced(_), Role::Answerer) => None,
        };
        let hosts = (0..)
            .zip(&terms.local)
            .map(|(rank, address)| Candidate::host(*address, rank));
        for candidate in hosts.chain(terms.relayed.map(Candidate::relayed)) {
            let candidate = RTCIceCandidateInit {
                candidate: candidate.to_string(),
                ..RTCIceCandidateInit::default()
            };
            peer.add_local_candidate(candidate).map_err(failure)?;
        }
        negotiate(&mut peer, now, terms)?;
        Ok(RtcConnection {
            peer,
            channel,
            strangers: 0,
            happenings: VecDeque::new(),
            early: Vec::new(),
            progress: Progress::Checking(FIRST_CHECKS),
            checked: now,
            active: now,
        })
    }

    fn settings(&self, terms: &Terms) -> SettingEngine {
        let at_once = Some(Duration::ZERO);
        let answering = match terms.remote.setup {
            Setup::Active => RTCDtlsRole::Server,
            Setup::ActPass | Setup::Passive => RTCDtlsRole::Client,
        };
        SettingEngineBuilder::new()
            .with_crypto_provider(self.crypto.clone())
            .with_ice_credentials(
                terms.credentials.ufrag.clone(),
                terms.credentials.password.clone(),
            )
            .with_answering_dtls_role(answering)
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_ice_timeouts(Some(SILENCE / 2), Some(SILENCE / 2), Some(KEEPALIVE))
            .with_ice_connection_attempts(Some(FIRST_CHECKS), Some(MAX_CHECKS))
            // The driver spaces the checks; a pair that works is taken when it is found, unless it is by a relay.
            .with_host_acceptance_min_wait(at_once)
            .with_srflx_acceptance_min_wait(at_once)
            .with_prflx_acceptance_min_wait(at_once)
            .with_relay_acceptance_min_wait(Some(RELAY_WAIT))
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_RECEIVED_MESSAGE))
            .with_sctp_max_receive_buffer_size(RECEIVE_BUFFER)
            .build()
    }
}

/// Tells the stack what both sides have said. What it would say itself reaches nobody.
fn negotiate(peer: &mut RTCPeerConnection, now: Instant, terms: &Terms) -> Result<(), Failure> {
    // How much the peer takes is for the sender to heed; the stack would receive no more than that, either.
    let remote = Description {
        max_message_size: Some(MAX_RECEIVED_MESSAGE as usize),
        ..terms.remote.clone()
    };
    let remote = remote.to_string();
    match terms.role {
        Role::Offerer => {
            let offer = peer.create_offer(None).map_err(failure)?;
            peer.set_local_description(now, offer).map_err(failure)?;
            let answer = RTCSessionDescription::answer(remote).map_err(failure)?;
            peer.set_remote_description(now, answer).map_err(failure)
        }
        Role::Answerer => {
            let offer = RTCSessionDescription::offer(remote).map_err(failure)?;
            peer.set_remote_description(now, offer).map_err(failure)?;
            let answer = peer.create_answer(None).map_err(failure)?;
            peer.set_local_description(now, answer).map_err(failure)
        }
    }
}

/// A connection on `rtc`.
pub(super) struct RtcConnection {
    peer: RTCPeerConnection,
    /// The channel that is used; where the peer announces it, once it has.
    channel: Option<RTCDataChannelId>,
    /// Channels beside it.
    strangers: usize,
    happenings: VecDeque<Happening>,
    /// Packets of the handshake that came before a path was chosen.
    early: Vec<(Path, BytesMut)>,
    progress: Progress,
    /// When the stack was last told the time.
    checked: Instant,
    /// When bytes last went either way.
    active: Instant,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// A path is looked for; checks are so far apart.
    Checking(Duration),
    /// A path is found.
    Reached,
    Open,
    Closed,
}

impl fmt::Debug for RtcConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtcConnection")
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl Connection for RtcConnection {
    fn handle_datagram(&mut self, now: Instant, path: Path, bytes: BytesMut) {
        let is_dtls = !super::stun::is_stun(&bytes);
        if is_dtls && matches!(self.progress, Progress::Checking(_)) {
            // The stack would drop it, and the peer repeat it a second later.
            if self.early.len() < MAX_EARLY {
                self.early.push((path, bytes));
            }
            return;
        }
        if is_dtls {
            self.active = now;
        }
        self.read(now, path, bytes);
        if !is_dtls && let Progress::Checking(_) = self.progress {
            // An answer to a check may be all that was waited for.
            self.handle_timeout(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.progress {
            Progress::Checking(interval) => {
                if now.saturating_duration_since(self.checked) >= *interval {
                    *interval = (*interval * 2).min(LAST_CHECKS);
                    self.checked = now;
                }
            }
            Progress::Reached | Progress::Open | Progress::Closed => self.checked = now,
        }
        if let Err(error) = self.peer.handle_timeout(now) {
            tracing::trace!("a timer of a connection fails: {error}");
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        let deadline = self.peer.poll_timeout()?;
        let is_idle = self.checked > self.active + IDLE && self.outstanding() == 0;
        match self.progress {
            Progress::Checking(interval) => Some(deadline.max(self.checked + interval)),
            // The stack wants to be asked five times a second whatever happens; for one that idles once is enough.
            Progress::Open if is_idle => Some(deadline.max(self.checked + IDLE)),
            Progress::Reached | Progress::Open => Some(deadline),
            Progress::Closed => None,
        }
    }

    fn poll(&mut self) -> Option<Happening> {
        self.collect();
        if let Some(happening) = self.happenings.pop_front() {
            return Some(happening);
        }
        let datagram = self.peer.poll_write()?;
        let path = Path {
            local: datagram.transport.local_addr,
            remote: datagram.transport.peer_addr,
        };
        Some(Happening::Transmit(path, datagram.message))
    }

    fn receive(&mut self) -> Option<Bytes> {
        while let Some(read) = self.peer.poll_read() {
            if let RTCMessage::DataChannelMessage(id, message) = read.message
                && Some(id) == self.channel
            {
                if !message.is_string {
                    return Some(message.data.freeze());
                }
                self.end("the peer has sent text, which is no part of the protocol");
            }
        }
        None
    }

    fn send(&mut self, now: Instant, message: BytesMut) -> Result<(), Failure> {
        let channel = self.channel.and_then(|id| self.peer.data_channel(id));
        let mut channel = channel.ok_or_else(|| Failure("the data channel is not open".to_owned()))?;
        channel.send(now, message).map_err(failure)?;
        self.active = now;
        Ok(())
    }

    fn outstanding(&mut self) -> usize {
        let channel = self.channel.and_then(|id| self.peer.data_channel(id));
        channel.map_or(0, |channel| channel.outstanding_bytes())
    }

    fn close(&mut self) {
        if let Err(error) = self.peer.close() {
            tracing::trace!("a connection is closed with an error: {error}");
        }
    }
}

impl RtcConnection {
    fn read(&mut self, now: Instant, path: Path, bytes: BytesMut) {
        let datagram = TaggedBytesMut {
            now,
            transport: TransportContext {
                local_addr: path.local,
                peer_addr: path.remote,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: bytes,
        };
        if let Err(error) = self.peer.handle_read(datagram) {
            tracing::trace!("a packet is of no use: {error}");
        }
        // The stack opens the channel where it is asked for events: what the peer sends in the next packet would find it
        // closed, and be lost.
        if self.progress != Progress::Open {
            self.collect();
        }
    }

    /// Takes what the stack reports.
    fn collect(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            self.handle_event(event);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not exhaustive; the other events say nothing new"
    )]
    fn handle_event(&mut self, event: RTCPeerConnectionEvent) {
        match event {
            RTCPeerConnectionEvent::OnIceConnectionStateChangeEvent(
                RTCIceConnectionState::Connected | RTCIceConnectionState::Completed,
            ) => {
                if let Progress::Checking(_) = self.progress {
                    self.progress = Progress::Reached;
                    let now = self.checked;
                    for (path, bytes) in std::mem::take(&mut self.early) {
                        self.read(now, path, bytes);
                    }
                }
            }
            RTCPeerConnectionEvent::OnIceConnectionStateChangeEvent(RTCIceConnectionState::Failed) => {
                self.end(match self.progress {
                    Progress::Checking(_) => "no way to the peer was found",
                    Progress::Reached | Progress::Open | Progress::Closed => "the peer is not heard any more",
                });
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed,
            ) => self.end("the connection has failed"),
            RTCPeerConnectionEvent::OnDataChannel(event) => self.handle_channel(&event),
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not exhaustive; the other events say nothing new"
    )]
    fn handle_channel(&mut self, event: &RTCDataChannelEvent) {
        match event {
            RTCDataChannelEvent::OnOpen(_) if self.progress == Progress::Closed => {}
            RTCDataChannelEvent::OnOpen(id) if *self.channel.get_or_insert(*id) == *id => {
                self.progress = Progress::Open;
                self.happenings.push_back(Happening::Opened);
            }
            // Browsers of our kind announce one channel in vain. More are nobody's habit.
            RTCDataChannelEvent::OnOpen(_) => {
                self.strangers += 1;
                if self.strangers > MAX_STRANGERS {
                    self.end("the peer opens channels that nobody uses");
                }
            }
            RTCDataChannelEvent::OnClosing(id) | RTCDataChannelEvent::OnClose(id)
                if Some(*id) == self.channel =>
            {
                self.end("the peer has closed the channel");
            }
            _ => {}
        }
    }

    fn end(&mut self, reason: &'static str) {
        if self.progress != Progress::Closed {
            self.progress = Progress::Closed;
            self.happenings.push_back(Happening::Closed(reason));
        }
    }
}

fn failure(error: impl fmt::Display) -> Failure {
    Failure(error.to_string())
}

/// The number of the channel that two of our kind agree on, the page as well. Firefox begins with 256, and this stack can't give it more later.
const AGREED_ID: u16 = 200;
/// The largest message that is received, in bytes; descriptions say so. Four blocks with their headers: fewer and larger
/// messages cost a browser less, and the stack has a buffer of this length for each connection.
pub(super) const MAX_RECEIVED_MESSAGE: u32 = 4 * (16 * 1024 + 13);
/// How much a peer may send before it is read, in bytes.
const RECEIVE_BUFFER: u32 = 1024 * 1024;
/// A peer that is not heard for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a peer that is silent itself is asked whether it is there (RFC 7675).
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Checks of all pairs of addresses begin so far apart, and slow down to the other one.
const FIRST_CHECKS: Duration = Duration::from_millis(20);
const LAST_CHECKS: Duration = Duration::from_millis(500);
/// How long a relay that works waits for a way that costs nobody else anything.
const RELAY_WAIT: Duration = Duration::from_millis(500);
/// Checks of one pair before it is given up: as many as the time to connect has room for.
const MAX_CHECKS: u16 = 60;
/// A connection without traffic for so long idles.
const IDLE: Duration = Duration::from_secs(1);
/// Packets of a handshake that are kept until a path is chosen.
const MAX_EARLY: usize = 8;
/// Channels beside the one that is used.
const MAX_STRANGERS: usize = 4;
