//! What the deployed clients expect of a WebTorrent tracker, each point over real sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_core::{InfoHash, PeerId};
use causeway_tracker::Config;
use serde_json::json;

use crate::client::{Client, Server, announce, answer, b20, sdp};

/// webtorrent destroys the socket on a message without a known `action`, libtorrent closes it without `info_hash`.
#[tokio::test]
async fn every_message_carries_its_action_and_its_info_hash() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    let reply = a.announce(announce(b'a', 1, &[])).await;
    b.announce(announce(b'b', 1, &[7])).await;
    let offer = a.receive().await;
    a.send(answer(b'a', b'b', 7)).await;
    let answer = b.receive().await;
    let mut refused = announce(b'a', 1, &[]);
    refused["peer_id"] = json!("too short");
    a.send(refused).await;
    let failure = a.receive().await;
    assert!(
        failure["failure reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("peer_id")),
        "{failure}"
    );
    for message in [reply, offer, answer, failure] {
        assert_eq!(message["action"], "announce", "{message}");
        assert_eq!(message["info_hash"], b20(0xff), "{message}");
    }
    a.send(json!({"action": "scrape", "info_hash": b20(0xff)})).await;
    let scrape = a.receive().await;
    assert_eq!(scrape["action"], "scrape");
    assert_eq!(
        scrape["files"][b20(0xff)],
        json!({"complete": 0, "incomplete": 2, "downloaded": 0})
    );
}

/// libtorrent ignores a reply without it.
#[tokio::test]
async fn the_interval_is_an_integer() {
    let server = Server::start().await;
    let reply = server.connect().await.announce(announce(b'a', 1, &[])).await;
    assert_eq!(reply["interval"].as_u64(), Some(120));
}

#[tokio::test]
async fn the_reply_comes_before_the_offers_are_relayed_and_the_sender_gets_none() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    a.announce(announce(b'a', 1, &[])).await;
    // `announce` insists on a reply as the next message.
    let reply = b.announce(announce(b'b', 0, &[1, 2, 3])).await;
    assert_eq!((&reply["complete"], &reply["incomplete"]), (&json!(1), &json!(1)));
    assert_eq!(
        a.receive().await,
        json!({
            "action": "announce",
            "info_hash": b20(0xff),
            "peer_id": b20(b'b'),
            "offer_id": b20(1),
            "offer": sdp("offer"),
        })
    );
    a.is_idle().await;
    b.is_idle().await;
}

#[tokio::test]
async fn no_more_offers_are_relayed_than_are_wanted_or_allowed() {
    let server = Server::with(Config {
        max_offers: 2,
        ..Config::default()
    })
    .await;
    let mut peers = Vec::new();
    for peer in 1..=5 {
        let mut client = server.connect().await;
        client.announce(announce(peer, 1, &[])).await;
        peers.push(client);
    }
    let mut sender = server.connect().await;
    for (numwant, relayed) in [(json!(0), 0), (json!(1), 1), (json!(50), 2), (json!(null), 2)] {
        let mut message = announce(b's', 0, &[1, 2, 3]);
        message["numwant"] = numwant.clone();
        sender.announce(message).await;
        let mut offers = 0;
        for client in &mut peers {
            client
                .send(json!({"action": "scrape", "info_hash": b20(b'?')}))
                .await;
            while client.receive().await["action"] == "announce" {
                offers += 1;
            }
        }
        assert_eq!(offers, relayed, "numwant: {numwant}");
    }
}

#[tokio::test]
async fn an_answer_goes_to_whom_it_is_addressed_alone_and_is_not_replied_to() {
    let server = Server::start().await;
    let (mut a, mut b, mut c) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    a.announce(announce(b'a', 1, &[])).await;
    b.announce(announce(b'b', 1, &[7])).await;
    c.announce(announce(b'c', 1, &[])).await;
    assert_eq!(a.receive().await["offer_id"], b20(7));
    a.send(answer(b'a', b'b', 7)).await;
    assert_eq!(
        b.receive().await,
        json!({
            "action": "announce",
            "info_hash": b20(0xff),
            "peer_id": b20(b'a'),
            "offer_id": b20(7),
            "answer": sdp("answer"),
        })
    );
    a.is_idle().await;
    c.is_idle().await;
}

