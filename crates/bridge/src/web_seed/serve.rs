//! Our own web seed: what the bridge has, for whoever asks over HTTP.
//!
//! It is a function from a request to a response; the program around it has the ports. What a client asks for and is on its way
//! is waited for, for a while, and fetched before other things.

use core::net::IpAddr;
use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use causeway_core::{Info, InfoHash, Metainfo};
use hyper::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Response, StatusCode};
use tokio::time::{Instant, sleep_until, timeout};

use super::body::{Body, Give, give};
use super::client::TOKEN;
use super::request::{EXPOSED, Part, Target, part, tag_of};
use crate::gateway::{Denied, Gate, Guest};
use crate::session::{Bridge, Shared};
use crate::torrent::Handle;

/// What a web seed gives, and to whom.
#[derive(Clone, Debug)]
pub struct WebSeedConfig {
    /// Where clients reach it, as in `https://files.example/seed/`: links and torrents name it, if there is one.
    pub url: Option<String>,
    /// Only who knows this is served; it is a part of the URLs. Private torrents are served with one alone.
    pub token: Option<String>,
    /// Bytes a second that are given at the most, to all.
    pub rate: Option<u64>,
    /// Requests that are answered at once, of all clients and of one address.
    pub requests: (usize, usize),
    /// How long a request for bytes that are on their way is held.
    pub patience: Duration,
}

impl Default for WebSeedConfig {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            rate: None,
            requests: (128, 16),
            patience: Duration::from_secs(25),
        }
    }
}

impl WebSeedConfig {
    /// What links and torrents name for this torrent (`ws`, `url-list`).
    #[must_use]
    pub fn url_of(&self, info_hash: InfoHash) -> Option<String> {
        let base = self.url.as_deref()?.trim_end_matches('/');
        let token = self.token.iter().map(|token| format!("/{token}"));
        Some(format!("{base}{}/{info_hash}/", token.collect::<String>()))
    }
}

/// Serves the torrents of a bridge over HTTP.
#[derive(Clone, Debug)]
pub struct WebSeed {
    shared: Arc<Shared>,
    /// Who says what is served to whom of what is only carried over; without one nothing of that is.
    gate: Option<Arc<Gate>>,
    config: Arc<WebSeedConfig>,
    slots: Slots,
    pace: Arc<Pace>,
}

impl WebSeed {
    /// For the torrents that this bridge has, and will have, but those that it only carries over.
    #[must_use]
    pub fn new(bridge: &Bridge, config: WebSeedConfig) -> Self {
        Self::behind(bridge, None, config)
    }

    /// For those, too, as far as the gate lets them through.
    pub(crate) fn behind(bridge: &Bridge, gate: Option<Arc<Gate>>, config: WebSeedConfig) -> Self {
        Self {
            shared: bridge.shared().clone(),
            gate,
            slots: Slots::new(config.requests),
            pace: Arc::new(Pace::new(config.rate)),
            config: Arc::new(config),
        }
    }

    /// Answers a request. `path` is its path below the web seed's own URL, as it came, without a slash at its beginning.
    pub async fn answer(&self, request: &Parts, path: &str, visitor: impl Into<Visitor>) -> Response<Body> {
        let mut response = match request.method {
            Method::GET | Method::HEAD => self.file(request, path, visitor.into()).await,
            Method::OPTIONS => preflight(&request.headers),
            _ => {
                let mut refused = say(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "Files can only be fetched from here.\n",
                );
                let methods = HeaderValue::from_static(METHODS);
                refused.headers_mut().insert(ALLOW, methods);
                refused
            }
        };
        if request.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        protect(response.headers_mut());
        response
    }

