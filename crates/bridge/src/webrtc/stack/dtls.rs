//! DTLS for one connection (RFC 6347): `rtc-dtls` shakes hands, [`Records`] carry everything after that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

use super::records::{ALERT, APPLICATION_DATA, Ciphers, Records, SEAL, has_stray_change};
use super::repeats::Repeats;
use super::{HERE, THERE, failure, fingerprint};
use crate::webrtc::connection::Failure;

/// One end of DTLS.
pub(super) struct Dtls {
    state: State,
    /// Whether it is this side that begins the handshake.
    begins: bool,
    /// What came last and was not read yet.
    packet: BytesMut,
    news: VecDeque<News>,
    /// Packets that are ready to be sent.
    packets: VecDeque<BytesMut>,
}

enum State {
    Handshake(Box<Handshake>),
    /// The handshake is over for both sides.
    Safe(Records),
}

struct Handshake {
    endpoint: Endpoint,
    /// How this side begins.
    config: Option<Arc<HandshakeConfig>>,
    ciphers: Arc<Ciphers>,
    repeats: Repeats,
    is_complete: bool,
}

/// What has come.
#[derive(Debug)]
pub(super) enum News {
    /// The peer is who it has to be, and packets can be exchanged.
    Complete,
    Packet(Bytes),
    Closed(&'static str),
}

impl Dtls {
    /// With a peer whose certificate has this digest and no other.
    pub(super) fn new(
        crypto: Arc<dyn RTCCryptoProvider>,
        certificate: Certificate,
        begins: bool,
        expected: &str,
    ) -> Result<Self, Failure> {
        let ciphers = Arc::new(Ciphers::new(crypto));
        let config = config(ciphers.clone(), certificate, begins, expected.to_owned())?;
        let (client, server) = if begins {
            (Some(Arc::new(config)), None)
        } else {
            (None, Some(Arc::new(config)))
        };
        Ok(Self {
            state: State::Handshake(Box::new(Handshake {
                endpoint: Endpoint::new(HERE, TransportProtocol::UDP, server),
                config: client,
                ciphers,
                repeats: Repeats::default(),
                is_complete: false,
            })),
            begins,
            packet: BytesMut::new(),
            news: VecDeque::new(),
            packets: VecDeque::new(),
        })
    }

    /// Whether this is the client.
    pub(super) fn begins(&self) -> bool {
        self.begins
    }

    /// Begins, where that is for this side to do; packets can be sent from now on.
    pub(super) fn begin(&mut self, now: Instant) -> Result<(), Failure> {
        if let State::Handshake(handshake) = &mut self.state
            && let Some(config) = handshake.config.take()
        {
            let begun = handshake.endpoint.connect(now, THERE, config, None);
            begun.map_err(failure)?;
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Handshake(handshake) => handshake.endpoint.poll_timeout(&THERE),
            State::Safe(_) => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let State::Handshake(handshake) = &mut self.state
            && handshake.endpoint.poll_timeout(&THERE).is_some()
            && let Err(error) = handshake.endpoint.handle_timeout(THERE, now)
        {
            tracing::trace!("a timer of DTLS fails: {error}");
        }
    }

    /// A packet has come; what is in it [`poll`](Self::poll) tells.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: BytesMut) {
        let State::Handshake(handshake) = &mut self.state else {
            self.packet = packet;
            return;
        };
        let is_repeated = !handshake.is_complete && handshake.repeats.contain(&packet, !self.begins);
        if is_repeated || has_stray_change(&packet) {
            return;
        }
        let events = match handshake.endpoint.read(now, THERE, None, packet) {
            Ok(events) => events,
            Err(error) => {
                tracing::trace!("a packet is of no use: {error}");
                return;
            }
        };
        for event in events {
            match event {
                EndpointEvent::ApplicationData(packet) => {
                    // The client has heard the end of the handshake.
                    self.go_on();
                    self.news.push_back(News::Packet(packet.freeze()));
                }
                EndpointEvent::HandshakeComplete => {
                    if let State::Handshake(handshake) = &mut self.state {
                        handshake.is_complete = true;
                    }
                    // The last word was the server's, which has to be able to say it again.
                    if self.begins {
                        self.go_on();
                    }
                    self.news.push_back(News::Complete);
                }
                EndpointEvent::PeerClosed => self.news.push_back(News::Closed(GONE)),
                _ => {}
            }
        }
    }

