//! `causeway serve --gateway`: the bridge beside the tracker, for magnet links of the classic swarm.

use core::time::Duration;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use causeway_bridge::gateway::{Cache, Gateway, GatewayConfig, Policy, Quota};
use causeway_bridge::{Bridge, Config, Reach, WebSeed, WebSeedConfig, webrtc};
use causeway_core::PeerId;
use causeway_tracker::Tracker;
use clap::Args;
use serde::Deserialize;
use tokio::time::timeout;

use crate::access::{info_hashes, words};
use crate::native::start;
use crate::network::{NetworkOptions, rate, rates};
use crate::sources::url;

/// What the gateway carries over, and how much. In the settings file, the keys of `[gateway]` lack the prefix.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Gateway")]
pub(crate) struct GatewayOptions {
    /// Carry torrents of the classic swarm over to browsers that ask for them. This machine then fetches, and for a
    /// while keeps, what strangers ask for: see the options below for whom and how much
    #[arg(long = "gateway", env = "CAUSEWAY_GATEWAY")]
    pub(crate) enabled: bool,

    /// Bytes on the disk for what is carried over, as 500MB or 20GB [default: 1GB]
    #[arg(
        id = "gateway_cache",
        long = "gateway-cache",
        value_name = "SIZE",
        env = "CAUSEWAY_GATEWAY_CACHE"
    )]
    cache: Option<Size>,

    /// File of the only info-hashes that are carried over, one on a line; read again when it changes
    #[arg(
        id = "gateway_allow",
        long = "gateway-allow",
        value_name = "FILE",
        env = "CAUSEWAY_GATEWAY_ALLOW"
    )]
    allow: Option<PathBuf>,

    /// File of info-hashes that are not carried over; read again when it changes
    #[arg(
        id = "gateway_deny",
        long = "gateway-deny",
        value_name = "FILE",
        env = "CAUSEWAY_GATEWAY_DENY"
    )]
    deny: Option<PathBuf>,

    /// File of tokens, one on a line: only for who has one anything is carried over. Whoever opens the page once as
    /// `https://HOST/?gateway=TOKEN` has it in that browser; other clients announce to `wss://HOST/announce?gateway=TOKEN`
    #[arg(
        id = "gateway_tokens",
        long = "gateway-tokens",
        value_name = "FILE",
        env = "CAUSEWAY_GATEWAY_TOKENS"
    )]
    tokens: Option<PathBuf>,

    /// Tracker at which classic peers are looked for, as `udp://HOST:PORT/announce` (may be repeated). Browsers tell a torrent's
    /// name alone: beside these there are the hash table and the classic peers at this server's own tracker
    #[arg(id = "gateway_tracker", long = "gateway-tracker", value_name = "URL", value_parser = url,
        env = "CAUSEWAY_GATEWAY_TRACKERS", value_delimiter = ',')]
    trackers: Vec<String>,

    /// Torrents that are carried over at once [default: 200]
    #[arg(
        id = "gateway_max_torrents",
        long = "gateway-max-torrents",
        value_name = "NUMBER",
        env = "CAUSEWAY_GATEWAY_MAX_TORRENTS"
    )]
    max_torrents: Option<usize>,

    /// The same, of those that one address has asked for [default: 20]
    #[arg(
        id = "gateway_max_torrents_per_address",
        long = "gateway-max-torrents-per-address",
        value_name = "NUMBER",
        env = "CAUSEWAY_GATEWAY_MAX_TORRENTS_PER_ADDRESS"
    )]
    max_torrents_per_address: Option<usize>,

    /// The longest torrent that is carried over [default: 100GB]
    #[arg(
        id = "gateway_max_size",
        long = "gateway-max-size",
        value_name = "SIZE",
        env = "CAUSEWAY_GATEWAY_MAX_SIZE"
    )]
    max_size: Option<Size>,

    /// Bytes a day that browsers are given in all [default: any number]
    #[arg(
        id = "gateway_quota",
        long = "gateway-quota",
        value_name = "SIZE",
        env = "CAUSEWAY_GATEWAY_QUOTA"
    )]
    quota: Option<Size>,

    /// The same, to one address (of IPv6, one /64) [default: any number]
    #[arg(
        id = "gateway_quota_per_address",
        long = "gateway-quota-per-address",
        value_name = "SIZE",
        env = "CAUSEWAY_GATEWAY_QUOTA_PER_ADDRESS"
    )]
    quota_per_address: Option<Size>,

    /// The same, of one torrent [default: any number]
    #[arg(
        id = "gateway_quota_per_torrent",
        long = "gateway-quota-per-torrent",
        value_name = "SIZE",
        env = "CAUSEWAY_GATEWAY_QUOTA_PER_TORRENT"
    )]
    quota_per_torrent: Option<Size>,

    /// For how many seconds a swarm is stayed in after its last browser is gone [default: 120]
    #[arg(
        id = "gateway_linger",
        long = "gateway-linger",
        value_name = "SECONDS",
        env = "CAUSEWAY_GATEWAY_LINGER"
    )]
    linger: Option<u64>,

    /// For how many seconds a torrent's metadata is waited for [default: 120]
    #[arg(
        id = "gateway_patience",
        long = "gateway-patience",
        value_name = "SECONDS",
        env = "CAUSEWAY_GATEWAY_PATIENCE"
    )]
    patience: Option<u64>,

    /// Connect to classic peers at private addresses, too, where they announce themselves at this server's tracker
    #[arg(
        id = "gateway_local_peers",
        long = "gateway-local-peers",
        env = "CAUSEWAY_GATEWAY_LOCAL_PEERS"
    )]
    local_peers: bool,

    /// Whether pages are given what is carried over from this server over HTTP, too, below `/seed/`: that costs a browser less
    /// than a link over WebRTC [default: true]
    #[arg(
        id = "gateway_web_seed",
        long = "gateway-web-seed",
        value_name = "true|false",
        env = "CAUSEWAY_GATEWAY_WEB_SEED"
    )]
    web_seed: Option<bool>,

    /// Bytes a second that are given over HTTP at the most, to all together: a number, or with k, M or G [default: any number]
    #[arg(
        id = "gateway_web_seed_rate",
        long = "gateway-web-seed-rate",
        value_name = "RATE",
        env = "CAUSEWAY_GATEWAY_WEB_SEED_RATE",
        value_parser = rate
    )]
    #[serde(deserialize_with = "rates")]
    web_seed_rate: Option<u64>,

    /// Where classic peers reach the gateway, over TCP [default: `[::]:6881`]
    #[arg(
        id = "gateway_listen",
        long = "gateway-listen",
        value_name = "ADDRESS:PORT",
        env = "CAUSEWAY_GATEWAY_LISTEN"
    )]
    listen: Option<SocketAddr>,

    /// The UDP port at which browsers reach the gateway; 0 for any that is free [default: 0]
    #[arg(
        id = "gateway_webrtc_port",
        long = "gateway-webrtc-port",
        value_name = "PORT",
        env = "CAUSEWAY_GATEWAY_WEBRTC_PORT"
    )]
    webrtc_port: Option<u16>,

    /// Don't look for peers in the distributed hash table
    #[arg(
        id = "gateway_no_dht",
        long = "gateway-no-dht",
        env = "CAUSEWAY_GATEWAY_NO_DHT"
    )]
    no_dht: bool,

    /// A node of the distributed hash table to begin with, in place of the public ones (may be repeated)
    #[arg(
        id = "gateway_dht_bootstrap",
        long = "gateway-dht-bootstrap",
        value_name = "HOST:PORT",
        env = "CAUSEWAY_GATEWAY_DHT_BOOTSTRAP",
        value_delimiter = ','
    )]
    dht_bootstrap: Vec<String>,
}

