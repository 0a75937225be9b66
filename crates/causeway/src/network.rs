//! How the native peer meets others: flags, `CAUSEWAY_NETWORK_*` variables, and the section `network` of the settings file.

use core::net::{Ipv6Addr, SocketAddr};
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use causeway_bridge::webrtc::{self, TurnServer};
use causeway_bridge::{Config, DhtConfig, Encryption, Proxy, Reach};
use causeway_engine::Limits;
use clap::{Args, ValueEnum};
use serde::Deserialize;

/// What can be set. Without any of it this peer is found by everybody, and finds everybody.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Network")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(crate) struct NetworkOptions {
    /// Where other peers reach us; its flag is each command's own.
    #[arg(skip)]
    pub(crate) listen: Option<SocketAddr>,

    /// The same on all addresses of this machine.
    #[arg(skip)]
    pub(crate) port: Option<u16>,

    /// Whether links are enciphered, so that networks don't see that they are BitTorrent: with nobody, with who wants it, with
    /// who is able to, or with all, so that nobody else is connected to [default: allow]
    #[arg(long, value_name = "WHEN", env = "CAUSEWAY_NETWORK_ENCRYPTION")]
    pub(crate) encryption: Option<When>,

    /// Reach peers over TCP alone, and not over uTP
    #[arg(long, env = "CAUSEWAY_NETWORK_NO_UTP")]
    pub(crate) no_utp: bool,

    /// What is downloaded in a second at the most, of all torrents together: bytes, or with k, M or G
    #[arg(long, value_name = "RATE", env = "CAUSEWAY_NETWORK_DOWNLOAD_LIMIT", value_parser = rate)]
    #[serde(deserialize_with = "rates")]
    pub(crate) download_limit: Option<u64>,

    /// What is uploaded in a second at the most, of all torrents together: bytes, or with k, M or G
    #[arg(long, value_name = "RATE", env = "CAUSEWAY_NETWORK_UPLOAD_LIMIT", value_parser = rate)]
    #[serde(deserialize_with = "rates")]
    pub(crate) upload_limit: Option<u64>,

    /// Peers of one torrent at once [default: 55]
    #[arg(long, value_name = "NUMBER", env = "CAUSEWAY_NETWORK_MAX_PEERS")]
    pub(crate) max_peers: Option<usize>,

    /// Reach peers and trackers through this proxy alone, as `socks5://[USER:PASSWORD@]HOST:PORT`. Nobody reaches us then, and what no
    /// proxy carries is off: uTP, trackers over UDP, the hash table, multicast, and WebRTC
    #[arg(long, value_name = "URL", env = "CAUSEWAY_NETWORK_PROXY", value_parser = proxy)]
    #[serde(deserialize_with = "proxies")]
    pub(crate) proxy: Option<Proxy>,

    /// Meet WebRTC peers beside the proxy, too: they learn the address of this machine
    #[arg(long, env = "CAUSEWAY_NETWORK_WEBRTC_BESIDE_PROXY")]
    pub(crate) webrtc_beside_proxy: bool,

    /// The UDP port of WebRTC peers, which are browsers most of all; 0 for any that is free [default: 0]
    #[arg(long, value_name = "PORT", env = "CAUSEWAY_NETWORK_WEBRTC_PORT")]
    pub(crate) webrtc_port: Option<u16>,

    /// Don't connect to WebRTC peers
    #[arg(long, env = "CAUSEWAY_NETWORK_NO_WEBRTC")]
    pub(crate) no_webrtc: bool,

    /// A STUN server, which tells WebRTC peers how to reach this machine behind a router (may be repeated)
    #[arg(
        long = "stun",
        value_name = "HOST:PORT",
        env = "CAUSEWAY_NETWORK_STUN",
        value_delimiter = ','
    )]
    #[serde(rename = "stun")]
    pub(crate) stun_servers: Vec<String>,

    /// A TURN server, which relays for WebRTC peers that reach this machine no other way, as `USER:PASSWORD@HOST:PORT`; it
    /// is spoken to over UDP
    #[arg(long, value_name = "SERVER", env = "CAUSEWAY_NETWORK_TURN", hide_env_values = true, value_parser = turn)]
    #[serde(deserialize_with = "turns")]
    pub(crate) turn: Option<TurnServer>,

    /// Meet WebRTC peers through the TURN server alone, so that they don't learn the address of this machine
    #[arg(long, env = "CAUSEWAY_NETWORK_TURN_ONLY")]
    pub(crate) turn_only: bool,

    /// Don't fetch from web seeds, which are servers that have the files
    #[arg(long, env = "CAUSEWAY_NETWORK_NO_WEB_SEEDS")]
    pub(crate) no_web_seeds: bool,

    /// Fetch from web seeds in our own network, too, where a torrent or a link names one
    #[arg(
        long,
        env = "CAUSEWAY_NETWORK_LOCAL_WEB_SEEDS",
        conflicts_with = "no_web_seeds"
    )]
    pub(crate) local_web_seeds: bool,

    /// Don't look for peers in the own network by multicast
    #[arg(long, env = "CAUSEWAY_NETWORK_NO_LOCAL_DISCOVERY")]
    pub(crate) no_local_discovery: bool,

    /// Don't ask the router (`UPnP`, PCP, NAT-PMP) to pass on what comes to our ports
    #[arg(long, env = "CAUSEWAY_NETWORK_NO_PORT_MAPPING")]
    pub(crate) no_port_mapping: bool,

    /// Don't look for peers in the distributed hash table
    #[arg(long, env = "CAUSEWAY_NETWORK_NO_DHT")]
    pub(crate) no_dht: bool,

    /// A node of the distributed hash table to begin with, in place of the public ones (may be repeated)
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "CAUSEWAY_NETWORK_DHT_BOOTSTRAP",
        value_delimiter = ','
    )]
    pub(crate) dht_bootstrap: Vec<String>,
}

