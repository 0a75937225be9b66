//! The WebSocket door: the WebTorrent tracker protocol on an axum router.

mod connection;
mod outbox;
mod pace;
mod socket;

use core::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tungstenite::handshake::server::create_response_with_body;

use self::connection::{Client, Connection};
pub(crate) use self::outbox::Outbox;
use self::socket::Socket;
use crate::deadline::WriteDeadline;
use crate::http::passkey;
use crate::metrics::Failure;
use crate::tracker::{Place, Shared};

/// What a request for a WebSocket is answered with, and what its connection becomes then.
pub(crate) struct Upgrade {
    response: Response,
    upgraded: OnUpgrade,
}

/// The request is for no WebSocket.
pub(crate) struct NoUpgrade;

impl IntoResponse for NoUpgrade {
    fn into_response(self) -> Response {
        StatusCode::UPGRADE_REQUIRED.into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = NoUpgrade;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoUpgrade> {
        let mut request = Request::new(());
        *request.version_mut() = parts.version;
        *request.headers_mut() = core::mem::take(&mut parts.headers);
        *request.method_mut() = parts.method.clone();
        let response = create_response_with_body(&request, Body::empty);
        parts.headers = core::mem::take(request.headers_mut());
        Ok(Self {
            response: response.map_err(|_| NoUpgrade)?,
            upgraded: parts.extensions.remove().ok_or(NoUpgrade)?,
        })
    }
}

/// Gives the tracker each WebSocket at `/`, and the page everything else.
pub(crate) fn at_root(page: Router, shared: Arc<Shared>) -> Router {
    page.layer(middleware::from_fn_with_state(shared, announce_at_root))
}

async fn announce_at_root(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path() != "/" {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match Upgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => accept(&shared, upgrade, address.ip(), &parts.uri, &parts.headers),
        Err(NoUpgrade) => next.run(Request::from_parts(parts, body)).await,
    }
}

/// Answers a request for a WebSocket.
pub(crate) fn accept(
    shared: &Arc<Shared>,
    upgrade: Upgrade,
    address: IpAddr,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    if !shared.rates.admit(shared.now(), address) {
        shared.metrics.failed(Failure::TooFast);
        let body = "Your address asks this tracker too often: wait a while.\n";
        return (StatusCode::TOO_MANY_REQUESTS, body).into_response();
    }
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
    let mut query = uri.query().unwrap_or_default().split('&');
    let gateway = query.find_map(|pair| pair.strip_prefix("gateway="));
    // They are kept for as long as the connection lives.
    let kept = |word: Option<&str>| word.filter(|word| word.len() <= MAX_WORD).map(Into::into);
    let client = Client {
        address,
        passkey: kept(passkey(uri)),
        gateway: kept(gateway),
    };
    tokio::spawn(async move {
        match upgrade.upgraded.await {
            Ok(upgraded) => serve(place, upgraded, client).await,
            Err(error) => tracing::debug!(%error, "a client was gone before it had its WebSocket"),
        }
    });
    upgrade.response
}

/// Serves the client over the stream itself, where that is plain TCP as our server has it, and else over whatever it is.
async fn serve(place: Place, upgraded: Upgraded, client: Client) {
    let max_message = place.shared.config.max_message;
    match upgraded.downcast::<TokioIo<WriteDeadline<TcpStream>>>() {
        Ok(parts) => {
            // The connection has deadlines of its own.
            let stream = parts.io.into_inner().into_inner();
            let socket = Socket::new(stream, parts.read_buf.into(), max_message);
            Connection::new(place, socket, client).run().await;
        }
        Err(upgraded) => {
            let socket = Socket::new(TokioIo::new(upgraded), Vec::new(), max_message);
            Connection::new(place, socket, client).run().await;
        }
    }
}

/// The longest passkey or token that is one, in bytes.
const MAX_WORD: usize = 128;
