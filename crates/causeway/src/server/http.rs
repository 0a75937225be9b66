//! An HTTP/1.1 server for strangers: it waits for nobody for long, and ends when it is told to.

use core::pin::pin;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use causeway_tracker::{Connections, Counted, WriteDeadline};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::proxy::{self, Proxies};
use super::tls::Acceptor;
use super::workers::Workers;

/// What all connections have in common.
#[derive(Clone)]
pub(crate) struct Http {
    /// The threads that serve connections; where there are none, whatever accepts them does.
    pub(crate) workers: Option<Arc<Workers>>,
    pub(crate) router: Router,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) connections: Connections,
    /// Changes when the server is to end.
    pub(crate) stopped: watch::Receiver<()>,
    /// How long requests under way are waited for then.
    pub(crate) patience: Duration,
    /// How long a client may take to send the head of a request; also how long it may leave its connection idle.
    pub(crate) head_within: Duration,
    /// How long a client may read nothing of what it is sent.
    pub(crate) read_within: Duration,
    /// How long what comes before the first request may take.
    pub(crate) handshake_within: Duration,
}

impl Http {
    /// Serves the router to whoever connects, until the server is stopped. Then it accepts nobody any more, and waits
    /// for the requests under way. Upgraded connections are the router's own business.
    pub(crate) async fn serve(&self, listener: TcpListener, tls: Option<Acceptor>) {
        let stopping = watch::Sender::new(());
        let mut stopped = self.stopped.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.changed() => break,
            };
            match accepted {
                Ok((stream, address)) => {
                    let Some(counted) = self.admit(address) else {
                        tracing::debug!(%address, "too many connections from this address");
                        continue;
                    };
                    let connection = Connection {
                        http: self.clone(),
                        tls: tls.clone(),
                        stopping: stopping.subscribe(),
                        counted,
                    };
                    self.hand_over(stream, address, connection);
                }
                Err(error) => recover(&error).await,
            }
        }
        drop(listener);
        stopping.send_replace(());
        // Each connection holds a receiver until it is done.
        if timeout(self.patience, stopping.closed()).await.is_err() {
            tracing::debug!(
                connections = stopping.receiver_count(),
                "did not wait any longer for requests to end"
            );
        }
    }

    /// Gives a connection to the thread that serves it from now on.
    fn hand_over(&self, stream: TcpStream, address: SocketAddr, connection: Connection) {
        let Some(workers) = &self.workers else {
            tokio::spawn(connection.serve(stream, address));
            return;
        };
        let Ok(stream) = stream.into_std() else { return };
        workers.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => connection.serve(stream, address).await,
                Err(error) => tracing::debug!(%address, %error, "a connection can't be waited for"),
            }
        });
    }

    /// The count of an address that may have more connections; a proxy has as many as it likes.
    #[expect(
        clippy::option_option,
        reason = "admitted without being counted is not refused"
    )]
    fn admit(&self, address: SocketAddr) -> Option<Option<Counted>> {
        if self.proxies.trusts(address.ip()) {
            return Some(None);
        }
        self.connections.admit(address.ip()).map(Some)
    }
}

struct Connection {
    http: Http,
    tls: Option<Acceptor>,
    stopping: watch::Receiver<()>,
    counted: Option<Counted>,
}

impl Connection {
    async fn serve(mut self, mut stream: TcpStream, mut address: SocketAddr) {
        // Introductions are small, and wanted at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%address, %error, "no TCP_NODELAY");
        }
        if self.http.proxies.expects_header(address.ip()) {
            match timeout(self.http.handshake_within, proxy::read_header(&mut stream)).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(client))) => {
                    let Some(counted) = self.http.admit(client) else {
                        return tracing::debug!(%client, "too many connections from this address");
                    };
                    (address, self.counted) = (client, counted);
                }
                Ok(Err(error)) => return tracing::debug!(%address, %error, "a proxy's connection failed"),
                Err(_) => return tracing::debug!(%address, "a proxy's connection began with nothing"),
            }
        }
        match &self.tls {
            None => self.speak(stream, address).await,
            Some(acceptor) => match timeout(self.http.handshake_within, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.speak(stream, address).await,
                Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
            },
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, address: SocketAddr) {
        let Self {
            http,
            mut stopping,
            counted,
            ..
        } = self;
        let (service, proxies) = (TowerToHyperService::new(http.router), http.proxies);
        let stream = WriteDeadline::new(stream, http.read_within);
        let head_within = http.head_within;
        // An upgraded connection ends here, and is counted by its owner from then on.
        let _counted = counted;
        let service = service_fn(move |mut request: Request<Incoming>| {
            let sender = proxies.sender(address, request.headers());
            request.extensions_mut().insert(ConnectInfo(sender));
            service.call(request)
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head_within)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let result = tokio::select! {
            result = &mut connection => result,
            _ = stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%address, %error, "a connection failed");
        }
    }
}

