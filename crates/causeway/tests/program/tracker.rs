//! `tracker`, and what `serve` has in common with it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio_tungstenite::tungstenite::{self, ClientRequestBuilder};

use crate::serve::announce;
use crate::server::Server;

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// An HTTP announce in the torrent of so many `h`.
const ANNOUNCE: &str =
    "/announce?info_hash=hhhhhhhhhhhhhhhhhhhh&peer_id=pppppppppppppppppppp&port=6881&left=0&compact=0";

fn announced(server: &Server, path: &str) -> String {
    String::from_utf8_lossy(&server.get(path).1).into_owned()
}

/// Asks again until it is so: what was changed on the disk is seen soon.
fn until(mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it never is");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn all_doors_are_on_one_port_and_one_swarm() {
    let server = Server::tracker(folder(), &[]);
    let mut socket = server.socket("/announce");
    announce(&mut socket);
    assert!(announced(&server, ANNOUNCE).starts_with("d8:completei2e"));
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    udp.connect(&server.address).expect("an address");
    udp.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a time");
    udp.send(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4])
        .expect("it can be sent");
    let mut answer = [0; 100];
    assert_eq!(udp.recv(&mut answer).ok(), Some(16));
    assert_eq!(answer[..8], [0, 0, 0, 0, 1, 2, 3, 4]);
    assert!(server.get("/").0.starts_with("http/1.1 404"), "there is no page");
}

#[test]
fn metrics_are_for_whom_the_operator_says() {
    let server = Server::tracker(folder(), &[]);
    announced(&server, ANNOUNCE);
    let (head, body) = server.get("/metrics");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let line = "causeway_tracker_announces_total{door=\"http\",event=\"update\"} 1";
    assert!(String::from_utf8_lossy(&body).contains(line));
    let server = Server::tracker(folder(), &["--metrics-from", "10.0.0.0/8"]);
    assert!(server.get("/metrics").0.starts_with("http/1.1 403"));
    let request = "GET /metrics HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1";
    assert!(
        server.request(request).0.starts_with("http/1.1 403"),
        "anybody can write that"
    );
}

#[test]
fn a_trusted_proxy_says_who_asks_and_nobody_else_does() {
    let request = format!("GET {ANNOUNCE} HTTP/1.1\r\nX-Forwarded-For: 192.0.2.7");
    let ask_again = ANNOUNCE
        .replace("pppp", "qqqq")
        .replace("6881", "1")
        .replace("left=0", "left=1");
    for (options, address) in [
        (&[][..], "127.0.0.1"),
        (&["--trusted-proxy", "127.0.0.1"], "192.0.2.7"),
    ] {
        let server = Server::tracker(folder(), options);
        server.request(&request);
        let reply = announced(&server, &ask_again);
        assert!(reply.contains(address), "{options:?}: {reply}");
    }

    let server = Server::tracker(folder(), &["--trusted-proxy", "127.0.0.0/8", "--proxy-protocol"]);
    for (header, status) in [("PROXY TCP4 192.0.2.9 127.0.0.1 5 6\r\n", "200"), ("", "")] {
        let mut stream = TcpStream::connect(&server.address).expect("it listens");
        let request = format!("{header}GET {ANNOUNCE} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = String::new();
        // Without its header the connection is closed, with or without what was not read.
        stream.read_to_string(&mut response).unwrap_or_default();
        assert_eq!(response.get(9..12).unwrap_or_default(), status, "{response}");
    }
}

#[test]
fn settings_come_from_the_file_the_environment_and_flags() {
    let folder = folder();
    let settings = "[tracker]\nclassic-interval = 100\nprivate = 'private'\npasskeys = 'keys'\n";
    std::fs::write(folder.path().join("causeway.toml"), settings).expect("it can be written");
    std::fs::write(folder.path().join("private"), "* # all\n").expect("it can be written");
    std::fs::write(folder.path().join("keys"), "secret # of one user\n").expect("it can be written");
    let server = Server::tracker(folder, &["--classic-interval", "200"]);
    assert!(announced(&server, ANNOUNCE).contains("passkey"));
    let path = ANNOUNCE.replace("/announce", "/announce/secret");
    assert!(
        announced(&server, &path).contains("8:intervali200e"),
        "the flag is stronger"
    );

    server.write("keys", "another\n");
    until(|| announced(&server, &path).contains("passkey"));
    server.write("keys", "secret\n");
    server.signal("-HUP");
    until(|| announced(&server, &path).contains("interval"));
    server.write("private", &"69".repeat(20));
    server.signal("-HUP");
    until(|| announced(&server, ANNOUNCE).contains("interval"));
    server.write("private", "*\n");
    server.signal("-HUP");
    until(|| announced(&server, ANNOUNCE).contains("passkey"));
}

#[test]
fn lists_are_read_again_and_a_broken_one_changes_nothing() {
    let folder = folder();
    std::fs::write(folder.path().join("deny"), "").expect("it can be written");
    let server = Server::tracker(folder, &["--deny", "deny"]);
    let mut socket = server.socket("/");
    announce(&mut socket);
    server.write("deny", &format!("# by order\n{}\n", "68".repeat(20)));
    server.signal("-HUP");
    until(|| announced(&server, ANNOUNCE).contains("does not serve"));
    assert!(
        announce(&mut socket)["failure reason"].is_string(),
        "the connection is still open"
    );
    server.write("deny", "nonsense\n");
    server.signal("-HUP");
    until(|| server.log().contains("line 1 of deny"));
    assert!(announced(&server, ANNOUNCE).contains("does not serve"));
    server.write("deny", "");
    until(|| announced(&server, ANNOUNCE).contains("interval"));
}

#[test]
fn origins_are_read_again_and_open_connections_stay() {
    let folder = folder();
    std::fs::write(folder.path().join("origins"), "https://a.example\n").expect("it can be written");
    let server = Server::tracker(folder, &["--origins", "origins"]);
    let knock = || {
        let stream = TcpStream::connect(&server.address).expect("it listens");
        let url = format!("ws://{}/announce", server.address)
            .parse()
            .expect("a URL");
        let request = ClientRequestBuilder::new(url).with_header("Origin", "https://a.example");
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(socket),
            Err(error) => Err(error.to_string()),
        }
    };
    let mut open = knock().expect("it may");
    server.write("origins", "nonsense\n");
    server.signal("-HUP");
    until(|| server.log().contains("line 1 of origins"));
    assert!(knock().is_ok(), "what was read before stays in force");
    server.write("origins", "https://b.example # instead\n");
    server.signal("-HUP");
    until(|| knock().is_err_and(|error| error.contains("403")));
    assert!(announce(&mut open)["interval"].is_u64(), "the open one goes on");
}

