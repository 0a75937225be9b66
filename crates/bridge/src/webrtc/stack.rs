//! Connections on the crates of `rtc`, put together for the one thing that is needed here: a data channel.
//!
//! ICE finds a path, a [`Prober`] how long packets may be there, [`Dtls`] makes it safe, SCTP carries messages ([`DataChannel`]). The connection
//! that `rtc` itself makes of these can do media as well, which every packet passes on its way.

mod channel;
mod dtls;
mod probe;
mod records;
mod repeats;

use core::fmt::{self, Write as _};
use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc_dtls::crypto::Certificate;
use rtc_ice::candidate::unmarshal_candidate;
use rtc_ice::mdns::MulticastDnsMode;
use rtc_ice::state::ConnectionState;
use rtc_ice::{Agent, AgentConfig, Event};
use rtc_shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use sansio::Protocol as _;

use self::channel::{DataChannel, News};
use self::dtls::Dtls;
use self::probe::{Prober, SHORTEST};
use self::records::SEAL;
use super::candidate::Candidate;
use super::connection::{Connection, Failure, Happening, Path, Role, Terms};
use super::description::Setup;

/// Makes connections that share one certificate.
pub(super) struct Stack {
    certificate: Certificate,
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
        let crypto = rtc_crypto::default_provider().map_err(failure)?;
        let names = vec!["causeway".to_owned()];
        let certificate = Certificate::generate_self_signed(names, crypto.crypto()).map_err(failure)?;
        let fingerprint = certificate
            .certificate
            .first()
            .and_then(|der| fingerprint(crypto.as_ref(), der))
            .ok_or_else(|| Failure("the certificate has no SHA-256 digest".to_owned()))?;
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
        let is_offerer = terms.role == Role::Offerer;
        // Where the peer leaves it open this side has answered that it waits.
        let begins = terms.remote.setup == Setup::Passive;
        let (crypto, certificate) = (self.crypto.clone(), self.certificate.clone());
        let expected = &terms.remote.fingerprint;
        Ok(RtcConnection {
            agent: self.agent(now, terms)?,
            crypto: self.crypto.clone(),
            dtls: Dtls::new(crypto, certificate, begins, expected)?,
            channel: DataChannel::new(&terms.channel, is_offerer),
            path: None,
            selected: None,
            prober: Prober::default(),
            carried: SHORTEST,
            longest: None,
            rounds: ROUNDS,
            probes: VecDeque::new(),
            happenings: VecDeque::new(),
            early: Vec::new(),
            is_dirty: false,
            progress: Progress::Checking(FIRST_CHECKS),
            now,
            checked: now,
        })
    }

    fn agent(&self, now: Instant, terms: &Terms) -> Result<Agent, Failure> {
        let at_once = Some(Duration::ZERO);
        let config = AgentConfig {
            local_ufrag: terms.credentials.ufrag.clone(),
            local_pwd: terms.credentials.password.clone(),
            multicast_dns_mode: MulticastDnsMode::Disabled,
            disconnected_timeout: Some(SILENCE / 2),
            failed_timeout: Some(SILENCE / 2),
            keepalive_interval: Some(KEEPALIVE),
            check_interval: FIRST_CHECKS,
            max_binding_requests: Some(MAX_CHECKS),
            // The driver spaces the checks; a pair that works is taken when it is found, unless it is by a relay.
            host_acceptance_min_wait: at_once,
            srflx_acceptance_min_wait: at_once,
            prflx_acceptance_min_wait: at_once,
            relay_acceptance_min_wait: Some(RELAY_WAIT),
            ..AgentConfig::default()
        };
        let mut agent = Agent::new(now, Arc::new(config), self.crypto.clone()).map_err(failure)?;
        let hosts = (0..)
            .zip(&terms.local)
            .map(|(rank, address)| Candidate::host(*address, rank));
        for candidate in hosts.chain(terms.relayed.map(Candidate::relayed)) {
            let candidate = unmarshal_candidate(&candidate.to_string()).map_err(failure)?;
            agent.add_local_candidate(candidate).map_err(failure)?;
        }
        for candidate in &terms.remote.candidates {
            let candidate = unmarshal_candidate(&candidate.to_string()).map_err(failure)?;
            agent.add_remote_candidate(candidate).map_err(failure)?;
        }
        let (ufrag, password) = (
            &terms.remote.credentials.ufrag,
            &terms.remote.credentials.password,
        );
        agent
            .start_connectivity_checks(now, terms.role == Role::Offerer, ufrag.clone(), password.clone())
            .map_err(failure)?;
        Ok(agent)
    }
}

/// The SHA-256 digest of a certificate, in capitals (RFC 8122): Firefox refuses descriptions that have it otherwise.
fn fingerprint(crypto: &dyn RTCCryptoProvider, der: &[u8]) -> Option<String> {
    let digest = crypto.crypto().hash(HashAlgorithm::Sha256, der).ok()?;
    let mut text = String::new();
    for byte in &digest {
        let colon = if text.is_empty() { "" } else { ":" };
        write!(text, "{colon}{byte:02X}").ok()?;
    }
    Some(text)
}

