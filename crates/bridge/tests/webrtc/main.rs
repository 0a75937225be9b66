//! The native endpoint with itself: real sockets on the machine's own addresses.

mod hostile;
mod outside;
mod pair;

use causeway_bridge::webrtc::Config;
use causeway_engine::Direction;

use pair::{Pair, pump};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_of_our_kind_carry_bytes_both_ways() {
    let mut pair = Pair::start(Config::default(), Config::default());
    let (one, other) = pair.connect(0, pair::OURS, pair::OURS).await;
    assert_eq!(one.meeting.direction, Direction::Outgoing);
    assert_eq!(other.meeting.direction, Direction::Incoming);
    pump(one, other, 20_000_000, 5_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_kind_uses_the_channel_that_is_announced() {
    let mut pair = Pair::start(Config::default(), Config::default());
    let (one, other) = pair.connect(0, pair::OTHERS, pair::OTHERS).await;
    pump(one, other, 2_000_000, 2_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_between_two_peers_do_not_get_mixed_up() {
    let mut pair = Pair::start(Config::default(), Config::default());
    let mut links = Vec::new();
    for id in 0..5 {
        links.push(pair.connect(2 * id, pair::OURS, pair::OURS).await);
        links.push(pair.connect_back(2 * id + 1, pair::OURS, pair::OURS).await);
    }
    let pumps = links
        .into_iter()
        .map(|(one, other)| tokio::spawn(pump(one, other, 1_000_000, 1_000_000)));
    for pump in pumps.collect::<Vec<_>>() {
        pump.await.expect("bytes arrive");
    }
}
