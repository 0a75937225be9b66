//! The WebSocket door: the WebTorrent tracker protocol on an axum router.

mod connection;
mod outbox;
mod pace;

use core::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use self::connection::Connection;
pub(crate) use self::outbox::Outbox;
use crate::http::passkey;
use crate::metrics::Failure;
use crate::tracker::{Place, Shared};

/// What axum makes of a request that may be for a WebSocket.
pub(crate) type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Gives the tracker each WebSocket at `/`, and the page everything else.
pub(crate) fn at_root(page: Router, shared: Arc<Shared>) -> Router {
    page.layer(middleware::from_fn_with_state(shared, announce_at_root))
}

async fn announce_at_root(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    upgrade: Upgrade,
    request: Request,
    next: Next,
) -> Response {
    match upgrade {
        Ok(upgrade) if request.uri().path() == "/" => {
            accept(&shared, upgrade, address.ip(), request.uri(), request.headers())
        }
        _ => next.run(request).await,
    }
}

/// Answers a request for a WebSocket.
pub(crate) fn accept(
    shared: &Arc<Shared>,
    upgrade: WebSocketUpgrade,
    address: IpAddr,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let origin = headers
        .get(header::ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default());
    if !shared.access().admits_origin(origin) {
        shared.metrics.failed(Failure::Origin);
        return (
            StatusCode::FORBIDDEN,
            "This tracker is not for pages of your site.\n",
        )
            .into_response();
    }
    let Some(place) = Place::take(shared, address) else {
        shared.metrics.failed(Failure::TooManyConnections);
        let body = "This tracker is full, or you have too many connections to it: try again later.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    };
    let passkey = passkey(uri).map(Into::into);
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(shared.config.max_message)
        .max_frame_size(shared.config.max_message)
        .on_upgrade(move |socket| Connection::new(place, socket, address, passkey).run())
}

/// Each connection has a buffer of this size, in bytes, for as long as it lives; an announce with five offers fills one.
const READ_BUFFER: usize = 4 * 1024;

/// So many bytes are collected before they are written to the socket.
const WRITE_BUFFER: usize = 16 * 1024;