    async fn file(&self, request: &Parts, path: &str, visitor: Visitor) -> Response<Body> {
        let headers = &request.headers;
        if headers
            .get(TOKEN)
            .is_some_and(|token| token == self.shared.web.token())
        {
            return say(StatusCode::FORBIDDEN, "This is your own web seed.\n");
        }
        let Some(target) = Target::of(path, self.config.token.as_deref()) else {
            return say(StatusCode::NOT_FOUND, NOTHING);
        };
        let (Target::Torrent(info_hash) | Target::File(info_hash, _)) = target;
        let from = visitor.address;
        let torrent = self.shared.torrent(info_hash);
        let is_relayed = |torrent: &Handle| torrent.shelf().is_relayed();
        // Of what is not there yet the rules decide whether it may ever be.
        let gate = self
            .gate
            .as_ref()
            .filter(|_| torrent.as_ref().is_none_or(is_relayed));
        let guest = gate.map(|gate| Guest::new(gate.clone(), info_hash, visitor));
        if let Some(Err(denied)) = guest.as_ref().map(Guest::admit) {
            return refuse(denied);
        }
        let Some(torrent) = torrent.filter(|torrent| is_relayed(torrent) == guest.is_some()) else {
            return say(StatusCode::NOT_FOUND, NOTHING);
        };
        let Ok(metainfo) = timeout(self.config.patience, torrent.shelf().opened()).await else {
            return later("What this torrent is made of is not known yet.\n");
        };
        if metainfo.info().is_private() && self.config.token.is_none() {
            return say(StatusCode::NOT_FOUND, NOTHING);
        }
        match target {
            Target::Torrent(_) => self.torrent_file(&metainfo),
            Target::File(_, path) => match metainfo.info().file_at_url_path(path) {
                Some(file) => {
                    let what = (&torrent, &**metainfo.info(), file);
                    self.bytes(request, what, (from, guest)).await
                }
                None => say(StatusCode::NOT_FOUND, NOTHING),
            },
        }
    }

