//! Requests over HTTP(S) to hosts that a stranger may have named.
//!
//! Nothing private is asked on a stranger's word: addresses of our own network are neither taken literally nor from a name's
//! resolution, also after a redirect, unless whoever answers sits there itself.

use core::error::Error as _;
use core::future::Future;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::OnceLock;
use std::vec;

use bytes::Bytes;
use causeway_engine::FetchError;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, HeaderName, LOCATION, RANGE, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::rt::TokioExecutor;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tower_service::Service;

use crate::proxy::{Connector, Proxy};
use crate::torrent::is_local;

/// Whose servers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nobody's.
    Nobody,
    /// Those that everybody reaches.
    #[default]
    Public,
    /// Those of our own network, too.
    Anybody,
}

/// What was asked for did not come, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Failure {
    /// What it means for a web seed.
    pub(crate) error: FetchError,
    /// In words.
    pub(crate) why: String,
}

impl Failure {
    /// It may come another time.
    pub(crate) fn now(why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            error: FetchError::Failed,
            why,
        }
    }

    /// It never will.
    pub(crate) fn forever(why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            error: FetchError::Useless,
            why,
        }
    }
}

/// Asks servers. What it needs for that is made when it is first wanted.
#[derive(Debug)]
pub(crate) struct Client {
    public: OnceLock<Connections>,
    any: OnceLock<Connections>,
    /// Tells our own server that it is us.
    token: String,
    proxy: Option<Proxy>,
}

#[derive(Debug)]
struct Connections {
    is_public: bool,
    proxy: Option<Proxy>,
    plain: legacy::Client<Connector<HttpConnector<Resolver>>, Empty<Bytes>>,
    /// Missing where this system names no certificate authorities.
    secure: OnceLock<Option<Secure>>,
}

type Secure = legacy::Client<HttpsConnector<Connector<HttpConnector<Resolver>>>, Empty<Bytes>>;

impl Client {
    /// One that asks through this proxy alone, where there is one. Names lead where the proxy says then.
    pub(crate) fn new(proxy: Option<Proxy>) -> Self {
        Self {
            public: OnceLock::new(),
            any: OnceLock::new(),
            proxy,
            token: format!("{:032x}", fastrand::u128(..)),
        }
    }

    /// What every request bears in [`TOKEN`]: a server that knows it is this program.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Asks for a file or a range of one; follows a few redirects. The answer is a success.
    pub(crate) async fn get(
        &self,
        url: &str,
        range: Option<&Range<u64>>,
        mut reach: Reach,
    ) -> Result<Response<Incoming>, Failure> {
        let mut target: Uri = url
            .parse()
            .map_err(|_| Failure::forever("its URL can't be read"))?;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask(&target, range, reach).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if !status.is_redirection() {
                return Err(refusal(status, response.headers()));
            }
            // Who is in our own network may name others there, and nobody else.
            let remote = response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr);
            let is_near = match &self.proxy {
                Some(_) => names_local(&target),
                None => remote.is_some_and(|remote| is_local(remote.ip())),
            };
            if reach == Reach::Anybody && !is_near {
                reach = Reach::Public;
            }
            let place = response.headers().get(LOCATION);
            let place = place.and_then(|place| place.to_str().ok());
            target = place
                .and_then(|place| redirected(&target, place))
                .ok_or_else(|| Failure::forever("it sends us to nowhere"))?;
        }
        Err(Failure::forever("it sends us from one place to the next"))
    }

    async fn ask(
        &self,
        target: &Uri,
        range: Option<&Range<u64>>,
        reach: Reach,
    ) -> Result<Response<Incoming>, Failure> {
        let connections = match reach {
            Reach::Nobody => return Err(Failure::forever("web seeds are switched off")),
            Reach::Public if names_local(target) => return Err(Failure::forever(PRIVATE)),
            Reach::Public => self
                .public
                .get_or_init(|| Connections::new(true, self.proxy.clone())),
            Reach::Anybody => self
                .any
                .get_or_init(|| Connections::new(false, self.proxy.clone())),
        };
        let mut request = Request::get(target.clone())
            .header(USER_AGENT, concat!("Causeway/", env!("CARGO_PKG_VERSION")))
            // What is compressed has other ranges.
            .header(ACCEPT_ENCODING, "identity")
            .header(TOKEN, &self.token);
        if let Some(Range { start, end }) = range {
            request = request.header(RANGE, format!("bytes={start}-{}", end.saturating_sub(1)));
        }
        let request = request.body(Empty::new());
        let request = request.map_err(|error| Failure::forever(error.to_string()))?;
        let answered = async {
            if target.scheme_str() == Some("https") {
                let secure = connections.secure();
                let secure = secure.ok_or_else(|| Failure::now("https is not possible on this system"))?;
                Ok(secure.request(request).await)
            } else {
                Ok(connections.plain.request(request).await)
            }
        };
        let answer = timeout(PATIENCE, answered).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::now("it does not answer")))?;
        answer.map_err(|error| Failure::now(cause(&error)))
    }
}

