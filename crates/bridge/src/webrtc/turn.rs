//! An address at a relay, for peers that reach this machine no other way (TURN, RFC 8656), over UDP.
//!
//! One address serves all connections. The server passes on what comes from addresses that it was told of: each is named when the first
//! packet goes there, again while packets go on, and forgotten when none do. Packets travel in indications; channels would save 32 bytes of
//! each, and keep a number for every address.

use core::fmt;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rtc_crypto::{HashAlgorithm, HmacAlgorithm, RTCCryptoProvider};

use super::stun::{self, Message, TransactionId};

/// A TURN server and the account there.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// As `HOST:PORT`.
    pub host: String,
    /// Who we are to the server.
    pub user: String,
    /// What proves it.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.host)
    }
}

/// An address at a relay.
///
/// Call [`handle_timeout`](Self::handle_timeout) at its deadline, and take packets from [`poll`](Self::poll) after every call.
pub(super) struct Relay {
    server: SocketAddr,
    account: TurnServer,
    crypto: Arc<dyn RTCCryptoProvider>,
    random: fn(&mut [u8]),
    /// What the server wants to be told with each request.
    session: Option<Session>,
    /// The address, and until when it is ours.
    relayed: Option<(SocketAddr, Instant)>,
    /// The request for it, or for more time, that waits for its answer.
    request: Option<Request>,
    /// When to ask next.
    next: Instant,
    /// Descriptions wait for the address until then.
    until: Instant,
    permissions: HashMap<IpAddr, Permission>,
    packets: VecDeque<BytesMut>,
}

struct Session {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: Vec<u8>,
}

struct Request {
    method: u16,
    transaction: TransactionId,
    packet: BytesMut,
    /// When it is sent again, and how long it waits then.
    again: Instant,
    interval: Duration,
    /// How often the server has named a new session since the first attempt.
    sessions: u8,
}

/// The server's leave to send to an address, and to pass on what comes from there.
struct Permission {
    transaction: TransactionId,
    asked: Instant,
    used: Instant,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    None,
    Granted,
    Refused,
}

