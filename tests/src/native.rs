//! The native peer of ours, as people run it: `causeway seed` and `causeway get`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::program::{Log, Program};
use crate::server::binary;

/// What `causeway seed --json` writes when it is ready, up to its first value.
const READY: &str = r#"{"event":"ready","#;

/// `causeway seed`. Dropping it kills it.
#[derive(Debug)]
pub struct Seed {
    program: Program,
    /// The torrent's name, in hexadecimal figures.
    pub info_hash: String,
    /// The link to it, with the tracker.
    pub magnet: String,
}

impl Seed {
    /// Shares a file or folder over this tracker, with these further arguments.
    ///
    /// # Errors
    /// When the program isn't built or doesn't start.
    pub async fn start(path: &Path, tracker: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.arg("seed").arg(path).args(["--tracker", tracker]);
        command.args(NETWORK).args(arguments);
        let (program, rest) = Program::start("causeway seed", command, READY).await?;
        let ready: Value = serde_json::from_str(&format!("{{{rest}"))?;
        let text = |key: &str| {
            let value = ready[key].as_str().map(str::to_owned);
            value.with_context(|| format!("{ready} has no {key}"))
        };
        Ok(Self {
            info_hash: text("infoHash")?,
            magnet: text("magnet")?,
            program,
        })
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
}

/// Runs `causeway get` to its end; the folder that it has filled.
///
/// # Errors
/// When it fails, or takes longer: with what it wrote.
pub async fn get(link: &str, folder: &Path, arguments: &[&str], within: Duration) -> Result<PathBuf> {
    let mut command = Command::new(binary()?);
    command.args(["get", link, "-o"]).arg(folder);
    command.args(NETWORK).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(within, command.output())
        .await
        .with_context(|| format!("causeway get has not ended within {within:?}"))??;
    ensure!(
        output.status.success(),
        "causeway get has failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(folder.to_owned())
}

/// Nobody is found but over the tracker, and ports are chosen freely.
const NETWORK: [&str; 5] = [
    "--listen",
    "127.0.0.1:0",
    "--no-dht",
    "--no-local-discovery",
    "--json",
];
