//! `causeway serve`: the page and its tracker on one port.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::Uri;
use axum::http::uri::Authority;
use clap::Args;

use crate::gateway::{GatewayOptions, Running, Surroundings, folder};
use crate::network::NetworkOptions;
use crate::page::IceServer;
use crate::server::Plan;
use crate::settings::{ServerOptions, SettingsFile, TrackerOptions};
use crate::{page, server};

/// Serve the page and a tracker for it.
///
/// With `--gateway` it is a bridge to the classic swarm, too: whoever opens a magnet link in the page gets it, also where
/// only ordinary BitTorrent clients have it.
///
/// How it meets classic clients the options under `Network` say; without it they do nothing.
///
/// Prints "listening on http://ADDRESS:PORT" when it is ready, and ends on SIGINT (Ctrl-C) or SIGTERM.
///
/// By default only this machine reaches it. With `--listen 0.0.0.0:8080` (`[::]:8080` for IPv6, too) everybody
/// does who can reach this machine. Browsers allow a page to do what this one does only over HTTPS or on localhost: for
/// the public, put a reverse proxy with a certificate in front, and have it pass on
/// WebSocket connections.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folder for what the server keeps; made where there is none
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// ICE server for the page: a STUN server, as `stun:HOST:PORT`, or a TURN server, as `turn:USER:PASSWORD@HOST:PORT`, which
    /// relays between browsers that reach each other no other way; every visitor is told its account (may be repeated)
    #[arg(long = "ice-server", value_name = "URL", value_parser = ice_server, conflicts_with = "no_ice_servers",
        default_values = ["stun:stun.l.google.com:19302", "stun:stun.cloudflare.com:3478"])]
    ice_servers: Vec<IceServer>,

    /// Give the page no ICE servers: it then reaches only peers in its own network
    #[arg(long)]
    no_ice_servers: bool,

    /// Further tracker for the page, as `wss://HOST/PATH` (may be repeated)
    #[arg(long = "tracker", value_name = "URL", value_parser = tracker)]
    trackers: Vec<String>,

    /// Origin of web seeds that the page may fetch files from where a torrent names them, as `https://HOST` (may be repeated);
    /// those of this server it may always
    #[arg(long = "web-seed-origin", value_name = "ORIGIN", value_parser = origin)]
    web_seeds: Vec<String>,

    #[command(flatten)]
    settings: SettingsFile,

    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    tracker: TrackerOptions,

    #[command(flatten)]
    gateway: GatewayOptions,

    #[command(flatten)]
    network: NetworkOptions,
}

/// Runs the server until it is told to end.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    if let Some(folder) = &arguments.data_dir {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} can't be made the data folder", folder.display()))?;
    }
    let ice_servers = if arguments.no_ice_servers {
        Vec::new()
    } else {
        arguments.ice_servers
    };
    let settings = arguments.settings.read()?;
    let surroundings = Surroundings {
        network: arguments.network.or(settings.network),
        folder: folder(arguments.data_dir.as_deref()),
        stun_servers: ice_servers.iter().filter_map(IceServer::stun).collect(),
    };
    let page = |gateway: Option<&Running>| {
        page::router(&page::Settings {
            trackers: arguments.trackers,
            ice_servers,
            web_seeds: arguments.web_seeds,
            gateway: gateway
                .filter(|running| running.web_seed.is_some())
                .map(Running::peer_id),
        })
    };
    let gateway = arguments.gateway.or(settings.gateway);
    let plan = Plan {
        server: arguments.server.or(settings.server),
        tracker: arguments.tracker.or(settings.tracker),
        gateway: gateway.enabled.then_some((gateway, surroundings)),
    };
    server::run(plan, page)
}

/// A STUN or TURN server. A browser throws on a URL that it can't read, and the page would reach nobody.
fn ice_server(text: &str) -> Result<IceServer> {
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    let is_host = |host: &str| !host.is_empty() && host.chars().all(|char| char.is_ascii_graphic());
    match scheme {
        "stun" | "stuns" if is_host(rest) => Ok(IceServer {
            url: text.into(),
            account: None,
        }),
        "turn" | "turns" => {
            let account = rest.rsplit_once('@');
            let account = account.and_then(|(account, host)| Some((account.split_once(':')?, host)));
            let ((user, password), host) = account
                .filter(|((user, _), host)| !user.is_empty() && is_host(host))
                .with_context(|| format!("a TURN server is written as {scheme}:USER:PASSWORD@HOST:PORT"))?;
            Ok(IceServer {
                url: format!("{scheme}:{host}"),
                account: Some((user.into(), password.into())),
            })
        }
        _ => bail!("an ICE server is written as stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT"),
    }
}

/// The URL of a tracker that a page can reach. It also goes into the page's Content-Security-Policy.
fn tracker(text: &str) -> Result<String> {
    let uri: Uri = text.parse().map_err(|_| anyhow!("this is no URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("ws" | "wss"), Some(host)) if !host.is_empty() => Ok(text.into()),
        _ => bail!("pages reach trackers over WebSockets alone: write it as wss://HOST/PATH"),
    }
}

/// The scheme, host and port of a server. It also goes into the page's Content-Security-Policy.
fn origin(text: &str) -> Result<String> {
    let uri: Uri = text.parse().map_err(|_| anyhow!("this is no URL"))?;
    let (scheme, authority) = (uri.scheme_str().unwrap_or_default(), uri.authority());
    match authority.map(Authority::as_str) {
        Some(authority)
            if ["http", "https"].contains(&scheme) && uri.path() == "/" && !authority.contains('@') =>
        {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => bail!("an origin is written as https://HOST or https://HOST:PORT"),
    }
}