#[tokio::test]
async fn a_stranger_can_not_push_an_answer() {
    let server = Server::start().await;
    let (mut a, mut b, mut stranger) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    a.announce(announce(b'a', 1, &[])).await;
    b.announce(announce(b'b', 1, &[7])).await;
    stranger.announce(announce(b'x', 1, &[])).await;
    for message in [answer(b'x', b'b', 7), answer(b'a', b'b', 7)] {
        stranger.send(message).await;
    }
    stranger.is_idle().await;
    b.is_idle().await;
}

/// aquatic turns a seeder that answers into a leecher.
#[tokio::test]
async fn an_answer_does_not_change_what_its_sender_is() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    a.announce(announce(b'a', 0, &[])).await;
    b.announce(announce(b'b', 1, &[7])).await;
    a.receive().await;
    a.send(answer(b'a', b'b', 7)).await;
    b.receive().await;
    let reply = b.announce(announce(b'b', 1, &[])).await;
    assert_eq!((&reply["complete"], &reply["incomplete"]), (&json!(1), &json!(1)));
}

/// webtorrent drops a message that bears its own `peer_id`.
#[tokio::test]
async fn nobody_gets_a_message_that_bears_its_own_name() {
    let server = Server::start().await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    first.announce(announce(b'a', 1, &[])).await;
    second.announce(announce(b'a', 1, &[1, 2])).await;
    first.is_idle().await;
    second.is_idle().await;
}

#[tokio::test]
async fn all_events_of_all_clients_are_understood_with_and_without_offers() {
    let server = Server::start().await;
    for event in ["", "empty", "update", "started", "completed", "paused", "stopped"] {
        for offers in [&[][..], &[1]] {
            let mut client = server.connect().await;
            let mut message = announce(b'a', 1, offers);
            message["event"] = json!(event);
            let reply = client.announce(message).await;
            assert_eq!(
                reply["incomplete"],
                json!(u8::from(event != "stopped")),
                "{event}"
            );
            client.socket.close(None).await.expect("it can be closed");
            client.closed().await;
        }
    }
    let mut message = announce(b'a', 1, &[]);
    let members = message.as_object_mut().expect("it is an object");
    members.remove("event");
    members.remove("offers");
    members.insert("numwant".into(), json!(50));
    server.connect().await.announce(message).await;
}

#[tokio::test]
async fn only_a_left_of_zero_is_complete() {
    let server = Server::start().await;
    let cases = [
        (json!(0), 1),
        (json!(1), 0),
        (json!(1e15), 0),
        (json!(null), 0),
        (json!(-1), 0),
    ];
    for (left, complete) in cases {
        let mut client = server.connect().await;
        let mut message = announce(b'a', left.clone(), &[]);
        message["info_hash"] = json!(b20(b'l'));
        let reply = client.announce(message).await;
        assert_eq!(reply["complete"], complete, "left: {left}");
        client.socket.close(None).await.expect("it can be closed");
        client.closed().await;
    }
    let mut absent = announce(b'a', 0, &[]);
    absent.as_object_mut().expect("it is an object").remove("left");
    assert_eq!(server.connect().await.announce(absent).await["complete"], 0);
}