impl GatewayOptions {
    /// What is not set here is taken from `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        let or = |these: Vec<String>, others| if these.is_empty() { others } else { these };
        Self {
            enabled: self.enabled || other.enabled,
            cache: self.cache.or(other.cache),
            allow: self.allow.or(other.allow),
            deny: self.deny.or(other.deny),
            tokens: self.tokens.or(other.tokens),
            trackers: or(self.trackers, other.trackers),
            max_torrents: self.max_torrents.or(other.max_torrents),
            max_torrents_per_address: self.max_torrents_per_address.or(other.max_torrents_per_address),
            max_size: self.max_size.or(other.max_size),
            quota: self.quota.or(other.quota),
            quota_per_address: self.quota_per_address.or(other.quota_per_address),
            quota_per_torrent: self.quota_per_torrent.or(other.quota_per_torrent),
            linger: self.linger.or(other.linger),
            patience: self.patience.or(other.patience),
            local_peers: self.local_peers || other.local_peers,
            web_seed: self.web_seed.or(other.web_seed),
            web_seed_rate: self.web_seed_rate.or(other.web_seed_rate),
            listen: self.listen.or(other.listen),
            webrtc_port: self.webrtc_port.or(other.webrtc_port),
            no_dht: self.no_dht || other.no_dht,
            dht_bootstrap: or(self.dht_bootstrap, other.dht_bootstrap),
        }
    }

    /// The files that [`Self::policy`] reads.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let all = [&self.allow, &self.deny, &self.tokens];
        all.into_iter().flatten().cloned().collect()
    }

    /// Reads the operator's lists.
    pub(crate) fn policy(&self) -> Result<Policy> {
        let allowed = self.allow.as_deref().map(info_hashes).transpose()?;
        let denied = self.deny.as_deref().map(info_hashes).transpose()?;
        let tokens = self.tokens.as_deref().map(words).transpose()?;
        ensure!(
            !tokens.as_ref().is_some_and(HashSet::is_empty),
            "the file of --gateway-tokens has no token in it"
        );
        Ok(Policy {
            allowed: allowed.map(|allowed| allowed.into_iter().collect()),
            denied: denied.into_iter().flatten().collect(),
            tokens: tokens.unwrap_or_default(),
        })
    }

    /// Starts the gateway on this bridge: at a tracker in this process, or as a member of the listed swarms at these trackers.
    pub(crate) fn open(
        &self,
        folder: &Path,
        bridge: Arc<Bridge>,
        (tracker, trackers): (Option<Tracker>, Vec<String>),
        max_peers: Option<usize>,
    ) -> Result<Arc<Gateway>> {
        let size = self.cache.map_or(USUAL_CACHE, |size| size.0);
        let cache = Cache::open(folder, size)
            .with_context(|| format!("no cache can be made in {}", folder.display()))?;
        let policy = self.policy()?;
        ensure!(
            tracker.is_some() || policy.allowed.is_some(),
            "a tracker does not tell what others ask for: list the torrents in a file for --gateway-allow, or use `causeway serve --gateway`"
        );
        let (webrtc_port, listen) = (bridge.webrtc_port(), bridge.listen_address());
        tracing::info!(
            cache = cache.capacity(),
            ?listen,
            ?webrtc_port,
            "the gateway is open"
        );
        let usual = GatewayConfig::default();
        let config = GatewayConfig {
            max_peers: max_peers.unwrap_or(usual.max_peers),
            ..self.config(trackers)
        };
        Ok(Arc::new(Gateway::start(bridge, tracker, cache, policy, config)))
    }

    /// Whether what is carried over is given over HTTP, too.
    pub(crate) fn gives_over_http(&self) -> bool {
        self.web_seed.unwrap_or(true)
    }

    fn config(&self, trackers: Vec<String>) -> GatewayConfig {
        let usual = GatewayConfig::default();
        let bytes = |size: Option<Size>| size.map(|size| size.0);
        GatewayConfig {
            trackers: trackers.into_iter().chain(self.trackers.clone()).collect(),
            quota: Quota {
                total: bytes(self.quota),
                per_address: bytes(self.quota_per_address),
                per_torrent: bytes(self.quota_per_torrent),
            },
            max_torrents: self.max_torrents.unwrap_or(usual.max_torrents),
            max_torrents_per_address: self
                .max_torrents_per_address
                .unwrap_or(usual.max_torrents_per_address),
            max_length: bytes(self.max_size).unwrap_or(usual.max_length),
            linger: self.linger.map_or(usual.linger, Duration::from_secs),
            patience: self.patience.map_or(usual.patience, Duration::from_secs),
            allow_local: self.local_peers,
            ..usual
        }
    }

    /// How others are met: by these settings of all native peers, before which the gateway's own stand.
    fn network(&self, network: NetworkOptions) -> NetworkOptions {
        let own = NetworkOptions {
            listen: self.listen,
            webrtc_port: self.webrtc_port,
            no_dht: self.no_dht,
            dht_bootstrap: self.dht_bootstrap.clone(),
            ..NetworkOptions::default()
        };
        own.or(network)
    }
}