/// What a packet of the server is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// A packet that came to the relayed address from the other one.
    Packet(SocketAddr, SocketAddr, &'a [u8]),
    /// Between the server and this side.
    Handled,
    /// None of the relay's business.
    Other,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("server", &self.server)
            .field("relayed", &self.relayed)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// Asks this server for an address.
    pub(super) fn new(
        now: Instant,
        server: SocketAddr,
        account: TurnServer,
        crypto: Arc<dyn RTCCryptoProvider>,
        random: fn(&mut [u8]),
    ) -> Self {
        Self {
            server,
            account,
            crypto,
            random,
            session: None,
            relayed: None,
            request: None,
            next: now,
            until: now + PATIENCE,
            permissions: HashMap::new(),
            packets: VecDeque::new(),
        }
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    /// The address that peers reach, while there is one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.relayed.map(|(address, _)| address)
    }

    /// Whether a description should wait for the address.
    pub(super) fn is_awaited(&self, now: Instant) -> bool {
        self.relayed.is_none() && now < self.until
    }

    /// The next packet to the server.
    pub(super) fn poll(&mut self) -> Option<BytesMut> {
        self.packets.pop_front()
    }

    /// When there is something to do without a packet.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        let request = self.request.as_ref();
        let asks = request.map_or(self.next, |request| request.again);
        let ends = self.relayed.map(|(_, ends)| ends);
        let waits = self.is_awaited(now).then_some(self.until);
        [ends, waits].into_iter().flatten().fold(asks, Instant::min)
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.relayed = self.relayed.filter(|(_, ends)| now < *ends);
        match &mut self.request {
            None if now >= self.next => self.ask(now, 0),
            None => {}
            Some(request) if now < request.again => {}
            Some(request) if request.interval < LAST_INTERVAL => {
                request.interval *= 2;
                request.again = now + request.interval;
                self.packets.push_back(request.packet.clone());
            }
            Some(_) => self.fail(now, "it does not answer"),
        }
    }

    /// Sends a packet from the relayed address. What the server has not permitted yet is lost, as in any network.
    pub(super) fn send(&mut self, now: Instant, to: SocketAddr, packet: &[u8]) {
        let Some((own, _)) = self.relayed else { return };
        if own.is_ipv4() != to.is_ipv4() || !self.permit(now, to.ip()) {
            return;
        }
        let mut transaction = TransactionId::default();
        (self.random)(&mut transaction);
        let mut message = Message::new(SEND | INDICATION, &transaction);
        message.address(stun::XOR_PEER_ADDRESS, to);
        message.attribute(stun::DATA, packet);
        self.packets.push_back(message.finish());
    }

    /// A packet has come from the server.
    pub(super) fn handle_packet<'a>(&mut self, now: Instant, packet: &'a [u8]) -> Received<'a> {
        let (Some(kind), Some(transaction)) = (stun::kind(packet), stun::transaction(packet)) else {
            return Received::Other;
        };
        if kind == DATA | INDICATION {
            let from = stun::address(packet, stun::XOR_PEER_ADDRESS);
            return match (self.address(), from, stun::attribute(packet, stun::DATA)) {
                (Some(own), Some(from), Some(data)) => Received::Packet(own, from, data),
                _ => Received::Handled,
            };
        }
        let is_success = kind & ERROR == SUCCESS;
        match kind & !ERROR {
            CREATE_PERMISSION => self.handle_permission(now, is_success, transaction, packet),
            method @ (ALLOCATE | REFRESH) => {
                let answered = self
                    .request
                    .take_if(|request| request.transaction == transaction && request.method == method);
                match answered {
                    Some(request) if is_success => self.handle_success(now, request, packet),
                    Some(request) => self.handle_error(now, &request, packet),
                    None => {}
                }
            }
            _ => return Received::Other,
        }
        Received::Handled
    }

    /// Gives the address back.
    pub(super) fn close(&mut self) {
        if self.relayed.take().is_some()
            && let Some((_, message)) = self.signed(REFRESH, |message| {
                message.attribute(stun::LIFETIME, &[0; 4]);
            })
        {
            self.packets.push_back(message);
        }
    }

    /// Asks for the address, or for more time.
    fn ask(&mut self, now: Instant, sessions: u8) {
        let method = if self.relayed.is_some() { REFRESH } else { ALLOCATE };
        let asked = self.signed(method, |message| {
            if method == ALLOCATE {
                message.attribute(stun::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);
            }
        });
        let Some((transaction, packet)) = asked else {
            self.fail(now, "requests can't be signed here");
            return;
        };
        self.packets.push_back(packet.clone());
        self.request = Some(Request {
            method,
            transaction,
            packet,
            again: now + FIRST_INTERVAL,
            interval: FIRST_INTERVAL,
            sessions,
        });
    }

    fn handle_success(&mut self, now: Instant, request: Request, packet: &[u8]) {
        if !self.is_signed(packet) {
            // Not the server's; its own may still come.
            self.request = Some(request);
            return;
        }
        let seconds = stun::attribute(packet, stun::LIFETIME)
            .and_then(|value| value.try_into().ok())
            .map_or(0, u32::from_be_bytes);
        let lifetime = Duration::from_secs(u64::from(seconds)).clamp(LEAST_LIFETIME, MOST_LIFETIME);
        let address = if request.method == ALLOCATE {
            stun::address(packet, stun::XOR_RELAYED_ADDRESS)
        } else {
            self.address()
        };
        let Some(address) = address else {
            self.fail(now, "it names no address");
            return;
        };
        if request.method == ALLOCATE {
            tracing::info!("the TURN server {} relays for {address}", self.account.host);
            self.permissions.clear();
        }
        self.relayed = Some((address, now + lifetime));
        self.next = now + lifetime / 2;
    }

    fn handle_error(&mut self, now: Instant, request: &Request, packet: &[u8]) {
        let code = stun::error_code(packet);
        match code {
            Some(UNAUTHORIZED | STALE_NONCE) if request.sessions < MAX_SESSIONS => {
                // A second refusal of the same session is about the account.
                let is_about_us = code == Some(UNAUTHORIZED) && self.session.is_some();
                if !is_about_us && self.begin_session(packet) {
                    self.ask(now, request.sessions + 1);
                } else {
                    self.fail(now, "it does not accept the user or the password");
                }
            }
            Some(ALLOCATION_MISMATCH) if request.method == REFRESH => {
                self.relayed = None;
                self.next = now;
            }
            Some(code) => self.fail(now, &format!("it refuses with error {code}")),
            None => self.fail(now, "its answer can't be read"),
        }
    }

    fn handle_permission(
        &mut self,
        now: Instant,
        is_success: bool,
        transaction: TransactionId,
        packet: &[u8],
    ) {
        let signed = self.is_signed(packet);
        let mut all = self.permissions.values_mut();
        let Some(permission) = all.find(|permission| permission.transaction == transaction) else {
            return;
        };
        if is_success {
            if signed {
                permission.answer = Answer::Granted;
            }
        } else if let Some(STALE_NONCE | UNAUTHORIZED) = stun::error_code(packet) {
            // Asked for again with the next packet.
            permission.asked = now.checked_sub(PERMISSION_FRESH).unwrap_or(now);
            self.begin_session(packet);
        } else {
            permission.answer = Answer::Refused;
        }
    }

    /// Whether a packet may go there, as far as is known; asks the server where that is due.
    fn permit(&mut self, now: Instant, ip: IpAddr) -> bool {
        if !self.permissions.contains_key(&ip) && self.permissions.len() >= MAX_PERMISSIONS {
            self.permissions
                .retain(|_, known| now.saturating_duration_since(known.used) < PERMISSION_UNUSED);
            if self.permissions.len() >= MAX_PERMISSIONS {
                return false;
            }
        }
        if let Some(known) = self.permissions.get_mut(&ip) {
            known.used = now;
            let fresh = match known.answer {
                Answer::None => FIRST_INTERVAL,
                Answer::Granted | Answer::Refused => PERMISSION_FRESH,
            };
            if now.saturating_duration_since(known.asked) < fresh {
                return known.answer != Answer::Refused;
            }
        }
        let asked = self.signed(CREATE_PERMISSION, |message| {
            message.address(stun::XOR_PEER_ADDRESS, SocketAddr::new(ip, 0));
        });
        let Some((transaction, packet)) = asked else {
            return false;
        };
        self.packets.push_back(packet);
        let answer = self
            .permissions
            .get(&ip)
            .map_or(Answer::None, |known| known.answer);
        let permission = Permission {
            transaction,
            asked: now,
            used: now,
            answer,
        };
        self.permissions.insert(ip, permission);
        answer != Answer::Refused
    }

    /// Takes the session that the server names. `false` where it names none.
    fn begin_session(&mut self, packet: &[u8]) -> bool {
        let text = |kind| {
            let value = stun::attribute(packet, kind)?;
            (value.len() <= MAX_TEXT).then(|| value.to_vec())
        };
        let known = self.session.take().map(|session| session.realm);
        let (Some(realm), Some(nonce)) = (text(stun::REALM).or(known), text(stun::NONCE)) else {
            return false;
        };
        let TurnServer { user, password, .. } = &self.account;
        let secret = [user.as_bytes(), b":", &realm, b":", password.as_bytes()].concat();
        let key = self.crypto.crypto().hash(HashAlgorithm::Md5, &secret);
        self.session = key.ok().map(|key| Session { realm, nonce, key });
        self.session.is_some()
    }

    /// A request, signed where the server has named a session.
    fn signed(&self, method: u16, fill: impl FnOnce(&mut Message)) -> Option<(TransactionId, BytesMut)> {
        let mut transaction = TransactionId::default();
        (self.random)(&mut transaction);
        let mut message = Message::new(method, &transaction);
        fill(&mut message);
        let Some(session) = &self.session else {
            return Some((transaction, message.finish()));
        };
        message.attribute(stun::USERNAME, self.account.user.as_bytes());
        message.attribute(stun::REALM, &session.realm);
        message.attribute(stun::NONCE, &session.nonce);
        let packet = message.sign(|bytes| self.mac(bytes))?;
        Some((transaction, packet))
    }

    fn mac(&self, bytes: &[u8]) -> Option<[u8; 20]> {
        let key = &self.session.as_ref()?.key;
        let mut mac = self.crypto.crypto().new_hmac(HmacAlgorithm::Sha1, key).ok()?;
        let mut tag = [0; 20];
        mac.sign(&[bytes], &mut tag).ok()?;
        Some(tag)
    }

    /// Whether a response bears the server's signature; a guess at it is one of 2^160, so comparing needs no care for time.
    fn is_signed(&self, packet: &[u8]) -> bool {
        let Some((signed, tag)) = stun::signature(packet) else {
            return false;
        };
        self.mac(&signed).is_some_and(|expected| expected[..] == *tag)
    }

    fn fail(&mut self, now: Instant, why: &str) {
        tracing::warn!(
            "the TURN server {} gives no relay: {why}. Peers that reach this machine by no other way can't connect; it is \
             asked again in a minute.",
            self.account.host
        );
        self.request = None;
        self.session = None;
        self.until = now;
        self.next = now + AFTER_FAILURE;
    }
}