/// libtorrent never says `stopped`.
#[tokio::test]
async fn a_socket_carries_many_torrents_and_closing_it_leaves_them_all() {
    let server = Server::start().await;
    let (mut seeder, mut observer) = (server.connect().await, server.connect().await);
    let torrents: Vec<String> = (0..50).map(b20).collect();
    for torrent in &torrents {
        let mut message = announce(b'a', 0, &[]);
        message["info_hash"] = json!(torrent);
        assert_eq!(seeder.announce(message).await["info_hash"], json!(torrent));
    }
    observer
        .send(json!({"action": "scrape", "info_hash": torrents}))
        .await;
    let before = observer.receive().await;
    assert!(
        torrents
            .iter()
            .all(|torrent| before["files"][torrent]["complete"] == 1),
        "{before}"
    );

    seeder.socket.close(None).await.expect("it can be closed");
    seeder.closed().await;
    observer
        .send(json!({"action": "scrape", "info_hash": torrents}))
        .await;
    let after = observer.receive().await;
    assert!(
        torrents
            .iter()
            .all(|torrent| after["files"][torrent]["complete"] == 0),
        "{after}"
    );
}

#[tokio::test]
async fn the_same_name_on_a_new_socket_works_and_closing_it_does_not_remove_the_first() {
    let server = Server::start().await;
    let (mut first, mut second, mut other) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    first.announce(announce(b'a', 1, &[])).await;
    other.announce(announce(b'o', 1, &[])).await;
    let reply = second.announce(announce(b'a', 1, &[7])).await;
    assert_eq!(reply["incomplete"], 2, "one peer is counted once");
    assert_eq!(other.receive().await["offer_id"], b20(7));
    other.send(answer(b'o', b'a', 7)).await;
    assert_eq!(
        second.receive().await["offer_id"],
        b20(7),
        "answers reach the socket that offered"
    );

    second.socket.close(None).await.expect("it can be closed");
    second.closed().await;
    other.announce(announce(b'o', 1, &[8])).await;
    assert_eq!(first.receive().await["offer_id"], b20(8));
}

/// Trystero sends the same offers again every 10 to 20 s.
#[tokio::test]
async fn offers_with_the_same_id_are_relayed_each_time() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    a.announce(announce(b'a', 1, &[])).await;
    for _ in 0..3 {
        b.announce(announce(b'b', 1, &[7])).await;
        assert_eq!(a.receive().await["offer_id"], b20(7));
        a.send(answer(b'a', b'b', 7)).await;
        assert_eq!(b.receive().await["offer_id"], b20(7));
    }
}

#[tokio::test]
async fn the_swarms_of_ipv4_and_ipv6_clients_are_one() {
    let server = Server::at(Ipv6Addr::UNSPECIFIED.into(), Config::default()).await;
    let port = server.address.port();
    let connect = |address: IpAddr| async move {
        let client = Client::connect((address, port).into(), "/announce").await;
        client.expect("the tracker takes WebSockets")
    };
    let mut four = connect(Ipv4Addr::LOCALHOST.into()).await;
    let mut six = connect(Ipv6Addr::LOCALHOST.into()).await;
    four.announce(announce(b'a', 1, &[])).await;
    assert_eq!(six.announce(announce(b'b', 1, &[7])).await["incomplete"], 2);
    assert_eq!(four.receive().await["offer_id"], b20(7));
    four.send(answer(b'a', b'b', 7)).await;
    assert_eq!(six.receive().await["offer_id"], b20(7));
    let stats = Server::stats_at((Ipv4Addr::LOCALHOST, port).into()).await;
    assert_eq!((&stats["peersIPv4"], &stats["peersIPv6"]), (&json!(1), &json!(1)));
}

/// libtorrent drops what comes beyond its `numwant` until it announces again.
#[tokio::test]
async fn who_has_had_as_many_offers_as_it_takes_gets_none_while_others_take_some() {
    let server = Server::start().await;
    let (mut seeder, mut leecher, mut other) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    let mut modest = announce(b's', 0, &[]);
    modest["numwant"] = json!(2);
    let mut eager = announce(b'l', 1, &[]);
    eager["numwant"] = json!(50);
    seeder.announce(modest.clone()).await;
    leecher.announce(eager).await;
    for offer in [1, 2] {
        other.announce(announce(b'o', 1, &[offer])).await;
        assert_eq!(seeder.receive().await["offer_id"], b20(offer), "seeders first");
    }
    for offer in [3, 4, 5] {
        other.announce(announce(b'o', 1, &[offer])).await;
        assert_eq!(leecher.receive().await["offer_id"], b20(offer));
    }
    seeder.is_idle().await;
    seeder.announce(modest).await;
    other.announce(announce(b'o', 1, &[6])).await;
    assert_eq!(seeder.receive().await["offer_id"], b20(6));
}