impl Connections {
    fn new(is_public: bool, proxy: Option<Proxy>) -> Self {
        Self {
            is_public,
            plain: builder().build(connector(is_public, proxy.clone())),
            proxy,
            secure: OnceLock::new(),
        }
    }

    /// Those over TLS, which need the system's certificate authorities: they are read when the first is wanted.
    fn secure(&self) -> Option<&Secure> {
        let make = || {
            let roots = HttpsConnectorBuilder::new().with_native_roots();
            let roots =
                roots.inspect_err(|error| tracing::warn!("no web seed is reached over https: {error}"));
            let https = roots.ok()?.https_only().enable_http1();
            Some(builder().build(https.wrap_connector(connector(self.is_public, self.proxy.clone()))))
        };
        self.secure.get_or_init(make).as_ref()
    }
}

fn connector(is_public: bool, proxy: Option<Proxy>) -> Connector<HttpConnector<Resolver>> {
    let mut connector = HttpConnector::new_with_resolver(Resolver { is_public });
    connector.set_connect_timeout(Some(CONNECTING));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    Connector::with(connector, proxy)
}

fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    // One range follows another.
    builder.pool_max_idle_per_host(2).pool_idle_timeout(IDLE);
    builder
}

/// Resolves names, to public addresses alone where that is wanted.
#[derive(Clone, Debug)]
struct Resolver {
    is_public: bool,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let is_public = self.is_public;
        Box::pin(async move {
            let mut found: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
            if is_public {
                found.retain(|address| !is_local(address.ip()));
                if found.is_empty() {
                    return Err(io::Error::other(PRIVATE));
                }
            }
            Ok(found.into_iter())
        })
    }
}

/// Why a file could not be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url} can't be downloaded: {why}")]
pub struct DownloadError {
    url: String,
    why: String,
}

/// Downloads what the user has named by its URL over HTTP(S), a torrent file for example, of `most` bytes at the most; through the proxy
/// where there is one.
///
/// # Errors
/// [`DownloadError`], in words.
pub async fn download(url: &str, most: usize, proxy: Option<Proxy>) -> Result<Bytes, DownloadError> {
    let fail = |why: String| DownloadError {
        url: url.to_owned(),
        why,
    };
    let answer = Client::new(proxy).get(url, None, Reach::Anybody).await;
    let body = Limited::new(answer.map_err(|failure| fail(failure.why))?.into_body(), most);
    let whole = timeout(DOWNLOADING, body.collect()).await;
    let whole = whole.map_err(|_| fail("it takes too long".to_owned()))?;
    let whole = whole.map_err(|error| {
        fail(if error.is::<http_body_util::LengthLimitError>() {
            format!("it is longer than the {most} bytes that are supported")
        } else {
            format!("it breaks off ({error})")
        })
    })?;
    Ok(whole.to_bytes())
}

