//! `causeway bridge`: torrents in both swarms, for as long as it runs.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use causeway_bridge::{Addition, Bridge, Contents, Handle, Manner, Overwrite, Subject};
use causeway_engine::State;
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;

use crate::gateway::{GatewayOptions, folder};
use crate::native::{Network, runtime, stop, tell};
use crate::progress::progress;
use crate::show::plain;
use crate::sources::url;
use crate::stop::Stop;
use crate::subject::{subject, with_trackers};
use crate::web_seed;

/// Carry torrents between browsers and classic BitTorrent clients, until SIGINT (Ctrl-C) or SIGTERM.
///
/// Each torrent is downloaded into a folder and shared with everybody as it comes, over TCP and over WebRTC: what one side has gets
/// to the other while it arrives. Browsers are met at trackers over WebSocket: name one with --tracker, that of
/// `causeway serve` for example, where a torrent has none.
///
/// With `--gateway` the torrents listed in `--gateway-allow` are carried over, too, at the trackers given as --tracker: this
/// peer waits there for browsers, joins the classic swarm of a torrent while there are any, and keeps of it what is asked for, in a
/// bounded cache. The ports are those of --listen and --webrtc-port then, and --gateway-listen and the like don't count; with --http
/// it is given over HTTP, too, by the gateway's rules.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Torrent files or their URLs, magnet links, pages' links, or info-hashes
    #[arg(required_unless_present = "enabled", value_name = "TORRENT|MAGNET")]
    torrents: Vec<String>,

    /// Folder for the files, and for what is known of others
    #[arg(long, value_name = "DIR", default_value = "causeway-data")]
    data_dir: PathBuf,

    /// URL of a further tracker for every torrent that is not private (may be repeated)
    #[arg(long = "tracker", value_name = "URL", value_parser = url)]
    trackers: Vec<String>,

    #[command(flatten)]
    web_seed: web_seed::Options,

    #[command(flatten)]
    network: Network,

    #[command(flatten)]
    gateway: GatewayOptions,
}

/// Runs until it is told to end.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.data_dir;
    fs::create_dir_all(folder)
        .with_context(|| format!("{} can't be made the data folder", folder.display()))?;
    let runtime = runtime()?;
    let result = runtime.block_on(bridge(arguments));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn bridge(arguments: &Arguments) -> Result<()> {
    let mut signals = Stop::install()?;
    let network = &arguments.network;
    let mut subjects = Vec::new();
    for what in &arguments.torrents {
        subjects.push(subject(what, arguments.network.proxy()?).await?);
    }
    let bridge = Arc::new(network.start(Some(&arguments.data_dir)).await?);
    let options = &arguments.gateway;
    let gateway = if options.enabled {
        let folder = folder(Some(&arguments.data_dir));
        let met = (None, arguments.trackers.clone());
        Some(options.open(&folder, bridge.clone(), met, network.options()?.max_peers)?)
    } else {
        None
    };
    let door = arguments.web_seed.open().await?;
    let http = door.as_ref().map(web_seed::Door::address).transpose()?;
    let over_http = gateway.as_deref().filter(|_| options.gives_over_http());
    let serving = door.map(|door| door.serve(&bridge, over_http));
    let mut watched = JoinSet::new();
    for subject in subjects {
        let torrent = add(&bridge, arguments, subject).await?;
        watched.spawn(watch(torrent, network.json));
    }
    network.tell(&json!({"event": "ready", "listen": bridge.listen_address(), "http": http}))?;
    signals.wait().await;
    watched.shutdown().await;
    if let Some(serving) = serving {
        serving.stop().await;
    }
    if let Some(gateway) = gateway {
        gateway.stop().await;
    }
    if let Some(bridge) = Arc::into_inner(bridge) {
        stop(bridge, &mut signals).await;
    }
    Ok(())
}

async fn add(bridge: &Bridge, arguments: &Arguments, subject: Subject) -> Result<Handle> {
    let of_link = match &subject {
        Subject::Magnet(magnet) => magnet.peers.clone(),
        Subject::Metainfo(_) => Vec::new(),
    };
    let torrent = bridge.add(Addition {
        subject: with_trackers(subject, &arguments.trackers),
        contents: Contents::Download {
            folder: arguments.data_dir.clone(),
            overwrite: Overwrite::Never,
            preallocate: false,
        },
        selection: None,
        peers: arguments.network.peers(&of_link).await?,
        web_seeds: Vec::new(),
        manner: Manner::default(),
    })?;
    Ok(torrent)
}

/// Says what becomes of a torrent.
async fn watch(torrent: Handle, json: bool) {
    let info_hash = torrent.info_hash().to_string();
    let mut changes = torrent.status();
    let mut last = None;
    loop {
        let status = changes.borrow_and_update().clone();
        let mut event = progress(&status);
        event["infoHash"] = json!(info_hash);
        // Who does not read any more has seen enough.
        tell(json, &event).unwrap_or_default();
        if last.as_ref() != Some(&status.state) {
            let name = status
                .info
                .as_ref()
                .map_or(info_hash.as_str(), |info| info.name());
            if let State::Failed(error) = &status.state {
                tracing::warn!(torrent = %plain(name), "stopped: {error}");
            } else {
                tracing::info!(torrent = %plain(name), state = ?status.state);
            }
            last = Some(status.state);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
