//! What `get` and `seed` have in common: the flags of the native peer, and what it tells.

use core::net::{Ipv6Addr, SocketAddr};
use std::io::{self, Write as _};
use std::path::Path;

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
        let options = self.options()?;
        let listen = options.listen();
        match Bridge::start(options.config(data)?).await {
            // A machine without IPv6.
            Err(_) if listen.ip() == Ipv6Addr::UNSPECIFIED => {
                let listen = Some(SocketAddr::new([0; 4].into(), listen.port()));
                Ok(Bridge::start(Config {
                    listen,
                    ..options.config(data)?
                })
                .await?)
            }
            result => Ok(result?),
        }
    }

    /// Through which proxy everybody is reached.
    pub(crate) fn proxy(&self) -> Result<Option<Proxy>> {
        Ok(self.options()?.proxy().cloned())
    }

    /// What flags and the settings file say together.
    fn options(&self) -> Result<NetworkOptions> {
        Ok(self.options.clone().or(self.settings.read()?.network))
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

/// The threads that a native peer runs on.
pub(crate) fn runtime() -> Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow!(error).context("no threads can be started"))
}
