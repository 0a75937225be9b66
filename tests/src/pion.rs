//! A peer on pion, the WebRTC of clients in Go: `pion/main.go`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use causeway_core::Metainfo;
use tokio::process::Command;

use crate::program::{Log, Program};

/// A running peer. Dropping it kills it.
#[derive(Debug)]
pub struct Pion {
    program: Program,
}

impl Pion {
    /// Gives this file, the one of a torrent, or gets it where it isn't there.
    ///
    /// # Errors
    /// When it doesn't start, or can't be told about the torrent.
    pub async fn start(torrent: &Path, tracker: &str, file: &Path) -> Result<Self> {
        let metainfo = Metainfo::from_bytes(&fs::read(torrent)?)?;
        let (info, geometry) = (metainfo.info(), metainfo.info().geometry());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".pion-peer");
        let mut command = Command::new(program);
        command
            .args([tracker, &info.info_hash().to_string()])
            .args([geometry.total_length(), geometry.piece_length().into()].map(|number| number.to_string()))
            .arg(file);
        let (program, _) = Program::start("pion", command, "announced")
            .await
            .context("the peer on pion is needed: run `cargo xtask setup`")?;
        Ok(Self { program })
    }

    /// What it writes.
    #[must_use]
    pub fn log(&self) -> Log {
        self.program.log()
    }

    /// Waits until it has everything.
    ///
    /// # Errors
    /// When that takes longer.
    pub async fn complete(&mut self, within: Duration) -> Result<()> {
        self.program.says("complete", within).await
    }
}
