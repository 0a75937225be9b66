//! Much of one thing, from one who pays for it alone.

use core::time::Duration;

use causeway_tracker::Config;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::client::{Server, announce, answer, b20};

#[tokio::test]
async fn a_message_in_endless_fragments_ends_the_connection() {
    let server = Server::start().await;
    let mut other = server.connect().await;
    let mut client = server.connect().await;
    let fragment =
        |kind, text: &str| Message::Frame(Frame::message(text.to_owned(), OpCode::Data(kind), false));
    client
        .socket
        .send(fragment(Data::Text, "{"))
        .await
        .expect("it reads");
    let piece = " ".repeat(1000);
    let mut sent = 0;
    while client.socket.send(fragment(Data::Continue, &piece)).await.is_ok() {
        sent += piece.len();
        assert!(sent < 50 << 20, "the tracker keeps whatever it is sent");
    }
    client.closed().await;
    other.announce(announce(b'o', 1, &[])).await;
}

/// What keeps it alive does not keep its half message.
#[tokio::test]
async fn a_message_that_is_begun_and_not_completed_ends_the_connection() {
    let server = Server::with(Config {
        message_within: Duration::from_millis(500),
        ..Config::default()
    })
    .await;
    let mut patient = server.connect().await;
    let mut client = server.connect().await;
    for half in &mut [&mut patient, &mut client] {
        let text = announce(b'a', 1, &[]).to_string();
        let (first, rest) = text.split_at(10);
        let pieces = [(Data::Text, first, false), (Data::Continue, rest, true)];
        for (kind, piece, is_last) in pieces {
            let frame = Frame::message(piece.to_owned(), OpCode::Data(kind), is_last);
            half.socket.send(Message::Frame(frame)).await.expect("it reads");
        }
        assert!(
            half.receive().await["interval"].is_u64(),
            "parts of one are a message"
        );
    }
    let begin = Frame::message(" ".repeat(5_000), OpCode::Data(Data::Text), false);
    client.socket.send(Message::Frame(begin)).await.expect("it reads");
    let mut pings = 0;
    while client.socket.send(Message::Ping(Bytes::new())).await.is_ok() {
        patient
            .socket
            .send(Message::Ping(Bytes::new()))
            .await
            .expect("it reads");
        pings += 1;
        assert!(pings < 1_000, "it is kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    patient.announce(announce(b'a', 1, &[])).await;
    let name = "causeway_tracker_failures_total{reason=\"slow_sender\"} 1";
    assert!(server.tracker.metrics().contains(name));
}

#[tokio::test]
async fn a_connect_flood_is_stopped_at_its_address() {
    let server = Server::with(Config {
        max_sockets_per_address: 3,
        ..Config::default()
    })
    .await;
    let mut first = server.connect().await;
    let _others = [server.connect().await, server.connect().await];
    for _ in 0..20 {
        let refusal = server.try_connect("/announce").await.err().expect("it has three");
        assert!(refusal.to_string().contains("503"), "{refusal}");
    }
    first.announce(announce(b'a', 1, &[])).await;
    first.socket.close(None).await.expect("it can be closed");
    first.closed().await;
    while server.try_connect("/announce").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ever_more_info_hashes_on_one_socket_enter_no_more_swarms_than_one_may() {
    const MANY: usize = 50_000;
    let config = Config {
        messages_per_second: u32::MAX,
        message_burst: u32::MAX,
        messages_per_second_per_address: 0,
        ..Config::default()
    };
    let most = config.max_torrents_per_socket;
    let server = Server::with(config).await;
    let mut other = server.connect().await;
    let (mut sender, mut receiver) = server.connect().await.socket.split();
    let sending = tokio::spawn(async move {
        let message = announce(b'a', 1, &[]).to_string();
        let (before, after) = message.split_once(&b20(0xff)).expect("it names a swarm");
        for number in 0..MANY {
            let message = Message::text(format!("{before}{number:020}{after}"));
            sender.feed(message).await.expect("it reads");
        }
        sender.flush().await.expect("it reads");
    });
    let mut refused = 0;
    for number in 0..MANY {
        let reply = receiver.next().await.expect("it goes on").expect("it is whole");
        let reply = reply.to_text().expect("it is JSON");
        refused += usize::from(reply.contains("failure reason"));
        if number == MANY / 2 {
            other.announce(announce(b'o', 1, &[])).await;
        }
    }
    sending.await.expect("all was sent");
    assert_eq!(refused, MANY - most);
    assert_eq!(server.stats().await["torrents"], most + 1);
}

/// A URL may be of 64 KiB, and what is kept of it is kept for each socket.
#[tokio::test]
async fn a_long_token_or_passkey_is_none() {
    let server = Server::start().await;
    let mut heard = server.tracker.subscribe();
    for (length, is_kept) in [(128, true), (129, false), (50_000, false)] {
        let token = "t".repeat(length);
        let mut client = server.connect_at(&format!("/announce?gateway={token}")).await;
        client.announce(announce(b'a', 1, &[])).await;
        let caller = heard.recv().await.and_then(|heard| heard.caller);
        let kept = caller.and_then(|caller| caller.token.clone());
        assert_eq!(kept.as_deref(), is_kept.then_some(&*token), "{length} bytes");
        client.socket.close(None).await.expect("it can be closed");
        client.closed().await;
        heard.recv().await.expect("it left");
    }
}

#[tokio::test]
async fn a_scrape_of_everything_is_answered_with_some() {
    let server = Server::with(Config {
        max_scrape: 5,
        ..Config::default()
    })
    .await;
    let mut client = server.connect().await;
    for number in 0..20 {
        let mut message = announce(b'a', 1, &[]);
        message["info_hash"] = json!(b20(number));
        client.announce(message).await;
    }
    client.send(json!({"action": "scrape"})).await;
    let files = client.receive().await["files"]
        .as_object()
        .map(serde_json::Map::len);
    assert_eq!(files, Some(5));
    let many: Vec<_> = (0..20).map(b20).collect();
    client.send(json!({"action": "scrape", "info_hash": many})).await;
    let files = client.receive().await["files"]
        .as_object()
        .map(serde_json::Map::len);
    assert_eq!(files, Some(5));
}

/// Each member of a message as each wrong type, and names of a wrong length or with characters that are no bytes.
#[tokio::test]
async fn every_member_of_a_wrong_type_is_refused_by_its_name() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.announce(announce(b'a', 1, &[])).await;
    let wrong_names = [
        json!(5),
        json!([]),
        json!({}),
        json!(true),
        json!(""),
        json!("x".repeat(19)),
        json!("x".repeat(21)),
        json!("\u{100}".repeat(20)),
        json!("x".repeat(19) + "\u{1f600}"),
    ];
    for (message, members) in [
        (announce(b'a', 1, &[]), &["info_hash", "peer_id"][..]),
        (
            answer(b'a', b'b', 1),
            &["info_hash", "peer_id", "to_peer_id", "offer_id"],
        ),
    ] {
        for member in members {
            for wrong in &wrong_names {
                let mut message = message.clone();
                message[member] = wrong.clone();
                client.send(message).await;
                let reason = client.receive().await["failure reason"].clone();
                let is_named = reason.as_str().is_some_and(|reason| reason.contains(member));
                assert!(is_named, "{member} as {wrong}: {reason}");
            }
        }
    }
    for (member, wrong) in [
        ("left", json!("many")),
        ("downloaded", json!([])),
        ("numwant", json!({})),
        ("event", json!(7)),
        ("event", json!("dance")),
        ("offers", json!("none")),
        ("action", json!(1)),
    ] {
        let mut message = announce(b'a', 1, &[]);
        message[member] = wrong;
        client.send(message).await;
        let reason = client.receive().await["failure reason"].clone();
        assert!(
            reason.as_str().is_some_and(|reason| reason.contains(member)),
            "{member}: {reason}"
        );
    }
    let reply = client.announce(announce(b'a', 1, &[])).await;
    assert_eq!(reply["incomplete"], 1, "nothing of it changed anything");
}