/// A gateway that runs, and the bridge that it runs on.
pub(crate) struct Running {
    pub(crate) gateway: Arc<Gateway>,
    /// What it gives over HTTP, if it does.
    pub(crate) web_seed: Option<WebSeed>,
    bridge: Arc<Bridge>,
}

/// What the gateway is started with, beside its own options.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// How all native peers meet others.
    pub(crate) network: NetworkOptions,
    /// The folder for what is kept.
    pub(crate) folder: PathBuf,
    /// The page's STUN servers, as `HOST:PORT`.
    pub(crate) stun_servers: Vec<String>,
}

impl Running {
    /// Starts it for the tracker of the server at this address.
    pub(crate) async fn start(
        options: &GatewayOptions,
        surroundings: &Surroundings,
        tracker: &Tracker,
        server: SocketAddr,
        passkey: Option<&str>,
    ) -> Result<Self> {
        let own_tracker = own_tracker(server, passkey);
        let network = options.network(surroundings.network.clone());
        let bridge = Arc::new(bridge(&network, surroundings, &own_tracker).await?);
        let met = (Some(tracker.clone()), vec![own_tracker]);
        let gateway = options.open(&surroundings.folder, bridge.clone(), met, network.max_peers)?;
        let web_seed = options.gives_over_http().then(|| {
            let config = WebSeedConfig {
                rate: options.web_seed_rate,
                requests: MOST_REQUESTS,
                ..WebSeedConfig::default()
            };
            gateway.web_seed(&bridge, config)
        });
        Ok(Self {
            gateway,
            web_seed,
            bridge,
        })
    }

