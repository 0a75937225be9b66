//! `causeway seed`: share files.

use core::time::Duration;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use causeway_bridge::{Addition, Contents, Subject};
use causeway_core::{CreateOptions, Metainfo};
use causeway_engine::State;
use clap::Args;
use serde_json::json;

use crate::get::progress;
use crate::native::{Network, runtime};
use crate::show::read_torrent;
use crate::sources::{default_name, find_sources, make_torrent, url};
use crate::stop::Stop;
use crate::verify::places;

/// Share files and folders, until SIGINT (Ctrl-C) or SIGTERM.
///
/// Makes a torrent of them, and prints its magnet link. They are read where they lie, and never changed.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files and folders; several need a --name
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The torrent's name; by default that of the file or folder
    #[arg(long)]
    name: Option<String>,

    /// URL of a tracker (may be repeated)
    #[arg(long = "tracker", value_name = "URL", value_parser = url)]
    trackers: Vec<String>,

    /// Write the torrent file here
    #[arg(long, value_name = "FILE")]
    torrent_out: Option<PathBuf>,

    /// The torrent that the file or folder is of; by default one is made
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trackers", "name", "private"])]
    torrent: Option<PathBuf>,

    /// Let peers find each other through the trackers alone
    #[arg(long)]
    private: bool,

    #[command(flatten)]
    network: Network,
}

/// Shares until it is told to end.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (metainfo, files) = match &arguments.torrent {
        Some(path) => given(path, &arguments.paths)?,
        None => made(arguments)?,
    };
    if let Some(path) = &arguments.torrent_out {
        fs::write(path, metainfo.to_bytes()).with_context(|| format!("can't write {}", path.display()))?;
    }
    let runtime = runtime()?;
    let result = runtime.block_on(seed(&arguments.network, metainfo, files));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The torrent that was given, and where its files are.
fn given(torrent: &Path, paths: &[PathBuf]) -> Result<(Metainfo, Vec<PathBuf>)> {
    let metainfo = read_torrent(torrent)?;
    let [path] = paths else {
        bail!("give the one file or folder that {} is of", torrent.display());
    };
    let places = places(metainfo.info(), path)
        .with_context(|| format!("{} is not what {} is of", path.display(), torrent.display()))?;
    Ok((metainfo, places))
}

/// A torrent of the files, and where they are.
fn made(arguments: &Arguments) -> Result<(Metainfo, Vec<PathBuf>)> {
    let name = arguments.name.clone();
    let name = name.map_or_else(|| default_name(&arguments.paths), Ok)?;
    let sources = find_sources(&name, &arguments.paths)?;
    let options = CreateOptions {
        private: arguments.private,
        trackers: arguments.trackers.iter().map(|url| vec![url.clone()]).collect(),
        ..CreateOptions::default()
    };
    let metainfo = make_torrent(&name, &sources, options)?;
    Ok((metainfo, sources.into_iter().map(|source| source.place).collect()))
}

async fn seed(network: &Network, metainfo: Metainfo, files: Vec<PathBuf>) -> Result<()> {
    let mut stop = Stop::install()?;
    let bridge = network.start(None).await?;
    let (magnet, info_hash) = (metainfo.magnet(), metainfo.info().info_hash());
    let torrent = bridge.add(Addition {
        subject: Subject::Metainfo(metainfo),
        contents: Contents::Shared(files),
        selection: None,
        peers: network.peers(&[]).await?,
    })?;
    let listen = bridge.listen_address();
    let event = json!({"event": "ready", "infoHash": info_hash.to_string(), "magnet": magnet.to_string(), "listen": listen});
    network.tell(&event)?;
    if !network.json {
        writeln!(io::stdout(), "{magnet}")?;
    }
    let mut changes = torrent.status();
    let ended = loop {
        let status = changes.borrow_and_update().clone();
        if let State::Failed(error) = &status.state {
            break Err(anyhow!("sharing has stopped: {error}"));
        }
        network.tell(&progress(&status))?;
        tokio::select! {
            result = changes.changed() => result?,
            () = stop.wait() => break Ok(()),
        }
    };
    bridge.stop().await;
    ended
}
