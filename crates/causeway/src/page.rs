//! The page, as it was built into this program, and what a browser is told beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use causeway_core::PeerId;
use rust_embed::RustEmbed;
use serde_json::{Value, json};

use crate::server::WEB_SEED;

/// What the operator has chosen for the page.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Absolute URLs of trackers beside this server's own.
    pub(crate) trackers: Vec<String>,
    pub(crate) ice_servers: Vec<IceServer>,
    /// Origins of web seeds that the page may fetch from, beside this server's own.
    pub(crate) web_seeds: Vec<String>,
    /// The gateway's name as a peer, where what it carries over is to be had from this server over HTTP.
    pub(crate) gateway: Option<PeerId>,
}

/// What helps browsers to reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IceServer {
    /// As browsers have it: `stun:HOST:PORT`, `turn:HOST:PORT`.
    pub(crate) url: String,
    /// A TURN server's user and password.
    pub(crate) account: Option<(String, String)>,
}

impl IceServer {
    /// The host and port of a STUN server.
    pub(crate) fn stun(&self) -> Option<String> {
        self.url.strip_prefix("stun:").map(str::to_owned)
    }

    fn to_json(&self) -> Value {
        match &self.account {
            None => json!({ "urls": [self.url] }),
            Some((user, password)) => {
                json!({ "urls": [self.url], "username": user, "credential": password })
            }
        }
    }
}

impl Settings {
    /// What the page reads. This server's own tracker is a path, so that it is right whatever name or proxy the page
    /// was reached through; with the token for the gateway, where the browser has one.
    fn to_json(&self, token: Option<&str>) -> Value {
        let own = token.map_or_else(
            || "/announce".to_owned(),
            |token| format!("/announce?gateway={token}"),
        );
        let trackers: Vec<&str> = [own.as_str()]
            .into_iter()
            .chain(self.trackers.iter().map(String::as_str))
            .collect();
        let ice_servers: Vec<Value> = self.ice_servers.iter().map(IceServer::to_json).collect();
        let mut config =
            json!({ "trackers": trackers, "iceServers": ice_servers, "webSeeds": self.web_seeds });
        if let Some(peer_id) = self.gateway {
            let peer_id = String::from_utf8_lossy(peer_id.as_bytes());
            config["gateway"] = json!({ "peerId": peer_id, "webSeed": format!("{WEB_SEED}/") });
        }
        config
    }
}

/// Serves the page's files, and its settings at `/config.json`.
pub(crate) fn router(settings: &Settings) -> Router {
    let config = settings.clone();
    Router::new()
        .route("/", get(file))
        .route("/{*path}", get(file))
        .with_state(Arc::new(Files::embedded()))
        .route(
            "/config.json",
            get(|headers: HeaderMap| async move {
                let token = kept_token(&headers);
                (NO_CACHE, Json(config.to_json(token.as_deref())))
            }),
        )
        .layer(middleware::from_fn_with_state(
            Arc::new(Policy::new(settings)),
            protect,
        ))
}

async fn file(State(files): State<Arc<Files>>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let token = given_token(&uri).filter(|_| path.is_empty());
    let mut response = find(&files, path, &headers);
    let cookie = token.and_then(|token| {
        let cookie = format!("{TOKEN}{token}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict");
        HeaderValue::try_from(cookie).ok()
    });
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The token for the gateway in the address of the page, which the browser is to keep.
fn given_token(uri: &Uri) -> Option<&str> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let token = pairs.find_map(|pair| pair.strip_prefix(TOKEN));
    token.filter(|token| is_token(token))
}

/// The token for the gateway that a request bears: in its address, or as the browser keeps it.
pub(crate) fn token(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    given_token(uri)
        .map(str::to_owned)
        .or_else(|| kept_token(headers))
}

/// The token that the browser has kept.
fn kept_token(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let mut cookies = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let token = cookies.find_map(|cookie| cookie.trim().strip_prefix(TOKEN))?;
    is_token(token).then(|| token.to_owned())
}

fn is_token(text: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._~".contains(char);
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.chars().all(is_plain)
}