    /// Its name in the swarms.
    pub(crate) fn peer_id(&self) -> PeerId {
        self.bridge.peer_id()
    }

    /// Leaves all swarms; not longer than so.
    pub(crate) async fn stop(self, patience: Duration) {
        let leave = async {
            self.gateway.stop().await;
            if let Some(bridge) = Arc::into_inner(self.bridge) {
                bridge.stop().await;
            }
        };
        if timeout(patience, leave).await.is_err() {
            tracing::debug!("did not wait any longer for swarms to be left");
        }
    }
}

/// The gateway's peer. Browsers, which know this server anyway, meet it beside a proxy, too.
async fn bridge(network: &NetworkOptions, surroundings: &Surroundings, own_tracker: &str) -> Result<Bridge> {
    ensure!(
        !network.no_webrtc,
        "browsers are met over WebRTC alone: leave `no-webrtc` out, or the gateway"
    );
    let mut webrtc = webrtc::Config {
        max_connections: MOST_CONNECTIONS,
        ..network.webrtc()
    };
    if webrtc.stun_servers.is_empty() {
        webrtc.stun_servers.clone_from(&surroundings.stun_servers);
    }
    let config = Config {
        webrtc: Some(webrtc),
        web_seeds: Reach::Nobody,
        own_tracker: Some(own_tracker.to_owned()),
        ..network.config(Some(&surroundings.folder))?
    };
    start(config).await
}

/// The address of this server's own tracker, from this machine.
fn own_tracker(server: SocketAddr, passkey: Option<&str>) -> String {
    let host = match server.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let server = SocketAddr::new(host, server.port());
    passkey.map_or_else(
        || format!("ws://{server}/announce"),
        |passkey| format!("ws://{server}/announce/{passkey}"),
    )
}

