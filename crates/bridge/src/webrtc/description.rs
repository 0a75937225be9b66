//! Offers and answers (SDP, RFC 8866 and 8841) of a connection that has one data channel and nothing else.
//!
//! A stranger's description is read for the few things that matter, within bounds; what reaches the WebRTC stack is
//! written anew from these. So is what we send, which is why an offer costs no connection until somebody answers it.

use core::fmt::{self, Write as _};

use super::candidate::Candidate;

/// What one side of a connection says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) credentials: Credentials,
    /// The digest of its certificate, as in `AB:CD:…`.
    pub(super) fingerprint: String,
    pub(super) setup: Setup,
    /// The name of the section about the data channel; an answer repeats the offer's.
    pub(super) mid: String,
    pub(super) sctp_port: u16,
    /// The largest message that it takes, in bytes; `None` for any.
    pub(super) max_message_size: Option<usize>,
    pub(super) candidates: Vec<Candidate>,
    /// It was written by this program, whose connections all have one port.
    pub(super) ours: bool,
}

/// What connectivity checks are signed with (RFC 8839 section 5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) password: String,
}

/// Which side begins the DTLS handshake (RFC 8842).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// Whichever the answer says.
    ActPass,
    /// This one.
    Active,
    /// The other one.
    Passive,
}

/// Why a description can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DescriptionError {
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("it offers no data channel")]
    NoDataChannel,
    #[error("it has no usable {0}")]
    Lacks(&'static str),
}

impl Description {
    /// Reads a stranger's description. Where an attribute comes twice the first one counts.
    pub(super) fn parse(sdp: &str) -> Result<Self, DescriptionError> {
        if sdp.len() > MAX_BYTES {
            return Err(DescriptionError::TooLong);
        }
        let mut attributes = Attributes::default();
        for line in sdp.lines() {
            attributes.read(line.trim_end());
        }
        attributes.finish()
    }
}

/// What was read so far.
#[derive(Default)]
struct Attributes<'a> {
    data_channel: bool,
    ours: bool,
    ufrag: Option<&'a str>,
    password: Option<&'a str>,
    fingerprint: Option<&'a str>,
    setup: Option<&'a str>,
    mid: Option<&'a str>,
    sctp_port: Option<&'a str>,
    max_message_size: Option<&'a str>,
    candidates: Vec<Candidate>,
}

impl<'a> Attributes<'a> {
    fn read(&mut self, line: &'a str) {
        self.data_channel |= line.starts_with("m=application ") && line.ends_with("webrtc-datachannel");
        self.ours |= line == SESSION;
        let Some((name, value)) = line.strip_prefix("a=").and_then(|line| line.split_once(':')) else {
            return;
        };
        let place = match name {
            "ice-ufrag" => &mut self.ufrag,
            "ice-pwd" => &mut self.password,
            "setup" => &mut self.setup,
            "mid" => &mut self.mid,
            "sctp-port" => &mut self.sctp_port,
            "max-message-size" => &mut self.max_message_size,
            // Every client has this one; where there are several, any may be checked.
            "fingerprint" => {
                let digest = value
                    .split_once(' ')
                    .filter(|(name, _)| name.eq_ignore_ascii_case("sha-256"));
                if let Some((_, digest)) = digest {
                    self.fingerprint.get_or_insert(digest.trim());
                }
                return;
            }
            "candidate" => {
                if self.candidates.len() < MAX_CANDIDATES {
                    self.candidates.extend(Candidate::parse(value));
                }
                return;
            }
            _ => return,
        };
        place.get_or_insert(value.trim());
    }

    fn finish(self) -> Result<Description, DescriptionError> {
        let or = |name| DescriptionError::Lacks(name);
        if !self.data_channel {
            return Err(DescriptionError::NoDataChannel);
        }
        let token = |value: Option<&'a str>, least: usize, name| {
            value
                .filter(|value| (least..=256).contains(&value.len()))
                .filter(|value| value.bytes().all(is_ice_char))
                .map(str::to_owned)
                .ok_or(or(name))
        };
        let fingerprint = self
            .fingerprint
            .filter(|digest| digest.len() == FINGERPRINT_LENGTH)
            .filter(|digest| {
                digest
                    .bytes()
                    .all(|byte| byte == b':' || byte.is_ascii_hexdigit())
            })
            .ok_or(or("fingerprint (a=fingerprint:sha-256)"))?;
        Ok(Description {
            credentials: Credentials {
                ufrag: token(self.ufrag, 4, "user fragment (a=ice-ufrag)")?,
                password: token(self.password, 22, "password (a=ice-pwd)")?,
            },
            fingerprint: fingerprint.to_owned(),
            setup: match self.setup {
                Some("actpass") => Setup::ActPass,
                Some("active") => Setup::Active,
                Some("passive") => Setup::Passive,
                _ => return Err(or("role (a=setup)")),
            },
            mid: self
                .mid
                .filter(|mid| {
                    (1..=32).contains(&mid.len()) && mid.bytes().all(|byte| byte.is_ascii_graphic())
                })
                .unwrap_or("0")
                .to_owned(),
            sctp_port: self.sctp_port.and_then(|port| port.parse().ok()).unwrap_or(5000),
            max_message_size: match self.max_message_size.and_then(|size| size.parse().ok()) {
                Some(0) => None,
                Some(size) => Some(size),
                None => Some(64 * 1024),
            },
            candidates: self.candidates,
            ours: self.ours,
        })
    }
}

/// The whole text.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            credentials,
            fingerprint,
            mid,
            sctp_port,
            ..
        } = self;
        let session = if self.ours { SESSION } else { "s=-" };
        let setup = match self.setup {
            Setup::ActPass => "actpass",
            Setup::Active => "active",
            Setup::Passive => "passive",
        };
        write!(
            f,
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n{session}\r\nt=0 0\r\na=group:BUNDLE {mid}\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
             a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=mid:{mid}\r\n\
             a=sctp-port:{sctp_port}\r\na=max-message-size:{}\r\n",
            credentials.ufrag,
            credentials.password,
            self.max_message_size.unwrap_or(0),
        )?;
        for candidate in &self.candidates {
            write!(f, "a=candidate:{candidate}\r\n")?;
        }
        f.write_str("a=end-of-candidates\r\n")
    }
}

impl Credentials {
    /// New ones, from a source that can't be guessed: 48 and 192 bits of it.
    pub(super) fn generate(mut random: impl FnMut(&mut [u8])) -> Self {
        let mut bytes = [0; 30];
        random(&mut bytes);
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap_or_default();
                text
            })
        };
        Self {
            ufrag: hex(&bytes[..6]),
            password: hex(&bytes[6..]),
        }
    }
}

fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte == b'+'
        || byte == b'/'
        || byte == b'-'
        || byte == b'_'
        || byte == b'='
}

/// Longer descriptions are not read. Chromium's have some 700 bytes for two interfaces.
const MAX_BYTES: usize = 16 * 1024;
/// Further candidates are not tried: each one has packets sent to an address that a stranger chose.
const MAX_CANDIDATES: usize = 12;
/// 32 bytes in hexadecimal figures with colons between.
const FINGERPRINT_LENGTH: usize = 95;
/// The line by which our descriptions are known to each other.
const SESSION: &str = "s=causeway";

#[cfg(test)]
mod tests;
