//! How long packets may be on a path: a check that is so long is answered, or it is not (RFC 8899, with checks of RFC 8445 as probes).
//!
//! Routers that carry less than others drop what is longer, and nobody tells. Every path of IPv6 carries [`SHORTEST`]; most carry a fifth more,
//! and a fifth fewer packets cost less on both sides, and get further where some are lost.

use rtc_crypto::RTCCrypto;
use rtc_ice::Agent;
use rtc_ice::attributes::control::{AttrControlled, AttrControlling};
use rtc_ice::attributes::priority::PriorityAttr;
use rtc_stun::attributes::{ATTR_USERNAME, AttrType, RawAttribute};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
use rtc_stun::textattrs::Username;

use crate::webrtc::connection::Path;
use crate::webrtc::stun::{self, Class};

/// Asks how long packets may be.
#[derive(Debug, Default)]
pub(super) struct Prober {
    /// What was asked lately, and with how long a packet.
    asked: Vec<([u8; 12], Path, usize)>,
}

impl Prober {
    /// Checks of all lengths that a packet may have on a path, for an agent that has selected it.
    pub(super) fn ask(&mut self, agent: &Agent, crypto: &dyn RTCCrypto, path: Path) -> Vec<Vec<u8>> {
        let lengths = if path.remote.is_ipv4() {
            OVER_IPV4
        } else {
            OVER_IPV6
        };
        let mut checks = Vec::new();
        for length in lengths {
            let transaction = TransactionId::new();
            if let Some(check) = check(agent, crypto, transaction, length) {
                checks.push(check);
                self.asked.push((transaction.0, path, length));
            }
        }
        self.asked.drain(..self.asked.len().saturating_sub(MAX_ASKED));
        checks
    }

    /// On which path so long a packet has arrived, if this is the answer to it.
    pub(super) fn handle_response(&mut self, packet: &[u8]) -> Option<(Path, usize)> {
        let transaction =
            stun::transaction(packet).filter(|_| stun::class(packet) == Some(Class::Success))?;
        let (_, path, length) = self.asked.iter().find(|(asked, ..)| *asked == transaction)?;
        Some((*path, *length))
    }
}

/// A check that is `length` bytes long.
fn check(
    agent: &Agent,
    crypto: &dyn RTCCrypto,
    transaction: TransactionId,
    length: usize,
) -> Option<Vec<u8>> {
    let (local, _) = agent.get_selected_candidate_pair()?;
    let (ours, theirs) = (agent.get_local_credentials(), agent.get_remote_credentials()?);
    let build = |padding: usize| {
        let control: Box<dyn Setter> = if agent.role() {
            Box::new(AttrControlling(0))
        } else {
            Box::new(AttrControlled(0))
        };
        let mut message = Message::new();
        let built = message.build(&[
            Box::new(BINDING_REQUEST),
            Box::new(transaction),
            Box::new(Username::new(
                ATTR_USERNAME,
                format!("{}:{}", theirs.ufrag, ours.ufrag),
            )),
            control,
            Box::new(PriorityAttr(local.priority())),
            Box::new(RawAttribute {
                typ: PADDING,
                length: 0,
                value: vec![0; padding],
            }),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
                theirs.pwd.clone(),
                crypto,
            )),
            Box::new(FINGERPRINT),
        ]);
        built.ok().map(|()| message.raw)
    };
    build(length.checked_sub(build(0)?.len())?)
}

/// The longest packet that needs no proof: what SCTP sends by default, in DTLS.
pub(super) const SHORTEST: usize = 1191 + super::SEAL;
/// Packets of UDP on an Ethernet, and where a tunnel (`WireGuard`) takes its share. Over IPv4 an Ethernet carries 12 bytes more, but pion, until late in 2024, answers checks
/// of any length and drops whatever else is longer than this.
const OVER_IPV4: [usize; 2] = [1460, 1392];
const OVER_IPV6: [usize; 2] = [1452, 1372];
/// Answers that may be missing: those of the last rounds.
const MAX_ASKED: usize = 16;
/// An attribute that nobody knows, and who doesn't know it may ignore (RFC 8489 section 14).
const PADDING: AttrType = AttrType(0xbffe);