/// A number of bytes, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SizeText")]
pub(crate) struct Size(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeText {
    Number(u64),
    Text(String),
}

impl TryFrom<SizeText> for Size {
    type Error = anyhow::Error;

    fn try_from(text: SizeText) -> Result<Self> {
        match text {
            SizeText::Number(bytes) => Ok(Self(bytes)),
            SizeText::Text(text) => text.parse(),
        }
    }
}

impl core::str::FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => Some(1),
            "k" | "kb" => Some(1_000),
            "m" | "mb" => Some(1_000_000),
            "g" | "gb" => Some(1_000_000_000),
            "t" | "tb" => Some(1_000_000_000_000),
            "kib" => Some(1 << 10),
            "mib" => Some(1 << 20),
            "gib" => Some(1 << 30),
            "tib" => Some(1 << 40),
            _ => None,
        };
        let bytes = number
            .parse()
            .ok()
            .zip(factor)
            .and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
        bytes
            .map(Self)
            .with_context(|| format!("`{text}` is no size: write it as 500MB, 20GB or 1GiB"))
    }
}

/// The folder for what is kept, where the operator names none.
pub(crate) fn folder(data: Option<&Path>) -> PathBuf {
    data.unwrap_or(Path::new("causeway-data")).join("gateway")
}

const USUAL_CACHE: u64 = 1_000_000_000;
/// Links over WebRTC, of all torrents.
const MOST_CONNECTIONS: usize = 2_000;
/// Requests over HTTP at once, of all browsers and of one address: each holds up to 768 KiB.
const MOST_REQUESTS: (usize, usize) = (256, 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("500MB", 500_000_000),
            ("500 mb", 500_000_000),
            ("20G", 20_000_000_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(text.parse::<Size>().expect("a size").0, bytes, "{text}");
        }
        for text in ["", "MB", "1.5GB", "-1", "1XB", "99999999999TB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_gateway_has_itself_stands_before_what_all_native_peers_have() {
        let all: NetworkOptions = toml::from_str(
            "port = 7000\nwebrtc-port = 7001\nencryption = 'require'\nno-utp = true\nupload-limit = 5\nno-port-mapping = true\n",
        )
        .expect("settings");
        let own = |text| toml::from_str::<GatewayOptions>(text).expect("settings");
        let config = |own: GatewayOptions| own.network(all.clone()).config(None).expect("in bounds");
        let with_own = config(own("listen = '127.0.0.1:1'\nno-dht = true\n"));
        assert_eq!(with_own.listen, Some(([127, 0, 0, 1], 1).into()));
        assert!(with_own.dht.is_none() && !with_own.utp && !with_own.port_mapping);
        assert_eq!(with_own.limits.upload_rate, 5);
        let without = config(own(""));
        assert_eq!(without.listen.map(|listen| listen.port()), Some(7000));
        assert_eq!(own("").network(all.clone()).webrtc().port, 7001);
        assert_eq!(own("webrtc-port = 9").network(all.clone()).webrtc().port, 9);
    }

    #[test]
    fn the_web_seed_is_on_and_without_a_bound_unless_the_operator_says_otherwise() {
        let read = toml::from_str::<GatewayOptions>;
        let set = read("web-seed = false\nweb-seed-rate = '20M'\n").expect("settings");
        assert_eq!((set.web_seed, set.web_seed_rate), (Some(false), Some(20_000_000)));
        let usual = read("").expect("settings");
        assert_eq!((usual.web_seed, usual.web_seed_rate), (None, None));
        assert!(read("web-seed-rate = 'x'").is_err());
    }

    #[test]
    fn the_tracker_is_reached_from_this_machine() {
        for (server, url) in [
            ("0.0.0.0:80", "ws://127.0.0.1:80/announce"),
            ("[::]:80", "ws://[::1]:80/announce"),
            ("192.0.2.1:80", "ws://192.0.2.1:80/announce"),
        ] {
            assert_eq!(own_tracker(server.parse().expect("an address"), None), url);
        }
        let server = "127.0.0.1:80".parse().expect("an address");
        assert_eq!(own_tracker(server, Some("key")), "ws://127.0.0.1:80/announce/key");
    }
}
