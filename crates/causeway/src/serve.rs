//! `causeway serve`: the page and its tracker on one port.

use core::time::Duration;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::Uri;
use causeway_tracker::Tracker;
use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::watch;

use crate::stop::Stop;
use crate::{http, page};

/// Serve the page and a tracker for it.
///
/// Prints "listening on http://ADDRESS:PORT" when it is ready, and ends on SIGINT (Ctrl-C) or SIGTERM.
///
/// By default only this machine reaches it. With `--listen 0.0.0.0:8080` (`[::]:8080` for IPv6, too) everybody
/// does who can reach this machine. Browsers allow a page to do what this one does only over HTTPS or on localhost: for
/// the public, put a reverse proxy with a certificate in front, and have it pass on
/// WebSocket connections.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Folder for what the server keeps; made where there is none
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// STUN server for the page, as `stun:HOST:PORT` (may be repeated)
    #[arg(long = "ice-server", value_name = "URL", value_parser = ice_server, conflicts_with = "no_ice_servers",
        default_values = ["stun:stun.l.google.com:19302", "stun:stun.cloudflare.com:3478"])]
    ice_servers: Vec<String>,

    /// Give the page no ICE servers: it then reaches only peers in its own network
    #[arg(long)]
    no_ice_servers: bool,

    /// Further tracker for the page, as `wss://HOST/PATH` (may be repeated)
    #[arg(long = "tracker", value_name = "URL", value_parser = tracker)]
    trackers: Vec<String>,
}

/// Runs the server until it is told to end.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    if let Some(folder) = &arguments.data_dir {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} can't be made the data folder", folder.display()))?;
    }
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads can be started")?;
    let result = runtime.block_on(serve(arguments));
    // Nothing that still runs in the background is worth waiting for.
    runtime.shutdown_background();
    result
}

async fn serve(arguments: Arguments) -> Result<()> {
    let mut stop = Stop::install()?;
    let listener = TcpListener::bind(arguments.listen).await.with_context(|| {
        format!(
            "can't listen on {}: choose another address or port with --listen",
            arguments.listen
        )
    })?;
    let address = listener.local_addr()?;
    let ice_servers = if arguments.no_ice_servers {
        Vec::new()
    } else {
        arguments.ice_servers
    };
    let tracker = Tracker::new(causeway_tracker::Config::default());
    let router = tracker.router(page::router(&page::Settings {
        trackers: arguments.trackers,
        ice_servers,
    }));

    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{address}")
        .and_then(|()| stdout.flush())
        .context("standard output")?;

    let (stopping, mut stopped) = watch::channel(());
    tokio::join!(
        async {
            stop.wait().await;
            tracing::info!("stopping");
            stopping.send_replace(());
            tracker.close(PATIENCE).await;
        },
        http::serve(
            listener,
            router,
            async move { stopped.changed().await.unwrap_or_default() },
            PATIENCE
        ),
    );
    Ok(())
}

/// How long connections may take to end. The process has to be gone after 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// A STUN server's URL. A browser throws on one that it can't read, and the page would reach nobody.
fn ice_server(text: &str) -> Result<String> {
    let (scheme, host) = text.split_once(':').unwrap_or_default();
    match scheme {
        "stun" | "stuns" if !host.is_empty() && host.chars().all(|char| char.is_ascii_graphic()) => {
            Ok(text.into())
        }
        "turn" | "turns" => {
            bail!("a TURN server needs a user and a password, which can't be given yet: use stun:HOST:PORT")
        }
        _ => bail!("an ICE server is written as stun:HOST:PORT"),
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
