//! HTTP.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use causeway_core::InfoHash;
use causeway_tracker::{Access, Config};

use crate::server::Server;

fn announce(port: u16, left: u64, more: &str) -> String {
    let id = format!("{port:020}");
    format!(
        "/announce?info_hash=%ff{}&peer_id={id}&port={port}&uploaded=0&downloaded=0&left={left}{more}",
        "h".repeat(19)
    )
}

fn hash() -> InfoHash {
    let mut bytes = [b'h'; 20];
    bytes[0] = 0xff;
    InfoHash::new(bytes)
}

fn text(body: &[u8]) -> String {
    body.escape_ascii().to_string()
}

#[tokio::test]
async fn peers_are_told_of_each_other_in_the_format_they_ask_for() {
    let server = Server::start().await;
    let head = "d8:completei1e10:downloadedi0e10:incompletei";
    let first = server.get(&announce(258, 0, "&event=started&compact=1")).await;
    assert_eq!(
        text(&first),
        format!("{head}0e8:intervali1800e12:min intervali300e5:peers0:e")
    );
    let second = server.get(&announce(2, 5, "&event=started")).await;
    assert!(
        text(&second).starts_with(&format!("{head}1e")),
        "{}",
        text(&second)
    );
    assert!(
        second.ends_with(b"5:peers6:\x7f\x00\x00\x01\x01\x02e"),
        "{}",
        text(&second)
    );
    let third = server.get(&announce(2, 5, "&compact=0&trackerid=abc")).await;
    assert!(
        third.ends_with(
            b"5:peersld2:ip9:127.0.0.17:peer id20:000000000000000002584:porti258eee10:tracker id3:abce"
        ),
        "{}",
        text(&third)
    );
    let fourth = server
        .get(&announce(2, 5, "&compact=0&no_peer_id=1&numwant=1"))
        .await;
    assert!(
        fourth.ends_with(b"5:peersld2:ip9:127.0.0.14:porti258eeee"),
        "{}",
        text(&fourth)
    );
    assert!(
        server
            .get(&announce(2, 5, "&numwant=0"))
            .await
            .ends_with(b"5:peers0:e")
    );
}

/// Over one socket for both families an IPv4 address is written as an IPv6 address, and is none. All are told of both (BEP 7),
/// of their own first.
#[tokio::test]
async fn ipv6_peers_have_a_list_of_their_own() {
    let server = Server::at(Ipv6Addr::UNSPECIFIED.into(), Config::default()).await;
    let port = server.http.port();
    let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    server.get_at(four, &announce(258, 0, "")).await;
    let first = server.get_at(six, &announce(259, 0, "")).await;
    assert!(text(&first).contains("8:completei2e"), "{}", text(&first));
    let to_six = server.get_at(six, &announce(2, 5, "&numwant=1")).await;
    let loopback = [&[0; 15][..], &[1, 1, 3]].concat();
    assert!(
        to_six.ends_with(&[&b"5:peers0:6:peers618:"[..], &loopback, b"e"].concat()),
        "{}",
        text(&to_six)
    );
    let to_four = server.get_at(four, &announce(3, 5, "&numwant=1")).await;
    assert!(
        to_four.ends_with(b"5:peers6:\x7f\x00\x00\x01\x01\x02e"),
        "{}",
        text(&to_four)
    );
}

#[tokio::test]
async fn who_stops_is_gone_and_a_download_is_counted() {
    let server = Server::start().await;
    server.get(&announce(1, 5, "&event=started")).await;
    let completed = announce(1, 0, "&event=completed").replace("downloaded=0", "downloaded=5");
    server.get(&completed).await;
    let counts = server.tracker.counts(hash());
    assert_eq!((counts.complete, counts.incomplete, counts.downloaded), (1, 0, 1));
    server.get(&announce(1, 0, "&event=stopped")).await;
    assert_eq!(server.tracker.counts(hash()).complete, 0);
}