/// A connection on `rtc`.
pub(super) struct RtcConnection {
    agent: Agent,
    crypto: Arc<dyn RTCCryptoProvider>,
    dtls: Dtls,
    channel: DataChannel,
    /// What all but the checks travels on.
    path: Option<Path>,
    /// What ICE would have it travel on.
    selected: Option<Path>,
    prober: Prober,
    /// The longest packet that is known to arrive there.
    carried: usize,
    /// The longest that is sent, once there is an association.
    longest: Option<usize>,
    /// How often it is still asked what a path carries.
    rounds: u8,
    /// Checks that ask it.
    probes: VecDeque<(Path, Vec<u8>)>,
    happenings: VecDeque<Happening>,
    /// Packets of the handshake that came before a path was chosen.
    early: Vec<BytesMut>,
    /// Something was done that may have packets to send.
    is_dirty: bool,
    progress: Progress,
    /// The latest time that was told.
    now: Instant,
    /// When checks were last due.
    checked: Instant,
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
        self.now = now;
        if super::stun::is_stun(&bytes) {
            self.read_check(path, bytes);
            if let Progress::Checking(_) = self.progress {
                // An answer to a check may be all that was waited for.
                self.handle_timeout(now);
            }
            return;
        }
        match self.progress {
            // Nobody would answer yet, and the peer repeat it a second later.
            Progress::Checking(_) => {
                if self.early.len() < MAX_EARLY {
                    self.early.push(bytes);
                }
            }
            Progress::Reached | Progress::Open => self.read(bytes),
            Progress::Closed => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if let Progress::Checking(interval) = &mut self.progress {
            if now.saturating_duration_since(self.checked) >= *interval {
                *interval = (*interval * 2).min(LAST_CHECKS);
                self.checked = now;
            }
            self.check();
        } else if self.check_deadline().is_some_and(|deadline| deadline <= now) {
            self.checked = now;
            self.check();
        }
        self.dtls.handle_timeout(now);
        self.channel.handle_timeout(now);
        self.is_dirty = true;
    }

    fn deadline(&mut self) -> Option<Instant> {
        if self.progress == Progress::Closed {
            return None;
        }
        let (check, dtls) = (self.check_deadline(), self.dtls.deadline());
        [check, dtls, self.channel.deadline()].into_iter().flatten().min()
    }

    fn poll(&mut self) -> Option<Happening> {
        self.collect();
        if let Some(happening) = self.happenings.pop_front() {
            return Some(happening);
        }
        if let Some((path, probe)) = self.probes.pop_front() {
            return Some(Happening::Transmit(path, probe[..].into()));
        }
        if let Some(check) = self.agent.poll_write() {
            let path = Path {
                local: check.transport.local_addr,
                remote: check.transport.peer_addr,
            };
            return Some(Happening::Transmit(path, check.message));
        }
        if self.is_dirty {
            self.seal();
        }
        let path = self.path?;
        let packet = self.dtls.poll_transmit()?;
        Some(Happening::Transmit(path, packet))
    }

    fn receive(&mut self) -> Option<Bytes> {
        let message = self.channel.receive(self.now)?;
        // The peer may send as much again.
        self.is_dirty = true;
        Some(message)
    }

    fn send(&mut self, now: Instant, message: BytesMut) -> Result<(), Failure> {
        self.now = now;
        self.is_dirty = true;
        self.channel.send(now, &message.freeze())
    }

    fn outstanding(&mut self) -> usize {
        self.channel.outstanding()
    }

    fn close(&mut self) {
        self.seal();
        self.channel.close();
        self.seal();
        self.dtls.close(self.now);
        self.is_dirty = true;
    }
}

impl RtcConnection {
    /// Looks for a path, or whether the peer is still there.
    fn check(&mut self) {
        if let Err(error) = self.agent.handle_timeout(self.now) {
            tracing::trace!("a check fails: {error}");
        }
        self.collect();
        self.probe();
    }

    /// When to [`check`](Self::check) next.
    fn check_deadline(&mut self) -> Option<Instant> {
        let deadline = self.agent.poll_timeout()?;
        match self.progress {
            Progress::Checking(interval) => Some(deadline.max(self.checked + interval)),
            // The agent wants to be asked five times a second, and does something every five seconds.
            Progress::Open => Some(deadline.max(self.checked + CHECKS)),
            Progress::Reached => Some(deadline),
            Progress::Closed => None,
        }
    }

    /// Asks what the selected path carries, while it isn't known and counts.
    fn probe(&mut self) {
        let is_wanted = match self.longest {
            None => self.carried == SHORTEST,
            Some(_) => self.selected != self.path,
        };
        let Some(path) = self.selected.filter(|_| is_wanted && self.rounds > 0) else {
            return;
        };
        self.rounds -= 1;
        let checks = self.prober.ask(&self.agent, self.crypto.crypto(), path);
        self.probes.extend(checks.into_iter().map(|check| (path, check)));
    }

