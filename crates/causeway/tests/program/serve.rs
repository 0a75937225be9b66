//! `serve`.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::run;
use crate::server::Server;

pub(crate) fn announce(socket: &mut tungstenite::WebSocket<impl Read + Write>) -> Value {
    let message = json!({
        "action": "announce",
        "info_hash": "h".repeat(20),
        "peer_id": "p".repeat(20),
        "left": 0,
        "event": "started",
    });
    socket.send(Message::text(message.to_string())).expect("it reads");
    serde_json::from_str(
        &socket
            .read()
            .expect("it answers")
            .into_text()
            .expect("it is text"),
    )
    .expect("it is JSON")
}

#[test]
fn the_tracker_answers_at_announce_and_at_the_root() {
    let server = Server::start(&[]);
    // Kept open: who closes the socket has left.
    let mut sockets = Vec::new();
    for path in ["/announce", "/", "/announce?key=1"] {
        let mut socket = server.socket(path);
        let reply = announce(&mut socket);
        sockets.push(socket);
        assert_eq!(
            (&reply["action"], &reply["complete"]),
            (&json!("announce"), &json!(1)),
            "{path}"
        );
    }
    assert_eq!(server.json("/stats.json")["peersAll"], 1);
    assert!(server.folder.path().join("data").is_dir());
}

#[cfg(unix)]
#[test]
fn it_ends_soon_after_a_signal_even_with_open_connections() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Server::start(&[]);
        let mut busy = server.socket("/announce");
        announce(&mut busy);
        let _idle = TcpStream::connect(&server.address).expect("it listens");
        let mut slow = TcpStream::connect(&server.address).expect("it listens");
        slow.write_all(b"GET / HTTP/1.1\r\nHost: ").expect("it reads");
        let (status, took) = server.end(signal);
        assert_eq!(status, Some(0), "{signal}");
        assert!(took < Duration::from_secs(5), "{signal}: {took:?}");
        assert!(matches!(busy.read(), Ok(Message::Close(Some(frame))) if frame.code == 1001.into()));
    }
}

#[test]
fn the_page_is_told_its_trackers_and_ice_servers() {
    let server = Server::start(&[]);
    assert_eq!(
        server.json("/config.json"),
        json!({
            "trackers": ["/announce"],
            "iceServers": [{"urls": ["stun:stun.l.google.com:19302"]}, {"urls": ["stun:stun.cloudflare.com:3478"]}],
            "webSeeds": [],
        })
    );
    let server = Server::start(&[
        "--tracker",
        "wss://t.example/announce",
        "--no-ice-servers",
        "--web-seed-origin",
        "https://f.example:1",
    ]);
    let trackers = ["/announce", "wss://t.example/announce"];
    let config = json!({"trackers": trackers, "iceServers": [], "webSeeds": ["https://f.example:1"]});
    assert_eq!(server.json("/config.json"), config);
    let server = Server::start(&[
        "--ice-server",
        "stun:s.example:1",
        "--ice-server",
        "stuns:t.example",
        "--ice-server",
        "turn:me:a:b@c@u.example:3478?transport=tcp",
    ]);
    let ice_servers = json!([
        {"urls": ["stun:s.example:1"]},
        {"urls": ["stuns:t.example"]},
        {"urls": ["turn:u.example:3478?transport=tcp"], "username": "me", "credential": "a:b@c"},
    ]);
    assert_eq!(server.json("/config.json")["iceServers"], ice_servers);
}

#[test]
fn every_response_says_what_the_page_may_do() {
    let server = Server::start(&["--tracker", "wss://t.example:444/announce?x=1;2"]);
    let own = &server.address;
    for path in ["/", "/config.json", "/absent"] {
        let (head, _) = server.get(path);
        for line in [
            &format!("connect-src 'self' ws://{own} wss://{own} wss://t.example:444;"),
            "content-security-policy: default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self';",
            "frame-ancestors 'none'\r\n",
            "\r\nx-content-type-options: nosniff\r\n",
            "\r\nreferrer-policy: no-referrer\r\n",
            "\r\ncross-origin-opener-policy: same-origin\r\n",
            "\r\npermissions-policy: ",
        ] {
            assert!(head.contains(line), "{path} lacks {line}:\n{head}");
        }
    }
    let (head, _) = server.request("GET / HTTP/1.1\r\nHost: x; script-src *");
    assert!(
        head.starts_with("http/1.1 400") || !head.contains("script-src *"),
        "{head}"
    );
}

#[test]
fn other_paths_and_methods_are_refused() {
    let server = Server::start(&[]);
    for (request, status) in [
        ("GET /absent HTTP/1.1", "404"),
        ("GET /../Cargo.toml HTTP/1.1", "404"),
        ("GET /%2e%2e/Cargo.toml HTTP/1.1", "404"),
        ("POST / HTTP/1.1", "405"),
        ("GET /announce HTTP/1.1", "426"),
        ("NONSENSE", "400"),
    ] {
        let (head, _) = server.request(request);
        assert!(
            head.starts_with(&format!("http/1.1 {status}")),
            "{request}: {head}"
        );
    }
}

#[test]
fn wrong_options_are_refused_in_words() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("it is bound").to_string();
    std::fs::write(folder.path().join("file"), "").expect("it can be written");
    for (options, complaint) in [
        (&["--listen", "nowhere"][..], "--listen"),
        (&["--listen", &taken], "choose another"),
        (&["--listen", "127.0.0.1:0", "--data-dir", "file"], "data folder"),
        (&["--tracker", "http://t.example/announce"], "wss://HOST/PATH"),
        (&["--ice-server", "turn:t.example"], "TURN"),
        (&["--ice-server", "t.example"], "stun:HOST:PORT"),
    ] {
        let (status, out, err) = run(folder.path(), &[&["serve"], options].concat());
        assert_eq!((status, out.as_str()), (2, ""), "{options:?}: {err}");
        assert!(err.contains(complaint), "{options:?}: {err}");
    }
}
