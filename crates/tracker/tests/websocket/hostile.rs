//! Clients that send too much, too fast, too little or nonsense.

use core::time::Duration;
use std::time::Instant;

use crate::client::{Server, announce, answer, b20};
use causeway_tracker::Config;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

/// The offers of ten peers without trickle ICE can pass 16 KiB.
#[tokio::test]
async fn a_message_of_128_kib_is_relayed_unchanged() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    a.announce(announce(b'a', 1, &[])).await;
    let mut message = announce(b'b', 1, &[7]);
    let rest = 128 * 1024 - message.to_string().len();
    let sdp = message["offers"][0]["offer"]["sdp"]
        .as_str()
        .expect("it is text")
        .to_owned()
        + &"x".repeat(rest);
    message["offers"][0]["offer"]["sdp"] = json!(sdp);
    assert_eq!(message.to_string().len(), 128 * 1024);
    b.announce(message).await;
    assert_eq!(a.receive().await["offer"]["sdp"], json!(sdp));
}

#[tokio::test]
async fn a_longer_message_is_refused_and_everybody_else_goes_on() {
    let server = Server::start().await;
    let mut other = server.connect().await;
    for length in [200 * 1024, 300 * 1024, 10_000_000] {
        let mut client = server.connect().await;
        // The tracker may have closed before all is written.
        let result = client.socket.send(Message::text("x".repeat(length))).await;
        if length <= Config::default().max_message {
            result.expect("it is read, and refused in words");
            let reply = client.receive().await;
            assert!(
                reply["failure reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains("too long")),
                "{reply}"
            );
        } else {
            assert_eq!(client.closed().await, Some(1009), "{length} bytes");
        }
        other.announce(announce(b'o', 1, &[])).await;
    }
}

#[tokio::test]
async fn nonsense_is_answered_with_what_is_wrong_and_changes_nothing() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.announce(announce(b'a', 1, &[])).await;
    let hash = b20(0xff);
    let cases = [
        String::new(),
        "{".into(),
        "[]".into(),
        "null".into(),
        "{}".into(),
        json!({"action": "dance"}).to_string(),
        json!({"action": "announce"}).to_string(),
        json!({"action": "announce", "info_hash": hash}).to_string(),
        json!({"action": "announce", "info_hash": hash, "peer_id": "\u{100}".repeat(20)}).to_string(),
        json!({"action": "announce", "info_hash": hash, "peer_id": b20(1), "answer": {}}).to_string(),
        json!({"action": "scrape", "info_hash": 5}).to_string(),
        "[".repeat(100_000),
    ];
    for case in cases {
        client.send_text(&case).await;
        let reply = client.receive().await;
        assert!(reply["failure reason"].is_string(), "{case}: {reply}");
        // webtorrent throws on an announce without it, and connects again on a failure that is of nothing.
        let is_of_a_swarm = reply["info_hash"] == hash;
        assert_eq!(is_of_a_swarm, case.contains(&hash), "{case}: {reply}");
        assert_eq!(is_of_a_swarm, reply["action"] == "announce", "{case}: {reply}");
    }
    let reply = client.announce(announce(b'a', 1, &[])).await;
    assert_eq!((&reply["complete"], &reply["incomplete"]), (&json!(0), &json!(1)));
}

/// bittorrent-tracker's process ends on `[null]`.
#[tokio::test]
async fn offers_that_are_none_are_left_out() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.connect().await, server.connect().await);
    a.announce(announce(b'a', 1, &[])).await;
    let mut message = announce(b'b', 1, &[7]);
    let offers = message["offers"].as_array_mut().expect("it is a list");
    offers.insert(0, Value::Null);
    offers.push(json!({"offer_id": "short"}));
    message["numwant"] = json!(5);
    b.announce(message).await;
    assert_eq!(a.receive().await["offer_id"], b20(7));
    a.is_idle().await;
}

#[tokio::test]
async fn who_does_not_read_its_replies_is_closed_and_costs_nobody_else() {
    let config = Config {
        messages_per_second: 100_000,
        message_burst: 100_000,
        send_within: Duration::from_millis(500),
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut slow = server.connect_without_room().await;
    slow.announce(announce(b's', 1, &[])).await;
    let mut other = server.connect().await;
    let everything: Vec<_> = (0..100).map(b20).collect();
    let scrape = json!({"action": "scrape", "info_hash": everything}).to_string();
    tokio::spawn(async move {
        // The buffers of the operating system take some megabytes before the tracker notices anything.
        while slow.socket.send(Message::text(scrape.as_str())).await.is_ok() {}
    });
    while other.announce(announce(b'o', 1, &[])).await["incomplete"] == 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.stats().await["peersAll"], 1);
}

