//! Behind a SOCKS5 proxy: everything that classic peers and trackers see comes from it, and nothing else leaves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::routing::get as route;
use causeway_tests::classic::{Seed, get, getting};
use causeway_tests::files::assert_same;
use causeway_tests::program::Program;
use causeway_tests::socks::{SOURCE, Socks};
use causeway_tests::stage;
use tokio::net::{TcpListener, UdpSocket};

const PATIENCE: Duration = Duration::from_mins(1);

/// A tracker over HTTP and WebSocket that names one peer to everybody.
struct Tracker {
    address: SocketAddr,
    /// Where requests have come from, and for what.
    seen: Arc<Mutex<Vec<(IpAddr, String)>>>,
    peer: Arc<Mutex<Option<SocketAddr>>>,
}

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Vec<(IpAddr, String)>>>,
    peer: Arc<Mutex<Option<SocketAddr>>>,
}

impl Tracker {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (seen, peer) = (Arc::default(), Arc::default());
        let shared = Shared {
            seen: Arc::clone(&seen),
            peer: Arc::clone(&peer),
        };
        let answer = async |State(shared): State<Shared>,
                            ConnectInfo(from): ConnectInfo<SocketAddr>,
                            request: axum::http::Request<axum::body::Body>| {
            let kind = if request.headers().contains_key("upgrade") {
                "ws"
            } else {
                "http"
            };
            shared
                .seen
                .lock()
                .expect("whole")
                .push((from.ip(), kind.to_owned()));
            let peer = *shared.peer.lock().expect("whole");
            let mut body = b"d8:intervali900e5:peers".to_vec();
            match peer {
                Some(SocketAddr::V4(peer)) => {
                    body.extend(b"6:");
                    body.extend(peer.ip().octets());
                    body.extend(peer.port().to_be_bytes());
                }
                _ => body.extend(b"0:"),
            }
            body.push(b'e');
            body
        };
        let router = Router::new().route("/announce", route(answer)).with_state(shared);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Ok(Self { address, seen, peer })
    }

    fn seen(&self) -> Vec<(IpAddr, String)> {
        self.seen.lock().expect("whole").clone()
    }
}

/// A UDP port that nothing is to come to.
async fn trap() -> Result<(UdpSocket, String)> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?.to_string();
    Ok((socket, address))
}

fn is_untouched(socket: &UdpSocket) -> bool {
    let mut bytes = [0; 1500];
    socket.try_recv(&mut bytes).is_err()
}

#[test]
fn everything_goes_through_the_proxy_and_nothing_around_it() {
    stage::run(async |stage| {
        let (tracker, proxy, (trap, trapped)) =
            (Tracker::start().await?, Socks::start().await?, trap().await?);
        let file = stage.file("shared/data.bin", 3_000_000)?;
        let torrent = stage.folder().join("data.torrent");
        let seed = Seed::start(&file, &torrent, &["--no-webrtc"]).await?;
        stage.keep(seed.log());
        *tracker.peer.lock().expect("whole") = Some(seed.address()?);

        let mut magnet = seed.magnet()?.to_owned();
        for url in [
            format!("http://localhost:{}/announce", tracker.address.port()),
            format!("udp://{trapped}/announce"),
            format!("ws://{}/announce", tracker.address),
        ] {
            magnet.push_str("&tr=");
            magnet.push_str(&url.replace(':', "%3A").replace('/', "%2F"));
        }
        let (ours, url) = (stage.folder().join("ours"), proxy.url());
        let arguments = ["--proxy", &url, "--dht-bootstrap", &trapped];
        get(&magnet, &ours, &arguments, PATIENCE).await?;
        assert_same(&file, &ours.join("data.bin"))?;

        let asked = proxy.asked();
        ensure!(
            asked.contains(&seed.address()?.to_string()),
            "the peer is not among {asked:?}"
        );
        let named = format!("localhost:{}", tracker.address.port());
        ensure!(
            asked.contains(&named),
            "the tracker's name was looked up elsewhere: {asked:?}"
        );
        let heard = tracker.seen();
        let is_ours = |(ip, _): &(IpAddr, String)| *ip == IpAddr::V4(SOURCE);
        ensure!(
            !heard.is_empty() && heard.iter().all(is_ours),
            "somebody went around it: {heard:?}"
        );
        ensure!(
            heard.iter().all(|(_, kind)| kind == "http"),
            "WebRTC peers are looked for: {heard:?}"
        );
        ensure!(is_untouched(&trap), "something was sent over UDP");
        Ok(())
    });
}

#[test]
fn a_tracker_of_browsers_is_reached_through_the_proxy_where_webrtc_is_wanted() {
    stage::run(async |stage| {
        let (tracker, proxy) = (Tracker::start().await?, Socks::start().await?);
        let tracker_url =
            format!("ws%3A%2F%2F{}%2Fannounce", tracker.address).replace("127.0.0.1:", "127.0.0.1%3A");
        let magnet = format!("magnet:?xt=urn:btih:{}&tr={tracker_url}", "ab".repeat(20));
        let url = proxy.url();
        let arguments = ["--proxy", &url, "--webrtc-beside-proxy"];
        let command = getting(&magnet, &stage.folder().join("ours"), &arguments)?;
        // It is no WebSocket server.
        let (_ours, _) = Program::start("get", command, "it can't be reached").await?;
        let heard = tracker.seen();
        ensure!(
            heard.first() == Some(&(IpAddr::V4(SOURCE), "ws".to_owned())),
            "another one came: {heard:?}"
        );
        Ok(())
    });
}

#[test]
fn a_proxy_that_is_down_is_not_gone_around() {
    stage::run(async |stage| {
        let tracker = Tracker::start().await?;
        let tracker_url = format!("http://{}/announce", tracker.address);
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        let url = format!("socks5://{closed}");
        let file = stage.file("shared/data.bin", 100_000)?;
        let seed = Seed::start(&file, &stage.folder().join("data.torrent"), &["--no-webrtc"]).await?;
        let peer = seed.address()?.to_string();
        let magnet = format!(
            "{}&tr={}",
            seed.magnet()?,
            tracker_url.replace(':', "%3A").replace('/', "%2F")
        );
        let arguments = ["--proxy", &url, "--peer", &peer];
        for (number, what_it_says) in ["can't be reached: the proxy", "not announced: "]
            .iter()
            .enumerate()
        {
            let command = getting(&magnet, &stage.folder().join(number.to_string()), &arguments)?;
            let (_ours, _) = Program::start("get", command, what_it_says).await?;
        }
        ensure!(
            tracker.seen().is_empty(),
            "it went around the proxy: {:?}",
            tracker.seen()
        );
        Ok(())
    });
}