/// [`Encryption`] on the command line.
#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum When {
    /// With nobody.
    Off,
    /// With who wants it.
    Allow,
    /// With who is able to.
    Prefer,
    /// With all.
    Require,
}

impl NetworkOptions {
    /// What is not set here is taken from `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        let is_placed = self.listen.is_some() || self.port.is_some();
        let lists = |these: Vec<String>, others| if these.is_empty() { others } else { these };
        Self {
            listen: self.listen.or(other.listen.filter(|_| !is_placed)),
            port: self.port.or(other.port.filter(|_| !is_placed)),
            encryption: self.encryption.or(other.encryption),
            no_utp: self.no_utp || other.no_utp,
            download_limit: self.download_limit.or(other.download_limit),
            upload_limit: self.upload_limit.or(other.upload_limit),
            max_peers: self.max_peers.or(other.max_peers),
            proxy: self.proxy.or(other.proxy),
            webrtc_beside_proxy: self.webrtc_beside_proxy || other.webrtc_beside_proxy,
            webrtc_port: self.webrtc_port.or(other.webrtc_port),
            no_webrtc: self.no_webrtc || other.no_webrtc,
            stun_servers: lists(self.stun_servers, other.stun_servers),
            turn: self.turn.or(other.turn),
            turn_only: self.turn_only || other.turn_only,
            no_web_seeds: self.no_web_seeds || (other.no_web_seeds && !self.local_web_seeds),
            local_web_seeds: self.local_web_seeds || (other.local_web_seeds && !self.no_web_seeds),
            no_local_discovery: self.no_local_discovery || other.no_local_discovery,
            no_port_mapping: self.no_port_mapping || other.no_port_mapping,
            no_dht: self.no_dht || other.no_dht,
            dht_bootstrap: lists(self.dht_bootstrap, other.dht_bootstrap),
        }
    }

    /// Where peers are listened to. Without an address of its own it is every one of this machine, also over IPv4 alone.
    pub(crate) fn listen(&self) -> SocketAddr {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.port.unwrap_or(6881));
        self.listen.unwrap_or(any)
    }

    /// Whether names of hosts may be looked up here: a proxy does that for who has one.
    pub(crate) const fn is_direct(&self) -> bool {
        self.proxy.is_none()
    }

    pub(crate) const fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Where to keep what is known of others: where we are told, else where this system has a place for such things. A table of one's own is
    /// not mixed with the public one there.
    fn known(&self, data: Option<&Path>) -> Option<PathBuf> {
        let folder = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let usual = || {
            let cache = folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA"));
            let cache = cache.or_else(|| Some(folder("HOME")?.join(".cache")));
            Some(cache?.join("causeway"))
        };
        let is_public = self.dht_bootstrap.is_empty();
        data.map(Path::to_owned).or_else(|| usual().filter(|_| is_public))
    }

    /// How the bridge meets the world. What is known of others is kept in the folder, where there is one.
    pub(crate) fn config(&self, data: Option<&Path>) -> Result<Config> {
        ensure!(self.max_peers != Some(0), "`max-peers` must be 1 at least");
        ensure!(
            self.turn.is_some() || !self.turn_only,
            "`turn-only` needs a TURN server: name one with `turn`"
        );
        let usual = Limits::default();
        let with_webrtc = !self.no_webrtc && (self.is_direct() || self.webrtc_beside_proxy);
        Ok(Config {
            listen: Some(self.listen()),
            utp: !self.no_utp,
            encryption: match self.encryption {
                Some(When::Off) => Encryption::Off,
                Some(When::Allow) | None => Encryption::Allow,
                Some(When::Prefer) => Encryption::Prefer,
                Some(When::Require) => Encryption::Require,
            },
            proxy: self.proxy.clone(),
            web_seeds: match (self.no_web_seeds, self.local_web_seeds) {
                (true, _) => Reach::Nobody,
                (false, false) => Reach::Public,
                (false, true) => Reach::Anybody,
            },
            local_discovery: !self.no_local_discovery,
            port_mapping: !self.no_port_mapping,
            limits: Limits {
                peers: self.max_peers.unwrap_or(usual.peers),
                upload_rate: self.upload_limit.unwrap_or(usual.upload_rate),
                download_rate: self.download_limit.unwrap_or(usual.download_rate),
                ..usual
            },
            webrtc: with_webrtc.then(|| self.webrtc()),
            dht: (!self.no_dht).then(|| DhtConfig {
                nodes: self.dht_bootstrap.clone(),
                kept: self.known(data).map(|folder| folder.join("dht-nodes")),
            }),
            own_tracker: None,
        })
    }

    /// How WebRTC peers are met.
    pub(crate) fn webrtc(&self) -> webrtc::Config {
        webrtc::Config {
            port: self.webrtc_port.unwrap_or(0),
            stun_servers: self.stun_servers.clone(),
            turn: self.turn.clone(),
            turn_only: self.turn_only,
            ..webrtc::Config::default()
        }
    }
}

