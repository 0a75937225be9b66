//! The servers that pages talk to: ours and the reference tracker.

use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::program::{Log, Program};

/// What both servers write when they are ready, before their address.
const READY: &str = "listening on ";

/// `causeway serve`, as built. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    program: Program,
    origin: String,
    arguments: Vec<String>,
    data: TempDir,
}

impl Server {
    /// Starts it on a free port with these further arguments.
    ///
    /// # Errors
    /// When it isn't built or doesn't start.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        Self::with_ice(&[&["--no-ice-servers"], arguments].concat()).await
    }

    /// The same, with the ICE servers that the arguments name.
    ///
    /// # Errors
    /// When it isn't built or doesn't start.
    pub async fn with_ice(arguments: &[&str]) -> Result<Self> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let data = TempDir::with_prefix("causeway-server-")?;
        Self::listen("127.0.0.1:0", arguments, data).await
    }

    async fn listen(address: &str, arguments: Vec<String>, data: TempDir) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command
            .args(["serve", "--listen", address, "--data-dir"])
            .arg(data.path());
        command.args(&arguments);
        let (program, origin) = Program::start("causeway", command, READY).await?;
        Ok(Self {
            program,
            origin,
            arguments,
            data,
        })
    }

    /// The page's origin, like `http://127.0.0.1:1234`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its tracker's address.
    #[must_use]
    pub fn tracker(&self) -> String {
        format!("{}/announce", self.origin.replacen("http", "ws", 1))
    }

    /// Ends it as an operator would, and says how to start it again.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(self) -> Result<(Stopped, ExitStatus)> {
        let status = self.program.stop().await?;
        let address = self.origin.trim_start_matches("http://").to_owned();
        Ok((
            Stopped {
                address,
                arguments: self.arguments,
                data: self.data,
            },
            status,
        ))
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }
}

/// A server that was stopped.
#[derive(Debug)]
pub struct Stopped {
    address: String,
    arguments: Vec<String>,
    data: TempDir,
}

impl Stopped {
    /// Starts it again on the same port.
    ///
    /// # Errors
    /// When it doesn't start.
    pub async fn start(self) -> Result<Server> {
        Server::listen(&self.address, self.arguments, self.data).await
    }
}

/// npm's `bittorrent-tracker` as a WebSocket server. Dropping it kills it.
#[derive(Debug)]
pub struct ReferenceTracker {
    program: Program,
    url: String,
}

impl ReferenceTracker {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When Node or the packages of `package.json` aren't installed.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new("node");
        command
            .arg("src/tracker.mjs")
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let (program, url) = Program::start("bittorrent-tracker", command, READY)
            .await
            .context("Node with the packages of tests/package.json is needed: run `cargo xtask setup`")?;
        Ok(Self { program, url })
    }

    /// Its address, `ws://...`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }
}

/// The program under test: `CAUSEWAY_BIN`, or the one that was built beside this test.
///
/// # Errors
/// When it isn't built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CAUSEWAY_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let built = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("causeway"))
        .find(|path| path.is_file());
    built.context("the causeway program is not built: `cargo xtask test` does that, or set CAUSEWAY_BIN")
}
