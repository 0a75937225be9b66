//! Peers of the classic swarm: our own native programs, and the clients that people use.

mod clients;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use self::clients::Running;
pub(crate) use self::clients::own_address;
use crate::program::{Log, Program};
use crate::server::binary;

/// A client that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// libtorrent 2.1, as `PyPI` has it.
    Libtorrent,
    /// aria2. It knows no uTP.
    Aria2,
    /// Transmission's daemon. It knows no peers on 127.0.0.0/8.
    Transmission,
    /// qBittorrent without its window.
    Qbittorrent,
    /// rqbit. It knows no encryption.
    Rqbit,
    /// npm's `webtorrent` in Node.
    WebTorrent,
}

/// The way that a client has to others, and no other but where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// TCP, and uTP where it has that switched on by itself.
    Tcp,
    /// TCP, and in cipher alone.
    Enciphered,
    /// uTP.
    Utp,
    /// WebRTC, over the trackers that the torrent or link names.
    WebRtc,
}

/// A running client. Dropping it kills it.
#[derive(Debug)]
pub struct Classic {
    client: Client,
    running: Running,
    folder: PathBuf,
}

impl Classic {
    /// Starts a client that has or gets this torrent in this folder.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn start(client: Client, torrent: &Path, folder: &Path) -> Result<Self> {
        Self::over(Links::Tcp, client, torrent, folder).await
    }

    /// The same for a client that has no other way to its peers than this one.
    ///
    /// # Errors
    /// When it does not know that way, isn't installed or doesn't start.
    pub async fn over(links: Links, client: Client, torrent: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let running = clients::start(client, links, torrent, folder).await?;
        Ok(Self {
            client,
            running,
            folder: folder.to_owned(),
        })
    }

    /// Starts libtorrent with a torrent file or a magnet link, and with these settings of its own, as `NAME=VALUE`.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn libtorrent(torrent: &Path, folder: &Path, settings: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let running = clients::libtorrent(torrent, folder, settings).await?;
        Ok(Self {
            client: Client::Libtorrent,
            running,
            folder: folder.to_owned(),
        })
    }

    /// Starts rqbit over TCP, which connects to this peer.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn rqbit(torrent: &Path, folder: &Path, peer: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let arguments = ["--initial-peers", peer];
        let running = clients::rqbit(Links::Tcp, torrent, folder, &arguments).await?;
        Ok(Self {
            client: Client::Rqbit,
            running,
            folder: folder.to_owned(),
        })
    }

    /// Where it takes connections.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.running.program.log()
    }

    /// Its process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.running.program.pid()
    }

    /// Waits until it has everything, the one file `name` among it.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn complete(&mut self, name: &str, within: Duration) -> Result<()> {
        let program = &mut self.running.program;
        match self.client {
            Client::Libtorrent | Client::WebTorrent => program.says("complete", within).await,
            Client::Aria2 => program.says("The download was complete", within).await,
            // It writes nothing at all by itself, but calls a file by its name only once it is complete.
            Client::Transmission => appears(&self.folder.join(name), within).await,
            Client::Qbittorrent => program.says("Torrent download finished", within).await,
            Client::Rqbit => program.says("torrent finished downloading", within).await,
        }
    }
}

/// `causeway seed`, ready. Dropping it kills it.
#[derive(Debug)]
pub struct Seed {
    program: Program,
    /// What it said when it was ready: `infoHash`, `magnet`, `listen`.
    pub ready: Value,
}

impl Seed {
    /// Shares a file or folder, and writes its torrent to `torrent`.
    ///
    /// # Errors
    /// When it doesn't start.
    pub async fn start(shared: &Path, torrent: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command
            .arg("seed")
            .arg(shared)
            .arg("--json")
            .args(alone(arguments))
            .arg("--torrent-out")
            .arg(torrent)
            .args(passed(arguments))
            .env("RUST_LOG", "causeway=debug,causeway_bridge=debug");
        let (program, rest) = Program::start("seed", command, "{\"event\":\"ready\"").await?;
        let ready = serde_json::from_str(&format!("{{\"event\":\"ready\"{rest}"))?;
        Ok(Self { program, ready })
    }

    /// Where it takes connections.
    ///
    /// # Errors
    /// When it has not said so.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.ready["listen"].as_str().context("no address")?.parse()?)
    }

    /// Its process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.program.pid()
    }

    /// Its magnet link.
    ///
    /// # Errors
    /// When it has not said it.
    pub fn magnet(&self) -> Result<&str> {
        self.ready["magnet"].as_str().context("no magnet link")
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }
}