#[test]
fn only_what_is_allowed_is_tracked_and_what_is_private_wants_a_passkey() {
    let folder = folder();
    for (name, text) in [
        ("allow", ["68".repeat(20), "69".repeat(20)].join("\n")),
        ("private", "69".repeat(20)),
        ("keys", "secret".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).expect("it can be written");
    }
    let options = ["--allow", "allow", "--private", "private", "--passkeys", "keys"];
    let server = Server::tracker(folder, &options);
    let of = |letter: &str| ANNOUNCE.replace(&"h".repeat(20), &letter.repeat(20));
    for (path, word) in [
        (of("h"), "interval"),
        (of("i"), "passkey"),
        (of("i").replace("/announce", "/announce/secret"), "interval"),
        (of("j"), "does not serve"),
    ] {
        let reply = announced(&server, &path);
        assert!(reply.contains(word), "{path}: {reply}");
    }
}

/// Connections that say nothing cost their own address, and the tracker no memory of them.
#[test]
fn a_flood_of_connections_is_stopped_at_its_address() {
    let server = Server::tracker(folder(), &["--max-tcp-per-address", "5"]);
    let idle: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(&server.address).expect("it listens"))
        .collect();
    for _ in 0..20 {
        let mut refused = TcpStream::connect(&server.address).expect("it listens");
        let end = refused.read(&mut [0]);
        assert!(!matches!(end, Ok(1..)), "it is closed without a word");
    }
    drop(idle);
    until(|| {
        let mut stream = TcpStream::connect(&server.address).expect("it listens");
        let request = "GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
        let mut response = String::new();
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_string(&mut response))
            .is_ok_and(|_| response.ends_with("ok\n"))
    });
    let refused = announced(&server, "/metrics").lines().find_map(|line| {
        line.strip_prefix("causeway_tcp_refused_total ")?
            .parse::<u64>()
            .ok()
    });
    assert!(refused.is_some_and(|refused| refused >= 20), "{refused:?}");
}

/// A proxy that begins with a PROXY header speaks for one client on each connection, whose own limit counts.
#[test]
fn a_client_behind_a_proxy_is_stopped_and_others_behind_it_are_not() {
    let options = [
        "--trusted-proxy",
        "127.0.0.0/8",
        "--proxy-protocol",
        "--max-tcp-per-address",
        "3",
    ];
    let server = Server::tracker(folder(), &options);
    let ask = |client: &str| {
        let mut stream = TcpStream::connect(&server.address).expect("it listens");
        let request = format!("PROXY TCP4 {client} 127.0.0.1 5 6\r\nGET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        let mut status = [0; 12];
        // Who is refused is closed without a word.
        let read = stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_exact(&mut status));
        read.is_ok().then_some(stream)
    };
    let _open: Vec<_> = (0..3).map(|_| ask("192.0.2.9").expect("it has three")).collect();
    assert!(ask("192.0.2.9").is_none());
    assert!(ask("192.0.2.10").is_some());
}

