//! The handshake of the extension protocol (BEP 10).

use core::net::IpAddr;

use bytes::Bytes;
use causeway_core::SortedMap;
use causeway_core::bencode::Dictionary;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use super::ExtensionError;

/// What a peer says about itself in the extension message with the number 0.
///
/// It may be sent again to change `ids`; what is not in it then stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// Which number the sender wants to see on the messages of which extension; 0 says that it no longer speaks
    /// the extension (`m`).
    pub ids: SortedMap<String, u8>,
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
        let (dictionary, _) = super::read("extended handshake", payload)?;
        Ok(Self {
            ids: dictionary.get("m").map(ids).unwrap_or_default(),
            metadata_size: number(&dictionary, "metadata_size").filter(|size| *size > 0),
            reqq: number(&dictionary, "reqq"),
            client: dictionary.string("v").map(client_name),
            port: number(&dictionary, "p").filter(|port| *port > 0),
            upload_only: number(&dictionary, "upload_only").map(|flag: i64| flag != 0),
            your_ip: dictionary.string("yourip").and_then(ip_address),
        })
    }

    /// Writes the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        #[derive(Serialize)]
        struct Written<'a> {
            m: &'a SortedMap<String, u8>,
            metadata_size: Option<u32>,
            p: Option<u16>,
            reqq: Option<u32>,
            upload_only: Option<bool>,
            v: Option<&'a str>,
            yourip: Option<ByteBuf>,
        }

        super::write(&Written {
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

/// The extensions of `m` whose names are text and whose numbers fit a byte.
fn ids(m: &[u8]) -> SortedMap<String, u8> {
    let Ok((dictionary, _)) = Dictionary::from_prefix(m) else {
        return SortedMap::new();
    };
    dictionary
        .iter()
        .filter_map(|(name, id)| {
            let name = core::str::from_utf8(name).ok()?;
            Some((name.to_owned(), serde_bencode::from_bytes(id).ok()?))
        })
        .collect()
}

fn number<T: DeserializeOwned>(dictionary: &Dictionary<'_>, key: &str) -> Option<T> {
    dictionary.read(key).ok().flatten()
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

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn ids(ids: &[(&str, u8)]) -> SortedMap<String, u8> {
        ids.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect()
    }

    #[test]
    fn the_examples_of_bep_9_and_10_are_read() {
        // The micro sign in a name is not UTF-8 in the example, going by the length that it gives.
        let payload = b"d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
        let expected = ExtendedHandshake {
            ids: ids(&[("LT_metadata", 1)]),
            client: Some("µTorrent 1.2".to_owned()),
            port: Some(6881),
            ..ExtendedHandshake::default()
        };
        assert_eq!(ExtendedHandshake::from_bytes(payload), Ok(expected));

        let payload = b"d1:md11:ut_metadatai3ee13:metadata_sizei31235ee";
        let expected = ExtendedHandshake {
            ids: ids(&[("ut_metadata", 3)]),
            metadata_size: Some(31235),
            ..ExtendedHandshake::default()
        };
        assert_eq!(ExtendedHandshake::from_bytes(payload), Ok(expected.clone()));
        assert_eq!(expected.to_bytes(), &payload[..]);
    }

    #[test]
    fn everything_that_can_be_said_is_written_in_the_order_of_the_keys() {
        let handshake = ExtendedHandshake {
            ids: ids(&[("ut_pex", 2), ("ut_metadata", 1), ("lt_donthave", 0)]),
            metadata_size: Some(1),
            reqq: Some(250),
            client: Some("Causeway".to_owned()),
            port: Some(80),
            upload_only: Some(true),
            your_ip: Some([127, 0, 0, 1].into()),
        };
        let payload = b"d1:md11:lt_donthavei0e11:ut_metadatai1e6:ut_pexi2ee13:metadata_sizei1e1:pi80e\
            4:reqqi250e11:upload_onlyi1e1:v8:Causeway6:yourip4:\x7f\0\0\x01e";
        assert_eq!(handshake.to_bytes(), &payload[..]);
        assert_eq!(ExtendedHandshake::from_bytes(payload), Ok(handshake));
    }

    #[test]
    fn values_that_make_no_sense_are_left_out() {
        for payload in [
            &b"de"[..],
            b"d1:mi5ee",
            b"d1:mlee",
            b"d1:md6:ut_pexi256e6:\xff\xff\xff\xff\xff\xffi1e11:ut_metadata1:1ee",
            b"d13:metadata_sizei0ee",
            b"d13:metadata_sizei-1ee",
            b"d13:metadata_sizei4294967296ee",
            b"d1:pi0ee",
            b"d1:pi65536ee",
            b"d4:reqqi-1e1:vi1ee",
            b"d6:yourip5:12345e",
            b"d4:\xff\xff\xff\xffi1e7:unknownd1:al1:beee",
        ] {
            let read = ExtendedHandshake::from_bytes(payload);
            assert_eq!(
                read,
                Ok(ExtendedHandshake::default()),
                "{}",
                payload.escape_ascii()
            );
        }
    }

    #[test]
    fn the_name_of_a_client_is_short_text() {
        let client = |name: &[u8]| {
            let payload = [format!("d1:v{}:", name.len()).as_bytes(), name, b"e"].concat();
            ExtendedHandshake::from_bytes(&payload)
                .expect("a dictionary")
                .client
                .expect("a name")
        };
        assert_eq!(client(b"\xb5Torrent"), "\u{fffd}Torrent");
        assert_eq!(client(&[b'x'; 1000]), "x".repeat(100));
        assert_eq!(
            client(format!("x{}", "µ".repeat(100)).as_bytes()),
            format!("x{}", "µ".repeat(49))
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            ids in btree_map(".{0,20}", any::<u8>(), 0..20),
            metadata_size in option::of(1..=u32::MAX),
            reqq: Option<u32>,
            client in option::of(".{0,25}"),
            port in option::of(1..=u16::MAX),
            upload_only: Option<bool>,
            your_ip: Option<IpAddr>,
        ) {
            let handshake =
                ExtendedHandshake { ids: ids.into_iter().collect(), metadata_size, reqq, client, port, upload_only, your_ip };
            prop_assert_eq!(ExtendedHandshake::from_bytes(&handshake.to_bytes()), Ok(handshake));
        }

        #[test]
        fn strangers_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            drop(ExtendedHandshake::from_bytes(&[b"d1:m", &bytes[..], b"e"].concat()));
        }
    }
}
