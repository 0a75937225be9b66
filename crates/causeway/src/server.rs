//! The server that all long-running commands share: its listeners, the tracker on them, and their end.

pub(crate) mod http;
pub(crate) mod proxy;
mod reload;
pub(crate) mod tls;
mod workers;

use core::time::Duration;
use std::io::{self, Write as _};
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use causeway_tracker::{Connections, Tracker};
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime;
use tokio::sync::watch;

use self::http::{HANDSHAKE_WITHIN, HEAD_WITHIN, Http, READ_WITHIN};
use self::proxy::Proxies;
use self::reload::Reloaded;
use self::workers::Workers;
use crate::access;
use crate::gateway::{GatewayOptions, Running, Surroundings};
use crate::settings::{ServerOptions, TrackerOptions};
use crate::stop::Stop;
use crate::web_seed;

/// What the operator has chosen.
pub(crate) struct Plan {
    pub(crate) server: ServerOptions,
    pub(crate) tracker: TrackerOptions,
    /// Where there is to be a gateway.
    pub(crate) gateway: Option<(GatewayOptions, Surroundings)>,
}

/// Runs a tracker, and on the same port whatever `page` serves beside the gateway, until the process is told to end.
pub(crate) fn run(plan: Plan, page: impl FnOnce(Option<&Running>) -> Router) -> Result<()> {
    raise_open_files();
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads can be started")?;
    let result = runtime.block_on(serve(plan, page));
    // Nothing that still runs in the background is worth waiting for.
    runtime.shutdown_background();
    result
}

async fn serve(plan: Plan, page: impl FnOnce(Option<&Running>) -> Router) -> Result<()> {
    let (server, options) = (&plan.server, plan.tracker);
    let mut stop = Stop::install()?;
    let listen = server.listen.unwrap_or(DEFAULT_LISTEN);
    let workers = Arc::new(Workers::start(server.workers)?);
    let (listener, udp) = bind(listen, if options.no_udp { 0 } else { workers.len() })?;
    let address = listener.local_addr()?;
    let tls = match server.tls_listen {
        Some(address) => Some((tcp(address)?, tls::Acceptor::new(server)?)),
        None => None,
    };

    let tracker = Tracker::new(options.config()?);
    let access = access::read(&options)?;
    let passkey = access.passkeys.iter().next().cloned();
    tracker.set_access(access);
    let gateway = match &plan.gateway {
        Some((options, surroundings)) => {
            Some(Running::start(options, surroundings, &tracker, address, passkey.as_deref()).await?)
        }
        None => None,
    };
    let of_gateway = gateway.as_ref().map(|running| running.gateway.clone());
    let connections = Connections::new(server.max_tcp_per_address.unwrap_or(MAX_TCP_PER_ADDRESS));
    let (asked, counted) = (tracker.clone(), connections.clone());
    let gateway_asked = of_gateway.clone();
    let metrics = move || {
        let of_gateway = gateway_asked.as_ref().map(|gateway| gateway.metrics());
        asked.metrics() + &of_gateway.unwrap_or_default() + &refused(&counted)
    };
    let router = tracker.router(page(gateway.as_ref()));
    let mut router = router.merge(metrics_route(server, metrics));
    if let Some(seed) = gateway.as_ref().and_then(|running| running.web_seed.clone()) {
        router = router.nest(WEB_SEED, web_seed::router(seed));
    }
    let (stopping, stopped) = watch::channel(());
    let http = Http {
        workers: Some(Arc::clone(&workers)),
        router,
        proxies: Arc::new(Proxies::new(server)),
        connections,
        stopped,
        patience: PATIENCE,
        head_within: HEAD_WITHIN,
        read_within: READ_WITHIN,
        handshake_within: HANDSHAKE_WITHIN,
    };

    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{address}").context("standard output")?;
    if let Some((listener, _)) = &tls {
        writeln!(stdout, "listening on https://{}", listener.local_addr()?).context("standard output")?;
    }
    stdout.flush().context("standard output")?;

    for socket in udp {
        let tracker = tracker.clone();
        workers.spawn(async move {
            match UdpSocket::from_std(socket) {
                Ok(socket) => tracker.serve_udp(socket).await,
                Err(error) => tracing::warn!(%error, "there is no UDP door: a socket can't be waited for"),
            }
        });
    }
    let lists: Vec<_> = access::files(&options).map(Path::to_owned).collect();
    let mut reloaded = vec![Reloaded::new(lists, {
        let tracker = tracker.clone();
        move || {
            tracker.set_access(access::read(&options)?);
            Ok(())
        }
    })];
    if let (Some(gateway), Some((options, _))) = (of_gateway, plan.gateway) {
        reloaded.push(Reloaded::new(options.files(), move || {
            gateway.set_policy(options.policy()?);
            Ok(())
        }));
    }
    if let Some((_, acceptor)) = &tls {
        let acceptor = acceptor.clone();
        reloaded.push(Reloaded::new(acceptor.files(), move || acceptor.reload()));
    }
    tokio::spawn(reload::watch(reloaded));

    tokio::join!(
        async {
            stop.wait().await;
            tracing::info!("stopping");
            stopping.send_replace(());
            tokio::join!(tracker.close(PATIENCE), async {
                if let Some(gateway) = gateway {
                    gateway.stop(PATIENCE).await;
                }
            });
        },
        http.serve(listener, None),
        async {
            if let Some((listener, acceptor)) = tls {
                http.serve(listener, Some(acceptor)).await;
            }
        },
    );
    Ok(())
}

