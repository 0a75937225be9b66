//! Who is measured, and how each of them is started.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use causeway_tests::program::Program;
use clap::ValueEnum;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::{Arguments, process};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    /// Ours.
    Causeway,
    /// `aquatic_ws`, `aquatic_udp` or `aquatic_http`, with one socket worker and one swarm worker.
    Aquatic,
    /// npm's `bittorrent-tracker`.
    Reference,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    WebSocket,
    Udp,
    Http,
}

impl Door {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "WebSocket",
            Self::Udp => "UDP",
            Self::Http => "HTTP",
        }
    }

    fn aquatic(self) -> &'static str {
        match self {
            Self::WebSocket => "aquatic_ws",
            Self::Udp => "aquatic_udp",
            Self::Http => "aquatic_http",
        }
    }
}

/// A tracker that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddr,
    _folder: Option<TempDir>,
}

/// A process that dies with this.
#[derive(Debug)]
enum Process {
    Program(Program),
    /// One that does not say when it is ready.
    Silent(Child),
}

impl Server {
    fn pid(&self) -> Result<u32> {
        match &self.process {
            Process::Program(program) => program.pid(),
            Process::Silent(child) => child.id().context("the tracker has ended"),
        }
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        process::cpu(self.pid()?)
    }

    pub(crate) fn resident(&self) -> Result<u64> {
        process::resident(self.pid()?)
    }
}

/// Those that are asked for, or else those that are installed.
pub(crate) fn present(arguments: &Arguments, door: Door) -> Vec<Contender> {
    match arguments.contenders.as_slice() {
        [] => {
            let all = Contender::value_variants().iter().copied();
            all.filter(|contender| *contender != Contender::Aquatic || aquatic(arguments, door).is_some())
                .collect()
        }
        some => some.to_vec(),
    }
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Causeway => "Causeway",
            Self::Aquatic => "aquatic",
            Self::Reference => "bittorrent-tracker",
        }
    }

    /// Starts it, with bounds on what one address may do out of the way.
    pub(crate) async fn start(self, arguments: &Arguments, door: Door) -> Result<Server> {
        match self {
            Self::Causeway => start_causeway(arguments, &[]).await,
            Self::Aquatic => start_aquatic(arguments, door).await,
            Self::Reference => start_reference(door).await,
        }
    }
}

/// Ours, with further arguments.
pub(crate) async fn start_causeway(arguments: &Arguments, more: &[&str]) -> Result<Server> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("causeway"));
    let path = arguments.causeway.clone().or_else(beside).context("no path")?;
    let mut command = Command::new(&path);
    command
        .args(["tracker", "--listen", "127.0.0.1:0", "--requests-per-second", "0"])
        .args([
            "--max-connections-per-address",
            "1000000",
            "--max-tcp-per-address",
            "1000000",
            "--messages-per-second-per-address",
            "0",
            "--max-members-per-address",
            "3000000",
        ])
        .args(more);
    let (program, address) = Program::start("causeway", command, "listening on http://")
        .await
        .context("build it with `cargo build --release -p causeway`")?;
    Ok(Server {
        process: Process::Program(program),
        address: address.trim().parse()?,
        _folder: None,
    })
}

async fn start_reference(door: Door) -> Result<Server> {
    let mut command = Command::new("node");
    let name = match door {
        Door::WebSocket => "ws",
        Door::Udp => "udp",
        Door::Http => "http",
    };
    command
        .args(["src/tracker.mjs", "0", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let (program, url) = Program::start("bittorrent-tracker", command, "listening on ").await?;
    let (_, address) = url.trim().split_once("://").context("no URL")?;
    Ok(Server {
        process: Process::Program(program),
        address: address.parse()?,
        _folder: None,
    })
}

async fn start_aquatic(arguments: &Arguments, door: Door) -> Result<Server> {
    let path = aquatic(arguments, door).with_context(|| {
        let name = door.aquatic();
        format!("{name} is not installed: `cargo install {name} --version 0.9.0`, or --aquatic FOLDER")
    })?;
    // It does not say which port it took.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let folder = TempDir::with_prefix("causeway-bench-")?;
    let config = folder.path().join("aquatic.toml");
    // The UDP tracker has no swarm workers of its own.
    let workers = match door {
        Door::Udp => "socket_workers = 1",
        Door::WebSocket | Door::Http => "socket_workers = 1\nswarm_workers = 1",
    };
    fs::write(
        &config,
        format!("{workers}\nlog_level = \"info\"\n[network]\naddress = \"{address}\"\n"),
    )?;
    let mut command = Command::new(path);
    let output = File::create(folder.path().join("log"))?;
    command.arg("-c").arg(&config).kill_on_drop(true);
    let child = command.stdout(output.try_clone()?).stderr(output).spawn()?;
    let server = Server {
        process: Process::Silent(child),
        address,
        _folder: Some(folder),
    };
    if door == Door::Udp {
        sleep(Duration::from_secs(1)).await;
        return Ok(server);
    }
    for _ in 0..100 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(server);
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("aquatic does not listen on {address}");
}

fn aquatic(arguments: &Arguments, door: Door) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<_> = std::env::split_paths(&path).collect();
    let folders = arguments.aquatic.iter().map(PathBuf::as_path);
    folders
        .chain(on_path.iter().map(Path::new))
        .map(|folder| folder.join(door.aquatic()))
        .find(|path| path.is_file())
}
