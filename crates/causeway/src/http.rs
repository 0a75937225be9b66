//! An HTTP/1.1 server for strangers: it waits for nobody for long, and ends when it is told to.

use core::pin::pin;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Serves `router` to whoever connects, until `shutdown` is ready. Then it accepts nobody any more, and waits for the
/// requests under way, but not longer than `patience`. Upgraded connections are the router's own business.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    patience: Duration,
) {
    let stopping = watch::Sender::new(());
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, address)) => {
                tokio::spawn(serve_connection(
                    stream,
                    address,
                    router.clone(),
                    stopping.subscribe(),
                ));
            }
            Err(error) => recover(&error).await,
        }
    }
    drop(listener);
    stopping.send_replace(());
    // Each connection holds a receiver until it is done.
    if timeout(patience, stopping.closed()).await.is_err() {
        tracing::debug!(
            connections = stopping.receiver_count(),
            "did not wait any longer for requests to end"
        );
    }
}

async fn serve_connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    mut stopping: watch::Receiver<()>,
) {
    // Introductions are small, and wanted at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%address, %error, "no TCP_NODELAY");
    }
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
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

/// Browsers send about twenty.
const MAX_HEADERS: usize = 100;
