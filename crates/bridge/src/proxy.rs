//! A SOCKS5 proxy (RFC 1928, RFC 1929), through which this peer reaches all others where there is one.

use core::fmt;
use core::net::SocketAddr;
use core::pin::Pin;
use core::str::FromStr;
use core::task::{Context, Poll};
use std::io;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_socks::TargetAddr;
use tokio_socks::tcp::Socks5Stream;
use tower_service::Service;

/// Where a proxy is, written as `socks5://[USER:PASSWORD@]HOST:PORT`. Names of hosts are looked up by the proxy, not here.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    place: String,
    user: Option<(String, String)>,
}

/// A proxy can't be read from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a proxy is written as socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT")]
pub struct ParseProxyError;

impl FromStr for Proxy {
    type Err = ParseProxyError;

    fn from_str(text: &str) -> Result<Self, ParseProxyError> {
        let rest = text
            .strip_prefix("socks5://")
            .or_else(|| text.strip_prefix("socks5h://"))
            .ok_or(ParseProxyError)?;
        let (user, place) = match rest.trim_end_matches('/').rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest.trim_end_matches('/')),
        };
        let (host, port) = place.rsplit_once(':').ok_or(ParseProxyError)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(ParseProxyError);
        }
        let user = match user.map(|user| user.split_once(':')) {
            None => None,
            Some(Some((name, password))) if is_short(name) && is_short(password) => {
                Some((name.to_owned(), password.to_owned()))
            }
            Some(_) => return Err(ParseProxyError),
        };
        let place = place.to_owned();
        Ok(Self { place, user })
    }
}

/// What RFC 1929 has room for.
fn is_short(text: &str) -> bool {
    (1..=255).contains(&text.len())
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socks5://{}", self.place)
    }
}

impl Proxy {
    /// A connection to this address.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.connect_to(TargetAddr::Ip(address)).await
    }

    /// A connection to this host, which may be a name or an address.
    pub(crate) async fn connect_host(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let target = match host.parse() {
            Ok(ip) => TargetAddr::Ip(SocketAddr::new(ip, port)),
            Err(_) => TargetAddr::Domain(host.into(), port),
        };
        self.connect_to(target).await
    }

    async fn connect_to(&self, target: TargetAddr<'_>) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.place).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("the proxy {} can't be reached: {error}", self.place),
            )
        })?;
        let connected = match &self.user {
            Some((name, password)) => {
                Socks5Stream::connect_with_password_and_socket(stream, target, name, password).await
            }
            None => Socks5Stream::connect_with_socket(stream, target).await,
        };
        Ok(connected.map_err(io::Error::other)?.into_inner())
    }
}

/// Opens connections for HTTP, through the proxy where there is one, else as `direct` does.
#[derive(Clone, Debug)]
pub(crate) struct Connector<D = HttpConnector> {
    direct: D,
    proxy: Option<Proxy>,
}

impl Connector {
    pub(crate) fn new(proxy: Option<Proxy>) -> Self {
        let mut direct = HttpConnector::new();
        // Also for what becomes a connection over TLS.
        direct.enforce_http(false);
        Self { direct, proxy }
    }
}

impl<D> Connector<D> {
    pub(crate) const fn with(direct: D, proxy: Option<Proxy>) -> Self {
        Self { direct, proxy }
    }
}

impl<D> Service<Uri> for Connector<D>
where
    D: Service<Uri, Response = TokioIo<TcpStream>>,
    D::Error: core::error::Error + Send + Sync + 'static,
    D::Future: Send + 'static,
{
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.direct.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone() else {
            let connecting = self.direct.call(target);
            return Box::pin(async { connecting.await.map_err(io::Error::other) });
        };
        Box::pin(async move {
            let usual = if target.scheme_str() == Some("https") {
                443
            } else {
                80
            };
            let port = target.port_u16().unwrap_or(usual);
            let host = target.host().unwrap_or_default();
            proxy.connect_host(host, port).await.map(TokioIo::new)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_its_password_is_not_shown() {
        let proxy: Proxy = "socks5://me:a:b@[::1]:1080".parse().expect("a proxy");
        assert_eq!(proxy.user, Some(("me".to_owned(), "a:b".to_owned())));
        assert_eq!(format!("{proxy:?}"), "socks5://[::1]:1080");
        let proxy: Proxy = "socks5h://proxy.example:9/".parse().expect("a proxy");
        assert_eq!((proxy.place.as_str(), proxy.user), ("proxy.example:9", None));
        for text in [
            "",
            "http://a:1",
            "socks5://a",
            "socks5://:1",
            "socks5://a:x",
            "socks5://me@a:1",
            "socks5://:b@a:1",
        ] {
            assert_eq!(text.parse::<Proxy>(), Err(ParseProxyError), "{text}");
        }
    }
}
