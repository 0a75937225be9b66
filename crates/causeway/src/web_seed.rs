//! The web seed of `seed` and `bridge`: its flags, and its port.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use causeway_bridge::gateway::Gateway;
use causeway_bridge::{Bridge, Visitor, WebSeed, WebSeedConfig};
use causeway_core::InfoHash;
use causeway_tracker::Connections;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::page::token;
use crate::server::http::{HANDSHAKE_WITHIN, HEAD_WITHIN, Http, READ_WITHIN};
use crate::server::proxy::Proxies;
use crate::settings::ServerOptions;

/// The flags.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Serve what is there over HTTP, too, as a web seed: the links and torrent files that are written name it
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,

    /// The URL that leads to --http, where that is another one than its address: of a proxy in front of it, for example
    #[arg(long, value_name = "URL", value_parser = http_url, requires = "http")]
    http_url: Option<String>,

    /// Serve over HTTP only who knows this word, which becomes a part of the URLs; private torrents are served with one alone
    #[arg(long, value_name = "WORD", value_parser = word, requires = "http")]
    http_token: Option<String>,

    /// The most bytes a second that are given over HTTP, to all together
    #[arg(long, value_name = "BYTES", requires = "http", value_parser = clap::value_parser!(u64).range(1..))]
    http_rate: Option<u64>,
}

/// A port for the web seed that is open, and serves nothing yet.
pub(crate) struct Door {
    listener: TcpListener,
    config: WebSeedConfig,
}

/// A web seed that serves.
pub(crate) struct Serving {
    stopping: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Options {
    /// Opens the port, where one is wanted.
    pub(crate) async fn open(&self) -> Result<Option<Door>> {
        let Some(listen) = self.http else {
            return Ok(None);
        };
        let listener = TcpListener::bind(listen).await;
        let listener =
            listener.with_context(|| format!("can't listen on {listen}: choose another port with --http"))?;
        let address = listener.local_addr()?;
        let own = (!address.ip().is_unspecified()).then(|| format!("http://{address}/"));
        if own.is_none() && self.http_url.is_none() {
            tracing::warn!(
                "links don't name the web seed, since its address is not known: say it with --http-url"
            );
        }
        let config = WebSeedConfig {
            url: self.http_url.clone().or(own),
            token: self.http_token.clone(),
            rate: self.http_rate,
            ..WebSeedConfig::default()
        };
        Ok(Some(Door { listener, config }))
    }
}

impl Door {
    /// What links and torrents name.
    pub(crate) fn url_of(&self, info_hash: InfoHash) -> Option<String> {
        self.config.url_of(info_hash)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves the torrents of the bridge from now on, and what its gateway carries over.
    pub(crate) fn serve(self, bridge: &Bridge, gateway: Option<&Gateway>) -> Serving {
        let (stopping, stopped) = watch::channel(());
        let seed = match gateway {
            Some(gateway) => gateway.web_seed(bridge, self.config),
            None => WebSeed::new(bridge, self.config),
        };
        let http = Http {
            workers: None,
            router: router(seed),
            proxies: Arc::new(Proxies::new(&ServerOptions::default())),
            connections: Connections::new(MOST_CONNECTIONS),
            stopped,
            patience: PATIENCE,
            head_within: HEAD_WITHIN,
            read_within: READ_WITHIN,
            handshake_within: HANDSHAKE_WITHIN,
        };
        let task = tokio::spawn(async move { http.serve(self.listener, None).await });
        Serving { stopping, task }
    }
}

impl Serving {
    /// Closes the port.
    pub(crate) async fn stop(self) {
        self.stopping.send_replace(());
        // It has nothing to say.
        self.task.await.unwrap_or_default();
    }
}

/// Serves a web seed under whatever path the router is put.
pub(crate) fn router(seed: WebSeed) -> Router {
    Router::new().fallback(answer).with_state(seed)
}

async fn answer(
    State(seed): State<WebSeed>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (request, _) = request.into_parts();
    let path = request.uri.path().trim_start_matches('/');
    let visitor = Visitor {
        address: from.ip().to_canonical(),
        token: token(&request.uri, &request.headers),
    };
    seed.answer(&request, path, visitor).await.map(Body::new)
}

fn http_url(text: &str) -> Result<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    ensure!(
        ["http", "https"].contains(&scheme) && !rest.is_empty() && !rest.contains(['?', '#']),
        "write it as http://HOST/PATH or https://HOST/PATH"
    );
    Ok(text.to_owned())
}

fn word(text: &str) -> Result<String> {
    let is_plain = text
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "-_.~".contains(letter));
    ensure!(
        is_plain && text.len() >= SHORTEST_TOKEN && text.len() <= LONGEST_TOKEN,
        "use {SHORTEST_TOKEN} to {LONGEST_TOKEN} letters, digits, and -_.~"
    );
    Ok(text.to_owned())
}

const SHORTEST_TOKEN: usize = 8;
const LONGEST_TOKEN: usize = 128;
/// Of one address.
const MOST_CONNECTIONS: usize = 64;
/// How long requests under way are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(2);
