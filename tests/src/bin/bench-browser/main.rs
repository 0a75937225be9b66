//! What the page costs and how fast it is, beside npm's `webtorrent` in a page and a bare data channel, all in one
//! run and in alternation, so that the ratios hold whatever else the machine does.
//!
//! `cargo xtask bench browser [--only rate,disk,memory,share,first-piece,weight] [--rounds N]`

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

mod contender;
mod figures;
mod first_piece;
mod memory;
mod rate;
mod sharing;
mod weight;

use std::path::PathBuf;

use anyhow::Result;
use causeway_tests::server::{ReferenceTracker, Server};
use causeway_tests::site::Site;
use clap::{Parser, ValueEnum};
use tempfile::TempDir;

use crate::contender::Contender;

/// Measures the page against npm's `webtorrent` and a bare data channel.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure, separated by commas; everything by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Who is measured, separated by commas; everybody by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// The folder with the built page, for its weight.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist"))]
    dist: PathBuf,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Page to page, 200 MB, private contexts of one browser: rate and CPU.
    Rate,
    /// Page to page, 1 GB, two browsers with storage on disk: rate and CPU.
    Disk,
    /// Memory of the downloading browser during 2 GB with storage on disk.
    Memory,
    /// Sharing a 1 GB file: until the link is there, and clicks meanwhile.
    Share,
    /// From opening a link to the first verified piece.
    FirstPiece,
    /// What a browser loads to show the page, compressed.
    Weight,
}

/// What every measurement uses.
#[derive(Debug)]
struct Bench {
    rounds: usize,
    contenders: Vec<Contender>,
    site: Site,
    /// Our server, where we are a contender.
    server: Option<Server>,
    /// The tracker where we are none.
    reference: Option<ReferenceTracker>,
    folder: TempDir,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(measure(arguments))
}

async fn measure(arguments: Arguments) -> Result<()> {
    let contenders = match arguments.contenders.as_slice() {
        [] => Contender::value_variants().to_vec(),
        some => some.to_vec(),
    };
    let figures = match arguments.only.as_slice() {
        [] => Figure::value_variants(),
        some => some,
    };
    let ours = contenders.contains(&Contender::Causeway);
    let bench = Bench {
        rounds: arguments.rounds,
        contenders,
        site: Site::start().await?,
        server: if ours {
            Some(Server::start(&[]).await?)
        } else {
            None
        },
        reference: if ours {
            None
        } else {
            Some(ReferenceTracker::start().await?)
        },
        folder: TempDir::with_prefix("causeway-bench-")?,
    };
    for figure in figures {
        match figure {
            Figure::Rate => rate::private(&bench).await?,
            Figure::Disk => rate::disk(&bench).await?,
            Figure::Memory => memory::measure(&bench).await?,
            Figure::Share => sharing::measure(&bench).await?,
            Figure::FirstPiece => first_piece::measure(&bench).await?,
            Figure::Weight => weight::measure(&arguments.dist)?,
        }
    }
    Ok(())
}

impl Bench {
    /// The tracker that everybody uses.
    fn tracker(&self) -> String {
        match (&self.server, &self.reference) {
            (Some(server), _) => server.tracker(),
            (None, Some(reference)) => reference.url().to_owned(),
            (None, None) => String::new(),
        }
    }

    /// A file of so many megabytes (10^6 bytes) to share.
    fn file(&self, megabytes: u32) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{megabytes}.bin"));
        let length = u64::from(megabytes) * 1_000_000;
        if path.exists() {
            Ok(path)
        } else {
            causeway_tests::files::generate(&path, length, length)
        }
    }

    /// Those of the contenders that share files, which a bare channel does not.
    fn sharers(&self) -> impl Iterator<Item = Contender> {
        self.contenders
            .iter()
            .copied()
            .filter(|contender| *contender != Contender::Channel)
    }
}
