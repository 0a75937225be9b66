//! `causeway tracker`: the tracker alone.

use anyhow::Result;
use axum::Router;
use clap::Args;

use crate::server::{self, Plan};
use crate::settings::{ServerOptions, SettingsFile, TrackerOptions};

/// Serve a tracker alone, for browsers (WebSocket) and for classic clients (HTTP and UDP) on one port.
///
/// Prints "listening on http://ADDRESS:PORT" when it is ready, and ends on SIGINT (Ctrl-C) or SIGTERM. Announce to
/// ws://ADDRESS:PORT/announce, http://ADDRESS:PORT/announce or udp://ADDRESS:PORT/announce.
///
/// Settings come from the settings file, from environment variables and from these flags, the latter before the former. The
/// lists of info-hashes, passkeys and origins, and the certificate, are read again when they change, and on SIGHUP.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: SettingsFile,

    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    tracker: TrackerOptions,
}

/// Runs the tracker until it is told to end.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let settings = arguments.settings.read()?;
    let plan = Plan {
        server: arguments.server.or(settings.server),
        tracker: arguments.tracker.or(settings.tracker),
        gateway: None,
    };
    server::run(plan, |_| Router::new())
}
