//! Who may use the WebSocket door.

use causeway_core::InfoHash;
use causeway_tracker::Access;
use serde_json::json;

use crate::client::{Server, announce, answer, b20};

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_programs_are_not() {
    let server = Server::start().await;
    server.tracker.set_access(Access {
        origins: Some(vec!["https://*.a.example".parse().expect("a rule")]),
        ..Access::default()
    });
    for path in ["/announce", "/"] {
        assert_eq!(server.knock(path, "https://x.a.example").await, 101);
        assert_eq!(server.knock(path, "https://b.example").await, 403);
    }
    server.connect().await.announce(announce(b'a', 1, &[])).await;
}

/// Who is connected stays so, and is held to the new rules from its next message on.
#[tokio::test]
async fn new_rules_hold_for_open_connections_without_closing_them() {
    let server = Server::start().await;
    let mut client = server.connect_at("/announce/secret").await;
    client.announce(announce(b'a', 1, &[])).await;
    server.tracker.set_access(Access {
        denied: [InfoHash::new([0xff; 20])].into(),
        ..Access::default()
    });
    assert_eq!(server.stats().await["torrents"], 0, "its swarm is dropped");
    client.send(announce(b'a', 1, &[])).await;
    let refusal = client.receive().await;
    assert_eq!(refusal["info_hash"], b20(0xff));
    assert_eq!(
        refusal["action"], "announce",
        "webtorrent leaves for good without"
    );
    assert!(
        refusal["failure reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("does not serve"))
    );

    let private = |passkey: &str| Access {
        private: [InfoHash::new([0xff; 20])].into(),
        passkeys: [passkey.to_owned()].into(),
        ..Access::default()
    };
    server.tracker.set_access(private("secret"));
    client.announce(announce(b'a', 1, &[])).await;
    let mut other = server.connect_at("/announce/secret").await;
    other.announce(announce(b'o', 1, &[1])).await;
    assert_eq!(client.receive().await["offer_id"], b20(1));
    server.tracker.set_access(private("another"));
    client.send(answer(b'a', b'o', 1)).await;
    client.is_idle().await;
    other.is_idle().await;
    client.send(announce(b'a', 1, &[])).await;
    assert!(
        client.receive().await["failure reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("passkey"))
    );
    assert_eq!(
        server.stats().await["torrents"],
        0,
        "and out of the swarm that it was in"
    );
    client
        .send(json!({"action": "scrape", "info_hash": b20(0xff)}))
        .await;
    assert_eq!(
        client.receive().await["files"],
        json!({}),
        "private swarms are hidden"
    );
}
