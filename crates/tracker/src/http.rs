//! The HTTP door: announce and scrape of classic peers (BEP 3, 7, 21, 23, 48).

mod query;
mod reply;

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use causeway_signal::Event;

use self::query::{Query, Wrong};
use self::reply::AnnounceReply;
use crate::metrics::{Door, Failure};
use crate::registry::{ClassicAnnounce, Home, Refusal};
use crate::tracker::Shared;
use crate::websocket::{self, NoUpgrade, Upgrade};

/// `/announce` and `/scrape`, with a passkey as the next or the previous part of the path, or without.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/announce", get(announce))
        .route("/announce/{passkey}", get(announce))
        .route("/{passkey}/announce", get(announce))
        .route("/scrape", get(scrape))
        .route("/scrape/{passkey}", get(scrape))
        .route("/{passkey}/scrape", get(scrape))
}

/// The passkey in `/announce/PASSKEY`, `/PASSKEY/announce` (and `scrape`), or `?passkey=PASSKEY`.
pub(crate) fn passkey(uri: &Uri) -> Option<&str> {
    passkey_in(uri.path(), uri.query().unwrap_or_default())
}

/// The same, of a path and a query. Also what BEP 41 carries over UDP.
pub(crate) fn passkey_in<'a>(path: &'a str, query: &'a str) -> Option<&'a str> {
    let in_query = || query.split('&').find_map(|pair| pair.strip_prefix("passkey="));
    let in_path = match path.trim_start_matches('/').split_once('/') {
        Some(("announce" | "scrape", passkey) | (passkey, "announce" | "scrape")) => Some(passkey),
        _ => None,
    };
    in_path.or_else(in_query).filter(|passkey| !passkey.is_empty())
}

async fn announce(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    upgrade: Result<Upgrade, NoUpgrade>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match (upgrade, uri.query()) {
        (Ok(upgrade), _) => websocket::accept(&shared, upgrade, address.ip(), &uri, &headers),
        (Err(_), Some(query)) => reply(answer(&shared, address, &uri, query).await),
        (Err(_), None) => {
            let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket")];
            let body = "This is a BitTorrent tracker: announce to it with a BitTorrent client, or connect to it with a WebSocket.\n";
            (StatusCode::UPGRADE_REQUIRED, headers, body).into_response()
        }
    }
}

pub(crate) async fn answer(
    shared: &Shared,
    address: SocketAddr,
    uri: &Uri,
    query: &str,
) -> Result<Vec<u8>, String> {
    let begin = shared.now();
    admit(shared, address)?;
    let query = Query::parse(query);
    let wrong = |wrong: Wrong| {
        shared.metrics.failed(Failure::Malformed);
        wrong.to_string()
    };
    let request = query.announce(address.ip()).map_err(wrong)?;
    let mut announce: ClassicAnnounce = request.announce;
    announce.numwant = request.numwant.unwrap_or(DEFAULT_NUMWANT);
    shared
        .admit(announce.info_hash, passkey(uri))
        .map_err(|denial| denial.to_string())?;
    let announced = shared
        .home()
        .announce_classic(begin, &announce)
        .await
        .map_err(|refusal| {
            shared.metrics.failed(refusal.into());
            Refusal::to_string(&refusal)
        })?;
    let reply = AnnounceReply {
        announced: &announced,
        interval: shared.config.classic_interval,
        min_interval: shared.config.classic_min_interval,
        format: request.format,
        tracker_id: request.tracker_id.as_deref(),
    };
    let took = shared.now().since(begin);
    shared.metrics.announced(Door::Http, announce.event, took);
    Ok(reply.to_bencode())
}

async fn scrape(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    uri: Uri,
) -> Response {
    let answer = async {
        admit(&shared, address)?;
        let info_hashes = Query::parse(uri.query().unwrap_or_default())
            .info_hashes(shared.config.max_scrape)
            .map_err(|wrong| {
                shared.metrics.failed(Failure::Malformed);
                wrong.to_string()
            })?;
        let counts = shared.scrape(&info_hashes, passkey(&uri)).await;
        shared.metrics.scraped(Door::Http);
        Ok(reply::scrape(&counts, MIN_SCRAPE_INTERVAL))
    };
    reply(answer.await)
}

fn admit(shared: &Shared, address: SocketAddr) -> Result<(), String> {
    if shared.rates.admit(shared.now(), address.ip()) {
        return Ok(());
    }
    shared.metrics.failed(Failure::TooFast);
    Err("your address asks this tracker too often: wait for the interval".to_owned())
}

/// A failure is an ordinary response to classic clients.
fn reply(result: Result<Vec<u8>, String>) -> Response {
    let body = result.unwrap_or_else(|reason| reply::failure(&reason));
    (HEADERS, body).into_response()
}

const HEADERS: [(HeaderName, &str); 2] = [
    (header::CONTENT_TYPE, "text/plain"),
    (header::CACHE_CONTROL, "no-store"),
];

/// So many peers are given to who does not say how many it would like (BEP 3).
const DEFAULT_NUMWANT: usize = 50;

/// How long clients should wait between two scrapes.
const MIN_SCRAPE_INTERVAL: Duration = Duration::from_mins(10);

/// What has changed, by its name. libtorrent's partial seeds are `paused` (BEP 21).
fn event(name: &[u8]) -> Option<Event> {
    match name {
        b"" | b"empty" | b"update" => Some(Event::Update),
        b"started" => Some(Event::Started),
        b"completed" => Some(Event::Completed),
        b"stopped" => Some(Event::Stopped),
        b"paused" => Some(Event::Paused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_stands_after_or_before_the_door_or_in_the_query() {
        for (path, query, passkey) in [
            ("/announce", "", None),
            ("/", "", None),
            ("/announce/", "", None),
            ("/announce/secret", "", Some("secret")),
            ("/secret/announce", "", Some("secret")),
            ("/secret/scrape", "a=b", Some("secret")),
            ("/announce", "a=b&passkey=secret", Some("secret")),
            ("/", "passkey=secret", Some("secret")),
            ("/announce", "passkey=", None),
        ] {
            assert_eq!(passkey_in(path, query), passkey, "{path}?{query}");
        }
    }
}