/// Methods and classes of messages (RFC 8489 section 5, RFC 8656 section 17).
const ALLOCATE: u16 = 0x003;
const REFRESH: u16 = 0x004;
const SEND: u16 = 0x006;
const DATA: u16 = 0x007;
const CREATE_PERMISSION: u16 = 0x008;
const INDICATION: u16 = 0x010;
const SUCCESS: u16 = 0x100;
const ERROR: u16 = 0x110;
/// Codes of errors.
const UNAUTHORIZED: u16 = 401;
const ALLOCATION_MISMATCH: u16 = 437;
const STALE_NONCE: u16 = 438;
/// The protocol that is relayed.
const UDP: u8 = 17;
/// How often a request begins anew because the server has changed its session.
const MAX_SESSIONS: u8 = 3;
/// What a server names may be so long, in bytes (RFC 8489 sections 14.9 and 14.10).
const MAX_TEXT: usize = 763;
/// A request is repeated after so long, then after twice as long each time, until that is the other one.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
const LAST_INTERVAL: Duration = Duration::from_secs(8);
/// How long a description waits for the address.
const PATIENCE: Duration = Duration::from_secs(1);
/// The server is asked again so long after it has failed.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// Whatever the server says.
const LEAST_LIFETIME: Duration = Duration::from_mins(1);
const MOST_LIFETIME: Duration = Duration::from_hours(1);
/// Addresses that packets go to at once.
const MAX_PERMISSIONS: usize = 1024;
/// A permission lasts for five minutes; asked for again after so long where packets go on.
const PERMISSION_FRESH: Duration = Duration::from_mins(4);
/// One that no packet needed for so long is forgotten.
const PERMISSION_UNUSED: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests;