/// Bytes a second.
pub(crate) fn rate(text: &str) -> Result<u64> {
    let unit = |factor| move |number| Some((number, factor));
    let split = text.strip_suffix(['k', 'K']).and_then(unit(1_000));
    let split = split.or_else(|| text.strip_suffix('M').and_then(unit(1_000_000)));
    let split = split.or_else(|| text.strip_suffix('G').and_then(unit(1_000_000_000)));
    let (number, factor) = split.unwrap_or((text, 1));
    let bytes = number
        .parse::<f64>()
        .ok()
        .map(|number| number * f64::from(factor));
    let bytes = bytes.filter(|bytes| (1.0..1e15).contains(bytes));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within the bounds above"
    )]
    let bytes = bytes.map(|bytes| bytes as u64);
    bytes.with_context(|| format!("`{text}` is no rate: write it as bytes a second, 250000 or 250k or 1.5M"))
}

fn proxy(text: &str) -> Result<Proxy> {
    Ok(text.parse()?)
}

/// A TURN server. A password may have any characters in it.
fn turn(text: &str) -> Result<TurnServer> {
    let parts = text
        .rsplit_once('@')
        .and_then(|(account, host)| Some((account.split_once(':')?, host)));
    let server = parts.filter(|((user, _), host)| {
        let port = host
            .rsplit_once(':')
            .map(|(name, port)| (name, port.parse::<u16>()));
        !user.is_empty() && matches!(port, Some((name, Ok(1..))) if !name.is_empty())
    });
    let ((user, password), host) = server.context("a TURN server is written as USER:PASSWORD@HOST:PORT")?;
    let [host, user, password] = [host, user, password].map(str::to_owned);
    Ok(TurnServer { host, user, password })
}

