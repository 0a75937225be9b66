//! Peers of the classic swarm: our own native programs, and the clients that people use.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::program::{Log, Program};
use crate::server::binary;

/// A client that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// libtorrent 2.1, as `PyPI` has it.
    Libtorrent,
    /// aria2.
    Aria2,
    /// Transmission's daemon. It knows no peers on 127.0.0.0/8.
    Transmission,
    /// qBittorrent without its window.
    Qbittorrent,
}

/// A running client. Dropping it kills it.
#[derive(Debug)]
pub struct Classic {
    client: Client,
    program: Program,
    address: SocketAddr,
    folder: PathBuf,
}

impl Classic {
    /// Starts a client that has or gets this torrent in this folder.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn start(client: Client, torrent: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (program, address) = match client {
            Client::Libtorrent => libtorrent(torrent, folder, &[]).await?,
            Client::Aria2 => aria2(torrent, folder, &[]).await?,
            Client::Transmission => transmission(torrent, folder, PREFERRED).await?,
            Client::Qbittorrent => qbittorrent(torrent, folder, "").await?,
        };
        Ok(Self {
            client,
            program,
            address,
            folder: folder.to_owned(),
        })
    }

    /// Starts a client that speaks to nobody but in cipher.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn enciphered(client: Client, torrent: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (program, address) = match client {
            Client::Libtorrent => {
                libtorrent(torrent, folder, &["in_enc_policy=0", "out_enc_policy=0"]).await?
            }
            Client::Aria2 => {
                let arguments = ["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"];
                aria2(torrent, folder, &arguments).await?
            }
            Client::Transmission => transmission(torrent, folder, REQUIRED).await?,
            Client::Qbittorrent => qbittorrent(torrent, folder, "Session\\Encryption=1\n").await?,
        };
        Ok(Self {
            client,
            program,
            address,
            folder: folder.to_owned(),
        })
    }

    /// Starts qBittorrent that reaches peers, and is reached, over uTP alone.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn qbittorrent_over_utp(torrent: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (program, address) = qbittorrent(torrent, folder, "Session\\BTProtocol=UTP\n").await?;
        Ok(Self {
            client: Client::Qbittorrent,
            program,
            address,
            folder: folder.to_owned(),
        })
    }

    /// Starts libtorrent with a torrent file or a magnet link, and with these settings of its own, as `NAME=VALUE`.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn libtorrent(torrent: &Path, folder: &Path, settings: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (program, address) = libtorrent(torrent, folder, settings).await?;
        Ok(Self {
            client: Client::Libtorrent,
            program,
            address,
            folder: folder.to_owned(),
        })
    }

    /// Where it takes connections.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }

    /// Its process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.program.pid()
    }

    /// Waits until it has everything, the one file `name` among it.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn complete(&mut self, name: &str, within: Duration) -> Result<()> {
        match self.client {
            Client::Libtorrent => self.program.says("complete", within).await,
            Client::Aria2 => self.program.says("The download was complete", within).await,
            // It writes nothing at all by itself, but calls a file by its name only once it is complete.
            Client::Transmission => appears(&self.folder.join(name), within).await,
            Client::Qbittorrent => self.program.says("Torrent download finished", within).await,
        }
    }
}

/// libtorrent's settings for having no other way than WebRTC.
pub const WEBRTC_ALONE: [&str; 5] = [
    "listen_interfaces=0.0.0.0:0",
    "enable_incoming_tcp=0",
    "enable_outgoing_tcp=0",
    "enable_incoming_utp=0",
    "enable_outgoing_utp=0",
];

async fn libtorrent(torrent: &Path, folder: &Path, settings: &[&str]) -> Result<(Program, SocketAddr)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(tests.join(".venv/bin/python"));
    command
        .arg(tests.join("python/peer.py"))
        .arg(torrent)
        .arg(folder)
        .args(settings);
    let (program, address) = Program::start("libtorrent", command, "listening on ")
        .await
        .context("libtorrent for Python is needed: run `cargo xtask setup`")?;
    Ok((program, address.parse()?))
}

