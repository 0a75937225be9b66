//! `causeway seed`: share files.

use core::time::Duration;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use causeway_bridge::{Addition, Contents, Manner, Subject};
use causeway_core::{CreateOptions, Metainfo};
use causeway_engine::State;
use clap::Args;
use serde_json::json;

use crate::native::{Network, runtime, stop};
use crate::progress::progress;
use crate::qr;
use crate::show::read_torrent;
use crate::sources::{default_name, find_sources, make_torrent, url};
use crate::stop::Stop;
use crate::verify::places;
use crate::web_seed;

/// Share files and folders, until SIGINT (Ctrl-C) or SIGTERM.
///
/// Makes a torrent of them, and prints its magnet link, with --page the link that opens it in a browser, too, and on a terminal that one
/// as a QR code. They are read where they lie, and never changed.
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

    /// URL of a Causeway page: the link that opens the torrent there is printed, too
    #[arg(long, value_name = "URL", value_parser = page)]
    page: Option<String>,

    #[command(flatten)]
    web_seed: web_seed::Options,

    #[command(flatten)]
    network: Network,
}

/// Shares until it is told to end.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (metainfo, files) = match &arguments.torrent {
        Some(path) => given(path, &arguments.paths)?,
        None => made(arguments)?,
    };
    let runtime = runtime()?;
    let result = runtime.block_on(seed(arguments, metainfo, files));
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

async fn seed(arguments: &Arguments, metainfo: Metainfo, files: Vec<PathBuf>) -> Result<()> {
    let (mut signals, network) = (Stop::install()?, &arguments.network);
    let bridge = network.start(None).await?;
    let door = arguments.web_seed.open().await?;
    let info_hash = metainfo.info().info_hash();
    let own = door.as_ref().and_then(|door| door.url_of(info_hash));
    let metainfo = with_web_seed(metainfo, own);
    if let Some(path) = &arguments.torrent_out {
        fs::write(path, metainfo.to_bytes()).with_context(|| format!("can't write {}", path.display()))?;
    }
    let magnet = metainfo.magnet().to_string();
    let http = door.as_ref().map(web_seed::Door::address).transpose()?;
    let serving = door.map(|door| door.serve(&bridge, None));
    let torrent = bridge.add(Addition {
        subject: Subject::Metainfo(metainfo),
        contents: Contents::Shared(files),
        selection: None,
        peers: network.peers(&[]).await?,
        web_seeds: Vec::new(),
        manner: Manner::default(),
    })?;
    let page = arguments.page.as_ref().map(|page| format!("{page}#{magnet}"));
    let mut ready = json!({"event": "ready", "infoHash": info_hash.to_string(), "magnet": magnet, "listen": bridge.listen_address()});
    ready["page"] = json!(page);
    ready["http"] = json!(http);
    network.tell(&ready)?;
    if !network.json {
        for link in page.iter().chain([&magnet]) {
            writeln!(io::stdout(), "{link}").context("standard output")?;
        }
        qr::draw(page.as_ref().unwrap_or(&magnet))?;
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
            () = signals.wait() => break Ok(()),
        }
    };
    if let Some(serving) = serving {
        serving.stop().await;
    }
    stop(bridge, &mut signals).await;
    ended
}

/// The torrent, which names our own web seed, too.
pub(crate) fn with_web_seed(metainfo: Metainfo, own: Option<String>) -> Metainfo {
    let Some(own) = own else { return metainfo };
    let mut web_seeds = metainfo.web_seeds().to_vec();
    if !web_seeds.contains(&own) {
        web_seeds.push(own);
    }
    Metainfo::with_info(metainfo.info().clone(), metainfo.trackers().to_vec(), web_seeds)
}

/// Where a page is, without what stands after a `#`.
fn page(text: &str) -> Result<String> {
    let text = text.split('#').next().unwrap_or_default();
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    ensure!(
        ["http", "https"].contains(&scheme) && !rest.is_empty(),
        "write it as https://HOST/"
    );
    let is_bare = !rest.contains('/');
    Ok(format!("{text}{}", if is_bare { "/" } else { "" }))
}