/// `/metrics`, for those who may read it.
fn metrics_route(
    server: &ServerOptions,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> Router {
    let mut allowed = server.metrics_from.clone();
    if allowed.is_empty() {
        let this_machine = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ];
        allowed.extend(this_machine.map(IpNet::from));
    }
    let answer = |ConnectInfo(address): ConnectInfo<SocketAddr>| async move {
        let address = address.ip().to_canonical();
        if !allowed.iter().any(|network| network.contains(&address)) {
            return (StatusCode::FORBIDDEN, "Not for you: see --metrics-from.\n").into_response();
        }
        let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4");
        ([kind], metrics()).into_response()
    };
    Router::new().route("/metrics", get(answer))
}

/// The connections that were closed at once, for Prometheus.
fn refused(connections: &Connections) -> String {
    format!(
        "# HELP causeway_tcp_refused_total TCP connections beyond those that one address may have.\n\
         # TYPE causeway_tcp_refused_total counter\ncauseway_tcp_refused_total {}\n",
        connections.refused()
    )
}

/// A TCP listener and, on the same port, so many UDP sockets that share the work.
fn bind(address: SocketAddr, udp_sockets: usize) -> Result<(TcpListener, Vec<net::UdpSocket>)> {
    let mut tries = 0;
    loop {
        let listener = tcp(address)?;
        let at = listener.local_addr()?;
        match (0..udp_sockets).map(|_| udp(at)).collect::<io::Result<_>>() {
            Ok(sockets) => return Ok((listener, sockets)),
            // The port that was free for TCP was not for UDP: another one may be.
            Err(_) if address.port() == 0 && tries < 10 => tries += 1,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("can't listen on {at} over UDP: choose another port with --listen, or --no-udp")
                });
            }
        }
    }
}

fn tcp(address: SocketAddr) -> Result<TcpListener> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().with_context(|| format!("can't listen on {address}: choose another address or port with --listen"))
}

fn udp(address: SocketAddr) -> io::Result<net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // A burst is better answered late than lost; the system may grant less.
    socket.set_recv_buffer_size(UDP_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Every connection takes a file; the usual soft limit is 1024.
#[cfg(unix)]
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::debug!(limit = ?limit.current, "open files"),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files can't be raised: it bounds the connections");
        }
    }
}

#[cfg(not(unix))]
fn raise_open_files() {}

/// Where the gateway gives what it carries over.
pub(crate) const WEB_SEED: &str = "/seed";

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How long connections may take to end. The process has to be gone after 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// A household, an office or a school can be one address.
const MAX_TCP_PER_ADDRESS: usize = 2_000;

/// So many connections may wait to be accepted; the system may grant less.
const BACKLOG: i32 = 4096;

/// In bytes.
const UDP_BUFFER: usize = 4 << 20;