    /// What has come.
    pub(super) fn poll(&mut self) -> Option<News> {
        if let Some(news) = self.news.pop_front() {
            return Some(news);
        }
        let State::Safe(records) = &mut self.state else {
            return None;
        };
        let length = self.packet.len();
        while let Some((kind, content)) = records.open(&mut self.packet) {
            match kind {
                // What is kept of a packet keeps all that came with it.
                APPLICATION_DATA if content.len() < length / 2 => {
                    return Some(News::Packet(Bytes::copy_from_slice(&content)));
                }
                APPLICATION_DATA => return Some(News::Packet(content.freeze())),
                ALERT if content[..] == CLOSE_NOTIFY || content.first() == Some(&FATAL) => {
                    return Some(News::Closed(GONE));
                }
                _ => {}
            }
        }
        None
    }

    /// Makes packets of these, which lie one behind the other, so that they can be sent as they are in one go.
    pub(super) fn seal(&mut self, contents: &[Bytes]) {
        // Nobody has anything to say before.
        let State::Safe(records) = &mut self.state else {
            return;
        };
        let length = contents.iter().map(|content| content.len() + SEAL).sum();
        let mut sealed = BytesMut::with_capacity(length);
        for content in contents {
            if records.seal(APPLICATION_DATA, content, &mut sealed).is_some() {
                self.packets.push_back(sealed.split());
            }
        }
    }

    /// The next packet to send.
    pub(super) fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.collect();
        self.packets.pop_front()
    }

    /// Tells the peer that nothing more comes.
    pub(super) fn close(&mut self, now: Instant) {
        match &mut self.state {
            State::Handshake(handshake) => {
                if let Err(error) = handshake.endpoint.close(now) {
                    tracing::trace!("a connection is closed with an error: {error}");
                }
            }
            State::Safe(records) => {
                let mut record = BytesMut::new();
                if records.seal(ALERT, &CLOSE_NOTIFY, &mut record).is_some() {
                    self.packets.push_back(record);
                }
            }
        }
    }

    /// Takes what the handshake sends.
    fn collect(&mut self) {
        if let State::Handshake(handshake) = &mut self.state {
            while let Some(transmit) = handshake.endpoint.poll_transmit() {
                self.packets.push_back(transmit.message);
            }
        }
    }

    /// Goes on with records where the handshake has ended.
    fn go_on(&mut self) {
        self.collect();
        let State::Handshake(handshake) = &self.state else {
            return;
        };
        match handshake.ciphers.records() {
            Some(records) => self.state = State::Safe(records),
            None => self
                .news
                .push_back(News::Closed("the connection can't be made safe")),
        }
    }
}

/// How a handshake is begun or answered.
fn config(
    ciphers: Arc<Ciphers>,
    certificate: Certificate,
    begins: bool,
    expected: String,
) -> Result<HandshakeConfig, Failure> {
    let crypto = ciphers.clone();
    let verify = move |certificates: &[Vec<u8>], _: &[_]| {
        let digest = certificates
            .first()
            .and_then(|der| fingerprint(crypto.as_ref(), der));
        match digest {
            Some(digest) if digest.eq_ignore_ascii_case(&expected) => Ok(()),
            _ => Err(Error::ErrNoMatchingCertificateFingerprint),
        }
    };
    // Browsers and pion offer to send media, always, and a server has to take the offer. A client that offers it would have to be answered.
    let media = if begins {
        Vec::new()
    } else {
        vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32,
        ]
    };
    ConfigBuilder::default()
        .with_crypto_provider(ciphers)
        .with_certificates(vec![certificate])
        // What everybody has to have (RFC 8827 section 6.5); the records are sealed in no other way.
        .with_cipher_suites(vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
        ])
        .with_srtp_protection_profiles(media)
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        // Nobody vouches for these certificates but the description, by their digest.
        .with_insecure_skip_verify(true)
        .with_verify_peer_certificate(Some(Arc::new(verify)))
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        .build(begins, None)
        .map_err(failure)
}

const GONE: &str = "the peer has closed the connection";
/// A warning that nothing more comes (RFC 5246 section 7.2.1), and the level of what ends a connection otherwise.
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
const FATAL: u8 = 2;