/// Runs `causeway get` to its end, and says how that was.
///
/// # Errors
/// When it ends with another status than 0, or takes longer.
pub async fn get(what: &str, folder: &Path, arguments: &[&str], within: Duration) -> Result<()> {
    let running = getting(what, folder, arguments)?.output();
    let output = tokio::time::timeout(within, running).await;
    let output = output.with_context(|| format!("causeway get did not end within {within:?}"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    ensure!(
        output.status.success(),
        "causeway get: {}\n{out}{err}",
        output.status
    );
    ensure!(
        out.contains("\"event\":\"complete\""),
        "it does not say that it is complete:\n{out}"
    );
    Ok(())
}

/// `causeway get`, not started yet.
///
/// # Errors
/// When it isn't built.
pub fn getting(what: &str, folder: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .args(["get", what, "--json"])
        .args(alone(arguments))
        .arg("-o")
        .arg(folder)
        .args(passed(arguments))
        .env("RUST_LOG", "causeway=debug,causeway_bridge=debug")
        .kill_on_drop(true);
    Ok(command)
}

/// Among the arguments of one of our programs: it looks for peers on this machine by multicast.
pub const NEAR_BY: &str = "by multicast, too";

/// What is passed on to the program.
fn passed<'a>(arguments: &'a [&str]) -> impl Iterator<Item = &'a str> {
    arguments.iter().copied().filter(|argument| *argument != NEAR_BY)
}

/// Nobody looks beyond this machine.
fn alone(arguments: &[&str]) -> impl Iterator<Item = &'static str> {
    let asks = |flag| arguments.contains(&flag);
    let no_dht = (!asks("--dht-bootstrap")).then_some("--no-dht");
    let no_multicast = (!asks(NEAR_BY)).then_some("--no-local-discovery");
    let listen = (!asks("--listen")).then_some(["--listen", "127.0.0.1:0"]);
    no_dht
        .into_iter()
        .chain(no_multicast)
        .chain(listen.into_iter().flatten())
}

/// `causeway bridge` of a torrent, with files in `folder`, and what it said when it was ready; dropping it kills it.
///
/// # Errors
/// When it isn't built or doesn't start.
pub async fn bridge(what: &str, folder: &Path, arguments: &[&str]) -> Result<(Program, Value)> {
    let command = bridging(what, folder, arguments)?;
    let (program, rest) = Program::start("bridge", command, "{\"event\":\"ready\"").await?;
    let ready = serde_json::from_str(&format!("{{\"event\":\"ready\"{rest}"))?;
    Ok((program, ready))
}

/// `causeway bridge`, not started yet.
///
/// # Errors
/// When it isn't built.
pub fn bridging(what: &str, folder: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .args(["bridge", what, "--json", "--data-dir"])
        .arg(folder)
        .args(alone(arguments))
        .args(passed(arguments))
        .env("RUST_LOG", "causeway=debug,causeway_bridge=debug")
        .kill_on_drop(true);
    Ok(command)
}

/// npm's `bittorrent-tracker` for classic clients. Dropping it kills it.
#[derive(Debug)]
pub struct ClassicTracker {
    program: Program,
    /// Its address over HTTP.
    pub http: String,
    /// Its address over UDP.
    pub udp: String,
}

impl ClassicTracker {
    /// Starts it on free ports.
    ///
    /// # Errors
    /// When Node or the packages of `package.json` aren't installed.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new("node");
        command
            .arg("src/classic-tracker.mjs")
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let (program, addresses) = Program::start("bittorrent-tracker", command, "listening on ")
            .await
            .context("Node with the packages of tests/package.json is needed: run `cargo xtask setup`")?;
        let (http, udp) = addresses.split_once(' ').context("it says both addresses")?;
        Ok(Self {
            program,
            http: http.to_owned(),
            udp: udp.to_owned(),
        })
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }
}

/// Waits until there is a file of this name.
///
/// # Errors
/// When that takes longer.
pub async fn appears(path: &Path, within: Duration) -> Result<()> {
    let deadline = tokio::time::Instant::now() + within;
    while !path.exists() {
        if tokio::time::Instant::now() > deadline {
            bail!("{} did not appear within {within:?}", path.display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
