//! A relay for WebRTC: coturn.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::classic::own_address;
use crate::program::{Log, Program};

/// coturn with one account. Dropping it kills it.
#[derive(Debug)]
pub struct Turn {
    program: Program,
    address: SocketAddr,
    _folder: TempDir,
}

impl Turn {
    /// Starts it on the address by which others reach this machine, since browsers and peers relay for no loopback interface.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn start() -> Result<Self> {
        let folder = TempDir::with_prefix("causeway-turn-")?;
        let own: IpAddr = own_address()?.parse()?;
        // It takes no port 0, so it is given one that was free a moment ago.
        let port = UdpSocket::bind((own, 0))?.local_addr()?.port();
        let mut command = Command::new("turnserver");
        // Only one that tells all says when it is ready, and whom it has served.
        command.args(["-n", "-m", "1", "--verbose", "--no-tls", "--no-dtls", "--no-cli"]);
        command.arg("--allow-loopback-peers");
        command.args(["--lt-cred-mech", "--realm", "causeway.test"]);
        command.args(["--user", &format!("{USER}:{PASSWORD}"), "--log-file", "stdout"]);
        for (option, value) in [("listening", own), ("relay", own)] {
            command.args([format!("--{option}-ip"), IpAddr::to_string(&value)]);
        }
        command.args(["--listening-port", &port.to_string()]);
        for (option, name) in [("--pidfile", "pid"), ("--userdb", "accounts")] {
            command.arg(option).arg(folder.path().join(name));
        }
        let (program, address) = Program::start("coturn", command, "UDP listener opened on: ")
            .await
            .context("coturn is needed: run `cargo xtask setup`")?;
        Ok(Self {
            program,
            address: address.trim().parse()?,
            _folder: folder,
        })
    }

    /// The server and the account, as `--turn` takes them.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{USER}:{PASSWORD}@{}", self.address)
    }

    /// The same with a password that is wrong.
    #[must_use]
    pub fn wrong_account(&self) -> String {
        format!("{USER}:guess@{}", self.address)
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }
}

const USER: &str = "causeway";
const PASSWORD: &str = "between:shores";