fn find(files: &Files, path: &str, headers: &HeaderMap) -> Response {
    match files.0.get(if path.is_empty() { "index.html" } else { path }) {
        Some(file) => file.respond(headers),
        None if path.is_empty() => (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response(),
        None => (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response(),
    }
}

/// The page's files by path.
struct Files(BTreeMap<String, File>);

/// What `cargo xtask` made: the page, and beside most of its files the same one packed. A debug build of this program reads it when it starts, a release build
/// contains it.
#[derive(RustEmbed)]
#[folder = "../../dist"]
struct Dist;

impl Files {
    fn embedded() -> Self {
        let file = |path: &str| {
            let embedded = Dist::get(path)?;
            let packed = CODINGS.into_iter().filter_map(|(coding, extension)| {
                let packed = Dist::get(&format!("{path}.{extension}"))?;
                Some((coding, packed.data.into_owned().into()))
            });
            Some(File::new(
                path,
                embedded.data.into_owned().into(),
                packed.collect(),
                embedded.metadata.sha256_hash(),
            ))
        };
        Self(
            Dist::iter()
                .filter_map(|path| Some((path.to_string(), file(&path)?)))
                .collect(),
        )
    }
}

struct File {
    content_type: &'static str,
    /// Names the content, without quotes.
    tag: String,
    plain: Bytes,
    /// The same in smaller encodings, the smallest first.
    packed: Vec<(&'static str, Bytes)>,
}

impl File {
    fn new(path: &str, plain: Bytes, packed: Vec<(&'static str, Bytes)>, hash: [u8; 32]) -> Self {
        let [hash @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
        Self {
            content_type: content_type(path),
            tag: format!("{:032x}", u128::from_be_bytes(hash)),
            plain,
            packed,
        }
    }

    fn respond(&self, request: &HeaderMap) -> Response {
        let packed = self.packed.iter().find(|(coding, _)| accepts(request, coding));
        // Another encoding is other bytes, so it needs another tag (RFC 9110, 8.8.3).
        let coding = packed.map_or(String::new(), |(coding, _)| format!("-{coding}"));
        let tag = format!("\"{}{coding}\"", self.tag);
        let known = request
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let is_known = known
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == tag);
        let always = [(header::ETAG, tag), (header::VARY, "Accept-Encoding".to_owned())];
        if is_known {
            return (StatusCode::NOT_MODIFIED, NO_CACHE, always).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        match packed {
            Some((coding, bytes)) => (
                NO_CACHE,
                always,
                content_type,
                [(header::CONTENT_ENCODING, *coding)],
                bytes.clone(),
            )
                .into_response(),
            None => (NO_CACHE, always, content_type, self.plain.clone()).into_response(),
        }
    }
}

/// The encodings that files are packed in, the smallest first, and how their names end.
const CODINGS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];

/// Whether `Accept-Encoding` has this coding, and not with a quality of zero.
fn accepts(request: &HeaderMap, coding: &str) -> bool {
    let values = request
        .get_all(header::ACCEPT_ENCODING)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|accepted| {
        let mut parts = accepted.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let quality = parts.find_map(|part| part.strip_prefix("q=")).unwrap_or("1");
        is_it && quality.parse().is_ok_and(|quality: f32| quality > 0.0)
    })
}

fn content_type(path: &str) -> &'static str {
    let (_, extension) = path.rsplit_once('.').unwrap_or_default();
    match extension {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/vnd.microsoft.icon",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Browsers keep the file, and ask each time whether it is the latest: after an update no old part meets a new one.
const NO_CACHE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-cache")];

/// What stands before a token, in the page's address and in the cookie.
const TOKEN: &str = "gateway=";

/// In characters.
const LONGEST_TOKEN: usize = 128;

const NOT_BUILT: &str =
    "This program was built without its page. Run `cargo xtask run` to build and serve both.\n";

/// What the page may do (Content-Security-Policy).
struct Policy {
    /// The origins of the trackers and web seeds that are not this server's.
    others: String,
}

impl Policy {
    fn new(settings: &Settings) -> Self {
        let all = settings.trackers.iter().chain(&settings.web_seeds);
        let uris = all.filter_map(|url| url.parse::<Uri>().ok());
        let origins = uris.filter_map(|uri| {
            let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!(" {}://{}{port}", uri.scheme_str()?, uri.host()?))
        });
        Self {
            others: origins.collect(),
        }
    }

    /// The policy for a page that was reached under the name `host`. To older Safaris `'self'` does not mean the
    /// WebSocket of this server, so that is named.
    fn header(&self, host: Option<&str>) -> String {
        let is_name = |host: &&str| {
            host.chars()
                .all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | ':' | '-' | '_' | '[' | ']'))
        };
        let own = host
            .filter(is_name)
            .map(|host| format!(" ws://{host} wss://{host}"))
            .unwrap_or_default();
        format!(
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; \
             connect-src 'self'{own}{}; worker-src 'self'; media-src 'self' blob:; manifest-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            self.others
        )
    }
}

/// Adds to every response what keeps the page from doing, and from being used for, what it is not there for.
async fn protect(State(policy): State<Arc<Policy>>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let policy = HeaderValue::try_from(policy.header(host));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(policy) = policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in PROTECTION {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const PROTECTION: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), \
         midi=(), payment=(), usb=()",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            Some((
                header::HeaderName::from_static(name),
                HeaderValue::from_str(value).ok()?,
            ))
        };
        headers.iter().filter_map(header).collect()
    }

    fn file() -> File {
        let packed = vec![
            ("br", Bytes::from_static(b"b")),
            ("gzip", Bytes::from_static(b"gz")),
        ];
        File::new("a.wasm", Bytes::from_static(b"plain"), packed, [0xab; 32])
    }

    #[test]
    fn a_file_goes_out_in_the_smallest_encoding_that_its_reader_knows() {
        let cases = [
            ("", None),
            ("gzip", Some("gzip")),
            ("deflate, GZIP;q=0.5, br;q=0", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip;q=0", None),
            ("gzip; q=0.0", None),
            ("gzip, br; q=1.0", Some("br")),
            ("identity", None),
            ("gzipped, brotli", None),
        ];
        for (accepted, coding) in cases {
            let response = file().respond(&headers(&[("accept-encoding", accepted)]));
            let said = response.headers().get("content-encoding");
            assert_eq!(said.and_then(|said| said.to_str().ok()), coding, "{accepted}");
            assert_eq!(response.headers()["content-type"], "application/wasm");
            assert_eq!(response.headers()["cache-control"], "no-cache");
            assert_eq!(response.headers()["vary"], "Accept-Encoding");
        }
    }

    #[test]
    fn what_is_not_packed_goes_out_as_it_is() {
        let file = File::new("a.png", Bytes::from_static(b"x"), Vec::new(), [0; 32]);
        let response = file.respond(&headers(&[("accept-encoding", "br, gzip")]));
        assert!(!response.headers().contains_key("content-encoding"));
    }

    #[test]
    fn a_browser_that_has_the_latest_is_told_so() {
        let plain = format!("\"{}\"", "ab".repeat(16));
        let gzip = format!("\"{}-gzip\"", "ab".repeat(16));
        let brotli = format!("\"{}-br\"", "ab".repeat(16));
        for (encoding, known, status) in [
            ("", plain.clone(), 304),
            ("", format!("\"other\", W/{plain}"), 304),
            ("", gzip.clone(), 200),
            ("", "\"other\"".into(), 200),
            ("gzip", gzip.clone(), 304),
            ("gzip", plain, 200),
            ("br, gzip", brotli, 304),
            ("br, gzip", gzip, 200),
        ] {
            let request = headers(&[("accept-encoding", encoding), ("if-none-match", &known)]);
            assert_eq!(file().respond(&request).status(), status, "{encoding} {known}");
        }
    }

    #[test]
    fn a_token_is_kept_by_the_browser_and_goes_to_the_tracker() {
        for (address, token) in [
            ("/?gateway=open-sesame", Some("open-sesame")),
            ("/?x=1&gateway=a.b_c~D9", Some("a.b_c~D9")),
            ("/?gateway=", None),
            ("/?gateway=a%3Bb", None),
            ("/", None),
        ] {
            assert_eq!(given_token(&Uri::from_static(address)), token, "{address}");
        }
        let settings = Settings {
            trackers: vec!["wss://t.example/a".into()],
            ice_servers: Vec::new(),
            web_seeds: Vec::new(),
            gateway: None,
        };
        let kept = kept_token(&headers(&[("cookie", "other=1; gateway=open-sesame")]));
        let trackers = settings.to_json(kept.as_deref())["trackers"].to_string();
        assert_eq!(
            trackers,
            r#"["/announce?gateway=open-sesame","wss://t.example/a"]"#
        );
        assert_eq!(kept_token(&headers(&[("cookie", "gateway=a b")])), None);
        let trackers = settings.to_json(None)["trackers"].to_string();
        assert_eq!(trackers, r#"["/announce","wss://t.example/a"]"#);
    }

    #[test]
    fn the_page_is_told_of_the_gateway_where_there_is_one() {
        let mut settings = Settings {
            trackers: Vec::new(),
            ice_servers: Vec::new(),
            web_seeds: Vec::new(),
            gateway: None,
        };
        assert!(settings.to_json(None).get("gateway").is_none());
        settings.gateway = Some(PeerId::new(*b"-CW0100-abcdefghijkl"));
        let told = &settings.to_json(None)["gateway"];
        assert_eq!(
            told,
            &json!({ "peerId": "-CW0100-abcdefghijkl", "webSeed": "/seed/" })
        );
    }

    #[test]
    fn the_name_of_a_host_can_not_change_the_policy() {
        let settings = Settings {
            trackers: vec!["wss://u@t.example/a".into()],
            ice_servers: Vec::new(),
            web_seeds: vec!["https://files.example:8443".into()],
            gateway: None,
        };
        let policy = Policy::new(&settings);
        assert!(
            policy
                .header(Some("h.example:1"))
                .contains("connect-src 'self' ws://h.example:1 wss://h.example:1 wss://t.example https://files.example:8443;")
        );
        for host in ["x; script-src *", "x *", "x,y", "x'"] {
            assert_eq!(policy.header(Some(host)), policy.header(None));
        }
    }
}
