//! What STUN servers tell of this machine.

use std::net::Ipv4Addr;

use causeway_bridge::webrtc::Config;
use causeway_signal::ConnectionId;
use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant};

use crate::pair::Side;

#[tokio::test]
async fn an_offer_names_the_address_that_a_stun_server_sees() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = server.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let mut request = [0; 64];
        while let Ok((length, from)) = server.recv_from(&mut request).await {
            assert_eq!(request[..length][..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
            // XOR-MAPPED-ADDRESS: 203.0.113.9, port 4009.
            let mut response = request[..20].to_vec();
            (response[0], response[3]) = (1, 12);
            response.extend([0, 0x20, 0, 8, 0, 1]);
            response.extend((0x0fa9_u16 ^ 0x2112).to_be_bytes());
            response.extend((u32::from(Ipv4Addr::new(203, 0, 113, 9)) ^ 0x2112_a442).to_be_bytes());
            server.send_to(&response, from).await.expect("sent");
        }
    });
    let mut side = Side::start(Config {
        stun_servers: vec![address],
        ..Config::default()
    });
    let offer = side.offer(ConnectionId(0)).await;
    let port = side.endpoint.port();
    let line = offer
        .lines()
        .find(|line| line.contains(" 203.0.113.9 4009 typ srflx "));
    let line = line.unwrap_or_else(|| panic!("the outer address is missing:\n{offer}"));
    assert!(line.ends_with(&format!(" rport {port}")), "{line}");
}

#[tokio::test]
async fn a_stun_server_that_is_silent_does_not_keep_peers_apart() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = silent.local_addr().expect("an address").to_string();
    let mut side = Side::start(Config {
        stun_servers: vec![
            address,
            "127.0.0.1:9".to_owned(),
            "no.such.host.invalid:3478".to_owned(),
        ],
        ..Config::default()
    });
    let begun = Instant::now();
    let offer = side.offer(ConnectionId(0)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(offer.contains(" typ host"), "{offer}");
}