/// Without file descriptors left, to accept again at once would only burn the processor.
async fn recover(error: &io::Error) {
    let of_the_connection = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
    ];
    if !of_the_connection.contains(&error.kind()) {
        tracing::warn!(%error, "no connection can be accepted: raise the limit of open files (ulimit -n) if this goes on");
        sleep(Duration::from_millis(200)).await;
    }
}

/// How long strangers get for the head of a request.
pub(crate) const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// How long strangers may read nothing of what they have asked for. A lost network comes back sooner, or not.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(30);

/// How long strangers get for TLS, and proxies for their header.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Browsers send about twenty.
const MAX_HEADERS: usize = 100;

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::tcp::OwnedReadHalf;

    use super::*;
    use crate::settings::ServerOptions;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";

    /// Serves a page to clients that have so long to ask for it, and so long to read it.
    async fn serve(within: Duration) -> (SocketAddr, watch::Sender<()>) {
        serve_as(&ServerOptions::default(), None, within).await
    }

    async fn serve_as(
        options: &ServerOptions,
        tls: Option<Acceptor>,
        within: Duration,
    ) -> (SocketAddr, watch::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (stopping, stopped) = watch::channel(());
        let http = Http {
            workers: Some(Arc::new(Workers::start(Some(1)).expect("a thread"))),
            router: Router::new()
                .route("/", get(|| async { "page" }))
                .route("/large", get(|| async { vec![b'x'; LARGE] })),
            proxies: Arc::new(Proxies::new(options)),
            connections: Connections::new(100),
            stopped,
            patience: Duration::from_secs(1),
            head_within: within,
            read_within: within,
            handshake_within: within,
        };
        tokio::spawn(async move { http.serve(listener, tls).await });
        (address, stopping)
    }

    /// More than fits into the buffers of the operating system.
    const LARGE: usize = 64 << 20;

    async fn rest(mut stream: OwnedReadHalf) -> String {
        let mut text = Vec::new();
        let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await;
        // To be reset is an end, too.
        drop(end.expect("the server closes the connection"));
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn who_sends_the_head_of_a_request_too_slowly_is_closed_and_holds_up_nobody() {
        let (address, _stopping) = serve(Duration::from_millis(300)).await;
        let connect = || async move {
            let stream = TcpStream::connect(address).await.expect("it listens");
            stream.into_split()
        };
        let mut slow = Vec::new();
        for _ in 0..20 {
            let (reader, mut writer) = connect().await;
            tokio::spawn(async move {
                // A byte now and then, for longer than the test lasts.
                for byte in REQUEST.iter().cycle().take(1_000) {
                    if writer.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            });
            slow.push(tokio::spawn(rest(reader)));
        }
        let (silent, _writer) = connect().await;
        let (reader, mut writer) = connect().await;
        writer.write_all(REQUEST).await.expect("it reads");
        assert!(rest(reader).await.ends_with("page"), "others are served");
        for slow in slow {
            assert!(!slow.await.expect("it reads to the end").contains("page"));
        }
        assert_eq!(rest(silent).await, "");
    }
    #[tokio::test]
    async fn who_does_not_read_what_it_asked_for_is_closed_and_who_does_gets_it_whole() {
        let (address, _stopping) = serve(Duration::from_millis(1_500)).await;
        for (pause, is_whole) in [(Duration::ZERO, true), (Duration::from_secs(5), false)] {
            let stream = TcpStream::connect(address).await.expect("it listens");
            let (reader, mut writer) = stream.into_split();
            let request = b"GET /large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
            writer.write_all(request).await.expect("it reads");
            sleep(pause).await;
            assert_eq!(rest(reader).await.len() > LARGE, is_whole, "{pause:?}");
        }
    }
    #[tokio::test]
    async fn a_proxy_or_a_tls_client_that_says_nothing_or_half_of_it_is_closed() {
        let within = Duration::from_millis(300);
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(&certificate, made.cert.pem()).expect("it can be written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("it can be written");
        let with_tls = ServerOptions {
            tls_certificate: Some(certificate),
            tls_key: Some(key),
            ..ServerOptions::default()
        };
        let tls = Acceptor::new(&with_tls).expect("they belong together");
        let behind_proxy = ServerOptions {
            trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network")],
            proxy_protocol: true,
            ..ServerOptions::default()
        };
        for (options, tls, half) in [
            (&with_tls, Some(tls), &b"\x16\x03\x01\x02\x00\x01"[..]),
            (&behind_proxy, None, b"PROXY TCP4 192."),
        ] {
            let (address, _stopping) = serve_as(options, tls, within).await;
            for said in [&b""[..], half] {
                let stream = TcpStream::connect(address).await.expect("it listens");
                let (reader, mut writer) = stream.into_split();
                writer.write_all(said).await.expect("it reads");
                assert_eq!(rest(reader).await, "");
            }
        }
    }
}
