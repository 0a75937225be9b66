//! What strangers may write and do.

use std::net::UdpSocket;

use bytes::Bytes;
use causeway_bridge::webrtc::{Config, Event};
use causeway_signal::ConnectionId;
use tokio::time::{Duration, Instant, timeout};

use crate::pair::{OTHERS, OURS, Pair, Side, pump};

#[tokio::test]
async fn a_description_that_makes_no_sense_costs_nobody_but_its_author() {
    let mut side = Side::start(Config::default());
    let offer = side.offer(ConnectionId(0)).await;
    let long = format!(
        "{offer}{}",
        "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n".repeat(1000)
    );
    let cut = offer[..offer.len() / 2].to_owned();
    for (id, sdp) in (1..).zip(["", "v=0", "\0\0\0", &long, &cut, &"🦀".repeat(3000)]) {
        let id = ConnectionId(id);
        side.endpoint.accept_offer(id, OTHERS, sdp.to_owned());
        let event = side.event().await;
        let Event::Closed(of, reason) = event else {
            panic!("{event:?}")
        };
        assert_eq!(of, id);
        assert!(reason.starts_with("the peer's offer can't be used"), "{reason}");
    }
    // An offer is no answer, and an answer to nothing is none.
    side.endpoint
        .accept_answer(ConnectionId(0), OTHERS, offer.clone());
    assert!(matches!(side.event().await, Event::Closed(ConnectionId(0), _)));
    side.endpoint.accept_answer(ConnectionId(0), OTHERS, offer);
    assert!(matches!(side.event().await, Event::Closed(ConnectionId(0), _)));
}

#[tokio::test]
async fn connections_that_never_open_are_bounded_and_given_up() {
    let config = Config {
        max_half_open: 3,
        ..Config::default()
    };
    let mut pair = Pair::start(config, Config::default());
    for id in 0..3 {
        let offer = pair.other.offer(ConnectionId(id)).await;
        pair.one.answer(ConnectionId(id), OTHERS, offer).await;
    }
    let offer = pair.other.offer(ConnectionId(3)).await;
    pair.one
        .endpoint
        .accept_offer(ConnectionId(3), OTHERS, offer.clone());
    let event = pair.one.event().await;
    assert!(matches!(event, Event::Closed(ConnectionId(3), _)), "{event:?}");
    // Closing one makes room.
    pair.one.endpoint.close(ConnectionId(1));
    pair.one.answer(ConnectionId(4), OTHERS, offer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_strangers_do_not_disturb_a_transfer() {
    let mut pair = Pair::start(Config::default(), Config::default());
    let target = ("127.0.0.1", pair.other.endpoint.port());
    let (one, other) = pair.connect(0, OURS, OURS).await;
    let noise = tokio::task::spawn_blocking(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut random = 1_u32;
        for length in (0..20_000).map(|n| n % 1300) {
            let packet: Vec<u8> = (0..length)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    random.to_be_bytes()[0]
                })
                .collect();
            // A full buffer is no failure of the test.
            socket.send_to(&packet, target).ok();
        }
    });
    pump(one, other, 5_000_000, 5_000_000).await;
    noise.await.expect("noise was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_nothing_is_held_back() {
    let mut pair = Pair::start(Config::default(), Config::default());
    let (one, other) = pair.connect(0, OURS, OURS).await;
    let block = Bytes::from(vec![7; 16 * 1024]);
    let mut sent = 0;
    // Until nothing more is taken for a second, though the network is idle.
    while let Ok(room) = timeout(Duration::from_secs(1), one.outgoing.room()).await {
        room.expect("the link is open");
        one.outgoing.write(block.clone());
        sent += block.len();
        assert!(sent < 64_000_000, "somebody keeps {sent} bytes");
    }
    // Once it reads everything arrives.
    let mut received = 0;
    while received < sent {
        let bytes = timeout(Duration::from_secs(30), other.incoming.read()).await;
        let bytes = bytes.expect("bytes in time").expect("the link is open");
        other.incoming.release(bytes.len());
        received += bytes.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_link_is_told_to_the_other_side_at_once() {
    let mut pair = Pair::start(Config::default(), Config::default());
    let (one, other) = pair.connect(0, OURS, OURS).await;
    one.outgoing.write(Bytes::from_static(b"last words"));
    let begun = Instant::now();
    drop(one);
    assert_eq!(
        other.incoming.read().await.as_deref(),
        Ok(b"last words".as_slice())
    );
    assert!(other.incoming.read().await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(matches!(
        pair.one.event().await,
        Event::Closed(ConnectionId(0), _)
    ));
    assert!(matches!(
        pair.other.event().await,
        Event::Closed(ConnectionId(0), _)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_ends_takes_leave_of_its_peers() {
    let mut pair = Pair::start(Config::default(), Config::default());
    let (_one, other) = pair.connect(0, OURS, OURS).await;
    pair.one.endpoint.stop().await;
    let closed = timeout(Duration::from_secs(4), other.incoming.read()).await;
    assert!(closed.expect("told at once").is_err());
}
