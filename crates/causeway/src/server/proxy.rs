//! Who is at the other end, where reverse proxies stand in between.
//!
//! What a proxy says is believed only of those that the operator has named: anybody can write a header.

use core::net::IpAddr;
use std::io;
use std::net::SocketAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::settings::ServerOptions;

/// The proxies that are believed.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    networks: Vec<IpNet>,
    with_header: bool,
}

impl Proxies {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        Self {
            networks: options.trusted_proxies.clone(),
            with_header: options.proxy_protocol,
        }
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether a connection from there begins with a PROXY header.
    pub(crate) fn expects_header(&self, address: IpAddr) -> bool {
        self.with_header && self.trusts(address)
    }

    /// Who sent a request that came over a connection from `peer`: the last in `X-Forwarded-For` that is no proxy of
    /// ours. What stands before it is hearsay.
    pub(crate) fn sender(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.trusts(peer.ip()) {
            return peer;
        }
        let lines = headers.get_all("x-forwarded-for").into_iter().rev();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let mut sender = peer;
        for hop in hops {
            let Some(address) = address(hop.trim()) else { break };
            sender = SocketAddr::new(address, 0);
            if !self.trusts(address) {
                break;
            }
        }
        sender
    }
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

/// Reads the header with which a proxy begins a connection (the PROXY protocol, version 1 or 2), and nothing beyond it.
/// Answers who connected to the proxy; `None` where it speaks for itself, to see whether we are well for example.
pub(crate) async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    if head == SIGNATURE {
        read_binary(stream).await
    } else {
        read_text(stream, &head).await
    }
}

async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let [version_and_command, family, length @ ..] = {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        head
    };
    let mut rest = vec![0; usize::from(u16::from_be_bytes(length)).min(MAX_BINARY + 1)];
    if rest.len() > MAX_BINARY {
        return Err(malformed());
    }
    stream.read_exact(&mut rest).await?;
    match (version_and_command, family) {
        (0x20, _) => Ok(None),
        (0x21, 0x11) => ipv4(&rest).ok_or_else(malformed).map(Some),
        (0x21, 0x21) => ipv6(&rest).ok_or_else(malformed).map(Some),
        _ => Err(malformed()),
    }
}

/// Two addresses and then two ports, the source's first.
fn ipv4(rest: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, port @ .., _, _] = rest.first_chunk::<12>()?;
    Some(([*a, *b, *c, *d], u16::from_be_bytes(*port)).into())
}

fn ipv6(rest: &[u8]) -> Option<SocketAddr> {
    let (addresses, ports) = rest.first_chunk::<36>()?.split_at(32);
    let address: [u8; 16] = *addresses.first_chunk()?;
    Some((address, u16::from_be_bytes(*ports.first_chunk()?)).into())
}

async fn read_text(stream: &mut (impl AsyncRead + Unpin), head: &[u8]) -> io::Result<Option<SocketAddr>> {
    let mut line = head.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == MAX_TEXT || !line.starts_with(b"PROXY ") {
            return Err(malformed());
        }
        line.push(stream.read_u8().await?);
    }
    let line = core::str::from_utf8(&line).map_err(|_| malformed())?;
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", "TCP4" | "TCP6", source, _, port, _] => {
            let source = source.parse::<IpAddr>().map_err(|_| malformed())?;
            let port = port.parse::<u16>().map_err(|_| malformed())?;
            Ok(Some(SocketAddr::new(source, port)))
        }
        _ => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a trusted proxy began its connection without a PROXY header that can be read",
    )
}

/// How a header of version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// What may follow it: two addresses, and things that are passed over.
const MAX_BINARY: usize = 536;

/// The longest header of version 1.
const MAX_TEXT: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        Proxies {
            networks: ["127.0.0.1/32", "10.0.0.0/8"]
                .map(|net| net.parse().expect("a network"))
                .into(),
            with_header: true,
        }
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_of_ours_is_the_sender() {
        for (peer, lines, sender) in [
            ("192.0.2.1:5", &["198.51.100.7"][..], "192.0.2.1"),
            ("127.0.0.1:5", &[], "127.0.0.1"),
            ("127.0.0.1:5", &["198.51.100.7"], "198.51.100.7"),
            ("[::ffff:127.0.0.1]:5", &["198.51.100.7:99"], "198.51.100.7"),
            (
                "127.0.0.1:5",
                &["203.0.113.9, 198.51.100.7, 10.1.1.1"],
                "198.51.100.7",
            ),
            ("127.0.0.1:5", &["198.51.100.7", "10.1.1.1"], "198.51.100.7"),
            ("127.0.0.1:5", &["10.1.1.1"], "10.1.1.1"),
            ("127.0.0.1:5", &["198.51.100.7, nonsense"], "127.0.0.1"),
            ("127.0.0.1:5", &["[2001:db8::1]"], "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().expect("a value"));
            }
            let found = proxies().sender(peer.parse().expect("an address"), &headers);
            assert_eq!(found.ip().to_string(), sender, "{peer} {lines:?}");
        }
    }

    #[tokio::test]
    async fn headers_of_both_versions_are_read_to_their_end_and_no_further() {
        let binary = |command: u8, family: u8, rest: &[u8]| {
            let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
            [&SIGNATURE[..], &[command, family], &length, rest].concat()
        };
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 1, 2, 0, 80];
        let six: Vec<u8> = [&[0x20, 1][..], &[0; 14], &[0; 16], &[1, 2, 0, 80]].concat();
        let with_more = [&four[..], &[4, 0, 1, 9]].concat();
        for (header, expected) in [
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 258 80\r\n".to_vec(),
                Ok(Some("192.0.2.1:258")),
            ),
            (
                b"PROXY TCP6 2001:: ::1 258 80\r\n".to_vec(),
                Ok(Some("[2001::]:258")),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Ok(None)),
            (binary(0x21, 0x11, &four), Ok(Some("192.0.2.1:258"))),
            (binary(0x21, 0x11, &with_more), Ok(Some("192.0.2.1:258"))),
            (binary(0x21, 0x21, &six), Ok(Some("[2001::]:258"))),
            (binary(0x20, 0, &[]), Ok(None)),
            (binary(0x21, 0x11, &four[..11]), Err(())),
            (binary(0x31, 0x11, &four), Err(())),
            (binary(0x21, 0x11, &[0; 600]), Err(())),
            (b"GET / HTTP/1.1\r\n".to_vec(), Err(())),
            (b"PROXY TCP4 x 10.0.0.1 258 80\r\n".to_vec(), Err(())),
            ([&b"PROXY "[..], &[b'x'; 200], b"\r\n"].concat(), Err(())),
            (b"PROXY TCP4 192.0".to_vec(), Err(())),
        ] {
            let stream = [&header[..], b"rest"].concat();
            let mut reader = if expected.is_err() {
                &header[..]
            } else {
                &stream[..]
            };
            let found = read_header(&mut reader).await;
            match expected {
                Ok(address) => {
                    let address = address.map(|address| address.parse().expect("an address"));
                    assert_eq!(found.expect("it is a header"), address);
                    assert_eq!(reader, b"rest");
                }
                Err(()) => assert!(found.is_err(), "{}", header.escape_ascii()),
            }
        }
    }
}
