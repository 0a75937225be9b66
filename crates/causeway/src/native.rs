//! What `get` and `seed` have in common: the flags of the native peer, and what it tells.

use core::net::{Ipv6Addr, SocketAddr};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use causeway_bridge::{Bridge, Config, DhtConfig, Reach, webrtc};
use clap::Args;
use serde_json::Value;
use tokio::net::lookup_host;
use tokio::runtime::{self, Runtime};

use crate::stop::Stop;

/// How the native peer meets others.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(crate) struct Network {
    /// Where other peers reach us; another port is taken where this one is in use
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 6881))]
    listen: SocketAddr,

    /// A peer to connect to, as `HOST:PORT` (may be repeated)
    #[arg(long = "peer", value_name = "HOST:PORT")]
    peers: Vec<String>,

    /// The UDP port of WebRTC peers, which are browsers most of all; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    webrtc_port: u16,

    /// Don't connect to WebRTC peers
    #[arg(long)]
    no_webrtc: bool,

    /// A STUN server, which tells WebRTC peers how to reach this machine behind a router (may be repeated)
    #[arg(long = "stun", value_name = "HOST:PORT")]
    stun_servers: Vec<String>,

    /// Don't look for peers in the distributed hash table
    #[arg(long)]
    no_dht: bool,

    /// A node of the distributed hash table to begin with, in place of the public ones (may be repeated)
    #[arg(long = "dht-node", value_name = "HOST:PORT", conflicts_with = "no_dht")]
    dht_nodes: Vec<String>,

    /// Don't fetch from web seeds, which are servers that have the files
    #[arg(long)]
    no_web_seeds: bool,

    /// Fetch from web seeds in our own network, too, where a torrent or a link names one
    #[arg(long, conflicts_with = "no_web_seeds")]
    local_web_seeds: bool,

    /// Write what happens as JSON, an object a line, on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl Network {
    /// Opens the ports. What is known of others is kept in the folder.
    pub(crate) async fn start(&self, data: Option<&Path>) -> Result<Bridge> {
        let webrtc = (!self.no_webrtc).then(|| webrtc::Config {
            port: self.webrtc_port,
            stun_servers: self.stun_servers.clone(),
            ..webrtc::Config::default()
        });
        let dht = (!self.no_dht).then(|| DhtConfig {
            nodes: self.dht_nodes.clone(),
            kept: data.map(|folder| folder.join("dht-nodes")),
        });
        let web_seeds = match (self.no_web_seeds, self.local_web_seeds) {
            (true, _) => Reach::Nobody,
            (false, false) => Reach::Public,
            (false, true) => Reach::Anybody,
        };
        let start = async |address| {
            let listen = Some(address);
            let (webrtc, dht) = (webrtc.clone(), dht.clone());
            Bridge::start(Config {
                listen,
                webrtc,
                dht,
                web_seeds,
            })
            .await
        };
        match start(self.listen).await {
            // A machine without IPv6.
            Err(_) if self.listen.ip() == Ipv6Addr::UNSPECIFIED => {
                Ok(start(SocketAddr::new([0; 4].into(), self.listen.port())).await?)
            }
            result => Ok(result?),
        }
    }

    /// The addresses of the peers that were named, and of those that a link names.
    pub(crate) async fn peers(&self, of_link: &[String]) -> Result<Vec<SocketAddr>> {
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