    /// The torrent file, which names this web seed.
    fn torrent_file(&self, metainfo: &Metainfo) -> Response<Body> {
        let own = self.config.url_of(metainfo.info().info_hash());
        let mut web_seeds = metainfo.web_seeds().to_vec();
        web_seeds.extend(own.filter(|own| !metainfo.web_seeds().contains(own)));
        let named = Metainfo::with_info(metainfo.info().clone(), metainfo.trackers().to_vec(), web_seeds);
        let mut response = Response::new(Body::from(Bytes::from(named.to_bytes())));
        let kind = HeaderValue::from_static("application/x-bittorrent");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    async fn bytes(
        &self,
        request: &Parts,
        (torrent, info, number): (&Handle, &Info, usize),
        (from, guest): (IpAddr, Option<Guest>),
    ) -> Response<Body> {
        let (tag, file) = (tag_of(info, number), &info.files()[number]);
        let length = file.length();
        let (status, range) = match part(&request.headers, length, &tag) {
            Part::Whole => (StatusCode::OK, 0..length),
            Part::Range(range) => (StatusCode::PARTIAL_CONTENT, range),
            Part::Known => (StatusCode::NOT_MODIFIED, 0..0),
            Part::Beyond => {
                let mut beyond = say(StatusCode::RANGE_NOT_SATISFIABLE, "The file ends before that.\n");
                insert(beyond.headers_mut(), CONTENT_RANGE, &format!("bytes */{length}"));
                return beyond;
            }
        };
        let wanted = range.end - range.start;
        let is_for_all = self.config.token.is_none() && guest.as_ref().is_none_or(Guest::is_anybody);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if request.method == Method::GET && wanted > 0 {
            let Some(slot) = self.slots.take(from) else {
                return later("There are enough requests at the moment.\n");
            };
            let bytes = file.offset() + range.start..file.offset() + range.end;
            let give = Give {
                torrent: torrent.clone(),
                bytes,
                patience: self.config.patience,
                pace: self.pace.clone(),
                guest,
                slot,
                visit: torrent.shelf().visit(),
            };
            match give_soon(give).await {
                Some(body) => *response.body_mut() = body,
                None => return later("These bytes are not here yet.\n"),
            }
        }
        let headers = response.headers_mut();
        if status != StatusCode::NOT_MODIFIED {
            insert(headers, CONTENT_LENGTH, &wanted.to_string());
        }
        if status == StatusCode::PARTIAL_CONTENT {
            let Range { start, end } = range;
            insert(
                headers,
                CONTENT_RANGE,
                &format!("bytes {start}-{}/{length}", end - 1),
            );
        }
        insert(headers, ETAG, &tag);
        let whose = if is_for_all { "public" } else { "private" };
        // What an info-hash names never changes.
        insert(
            headers,
            CACHE_CONTROL,
            &format!("{whose}, max-age=31536000, immutable"),
        );
        for (name, value) in [
            (ACCEPT_RANGES, "bytes"),
            (CONTENT_TYPE, "application/octet-stream"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Who asks, as the server around the web seed knows.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Its address.
    pub address: IpAddr,
    /// Its token for the gateway, if it has one.
    pub token: Option<String>,
}

impl From<IpAddr> for Visitor {
    fn from(address: IpAddr) -> Self {
        Self { address, token: None }
    }
}

/// The body, once its first bytes are there; `None` where that takes too long.
async fn give_soon(asked: Give) -> Option<Body> {
    let patience = asked.patience;
    let (body, first) = give(asked);
    timeout(patience, first).await.ok()?.ok()?;
    Some(body)
}

/// The answer to who asks whether it may ask (CORS). A page of the public web may reach into a private network only if told so.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("range, if-range, if-none-match"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    let asks = asked.get("access-control-request-private-network");
    if asks.is_some_and(|asks| asks == "true") {
        let name = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    response
}

/// What every answer bears. The files are strangers': a browser must not run or show them as if they were ours.
fn protect(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    insert(
        headers,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        &EXPOSED.map(|name| name.to_string()).join(", "),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("cross-origin"));
}

fn say(status: StatusCode, sentence: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(sentence.as_bytes())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn later(sentence: &'static str) -> Response<Body> {
    let mut response = say(StatusCode::SERVICE_UNAVAILABLE, sentence);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("3"));
    response
}

/// The answer to who may not have anything of a torrent.
fn refuse(denied: Denied) -> Response<Body> {
    match denied {
        Denied::Torrent => say(StatusCode::FORBIDDEN, "This torrent is not carried over here.\n"),
        Denied::Token => say(
            StatusCode::FORBIDDEN,
            "Only who has a token is served here: open the page with it once, as https://HOST/?gateway=TOKEN\n",
        ),
        Denied::Quota => {
            let sentence = "As much as may be given in a day has been given: try again tomorrow.\n";
            let mut response = say(StatusCode::TOO_MANY_REQUESTS, sentence);
            let pause = HeaderValue::from_static("600");
            response.headers_mut().insert(RETRY_AFTER, pause);
            response
        }
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Numbers, hashes and names of headers are all values.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The requests that are being answered, a bounded number of them.
#[derive(Clone, Debug)]
struct Slots {
    most: (usize, usize),
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    from: IpAddr,
}

impl Slots {
    fn new(most: (usize, usize)) -> Self {
        let taken = Arc::default();
        Self { most, taken }
    }

    fn take(&self, from: IpAddr) -> Option<Slot> {
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let count = taken.entry(from).or_default();
        if all >= self.most.0 || *count >= self.most.1 {
            return None;
        }
        *count += 1;
        let slots = self.clone();
        Some(Slot { slots, from })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        if let Some(count) = taken.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.from);
            }
        }
    }
}

/// Keeps to a rate, all clients together.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<u64>,
    /// When the next byte may go.
    next: Mutex<Instant>,
}

impl Pace {
    fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many bytes may go.
    pub(super) async fn wait(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let due = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let due = (*next).max(Instant::now());
            let micros = (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
            *next = due + Duration::from_micros(micros);
            due
        };
        sleep_until(due).await;
    }
}

const METHODS: &str = "GET, HEAD, OPTIONS";
const NOTHING: &str = "There is no such file here.\n";
