//! A tracker with all its doors on free ports of the loopback interface.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use causeway_tracker::{Config, Tracker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

/// A tracker that runs for as long as the test.
pub(crate) struct Server {
    pub(crate) tracker: Tracker,
    pub(crate) http: SocketAddr,
    pub(crate) udp: SocketAddr,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), config).await
    }

    pub(crate) async fn at(address: IpAddr, config: Config) -> Self {
        let tracker = Tracker::new(config);
        let listener = TcpListener::bind((address, 0)).await.expect("a port is free");
        let socket = UdpSocket::bind((address, 0)).await.expect("a port is free");
        let server = Self {
            tracker: tracker.clone(),
            http: listener.local_addr().expect("it is bound"),
            udp: socket.local_addr().expect("it is bound"),
        };
        let router = tracker.router(Router::new());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.expect("it never ends") });
        tokio::spawn(async move { tracker.serve_udp(socket).await });
        server
    }

    /// The body of a response, which must have status 200.
    pub(crate) async fn get(&self, path: &str) -> Vec<u8> {
        self.get_at(self.http, path).await
    }

    /// The same at another address that leads there.
    pub(crate) async fn get_at(&self, address: SocketAddr, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut response = Vec::new();
        timeout(SOON, stream.read_to_end(&mut response))
            .await
            .expect("soon")
            .expect("it answers and closes");
        let end = response
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("there is a head");
        assert!(
            response.starts_with(b"HTTP/1.1 200 "),
            "{}",
            response.escape_ascii()
        );
        response.split_off(end + 4)
    }

    /// The value of one line of the metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.tracker.metrics();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .expect("a number")
    }
}

pub(crate) const SOON: Duration = Duration::from_secs(20);