/// What an answer without the file means.
fn refusal(status: StatusCode, headers: &HeaderMap) -> Failure {
    let wish = headers.get(RETRY_AFTER).and_then(|wish| wish.to_str().ok());
    let wish = wish.and_then(|wish| wish.trim().parse().ok());
    let why = format!("it answers {status}");
    match (status, wish) {
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(seconds)) => Failure {
            error: FetchError::Busy(Duration::from_secs(seconds)),
            why,
        },
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _) => Failure::now(why),
        _ if status.is_client_error() => Failure::forever(why),
        _ => Failure::now(why),
    }
}

/// The place that a redirect names: a URL, or a path of the same host.
fn redirected(from: &Uri, place: &str) -> Option<Uri> {
    if place.starts_with('/') && !place.starts_with("//") {
        let (scheme, host) = (from.scheme_str()?, from.authority()?);
        return format!("{scheme}://{host}{place}").parse().ok();
    }
    let target: Uri = place.parse().ok()?;
    let is_downgrade = from.scheme_str() == Some("https") && target.scheme_str() == Some("http");
    let is_http = matches!(target.scheme_str(), Some("http" | "https"));
    (is_http && !is_downgrade).then_some(target)
}

/// Whether the host is written as an address of our own network.
fn names_local(target: &Uri) -> bool {
    let host = target.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse().is_ok_and(|ip: IpAddr| is_local(ip))
}

/// The innermost reason, which is the one that says something.
fn cause(error: &legacy::Error) -> String {
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        last = error.to_string();
        source = error.source();
    }
    last
}

const PRIVATE: &str = "it is in our own network, where nothing is asked on a stranger's word";
/// The header that tells a server whether it is asked by its own program.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("causeway-client");
/// How often a server may name another place.
const MOST_REDIRECTS: usize = 5;
const CONNECTING: Duration = Duration::from_secs(10);
/// Until the answer begins. Who holds a request for bytes that are on their way does so for less.
const PATIENCE: Duration = Duration::from_secs(40);
const IDLE: Duration = Duration::from_secs(30);
/// For what the user waits for.
const DOWNLOADING: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_names_a_url_or_a_path_and_never_leaves_https() {
        let from = |url: &str| url.parse::<Uri>().expect("a URL");
        for (url, place, expected) in [
            ("http://h:1/a", "/b?c", Some("http://h:1/b?c")),
            ("http://h/a", "https://i/b", Some("https://i/b")),
            ("https://h/a", "https://i/b", Some("https://i/b")),
            ("https://h/a", "http://i/b", None),
            ("http://h/a", "//i/b", None),
            ("http://h/a", "file:///etc/passwd", None),
            ("http://h/a", "", None),
        ] {
            assert_eq!(redirected(&from(url), place), expected.map(from), "{url} {place}");
        }
    }

    #[test]
    fn what_an_error_means_depends_on_whose_fault_it_is() {
        let error = |status: u16, wish: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(wish) = wish {
                headers.insert(RETRY_AFTER, wish.parse().expect("a value"));
            }
            refusal(StatusCode::from_u16(status).expect("a status"), &headers).error
        };
        assert_eq!(error(404, None), FetchError::Useless);
        assert_eq!(error(416, None), FetchError::Useless);
        assert_eq!(error(500, None), FetchError::Failed);
        assert_eq!(error(503, Some("7")), FetchError::Busy(Duration::from_secs(7)));
        assert_eq!(error(503, Some("soon")), FetchError::Failed);
        assert_eq!(error(429, None), FetchError::Failed);
    }

    #[tokio::test]
    async fn our_own_network_is_not_asked_on_a_strangers_word() {
        let client = Client::new(None);
        for url in [
            "http://127.0.0.1:9/x",
            "http://[::1]:9/x",
            "http://localhost:9/x",
            "http://10.0.0.1/",
        ] {
            let failure = client.get(url, None, Reach::Public).await.expect_err("refused");
            assert_eq!(failure.why, PRIVATE, "{url}");
        }
    }
}