async fn aria2(torrent: &Path, folder: &Path, arguments: &[&str]) -> Result<(Program, SocketAddr)> {
    let address = free_port("127.0.0.1")?;
    let mut command = Command::new("aria2c");
    command
        .arg(torrent)
        .arg("--dir")
        .arg(folder)
        .arg(format!("--listen-port={}", address.port()))
        .args([
            "--check-integrity=true",
            "--seed-time=10",
            // It would stop at a ratio of 1, in which it counts the blocks' headers: before the last block has gone.
            "--seed-ratio=0.0",
            "--enable-dht=false",
            "--no-conf=true",
        ])
        .args([
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--console-log-level=info",
        ])
        .args(arguments);
    let (program, _) = Program::start("aria2", command, "BitTorrent: listening on TCP port")
        .await
        .context("aria2c is needed: run `cargo xtask setup`")?;
    Ok((program, address))
}

/// How Transmission treats encryption.
const PREFERRED: u8 = 1;
const REQUIRED: u8 = 2;

async fn transmission(torrent: &Path, folder: &Path, encryption: u8) -> Result<(Program, SocketAddr)> {
    let address = free_port(&own_address()?)?;
    let home = folder.with_extension("transmission");
    let watched = home.join("watched");
    fs::create_dir_all(&watched)?;
    fs::copy(torrent, watched.join("it.torrent"))?;
    let settings = serde_json::json!({
        "bind-address-ipv4": address.ip().to_string(), "peer-port": address.port(), "rpc-enabled": false,
        "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
        "port-forwarding-enabled": false, "download-dir": folder, "incomplete-dir-enabled": false,
        "watch-dir": watched, "watch-dir-enabled": true, "encryption": encryption, "preallocation": 0, "message-level": 3,
    });
    fs::write(home.join("settings.json"), settings.to_string())?;
    let mut command = Command::new("transmission-daemon");
    command
        .args(["--foreground", "--log-debug", "--config-dir"])
        .arg(&home);
    // Who connects before it has looked at its files is turned away, and not listened to again for long.
    let (program, _) = Program::start("transmission", command, "Verification is done")
        .await
        .context("transmission-daemon is needed: run `cargo xtask setup`")?;
    Ok((program, address))
}

/// With this further text in the section for its session.
async fn qbittorrent(torrent: &Path, folder: &Path, session: &str) -> Result<(Program, SocketAddr)> {
    let address = free_port("127.0.0.1")?;
    let profile = folder.with_extension("qbittorrent");
    let own = profile.join("qBittorrent");
    fs::create_dir_all(own.join("config"))?;
    fs::create_dir_all(own.join("data/logs"))?;
    let settings = format!(
        "[BitTorrent]\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\nSession\\Port={}\n\
         Session\\Interface=lo\nSession\\InterfaceAddress=127.0.0.1\nSession\\QueueingSystemEnabled=false\n{session}\
         [LegalNotice]\nAccepted=true\n[Network]\nPortForwardingEnabled=false\n[Preferences]\nConnection\\ResolvePeerCountries=false\nWebUI\\Enabled=false\n",
        address.port()
    );
    fs::write(own.join("config/qBittorrent.conf"), settings)?;
    let log = own.join("data/logs/qbittorrent.log");
    fs::write(&log, "")?;
    // It writes to its own log alone, which is followed for as long as it lives.
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"tail -n +1 --pid=$$ -F "$LOG" & exec "$@""#, "sh"])
        .args(["qbittorrent-nox", "--skip-dialog=true", "--add-paused=false"])
        .arg(format!("--torrenting-port={}", address.port()))
        .arg(format!("--webui-port={}", free_port("127.0.0.1")?.port()))
        .arg(format!("--profile={}", profile.display()))
        .arg(format!("--save-path={}", folder.display()))
        .arg(torrent)
        .env("LOG", log);
    let (program, _) = Program::start("qbittorrent", command, "Added new torrent")
        .await
        .context("qbittorrent-nox is needed: run `cargo xtask setup`")?;
    Ok((program, address))
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
    let mut command = Command::new(binary()?);
    command
        .args(["bridge", what, "--json", "--data-dir"])
        .arg(folder)
        .args(alone(arguments))
        .args(passed(arguments))
        .env("RUST_LOG", "causeway=debug,causeway_bridge=debug");
    let (program, rest) = Program::start("bridge", command, "{\"event\":\"ready\"").await?;
    let ready = serde_json::from_str(&format!("{{\"event\":\"ready\"{rest}"))?;
    Ok((program, ready))
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

/// A port that nobody has at the moment, for programs that can't be told to take any.
fn free_port(ip: &str) -> Result<SocketAddr> {
    Ok(TcpListener::bind(format!("{ip}:0"))?.local_addr()?)
}

/// The machine's own address beside 127.0.0.1. Nothing is sent to find it, and what is sent to it stays on the machine.
fn own_address() -> Result<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip().to_string())
}
