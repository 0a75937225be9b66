//! UDP.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use causeway_core::InfoHash;
use causeway_tracker::{Access, Config};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::server::{SOON, Server};

const HASH: InfoHash = InfoHash::new([b'h'; 20]);

/// What stands where a connection id would be, in the request for one (BEP 15).
const GREETING: u64 = 0x0000_0417_2710_1980;

struct Client {
    socket: UdpSocket,
    connection: u64,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        Self::connect_at(server.udp).await
    }

    async fn connect_at(address: SocketAddr) -> Self {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await.expect("a port is free");
        socket.connect(address).await.expect("it is there");
        let mut client = Self {
            socket,
            connection: 0,
        };
        let request = [&GREETING.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 5]].concat();
        let answer = client.ask(&request).await;
        assert_eq!((answer.len(), &answer[..8]), (16, &[0, 0, 0, 0, 0, 0, 0, 5][..]));
        client.connection = u64::from_be_bytes(answer[8..].try_into().expect("8 bytes"));
        client
    }

    async fn ask(&self, packet: &[u8]) -> Vec<u8> {
        self.socket.send(packet).await.expect("it can be sent");
        self.hear(SOON).await.expect("it answers")
    }

    async fn hear(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut answer = vec![0; 2048];
        let length = timeout(patience, self.socket.recv(&mut answer)).await.ok()?;
        answer.truncate(length.expect("it can be received"));
        Some(answer)
    }

    fn packet(&self, action: u8, rest: &[u8]) -> Vec<u8> {
        [
            &self.connection.to_be_bytes()[..],
            &[0, 0, 0, action, 0, 0, 0, 5],
            rest,
        ]
        .concat()
    }

    fn announcing(&self, left: u64, event: u8, port: u16, options: &[u8]) -> Vec<u8> {
        let rest = [
            &HASH.as_bytes()[..],
            &[b'p'; 20],
            &7u64.to_be_bytes(),
            &left.to_be_bytes(),
            &0u64.to_be_bytes(),
            &[0, 0, 0, event],
            // A victim's address, which is not believed; then a key, and no `num_want`.
            &[192, 0, 2, 1, 0, 0, 0, 0, 255, 255, 255, 255],
            &port.to_be_bytes(),
            options,
        ];
        self.packet(1, &rest.concat())
    }
}

/// What stands before the peers: action, transaction, interval 1800, leechers, seeders.
fn head(leechers: u8, seeders: u8) -> [u8; 20] {
    [
        0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 7, 8, 0, 0, 0, leechers, 0, 0, 0, seeders,
    ]
}

#[tokio::test]
async fn peers_are_told_of_each_other_and_counted() {
    let server = Server::start().await;
    let client = Client::connect(&server).await;
    assert_eq!(client.ask(&client.announcing(0, 2, 258, &[])).await, head(0, 1));
    let second = client.ask(&client.announcing(9, 2, 2, &[])).await;
    assert_eq!(second, [&head(1, 1)[..], &[127, 0, 0, 1, 1, 2]].concat());
    let completed = client.ask(&client.announcing(0, 1, 2, &[])).await;
    assert_eq!(completed, head(0, 2), "a seeder gains nothing from a seeder");
    let scrape = client.packet(2, &[&HASH.as_bytes()[..], &[0; 20]].concat());
    let counts = [0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(client.ask(&scrape).await, [&counts[..], &[0; 12]].concat());
    client.ask(&client.announcing(0, 3, 258, &[])).await;
    assert_eq!(server.tracker.counts(HASH).complete, 1);
}

/// Over one socket for both families, too: who came over IPv4 gets peers of 6 bytes, and over IPv6 of 18 (BEP 15).
#[tokio::test]
async fn ipv6_peers_are_told_of_ipv6_peers() {
    let server = Server::at(Ipv6Addr::UNSPECIFIED.into(), Config::default()).await;
    let port = server.udp.port();
    let four = Client::connect_at((Ipv4Addr::LOCALHOST, port).into()).await;
    let six = Client::connect_at((Ipv6Addr::LOCALHOST, port).into()).await;
    four.ask(&four.announcing(0, 2, 258, &[])).await;
    assert_eq!(six.ask(&six.announcing(0, 2, 259, &[])).await, head(0, 2));
    let to_six = six.ask(&six.announcing(9, 2, 2, &[])).await;
    assert_eq!(to_six, [&head(1, 2)[..], &[0; 15], &[1, 1, 3]].concat());
    let to_four = four.ask(&four.announcing(9, 2, 3, &[])).await;
    assert_eq!(to_four, [&head(2, 2)[..], &[127, 0, 0, 1, 1, 2]].concat());
}

#[tokio::test]
async fn classic_peers_of_all_doors_are_one_swarm() {
    let server = Server::start().await;
    let client = Client::connect(&server).await;
    client.ask(&client.announcing(0, 2, 258, &[])).await;
    let path = format!(
        "/announce?info_hash={0}&peer_id={0}&port=2&left=1",
        "h".repeat(20)
    );
    let body = server.get(&path).await;
    assert!(
        body.ends_with(b"5:peers6:\x7f\x00\x00\x01\x01\x02e"),
        "{}",
        body.escape_ascii()
    );
}

/// Whoever sends with somebody else's address does not know the connection id of that address: the victim gets nothing.
#[tokio::test]
async fn without_its_own_connection_id_nobody_is_answered_or_entered() {
    let server = Server::start().await;
    let (client, mut forger) = (Client::connect(&server).await, Client::connect(&server).await);
    forger.connection = client.connection;
    forger
        .socket
        .send(&forger.announcing(0, 2, 258, &[]))
        .await
        .expect("sent");
    for guess in [0, 1, u64::MAX, GREETING] {
        forger.connection = guess;
        forger
            .socket
            .send(&forger.announcing(0, 2, 258, &[]))
            .await
            .expect("sent");
        forger
            .socket
            .send(&forger.packet(2, HASH.as_bytes()))
            .await
            .expect("sent");
    }
    while server.metric("causeway_tracker_failures_total{reason=\"connection_id\"}") < 9 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(forger.hear(Duration::from_millis(50)).await, None);
    assert_eq!(server.tracker.counts(HASH).complete, 0);
}

#[tokio::test]
async fn nobody_is_sent_more_than_it_sent_before_it_is_known() {
    let server = Server::start().await;
    let client = Client::connect(&server).await;
    let packets: [&[u8]; 6] = [
        b"",
        b"x",
        &[0; 16],
        &[0xff; 98],
        &[0; 2048],
        &GREETING.to_be_bytes(),
    ];
    for packet in packets {
        client.socket.send(packet).await.expect("sent");
    }
    while server.metric("causeway_tracker_failures_total{reason=\"malformed\"}") < 6 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.hear(Duration::from_millis(50)).await, None);
    assert_eq!(
        client.ask(&client.announcing(0, 2, 1, &[])).await,
        head(0, 1),
        "and it goes on"
    );
}