    fn read_check(&mut self, path: Path, bytes: BytesMut) {
        if let Some((path, length)) = self.prober.handle_response(&bytes) {
            self.handle_proof(path, length);
            return;
        }
        let check = TaggedBytesMut {
            now: self.now,
            transport: TransportContext {
                local_addr: path.local,
                peer_addr: path.remote,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: bytes,
        };
        if let Err(error) = self.agent.handle_read(check) {
            tracing::trace!("a check is of no use: {error}");
        }
    }

    /// So long a packet has arrived.
    fn handle_proof(&mut self, path: Path, length: usize) {
        match self.longest {
            None if self.path == Some(path) => self.carried = self.carried.max(length),
            Some(longest) if length >= longest && self.selected == Some(path) => self.path = Some(path),
            _ => {}
        }
    }

    /// Opens a packet of DTLS.
    fn read(&mut self, bytes: BytesMut) {
        self.is_dirty = true;
        if self.longest.is_none() {
            self.probe();
        }
        self.dtls.handle_packet(self.now, bytes);
        while let Some(news) = self.dtls.poll() {
            match news {
                dtls::News::Complete => {
                    self.longest = Some(self.carried);
                    let longest = u32::try_from(self.carried - SEAL).unwrap_or(0);
                    if let Err(failure) = self.channel.begin(self.now, longest, self.dtls.begins()) {
                        tracing::debug!("an association can't be begun: {failure}");
                        self.end("the data channel can't be opened");
                    }
                }
                dtls::News::Packet(packet) => self.channel.handle_packet(self.now, packet),
                dtls::News::Closed(reason) => self.end(reason),
            }
        }
    }

    /// Seals what SCTP sends.
    fn seal(&mut self) {
        self.is_dirty = false;
        self.channel.transmit(self.now, |packets| self.dtls.seal(packets));
    }

    /// Takes what the parts report.
    fn collect(&mut self) {
        while let Some(event) = self.agent.poll_event() {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "not exhaustive; the other events say nothing new"
            )]
            match event.event {
                Event::SelectedCandidatePairChange(local, remote) => self.reach(Path {
                    local: local.base_addr(),
                    remote: remote.addr(),
                }),
                Event::ConnectionStateChange(ConnectionState::Failed) => {
                    self.end(match self.progress {
                        Progress::Checking(_) => "no way to the peer was found",
                        Progress::Reached | Progress::Open | Progress::Closed => {
                            "the peer is not heard any more"
                        }
                    });
                }
                _ => {}
            }
        }
        while let Some(news) = self.channel.poll() {
            match news {
                News::Opened if self.progress == Progress::Closed => {}
                News::Opened => {
                    self.progress = Progress::Open;
                    self.happenings.push_back(Happening::Opened);
                }
                News::Closed(reason) => self.end(reason),
            }
        }
    }

    /// There is a path, or a better one. That is taken once it carries what is sent.
    fn reach(&mut self, path: Path) {
        self.selected = Some(path);
        if self.path == Some(path) {
            return;
        }
        self.rounds = ROUNDS;
        if self.longest.is_none_or(|longest| longest == SHORTEST) {
            self.path = Some(path);
            self.carried = SHORTEST;
        }
        self.probe();
        let Progress::Checking(_) = self.progress else {
            return;
        };
        self.progress = Progress::Reached;
        if let Err(error) = self.dtls.begin(self.now) {
            tracing::debug!("DTLS can't be begun: {error}");
            self.end("the connection can't be made safe");
        }
        self.is_dirty = true;
        for bytes in std::mem::take(&mut self.early) {
            self.read(bytes);
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

/// The two ends, as DTLS and SCTP know them: which addresses they have at the moment is for ICE to know.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const THERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2);
/// How often it is asked at the most what a path carries.
const ROUNDS: u8 = 5;
/// The largest message that is received, in bytes; descriptions say so. Four blocks with their headers: fewer and larger
/// messages cost a browser less.
pub(super) const MAX_RECEIVED_MESSAGE: u32 = 4 * (16 * 1024 + 13);
/// A peer that is not heard for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a peer that is silent itself is asked whether it is there (RFC 7675).
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Checks of all pairs of addresses begin so far apart, and slow down to the other one.
const FIRST_CHECKS: Duration = Duration::from_millis(20);
const LAST_CHECKS: Duration = Duration::from_millis(500);
/// How often an open connection looks whether the peer is to be asked.
const CHECKS: Duration = Duration::from_secs(1);
/// How long a relay that works waits for a way that costs nobody else anything.
const RELAY_WAIT: Duration = Duration::from_millis(500);
/// Checks of one pair before it is given up: as many as the time to connect has room for.
const MAX_CHECKS: u16 = 60;
/// Packets of a handshake that are kept until a path is chosen.
const MAX_EARLY: usize = 8;

#[cfg(test)]
pub(super) mod tests;
