//! An HTTP/1.1 server for strangers: it waits for nobody for long, and ends when it is told to.

use core::pin::pin;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use causeway_tracker::{Connections, Counted};
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

/// What all connections have in common.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) router: Router,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) connections: Connections,
    /// Changes when the server is to end.
    pub(crate) stopped: watch::Receiver<()>,
    /// How long requests under way are waited for then.
    pub(crate) patience: Duration,
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
                    tokio::spawn(connection.serve(stream, address));
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
    async fn serve(self, mut stream: TcpStream, mut address: SocketAddr) {
        // Introductions are small, and wanted at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%address, %error, "no TCP_NODELAY");
        }
        if self.http.proxies.expects_header(address.ip()) {
            match timeout(HANDSHAKE_WITHIN, proxy::read_header(&mut stream)).await {
                Ok(Ok(client)) => address = client.unwrap_or(address),
                Ok(Err(error)) => return tracing::debug!(%address, %error, "a proxy's connection failed"),
                Err(_) => return tracing::debug!(%address, "a proxy's connection began with nothing"),
            }
        }
        match &self.tls {
            None => self.speak(stream, address).await,
            Some(acceptor) => match timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
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
                .header_read_timeout(HEADERS_WITHIN)
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

/// How long a client may take to send the head of a request; also how long it may leave its connection idle.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);

/// How long what comes before the first request may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Browsers send about twenty.
const MAX_HEADERS: usize = 100;
