//! The handshake of the extension protocol (BEP 10).

use core::net::IpAddr;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::bencode::Dictionary;
use super::{ExtensionError, bencode};

/// What a peer says about itself in the extension message with the number 0.
///
/// It may be sent again to change `ids`; what is not in it then stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// Which number the sender wants to see on the messages of which extension; 0 says that it no longer speaks
    /// the extension (`m`).
    pub ids: BTreeMap<String, u8>,
    /// The length in bytes of the `info` dictionary, from a peer that has it (BEP 9); never 0.
    pub metadata_size: Option<u32>,
    /// How many requests the sender keeps waiting without dropping some.
    pub reqq: Option<u32>,
    /// Name and version of the sender's client, at most [`ExtendedHandshake::MAX_CLIENT_LENGTH`] bytes (`v`).
    pub client: Option<String>,
    /// The TCP port that the sender listens on (`p`).
    pub port: Option<u16>,
    /// Whether the sender downloads nothing, although it may lack pieces (BEP 21).
    pub upload_only: Option<bool>,
    /// The receiver's address as the sender sees it (`yourip`).
    pub your_ip: Option<IpAddr>,
}

impl ExtendedHandshake {
    /// Where a client's name is cut off, in bytes.
    pub const MAX_CLIENT_LENGTH: usize = 100;

    /// Reads the payload of a handshake.
    ///
    /// # Errors
    /// [`ExtensionError::Bencode`]; single values that make no sense are left out instead.
    pub fn from_bytes(payload: &[u8]) -> Result<Self, ExtensionError> {
        let (dictionary, _) = Dictionary::read(payload).map_err(|error| ExtensionError::Bencode {
            extension: "extended handshake",
            error,
        })?;
        Ok(Self {
            ids: dictionary
                .numbers("m")
                .map(|(name, id)| (name.to_owned(), id))
                .collect(),
            metadata_size: dictionary.number("metadata_size").filter(|size| *size > 0),
            reqq: dictionary.number("reqq"),
            client: dictionary.bytes("v").map(client_name),
            port: dictionary.number("p").filter(|port| *port > 0),
            upload_only: dictionary.number::<i64>("upload_only").map(|flag| flag != 0),
            your_ip: dictionary.bytes("yourip").and_then(ip_address),
        })
    }

    /// Writes the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        #[derive(Serialize)]
        struct Written<'a> {
            m: &'a BTreeMap<String, u8>,
            metadata_size: Option<u32>,
            p: Option<u16>,
            reqq: Option<u32>,
            upload_only: Option<bool>,
            v: Option<&'a str>,
            yourip: Option<ByteBuf>,
        }

        bencode::write(&Written {
            m: &self.ids,
            metadata_size: self.metadata_size,
            p: self.port,
            reqq: self.reqq,
            upload_only: self.upload_only,
            v: self.client.as_deref(),
            yourip: self.your_ip.map(|ip| match ip {
                IpAddr::V4(ip) => ByteBuf::from(ip.octets()),
                IpAddr::V6(ip) => ByteBuf::from(ip.octets()),
            }),
        })
    }
}

/// Text for people: what is not UTF-8 is replaced, what is too long is cut off.
fn client_name(bytes: &[u8]) -> String {
    let mut name = String::from_utf8_lossy(bytes).into_owned();
    name.truncate(name.floor_char_boundary(ExtendedHandshake::MAX_CLIENT_LENGTH));
    name
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}
