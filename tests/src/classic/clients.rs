//! How each client is started: alone on this machine, with one torrent, and with one way to others.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::net::TcpSocket;
use tokio::process::Command;

use super::{Client, Links};
use crate::program::{Program, START};

/// A client that is ready.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) program: Program,
    /// Where it takes connections.
    pub(super) address: SocketAddr,
    /// Its port over TCP where it can't be told to leave that alone: nobody is taken there.
    _shut: Option<TcpSocket>,
}

impl Running {
    fn new(program: Program, address: SocketAddr) -> Self {
        Self {
            program,
            address,
            _shut: None,
        }
    }
}

pub(super) async fn start(client: Client, links: Links, torrent: &Path, folder: &Path) -> Result<Running> {
    match client {
        Client::Libtorrent => {
            let settings = match links {
                Links::Tcp => &[][..],
                Links::Enciphered => &["in_enc_policy=0", "out_enc_policy=0"],
                Links::Utp => &["enable_incoming_tcp=0", "enable_outgoing_tcp=0"],
                Links::WebRtc => &WEBRTC_ALONE,
            };
            libtorrent(torrent, folder, settings).await
        }
        Client::Aria2 => aria2(links, torrent, folder).await,
        Client::Transmission => transmission(links, torrent, folder).await,
        Client::Qbittorrent => qbittorrent(links, torrent, folder).await,
        Client::Rqbit => rqbit(links, torrent, folder, &[]).await,
        Client::WebTorrent => webtorrent(links, torrent, folder).await,
    }
}

pub(super) async fn libtorrent(torrent: &Path, folder: &Path, settings: &[&str]) -> Result<Running> {
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
    Ok(Running::new(program, address.parse()?))
}

async fn webtorrent(links: Links, torrent: &Path, folder: &Path) -> Result<Running> {
    let links = match links {
        Links::Tcp => "tcp",
        Links::Enciphered => "enciphered",
        Links::Utp => "utp",
        Links::WebRtc => "webrtc",
    };
    let mut command = Command::new("node");
    command
        .arg("src/webtorrent.mjs")
        .arg(torrent)
        .arg(folder)
        .arg(links)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let (program, address) = Program::start("webtorrent", command, "listening on ")
        .await
        .context("Node with the packages of tests/package.json is needed: run `cargo xtask setup`")?;
    Ok(Running::new(program, address.parse()?))
}

pub(super) async fn rqbit(
    links: Links,
    torrent: &Path,
    folder: &Path,
    arguments: &[&str],
) -> Result<Running> {
    let (ways, ready): (&[&str], _) = match links {
        Links::Tcp => (&[], "Listening on TCP "),
        Links::Utp => (
            &[
                "--disable-tcp-listen",
                "--disable-tcp-connect",
                "--experimental-enable-utp-listen",
            ],
            "Listening on UDP ",
        ),
        Links::Enciphered | Links::WebRtc => bail!("rqbit knows neither encryption nor WebRTC"),
    };
    // The tests' one is built without optimisation, which a benchmark can't use.
    let program = std::env::var_os("CAUSEWAY_RQBIT").unwrap_or_else(|| "rqbit".into());
    let mut command = Command::new(program);
    command
        .args(["--listen-ip", "127.0.0.1", "--listen-port", "0"])
        .args([
            "--disable-dht",
            "--disable-lsd",
            "--disable-trackers",
            "--disable-upnp-port-forward",
        ])
        .args(ways)
        .args(["download", "--disable-http-api", "--overwrite"])
        .args(arguments)
        .arg("-o")
        .arg(folder)
        .arg(torrent)
        .env("NO_COLOR", "1");
    let (mut program, listening) = Program::start("rqbit", command, ready)
        .await
        .context("rqbit is needed: run `cargo xtask setup`")?;
    // Once it has looked at its files it says every second how far it is.
    program.says("[0]: ", START).await?;
    let address = listening.split(' ').next().unwrap_or_default();
    Ok(Running::new(program, address.parse()?))
}

async fn aria2(links: Links, torrent: &Path, folder: &Path) -> Result<Running> {
    let arguments: &[&str] = match links {
        Links::Tcp => &[],
        Links::Enciphered => &["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"],
        Links::Utp | Links::WebRtc => bail!("aria2 knows neither uTP nor WebRTC"),
    };
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
    Ok(Running::new(program, address))
}

async fn transmission(links: Links, torrent: &Path, folder: &Path) -> Result<Running> {
    let (is_enciphered, is_utp) = match links {
        Links::Tcp => (false, false),
        Links::Enciphered => (true, false),
        Links::Utp => (false, true),
        Links::WebRtc => bail!("Transmission knows no WebRTC"),
    };
    let address = free_port(&own_address()?)?;
    let home = folder.with_extension("transmission");
    let watched = home.join("watched");
    fs::create_dir_all(&watched)?;
    fs::copy(torrent, watched.join("it.torrent"))?;
    // Preferred or required.
    let encryption = if is_enciphered { 2 } else { 1 };
    let settings = serde_json::json!({
        "bind-address-ipv4": address.ip().to_string(), "peer-port": address.port(), "rpc-enabled": false,
        "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": is_utp,
        "port-forwarding-enabled": false, "download-dir": folder, "incomplete-dir-enabled": false,
        "watch-dir": watched, "watch-dir-enabled": true, "encryption": encryption, "preallocation": 0, "message-level": 3,
    });
    fs::write(home.join("settings.json"), settings.to_string())?;
    let mut command = Command::new("transmission-daemon");
    command
        .args(["--foreground", "--log-debug", "--config-dir"])
        .arg(&home);
    // It can't be told to leave TCP alone, but goes on where it finds its port taken.
    let shut = is_utp.then(|| shut(address)).transpose()?;
    // Who connects before it has looked at its files is turned away, and not listened to again for long.
    let (program, _) = Program::start("transmission", command, "Verification is done")
        .await
        .context("transmission-daemon is needed: run `cargo xtask setup`")?;
    Ok(Running {
        program,
        address,
        _shut: shut,
    })
}

async fn qbittorrent(links: Links, torrent: &Path, folder: &Path) -> Result<Running> {
    let session = match links {
        Links::Tcp => "",
        Links::Enciphered => "Session\\Encryption=1\n",
        Links::Utp => "Session\\BTProtocol=UTP\n",
        Links::WebRtc => bail!("qBittorrent knows no WebRTC"),
    };
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
    Ok(Running::new(program, address))
}

/// libtorrent's settings for having no other way than WebRTC.
const WEBRTC_ALONE: [&str; 5] = [
    "listen_interfaces=0.0.0.0:0",
    "enable_incoming_tcp=0",
    "enable_outgoing_tcp=0",
    "enable_incoming_utp=0",
    "enable_outgoing_utp=0",
];

/// A port that nobody has at the moment, for programs that can't be told to take any.
fn free_port(ip: &str) -> Result<SocketAddr> {
    Ok(TcpListener::bind(format!("{ip}:0"))?.local_addr()?)
}

/// Takes a port over TCP without listening there: whoever connects is refused.
fn shut(address: SocketAddr) -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(address)?;
    Ok(socket)
}

/// The machine's own address beside 127.0.0.1. Nothing is sent to find it, and what is sent to it stays on the machine.
pub(crate) fn own_address() -> Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip().to_string())
}