/// What it reads is enough for its replies, and for some of the offers.
#[tokio::test]
async fn a_flood_of_offers_does_not_disconnect_who_reads_slowly() {
    let config = Config {
        max_outgoing: 128 * 1024,
        messages_per_second: 100_000,
        message_burst: 100_000,
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut victim = server.connect_without_room().await;
    let mut hello = announce(b'v', 1, &[]);
    hello["numwant"] = json!(50);
    victim.announce(hello.clone()).await;
    let mut flooder = server.connect().await;
    let mut flood = announce(b'f', 1, &[7]);
    flood["offers"][0]["offer"]["sdp"] = json!("x".repeat(16 * 1024));
    for _ in 0..300 {
        let reply = flooder.announce(flood.clone()).await;
        assert_eq!(reply["incomplete"], 2, "the victim is there");
    }
    // 100 KB a second.
    for _ in 0..4 {
        victim.receive().await;
        tokio::time::sleep(Duration::from_millis(160)).await;
    }
    victim.send(hello).await;
    while victim.receive().await.get("interval").is_none() {}
}

#[tokio::test]
async fn a_fast_sender_is_read_at_the_pace() {
    let config = Config {
        messages_per_second: 50,
        message_burst: 5,
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut client = server.connect().await;
    let begin = Instant::now();
    for _ in 0..30 {
        client.send(announce(b'a', 1, &[])).await;
    }
    for _ in 0..30 {
        client.receive().await;
    }
    assert!(
        begin.elapsed() >= Duration::from_millis(450),
        "24 messages at 50 a second: {:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn the_sockets_of_one_address_share_its_pace() {
    let config = Config {
        messages_per_second_per_address: 50,
        message_burst_per_address: 5,
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut clients = [server.connect().await, server.connect().await];
    let begin = Instant::now();
    for client in &mut clients {
        for _ in 0..15 {
            client.send(announce(b'a', 1, &[])).await;
        }
    }
    for client in &mut clients {
        for _ in 0..15 {
            client.receive().await;
        }
    }
    assert!(
        begin.elapsed() >= Duration::from_millis(450),
        "24 messages at 50 a second: {:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn an_address_may_open_so_many_sockets_a_second() {
    let server = Server::with(Config {
        requests_per_second: 1,
        request_burst: 3,
        ..Config::default()
    })
    .await;
    let mut refused = 0;
    for _ in 0..10 {
        if let Err(refusal) = server.try_connect("/announce").await {
            assert!(refusal.to_string().contains("429"), "{refusal}");
            refused += 1;
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_socket_that_is_in_too_many_swarms_is_told_so() {
    let server = Server::with(Config {
        max_torrents_per_socket: 2,
        ..Config::default()
    })
    .await;
    let mut client = server.connect().await;
    for torrent in [1, 2, 3] {
        let mut message = announce(b'a', 1, &[]);
        message["info_hash"] = json!(b20(torrent));
        client.send(message).await;
        let reply = client.receive().await;
        assert_eq!(reply["info_hash"], b20(torrent));
        assert_eq!(reply.get("failure reason").is_some(), torrent == 3, "{reply}");
    }
}

#[tokio::test]
async fn a_tracker_takes_so_many_sockets_and_no_more() {
    let server = Server::with(Config {
        max_sockets: 2,
        ..Config::default()
    })
    .await;
    let mut first = server.connect().await;
    let _second = server.connect().await;
    let refusal = server
        .try_connect("/announce")
        .await
        .err()
        .expect("the tracker is full");
    assert!(refusal.to_string().contains("503"), "{refusal}");
    first.socket.close(None).await.expect("it can be closed");
    first.closed().await;
    while server.try_connect("/announce").await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// Browsers can't ping. This client does not read, and so does not answer.
#[tokio::test]
async fn the_silent_are_dropped_and_those_who_answer_pings_are_not() {
    let config = Config {
        ping_after: Duration::from_millis(50),
        pong_within: Duration::from_millis(500),
        ..Config::default()
    };
    let server = Server::with(config).await;
    let mut silent = server.connect().await;
    let mut quiet = server.connect().await;
    silent.announce(announce(b's', 1, &[])).await;
    quiet.announce(announce(b'q', 1, &[])).await;
    let reading = tokio::spawn(async move { quiet.closed().await });
    while server.stats().await["peersAll"] != 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!reading.is_finished(), "who answers stays");
    assert_eq!(silent.closed().await, Some(1008));
    server.tracker.close(Duration::from_secs(5)).await;
    assert_eq!(reading.await.expect("it reads to the end"), Some(1001));
}

/// Who says that it will send nothing more has left, although its end still takes what it is sent.
#[tokio::test]
async fn a_half_closed_socket_is_out_of_its_swarms_and_closed() {
    let server = Server::start().await;
    let mut half = server.connect().await;
    half.announce(announce(b'h', 1, &[])).await;
    half.socket
        .get_mut()
        .shutdown()
        .await
        .expect("it can be shut down");
    while server.stats().await["peersAll"] != 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(half.closed().await, None);
}

/// The old socket of a client that reconnected, after its network went away.
#[tokio::test]
async fn a_socket_whose_name_is_claimed_anew_has_to_show_that_it_lives() {
    let config = Config {
        proof_within: Duration::from_millis(200),
        ..Config::default()
    };
    let server = Server::with(config).await;
    let (mut dead, mut new, mut other) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    dead.announce(announce(b'a', 1, &[])).await;
    other.announce(announce(b'o', 1, &[])).await;
    new.announce(announce(b'a', 1, &[])).await;
    other.announce(announce(b'o', 1, &[1])).await;
    assert_eq!(
        new.receive().await["offer_id"],
        b20(1),
        "the newcomer works at once"
    );
    new.send(answer(b'a', b'o', 1)).await;
    assert_eq!(other.receive().await["offer_id"], b20(1));
    // To read would be to answer: the time that it has for that must pass first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(dead.closed().await, Some(1008));
    other.announce(announce(b'o', 1, &[2])).await;
    assert_eq!(new.receive().await["offer_id"], b20(2));
}

#[tokio::test]
async fn a_live_socket_whose_name_is_claimed_anew_keeps_its_offers() {
    let config = Config {
        proof_within: Duration::from_millis(300),
        ..Config::default()
    };
    let server = Server::with(config).await;
    let (mut live, mut stranger, mut other) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    live.announce(announce(b'a', 1, &[])).await;
    other.announce(announce(b'o', 1, &[])).await;
    stranger.announce(announce(b'a', 1, &[])).await;
    // Reading answers the ping, and another announce comes after it.
    live.announce(announce(b'a', 1, &[])).await;
    for offer in 1..=20 {
        other.announce(announce(b'o', 1, &[offer])).await;
        assert_eq!(live.receive().await["offer_id"], b20(offer));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stranger.is_idle().await;
}

/// A stranger who claims a name over and over gets what comes before the first sign of life, and nothing after it.
#[tokio::test]
async fn a_name_that_is_claimed_again_and_again_keeps_its_offers() {
    let server = Server::start().await;
    let (mut live, mut stranger, mut other) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    live.announce(announce(b'a', 1, &[])).await;
    other.announce(announce(b'o', 1, &[])).await;
    let mut stop = announce(b'a', 1, &[]);
    stop["event"] = json!("stopped");
    stranger.announce(announce(b'a', 1, &[])).await;
    stranger.announce(stop.clone()).await;
    // Reading answers the ping, and another announce comes after it.
    live.announce(announce(b'a', 1, &[])).await;
    for offer in 1..=50 {
        stranger.announce(announce(b'a', 1, &[])).await;
        other.announce(announce(b'o', 1, &[offer])).await;
        assert_eq!(live.receive().await["offer_id"], b20(offer));
        live.announce(announce(b'a', 1, &[])).await;
        stranger.announce(stop.clone()).await;
    }
    stranger.is_idle().await;
}

#[tokio::test]
async fn a_closing_tracker_says_so_and_takes_nobody_any_more() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.announce(announce(b'a', 1, &[])).await;
    server.tracker.close(Duration::from_secs(5)).await;
    assert_eq!(client.closed().await, Some(1001));
    assert!(server.try_connect("/announce").await.is_err());
}

#[tokio::test]
async fn who_comes_without_a_websocket_is_told_what_this_is() {
    let server = Server::start().await;
    assert_eq!(server.get("/announce").await.0, 426);
    assert_eq!(server.get("/").await.0, 404, "the page is another one's business");
}