/// Everybody that gets an offer learns its sender's name.
#[tokio::test]
async fn nobody_can_stop_another_one() {
    let server = Server::start().await;
    let (mut victim, mut stranger, mut other) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    victim.announce(announce(b'v', 1, &[])).await;
    let mut stop = announce(b'v', 1, &[]);
    stop["event"] = json!("stopped");
    stranger.announce(stop.clone()).await;
    stranger.announce(announce(b'x', 1, &[])).await;
    let reply = stranger.announce(stop).await;
    assert_eq!(reply["incomplete"], 1, "it stopped itself, whatever name it said");
    other.announce(announce(b'o', 1, &[7])).await;
    assert_eq!(victim.receive().await["offer_id"], b20(7));
    stranger.is_idle().await;
}

/// The path, and the fields, that the reference tracker has.
#[tokio::test]
async fn statistics_have_the_names_that_the_reference_tracker_gives_them() {
    let server = Server::start().await;
    let (mut a, mut b, mut c) = (
        server.connect().await,
        server.connect().await,
        server.connect_at("/").await,
    );
    let mut seeder = announce(b'a', 0, &[]);
    seeder["peer_id"] = json!("-WW0208-abcdefghijkl");
    a.announce(seeder.clone()).await;
    b.announce(announce(b'b', 1, &[])).await;
    seeder["peer_id"] = json!(b20(b'c'));
    c.announce(seeder.clone()).await;
    (seeder["info_hash"], seeder["left"]) = (json!(b20(9)), json!(5));
    c.announce(seeder).await;
    assert_eq!(
        server.stats().await,
        json!({
            "torrents": 2,
            "activeTorrents": 2,
            "peersAll": 3,
            "peersSeederOnly": 1,
            "peersLeecherOnly": 1,
            "peersSeederAndLeecher": 1,
            "peersIPv4": 3,
            "peersIPv6": 0,
            "clients": {"WebTorrent": {"0208": 1}, "other": {"": 2}},
        })
    );
    let (status, page) = server.get("/stats").await;
    assert_eq!(status, 200);
    assert!(page.contains("<tr><th scope=row>Seeders only<td>1"), "{page}");
}

#[tokio::test]
async fn binary_frames_and_names_with_every_byte_are_understood() {
    use futures_util::SinkExt;
    let server = Server::start().await;
    let mut client = server.connect_at("/announce?key=1").await;
    let name: String = (0..20).chain(236..=255).step_by(2).map(char::from).collect();
    let mut message = announce(b'a', 1, &[]);
    message["info_hash"] = json!(name);
    let bytes = message.to_string().into_bytes();
    client
        .socket
        .send(tungstenite::Message::binary(bytes))
        .await
        .expect("the tracker reads");
    assert_eq!(client.receive().await["info_hash"], json!(name));
}

/// What a gateway beside the tracker has to say of a torrent.
#[tokio::test]
async fn a_member_is_told_what_its_user_should_know_and_no_other_is() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    a.announce(announce(b'a', 1, &[])).await;
    b.announce(announce(b'b', 1, &[])).await;
    let (info_hash, peer_id) = (InfoHash::new([0xff; 20]), PeerId::new([b'b'; 20]));
    server.tracker.warn(info_hash, peer_id, "not today");
    let told = b.receive().await;
    assert_eq!(
        told,
        json!({"action": "announce", "info_hash": b20(0xff), "warning message": "not today"})
    );
    server
        .tracker
        .warn(InfoHash::new([b'i'; 20]), peer_id, "of another swarm");
    a.is_idle().await;
    b.is_idle().await;
}