#[tokio::test]
async fn an_address_that_asks_too_fast_is_not_heard() {
    let server = Server::with(Config {
        requests_per_second: 1,
        request_burst: 3,
        ..Config::default()
    })
    .await;
    let client = Client::connect(&server).await;
    for _ in 0..20 {
        client
            .socket
            .send(&client.announcing(0, 2, 258, &[]))
            .await
            .expect("sent");
    }
    while server.metric("causeway_tracker_failures_total{reason=\"too_fast\"}") < 15 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(client.hear(SOON).await.is_some(), "the first of them were");
}

/// Anybody can send with somebody else's address, but nobody knows the connection ids of that address.
#[tokio::test]
async fn packets_in_the_name_of_an_address_cost_it_nothing() {
    let server = Server::with(Config {
        requests_per_second: 1,
        request_burst: 3,
        ..Config::default()
    })
    .await;
    let mut forger = Client::connect(&server).await;
    forger.connection = 1;
    for _ in 0..50 {
        let greeting = [&GREETING.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 5]].concat();
        for packet in [forger.announcing(0, 2, 258, &[]), greeting] {
            forger.socket.send(&packet).await.expect("sent");
        }
    }
    while server.metric("causeway_tracker_failures_total{reason=\"connection_id\"}") < 50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let path = format!(
        "/announce?info_hash={0}&peer_id={0}&port=2&left=1",
        "h".repeat(20)
    );
    let body = server.get(&path).await;
    assert!(body.starts_with(b"d8:complete"), "{}", body.escape_ascii());
}

/// A socket that is always readable, and of which nothing can be read.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_broken_socket_does_not_burn_the_processor() {
    let broken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let _readable = std::net::TcpStream::connect(broken.local_addr().expect("it is bound"));
    broken.set_nonblocking(true).expect("it can be");
    let socket = std::net::UdpSocket::from(std::os::fd::OwnedFd::from(broken));
    let socket = UdpSocket::from_std(socket).expect("it can be waited for");
    let tracker = causeway_tracker::Tracker::new(Config::default());
    // In nanoseconds; this test has one thread.
    let spent = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says");
        let first = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        Duration::from_nanos(first.expect("a number"))
    };
    let before = spent();
    let serving = timeout(Duration::from_millis(500), tracker.serve_udp(socket));
    assert!(serving.await.is_err(), "it goes on");
    let spent = spent().saturating_sub(before);
    assert!(spent < Duration::from_millis(100), "{spent:?}");
}

#[tokio::test]
async fn a_torrent_that_is_not_served_is_refused_in_words_and_has_no_counts() {
    let server = Server::start().await;
    let client = Client::connect(&server).await;
    client.ask(&client.announcing(0, 2, 258, &[])).await;
    server.tracker.set_access(Access {
        denied: [HASH].into(),
        ..Access::default()
    });
    let refused = client.ask(&client.announcing(0, 2, 258, &[])).await;
    assert_eq!(refused[..8], [0, 0, 0, 3, 0, 0, 0, 5], "an error");
    assert!(String::from_utf8_lossy(&refused).contains("does not serve"));
    let none = [0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(client.ask(&client.packet(2, HASH.as_bytes())).await, none);
}

/// BEP 41 carries the path of the tracker's URL.
#[tokio::test]
async fn a_passkey_comes_in_the_url_data() {
    let server = Server::start().await;
    server.tracker.set_access(Access {
        all_private: true,
        passkeys: ["secret".into()].into(),
        ..Access::default()
    });
    let client = Client::connect(&server).await;
    let refused = client.ask(&client.announcing(0, 2, 258, &[])).await;
    assert_eq!(refused[..4], [0, 0, 0, 3], "an error");
    assert!(String::from_utf8_lossy(&refused).contains("passkey"));
    let option = [&[2, 16][..], b"/announce/secret"].concat();
    assert_eq!(
        client.ask(&client.announcing(0, 2, 258, &option)).await,
        head(0, 1)
    );
    let scrape = client.packet(2, HASH.as_bytes());
    let hidden = [0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(client.ask(&scrape).await, hidden, "a scrape has no passkey");
}
