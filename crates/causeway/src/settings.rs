//! What an operator can set: in `causeway.toml`, then by `CAUSEWAY_*` variables, then by flags, the latter before the former.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use causeway_tracker::Config;
use clap::Args;
use core::time::Duration;
use ipnet::IpNet;
use serde::Deserialize;

use crate::gateway::GatewayOptions;
use crate::network::NetworkOptions;

/// Where the settings file is.
#[derive(Clone, Debug, Args)]
pub(crate) struct SettingsFile {
    /// Settings file; by default `causeway.toml` in this folder, where there is one
    #[arg(long = "config", value_name = "FILE", env = "CAUSEWAY_CONFIG")]
    path: Option<PathBuf>,
}

/// The settings file. Its keys are the names of the flags.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) server: ServerOptions,
    pub(crate) tracker: TrackerOptions,
    pub(crate) gateway: GatewayOptions,
    pub(crate) network: NetworkOptions,
}

impl SettingsFile {
    /// Reads it; what is not set in it is absent.
    pub(crate) fn read(&self) -> Result<Settings> {
        let path = self.path.as_deref().unwrap_or(Path::new("causeway.toml"));
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("the settings in {}", path.display())),
            Err(error) if self.path.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Settings::default())
            }
            Err(error) => Err(error).with_context(|| format!("the settings file {}", path.display())),
        }
    }
}

/// How the server is reached.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerOptions {
    /// Where to listen, over TCP and UDP; port 0 takes any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", env = "CAUSEWAY_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// Where to listen for TLS (https:// and wss://), beside that
    #[arg(long, value_name = "ADDRESS:PORT", env = "CAUSEWAY_TLS_LISTEN")]
    pub(crate) tls_listen: Option<SocketAddr>,

    /// Certificate chain for TLS, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_TLS_CERTIFICATE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Address or network of a reverse proxy, whose `X-Forwarded-For` is believed (may be repeated)
    #[arg(long = "trusted-proxy", value_name = "NETWORK", env = "CAUSEWAY_TRUSTED_PROXIES", value_delimiter = ',',
        value_parser = network)]
    #[serde(deserialize_with = "networks")]
    pub(crate) trusted_proxies: Vec<IpNet>,

    /// Connections from trusted proxies begin with a PROXY header (version 1 or 2)
    #[arg(long, env = "CAUSEWAY_PROXY_PROTOCOL")]
    pub(crate) proxy_protocol: bool,

    /// Who may read `/metrics` [default: this machine] (may be repeated)
    #[arg(long, value_name = "NETWORK", env = "CAUSEWAY_METRICS_FROM", value_delimiter = ',', value_parser = network)]
    #[serde(deserialize_with = "networks")]
    pub(crate) metrics_from: Vec<IpNet>,

    /// Open TCP connections at once from one address, trusted proxies aside [default: 2000]
    #[arg(long, value_name = "NUMBER", env = "CAUSEWAY_MAX_TCP_PER_ADDRESS")]
    pub(crate) max_tcp_per_address: Option<usize>,

    /// Threads that serve connections [default: one for each processor]
    #[arg(long, value_name = "NUMBER", env = "CAUSEWAY_WORKERS")]
    pub(crate) workers: Option<usize>,
}

/// What the tracker allows. Everything has a default that works for a small public tracker.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Tracker")]
pub(crate) struct TrackerOptions {
    /// After how many seconds WebRTC peers announce again [default: 120]
    #[arg(long, value_name = "SECONDS", env = "CAUSEWAY_TRACKER_INTERVAL")]
    interval: Option<u64>,

    /// After how many seconds classic peers announce again [default: 1800]
    #[arg(long, value_name = "SECONDS", env = "CAUSEWAY_TRACKER_CLASSIC_INTERVAL")]
    classic_interval: Option<u64>,

    /// Serve no classic peers over UDP
    #[arg(long, env = "CAUSEWAY_TRACKER_NO_UDP")]
    pub(crate) no_udp: bool,

    /// WebSocket connections at once [default: 50000]
    #[arg(long, value_name = "NUMBER", env = "CAUSEWAY_TRACKER_MAX_CONNECTIONS")]
    max_connections: Option<usize>,

    /// The same, from one address [default: 1000]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "CAUSEWAY_TRACKER_MAX_CONNECTIONS_PER_ADDRESS"
    )]
    max_connections_per_address: Option<usize>,

    /// HTTP and UDP requests a second from one address, for long, WebSocket connections among them; 0 for any number
    /// [default: 50]
    #[arg(long, value_name = "NUMBER", env = "CAUSEWAY_TRACKER_REQUESTS_PER_SECOND")]
    requests_per_second: Option<u32>,

    /// WebSocket messages a second from one address, for long; 0 for any number [default: 2000]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "CAUSEWAY_TRACKER_MESSAGES_PER_SECOND_PER_ADDRESS"
    )]
    messages_per_second_per_address: Option<u32>,

    /// Peers of all torrents together [default: 2000000]
    #[arg(long, value_name = "NUMBER", env = "CAUSEWAY_TRACKER_MAX_MEMBERS")]
    max_members: Option<usize>,

    /// The same, from one address [default: a fiftieth of all]
    #[arg(long, value_name = "NUMBER", env = "CAUSEWAY_TRACKER_MAX_MEMBERS_PER_ADDRESS")]
    max_members_per_address: Option<usize>,

    /// File of the only info-hashes to be tracked, one on a line, in hexadecimal
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_TRACKER_ALLOW")]
    pub(crate) allow: Option<PathBuf>,

    /// File of info-hashes that are not to be tracked
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_TRACKER_DENY")]
    pub(crate) deny: Option<PathBuf>,

    /// File of info-hashes that are tracked only for who has a passkey; `*` on a line stands for all
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_TRACKER_PRIVATE")]
    pub(crate) private: Option<PathBuf>,

    /// File of passkeys, one on a line; clients announce to /announce/PASSKEY
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_TRACKER_PASSKEYS")]
    pub(crate) passkeys: Option<PathBuf>,

    /// File of the only origins whose pages may use the tracker, one on a line, as `https://HOST` or `https://*.DOMAIN`
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_TRACKER_ORIGINS")]
    pub(crate) origins: Option<PathBuf>,
}