#[tokio::test]
async fn scrapes_are_of_one_of_many_or_of_some() {
    let server = Server::with(Config {
        max_scrape: 2,
        ..Config::default()
    })
    .await;
    server.get(&announce(1, 0, "")).await;
    let h = "%ff".to_owned() + &"h".repeat(19);
    let one = server.get(&format!("/scrape?info_hash={h}")).await;
    let file = "20:\\xffhhhhhhhhhhhhhhhhhhhd8:completei1e10:downloadedi0e10:incompletei0ee";
    let flags = "5:flagsd20:min_request_intervali600eee";
    assert_eq!(text(&one), format!("d5:filesd{file}e{flags}"));
    let two = server
        .get(&format!("/scrape?info_hash={h}&info_hash={}", "a".repeat(20)))
        .await;
    let absent = "20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei0ee";
    assert_eq!(text(&two), format!("d5:filesd{absent}{file}e{flags}"));
    for number in 2..10 {
        let other = announce(number, 0, "").replace("%ffh", &format!("{number}h"));
        server.get(&other).await;
    }
    let all = server.get("/scrape").await;
    assert_eq!(
        text(&all).matches("complete").count(),
        4,
        "two swarms, and no more: {}",
        text(&all)
    );
    let too_many = server
        .get(&format!(
            "/scrape?{}",
            "info_hash=aaaaaaaaaaaaaaaaaaaa&".repeat(3)
        ))
        .await;
    assert!(text(&too_many).contains("failure reason"), "{}", text(&too_many));
}

#[tokio::test]
async fn nonsense_is_answered_with_a_failure_in_words() {
    let server = Server::start().await;
    for (path, word) in [
        ("/announce?", "info_hash"),
        ("/announce?info_hash=%zz", "20 bytes"),
        ("/announce?info_hash=%00&peer_id=b&port=0", "20 bytes"),
        (&announce(1, 0, "&event=dance"), "event"),
        (&announce(1, 0, "").replace("port=1", "port=99999"), "port"),
        ("/scrape?info_hash=short", "20 bytes"),
    ] {
        let body = server.get(path).await;
        assert!(body.starts_with(b"d14:failure reason"), "{path}: {}", text(&body));
        assert!(text(&body).contains(word), "{path}: {}", text(&body));
    }
    assert_eq!(
        server.metric("causeway_tracker_failures_total{reason=\"malformed\"}"),
        6
    );
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_refused_and_served_again_later() {
    let server = Server::with(Config {
        requests_per_second: 10,
        request_burst: 5,
        ..Config::default()
    })
    .await;
    let mut refused = 0;
    for _ in 0..50 {
        let body = server.get(&announce(1, 0, "")).await;
        refused += usize::from(text(&body).contains("too often"));
    }
    assert!(refused > 20, "{refused}");
    while text(&server.get(&announce(1, 0, "")).await).contains("too often") {
        tokio::time::sleep(core::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn lists_and_passkeys_are_obeyed_from_the_time_that_they_are_set() {
    let server = Server::start().await;
    server.get(&announce(1, 0, "")).await;
    assert_eq!(server.tracker.counts(hash()).complete, 1);
    server.tracker.set_access(Access {
        denied: [hash()].into(),
        ..Access::default()
    });
    assert_eq!(server.tracker.counts(hash()).complete, 0, "its swarm is dropped");
    let denied = server.get(&announce(1, 0, "")).await;
    assert!(
        text(&denied).contains("does not serve this torrent"),
        "{}",
        text(&denied)
    );

    server.tracker.set_access(Access {
        all_private: true,
        passkeys: ["secret".into()].into(),
        ..Access::default()
    });
    let path = announce(1, 0, "");
    for (path, admitted) in [
        (path.clone(), false),
        (path.replace("/announce", "/announce/wrong"), false),
        (path.replace("/announce", "/announce/secret"), true),
        (path.replace("/announce", "/secret/announce"), true),
        (format!("{path}&passkey=secret"), true),
    ] {
        let body = text(&server.get(&path).await);
        assert_eq!(body.contains("interval"), admitted, "{path}: {body}");
        assert_eq!(body.contains("passkey"), !admitted, "{path}: {body}");
    }
    let scrape = format!("/scrape?info_hash=%ff{}", "h".repeat(19));
    assert!(
        text(&server.get(&scrape).await).starts_with("d5:filesde"),
        "private swarms are hidden"
    );
    let scrape = scrape.replace("/scrape", "/scrape/secret");
    assert!(text(&server.get(&scrape).await).contains("completei1e"));
}

#[tokio::test]
async fn its_health_is_told_until_it_is_closed() {
    let server = Server::start().await;
    assert_eq!(server.get("/health").await, b"ok\n");
    server.tracker.close(core::time::Duration::ZERO).await;
    let result = tokio::spawn(async move { server.get("/health").await }).await;
    assert!(result.is_err(), "the status is 503 now");
}