/// Who asks is nobody's business: at INFO no address is logged, whatever happens.
#[test]
fn the_log_names_no_address() {
    let options = [
        "--log-format",
        "json",
        "--requests-per-second",
        "1",
        "--max-tcp-per-address",
        "50",
        "--deny",
        "deny",
    ];
    let server = with_tls(&certificate(), &options);
    drop(announce(&mut server.socket("/announce")));
    for path in [ANNOUNCE, "/announce?", "/scrape?info_hash=1", "/absent"] {
        server.get(path);
    }
    for _ in 0..100 {
        server.get("/scrape");
    }
    let of_tls = server.tls_address.as_deref().expect("it listens for TLS");
    for address in [&server.address, of_tls] {
        say(address, b"\x16\x03\x01 nonsense\r\n\r\n");
    }
    let idle: Vec<_> = (0..60).map(|_| TcpStream::connect(&server.address)).collect();
    for text in ["nonsense\n", ""] {
        server.write("deny", text);
        server.signal("-HUP");
        until(|| {
            server.log().contains(if text.is_empty() {
                "read again\""
            } else {
                "line 1 of deny"
            })
        });
    }
    drop(idle);
    let behind_proxy = Server::tracker(
        folder(),
        &[
            "--log-format",
            "json",
            "--trusted-proxy",
            "127.0.0.0/8",
            "--proxy-protocol",
        ],
    );
    for header in ["PROXY TCP4 127.0.0.1 nonsense\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        say(&behind_proxy.address, header.as_bytes());
    }
    for server in [server, behind_proxy] {
        names_no_address(server);
    }
}

/// Says something, and hears what is said to it until the connection is closed.
fn say(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(bytes).expect("it reads");
    stream.shutdown(Shutdown::Write).unwrap_or_default();
    // To be reset is an end, too.
    stream.read_to_end(&mut Vec::new()).unwrap_or_default();
}

fn names_no_address(mut server: Server) {
    server.end("-TERM");
    let log = server.log();
    assert!(
        log.lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{log}"
    );
    assert!(log.contains("stopping"), "{log}");
    assert!(!log.contains("127.0.0.1"), "{log}");
}

struct Pair {
    certificate: String,
    key: String,
    root: CertificateDer<'static>,
}

fn certificate() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    Pair {
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        root: made.cert.der().clone(),
    }
}

/// A tracker that has this certificate.
fn with_tls(pair: &Pair, more: &[&str]) -> Server {
    let folder = folder();
    std::fs::write(folder.path().join("deny"), "").expect("it can be written");
    std::fs::write(folder.path().join("c.pem"), &pair.certificate).expect("it can be written");
    std::fs::write(folder.path().join("k.pem"), &pair.key).expect("it can be written");
    let options = &[
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-certificate",
        "c.pem",
        "--tls-key",
        "k.pem",
    ];
    Server::tracker(folder, &[options, more].concat())
}

/// A TLS connection that believes this certificate alone.
fn secure(address: &str, root: &CertificateDer<'static>) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are some")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(connection, TcpStream::connect(address).expect("it listens"))
}

/// What is answered to a request on an open connection; empty where there is no trust.
fn health(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> String {
    let mut response = Vec::new();
    let mut ask = || {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        while !response.ends_with(b"ok\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            response.extend(byte);
        }
        std::io::Result::Ok(())
    };
    ask().unwrap_or_default();
    String::from_utf8_lossy(&response).into_owned()
}

#[test]
fn websockets_over_tls_are_in_the_same_swarms() {
    let pair = certificate();
    let server = with_tls(&pair, &[]);
    let address = server.tls_address.as_deref().expect("it listens for TLS");
    let stream = secure(address, &pair.root);
    let (mut socket, _) =
        tungstenite::client("wss://localhost/announce", stream).expect("the tracker takes connections");
    assert_eq!(announce(&mut socket)["complete"], 1);
    assert!(announced(&server, ANNOUNCE).starts_with("d8:completei2e"));
}

#[test]
fn a_new_certificate_is_used_from_then_on_and_open_connections_go_on() {
    let (first, second) = (certificate(), certificate());
    let server = with_tls(&first, &[]);
    let address = server.tls_address.as_deref().expect("it listens for TLS");
    let mut open = secure(address, &first.root);
    assert!(health(&mut open).starts_with("HTTP/1.1 200"));
    assert_eq!(
        health(&mut secure(address, &second.root)),
        "",
        "that is not its certificate yet"
    );

    // For a moment they don't belong together: the first stays in force.
    server.write("c.pem", &second.certificate);
    server.signal("-HUP");
    until(|| server.log().contains("don't belong together"));
    assert!(health(&mut secure(address, &first.root)).starts_with("HTTP/1.1 200"));
    server.write("k.pem", &second.key);
    server.signal("-HUP");
    until(|| health(&mut secure(address, &second.root)).starts_with("HTTP/1.1 200"));
    assert!(
        health(&mut open).starts_with("HTTP/1.1 200"),
        "the open connection goes on"
    );
}