impl ServerOptions {
    /// What is not set here is taken from `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            tls_listen: self.tls_listen.or(other.tls_listen),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            trusted_proxies: or(self.trusted_proxies, other.trusted_proxies),
            proxy_protocol: self.proxy_protocol || other.proxy_protocol,
            metrics_from: or(self.metrics_from, other.metrics_from),
            max_tcp_per_address: self.max_tcp_per_address.or(other.max_tcp_per_address),
            workers: self.workers.or(other.workers),
        }
    }
}

impl TrackerOptions {
    /// What is not set here is taken from `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            interval: self.interval.or(other.interval),
            classic_interval: self.classic_interval.or(other.classic_interval),
            no_udp: self.no_udp || other.no_udp,
            max_connections: self.max_connections.or(other.max_connections),
            max_connections_per_address: self
                .max_connections_per_address
                .or(other.max_connections_per_address),
            requests_per_second: self.requests_per_second.or(other.requests_per_second),
            messages_per_second_per_address: self
                .messages_per_second_per_address
                .or(other.messages_per_second_per_address),
            max_members: self.max_members.or(other.max_members),
            max_members_per_address: self.max_members_per_address.or(other.max_members_per_address),
            allow: self.allow.or(other.allow),
            deny: self.deny.or(other.deny),
            private: self.private.or(other.private),
            passkeys: self.passkeys.or(other.passkeys),
            origins: self.origins.or(other.origins),
        }
    }

    /// The limits and times of the tracker.
    pub(crate) fn config(&self) -> Result<Config> {
        let mut config = Config::default();
        if let Some(interval) = self.interval {
            ensure!(
                (1..=3600).contains(&interval),
                "`interval` must be from 1 to 3600 seconds"
            );
            config.interval = Duration::from_secs(interval);
            config.member_timeout = config.interval * 4;
        }
        if let Some(interval) = self.classic_interval {
            ensure!(
                (1..=3600).contains(&interval),
                "`classic-interval` must be from 1 to 3600 seconds"
            );
            config.classic_interval = Duration::from_secs(interval);
            config.classic_min_interval = config.classic_interval / 6;
            // Who is late once is kept, and who is late twice is not.
            config.classic_timeout = config.classic_interval * 2;
        }
        config.max_sockets = self.max_connections.unwrap_or(config.max_sockets);
        config.max_sockets_per_address = self
            .max_connections_per_address
            .unwrap_or(config.max_sockets_per_address);
        if let Some(rate) = self.requests_per_second {
            config.requests_per_second = rate;
            config.request_burst = rate.saturating_mul(40);
        }
        if let Some(rate) = self.messages_per_second_per_address {
            config.messages_per_second_per_address = rate;
            config.message_burst_per_address = rate.saturating_mul(10);
        }
        config.max_members = self.max_members.unwrap_or(config.max_members);
        ensure!(
            config.max_members > 0,
            "`max-members` is 0, so that nobody could announce anything: set it to 1 or more"
        );
        config.max_members_per_address = self
            .max_members_per_address
            .unwrap_or(config.max_members.div_ceil(50));
        Ok(config)
    }
}

fn or<T>(these: Vec<T>, others: Vec<T>) -> Vec<T> {
    if these.is_empty() { others } else { these }
}

/// An address, or a network as `ADDRESS/BITS`.
fn network(text: &str) -> Result<IpNet> {
    let address = || Some(IpNet::from(text.parse::<core::net::IpAddr>().ok()?));
    text.parse()
        .ok()
        .or_else(address)
        .with_context(|| format!("`{text}` is no address and no network: write it as 10.0.0.1 or 10.0.0.0/8"))
}

fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| network(text).map_err(serde::de::Error::custom))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_by_a_flag_stands_before_what_the_file_says() {
        let file: Settings = toml::from_str(
            "[server]\nlisten = '127.0.0.1:1'\ntrusted-proxies = ['10.0.0.0/8', '::1']\n[tracker]\ninterval = 60\nmax-members = 7\nallow = 'a'\n[gateway]\nenabled = true\ncache = '20GB'\nmax-size = 7\n",
        )
        .expect("settings");
        let flags = TrackerOptions {
            interval: Some(30),
            ..TrackerOptions::default()
        };
        let config = flags.or(file.tracker).config().expect("it is in bounds");
        assert_eq!(
            (config.interval, config.max_members),
            (Duration::from_secs(30), 7)
        );
        assert_eq!(config.max_members_per_address, 1, "a fiftieth, and one at least");
        assert_eq!(file.server.trusted_proxies.len(), 2);
    }

    #[test]
    fn what_is_not_known_or_out_of_bounds_is_refused() {
        for text in [
            "[tracker]\nintervall = 60",
            "[other]",
            "[gateway]\ncache = 'much'",
            "[server]\ntrusted-proxies = ['x']",
        ] {
            assert!(toml::from_str::<Settings>(text).is_err(), "{text}");
        }
        for options in [
            TrackerOptions {
                interval: Some(0),
                ..TrackerOptions::default()
            },
            TrackerOptions {
                max_members: Some(0),
                ..TrackerOptions::default()
            },
        ] {
            assert!(options.config().is_err());
        }
    }
}