fn turns<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<TurnServer>, D::Error> {
    let text = String::deserialize(deserializer)?;
    turn(&text).map(Some).map_err(serde::de::Error::custom)
}

pub(crate) fn rates<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Rate {
        Number(u64),
        Text(String),
    }
    let text = match Rate::deserialize(deserializer)? {
        Rate::Number(number) => number.to_string(),
        Rate::Text(text) => text,
    };
    rate(&text).map(Some).map_err(serde::de::Error::custom)
}

fn proxies<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Proxy>, D::Error> {
    let text = String::deserialize(deserializer)?;
    proxy(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        for (text, bytes) in [
            ("1", 1),
            ("250k", 250_000),
            ("1.5M", 1_500_000),
            ("2G", 2_000_000_000),
        ] {
            assert_eq!(rate(text).expect("a rate"), bytes, "{text}");
        }
        for text in ["", "0", "-1", "k", "1T", "NaN", "inf", "1e30"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_flag_says_stands_before_what_the_file_says() {
        let file: NetworkOptions = toml::from_str(
            "port = 7000\nencryption = 'require'\ndownload-limit = '1M'\nupload-limit = 5\nmax-peers = 9\nno-dht = true\n",
        )
        .expect("settings");
        let flags = NetworkOptions {
            listen: Some(([127, 0, 0, 1], 1).into()),
            max_peers: Some(3),
            ..NetworkOptions::default()
        };
        let config = flags.or(file).config(None).expect("in bounds");
        assert_eq!(config.listen, Some(([127, 0, 0, 1], 1).into()));
        assert_eq!(config.encryption, Encryption::Require);
        assert_eq!(
            (
                config.limits.download_rate,
                config.limits.upload_rate,
                config.limits.peers
            ),
            (1_000_000, 5, 3)
        );
        assert!(config.dht.is_none() && config.utp);
        for text in [
            "port = 70000",
            "encryption = 'no'",
            "download-limit = 'x'",
            "proxy = 'http://a:1'",
        ] {
            assert!(toml::from_str::<NetworkOptions>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_turn_server_has_an_account() {
        let server = turn("me:a:b@c@turn.example:3478").expect("a server");
        let TurnServer { host, user, password } = &server;
        assert_eq!(
            [host, user, password].map(String::as_str),
            ["turn.example:3478", "me", "a:b@c"]
        );
        assert!(!format!("{server:?}").contains("a:b@c"));
        for text in [
            "",
            "turn.example:3478",
            "me@turn.example:3478",
            "me:a@turn.example",
            "me:a@:1",
            "me:a@h:0",
        ] {
            assert!(turn(text).is_err(), "{text}");
        }
        let alone: NetworkOptions = toml::from_str("turn-only = true").expect("settings");
        assert!(alone.config(None).is_err());
    }

    #[test]
    fn behind_a_proxy_webrtc_is_off_unless_it_is_asked_for() {
        let mut options = NetworkOptions {
            proxy: Some("socks5://127.0.0.1:9".parse().expect("a proxy")),
            ..NetworkOptions::default()
        };
        assert!(options.config(None).expect("in bounds").webrtc.is_none());
        options.webrtc_beside_proxy = true;
        assert!(options.config(None).expect("in bounds").webrtc.is_some());
    }
}
