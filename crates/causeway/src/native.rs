//! What `get` and `seed` have in common: the flags of the native peer, and what it tells.

use core::net::{Ipv6Addr, SocketAddr};
use core::num::NonZero;
use std::io::{self, Write as _};
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, anyhow};
use causeway_bridge::{Bridge, Config, Proxy};
use clap::Args;
use serde_json::Value;
use tokio::net::lookup_host;
use tokio::runtime::{self, Runtime};

use crate::network::NetworkOptions;
use crate::settings::SettingsFile;
use crate::stop::Stop;

/// How the native peer meets others.
#[derive(Debug, Args)]
pub(crate) struct Network {
    /// A peer to connect to, as `HOST:PORT` (may be repeated)
    #[arg(long = "peer", value_name = "HOST:PORT")]
    peers: Vec<String>,

    /// Where other peers reach us, over TCP and uTP; another port is taken where this one is in use [default: `[::]:6881`]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "CAUSEWAY_NETWORK_LISTEN",
        help_heading = "Network"
    )]
    listen: Option<SocketAddr>,

    /// The same on all addresses of this machine; 0 for any port that is free
    #[arg(
        long,
        value_name = "PORT",
        env = "CAUSEWAY_NETWORK_PORT",
        conflicts_with = "listen",
        help_heading = "Network"
    )]
    port: Option<u16>,

    #[command(flatten)]
    settings: SettingsFile,

    #[command(flatten)]
    options: NetworkOptions,

    /// Write what happens as JSON, an object a line, on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl Network {
    /// Opens the ports. What is known of others is kept in the folder.
    pub(crate) async fn start(&self, data: Option<&Path>) -> Result<Bridge> {
        start(self.options()?.config(data)?).await
    }

    /// Through which proxy everybody is reached.
    pub(crate) fn proxy(&self) -> Result<Option<Proxy>> {
        Ok(self.options()?.proxy().cloned())
    }

    /// What flags and the settings file say together.
    pub(crate) fn options(&self) -> Result<NetworkOptions> {
        let flags = NetworkOptions {
            listen: self.listen,
            port: self.port,
            ..self.options.clone()
        };
        Ok(flags.or(self.settings.read()?.network))
    }

    /// The addresses of the peers that were named, and of those that a link names.
    pub(crate) async fn peers(&self, of_link: &[String]) -> Result<Vec<SocketAddr>> {
        if !self.options()?.is_direct() {
            return peers_by_number(&self.peers, of_link);
        }
        let mut addresses = Vec::new();
        for peer in &self.peers {
            let found = lookup_host(peer).await;
            addresses.extend(found.with_context(|| format!("the peer {peer} can't be found"))?);
        }
        for peer in of_link {
            // A link may be old.
            addresses.extend(lookup_host(peer).await.into_iter().flatten());
        }
        Ok(addresses)
    }

    /// Tells a program.
    pub(crate) fn tell(&self, event: &Value) -> Result<()> {
        tell(self.json, event)
    }
}

/// Opens the ports; over IPv4 alone on a machine without IPv6.
pub(crate) async fn start(config: Config) -> Result<Bridge> {
    let any = config
        .listen
        .filter(|listen| listen.ip() == Ipv6Addr::UNSPECIFIED);
    match (Bridge::start(config.clone()).await, any) {
        (Err(_), Some(listen)) => {
            let listen = Some(SocketAddr::new([0; 4].into(), listen.port()));
            Ok(Bridge::start(Config { listen, ..config }).await?)
        }
        (result, _) => Ok(result?),
    }
}

/// Behind a proxy no name is looked up: whoever is asked for it would learn what the proxy is to hide.
fn peers_by_number(named: &[String], of_link: &[String]) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for peer in named {
        let address = peer.parse();
        addresses
            .push(address.with_context(|| format!("behind a proxy, give the peer {peer} by its address"))?);
    }
    addresses.extend(of_link.iter().filter_map(|peer| peer.parse::<SocketAddr>().ok()));
    Ok(addresses)
}

/// Tells a program, if one listens.
pub(crate) fn tell(is_wanted: bool, event: &Value) -> Result<()> {
    if is_wanted {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{event}")
            .and_then(|()| stdout.flush())
            .context("standard output")?;
    }
    Ok(())
}

/// Ends the native peer in good order, unless it is told to end once more meanwhile.
pub(crate) async fn stop(bridge: Bridge, signals: &mut Stop) {
    tokio::select! {
        () = bridge.stop() => {}
        () = signals.wait() => tracing::warn!("ended at once: what came last may not have been kept"),
    }
}

/// The threads that a native peer runs on: one for two cores. Those that read, write and hash come on top. Links and torrents that take turns on a
/// thread cost a fifth less beside a browser than those that wake each other on two, and less memory; over TCP they are a little slower.
pub(crate) fn runtime() -> Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .enable_all()
        .build()
        .map_err(|error| anyhow!(error).context("no threads can be started"))
}
