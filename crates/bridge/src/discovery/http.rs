//! Announcing over HTTP and HTTPS (BEP 3, 7, 23).

use core::fmt::Write as _;
use core::net::IpAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpInfo;
use hyper_util::rt::TokioExecutor;

use super::{Announce, Event, Failure, Reply, is_near, reply};
use crate::proxy::{Connector, Proxy};

/// Speaks to trackers over HTTP.
#[derive(Debug)]
pub(super) struct Http {
    plain: Client<Connector, Empty<Bytes>>,
    /// Missing where this system names no certificate authorities.
    secure: Option<Client<HttpsConnector<Connector>, Empty<Bytes>>>,
    is_direct: bool,
}

impl Http {
    pub(super) fn new(proxy: Option<Proxy>) -> Self {
        let is_direct = proxy.is_none();
        let connector = Connector::new(proxy);
        let mut builder = Client::builder(TokioExecutor::new());
        // Announces are minutes apart.
        builder.pool_max_idle_per_host(0);
        let roots = HttpsConnectorBuilder::new().with_native_roots();
        let secure = roots.map(|roots| {
            roots
                .https_only()
                .enable_http1()
                .wrap_connector(connector.clone())
        });
        Self {
            plain: builder.build(connector),
            secure: secure
                .inspect_err(|error| tracing::warn!("no tracker is reached over https: {error}"))
                .ok()
                .map(|connector| builder.build(connector)),
            is_direct,
        }
    }

    async fn get(&self, target: &Uri) -> Result<Response<Incoming>, Failure> {
        let host = target
            .authority()
            .map(|host| host.as_str().to_owned())
            .unwrap_or_default();
        let request = Request::get(target.clone())
            .header(HOST, host)
            .header(USER_AGENT, concat!("Causeway/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(Failure::new)?;
        let response = if target.scheme_str() == Some("http") {
            self.plain.request(request).await
        } else {
            let secure = self.secure.as_ref();
            secure
                .ok_or_else(|| Failure::new("https is not possible here"))?
                .request(request)
                .await
        };
        response.map_err(|error| {
            let cause = core::error::Error::source(&error);
            Failure::new(cause.map_or_else(|| error.to_string(), ToString::to_string))
        })
    }

    /// Announces a torrent to the tracker at this address.
    pub(super) async fn announce(&self, url: &str, announce: &Announce) -> Result<Reply, Failure> {
        let mut target: Uri = with_query(url, announce).parse().map_err(Failure::new)?;
        for _ in 0..MOST_REDIRECTS {
            if points_inside(&target) {
                return Err(Failure::new("in our own network nothing but /announce is asked"));
            }
            let response = self.get(&target).await?;
            let remote = response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr);
            // Behind a proxy nobody knows where a name leads.
            let is_near = if self.is_direct {
                remote.is_some_and(|remote| is_near(remote.ip()))
            } else {
                is_inside(&target)
            };
            if response.status().is_redirection() {
                let place = response
                    .headers()
                    .get(LOCATION)
                    .and_then(|place| place.to_str().ok());
                target = place
                    .and_then(|place| place.parse().ok())
                    .filter(|target: &Uri| target.scheme().is_some())
                    .ok_or_else(|| Failure::new("it sends us to nowhere"))?;
                continue;
            }
            let status = response.status();
            let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
            let body = body
                .map_err(|_| Failure::new("its answer breaks off or has no end"))?
                .to_bytes();
            return match reply::read(&body) {
                Ok(reply) => Ok(Reply { is_near, ..reply }),
                Err(_) if !status.is_success() => Err(Failure::new(format!("it answers {status}"))),
                Err(failure) => Err(failure),
            };
        }
        Err(Failure::new("it sends us from one place to the next"))
    }
}

/// Whether this is an address of our own network which no tracker there has: a torrent must not make us call other services.
fn points_inside(target: &Uri) -> bool {
    is_inside(target) && !target.path().ends_with("/announce")
}

/// Whether this says itself that it is in our own network.
fn is_inside(target: &Uri) -> bool {
    let host = target
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host.parse().map_or(host == "localhost", |ip: IpAddr| is_near(ip))
}

/// The address with what the tracker is told.
fn with_query(url: &str, announce: &Announce) -> String {
    let mut text = url.split_once('#').map_or(url, |(url, _)| url).to_owned();
    text.push(if url.contains('?') { '&' } else { '?' });
    text.push_str("info_hash=");
    escape(announce.info_hash.as_bytes(), &mut text);
    text.push_str("&peer_id=");
    escape(announce.peer_id.as_bytes(), &mut text);
    let Announce {
        port,
        uploaded,
        downloaded,
        left,
        wanted,
        key,
        ..
    } = announce;
    // Writing to a string can't fail.
    write!(text, "&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}&compact=1&numwant={wanted}&key={key:08x}").unwrap_or_default();
    text.push_str(match announce.event {
        None => "",
        Some(Event::Started) => "&event=started",
        Some(Event::Completed) => "&event=completed",
        Some(Event::Stopped) => "&event=stopped",
    });
    text
}

fn escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
    }
}

/// Bytes of an answer.
const MOST_BYTES: usize = 256 * 1024;
/// How often a tracker may name another address.
const MOST_REDIRECTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_services_of_our_own_network_are_left_alone() {
        for (url, is_inside) in [
            ("http://127.0.0.1:80/announce", false),
            ("http://127.0.0.1:80/admin?do=it", true),
            ("http://[::1]/x", true),
            ("http://localhost/x", true),
            ("http://192.168.1.1/", true),
            ("http://1.2.3.4/anything", false),
            ("http://tracker.example/ann", false),
        ] {
            assert_eq!(points_inside(&url.parse().expect("a URL")), is_inside, "{url}");
        }
    }
}
