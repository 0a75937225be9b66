//! `cargo xtask bench bridge`: the native peer beside libtorrent over TCP, its web seed beside its data channels into our page, in
//! alternation, and how soon it passes on what it gets.
//!
//! Rates are counted from the start of the downloading program to its word that everything is there and verified. CPU time
//! and the most memory are those of the one program that is named.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

mod page;
mod passing;
mod tcp;

use anyhow::Result;
use clap::{Parser, ValueEnum};

#[derive(Debug, Parser)]
struct Arguments {
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,

    /// The length of the file that goes over TCP, in MiB
    #[arg(long, default_value_t = 1024)]
    mebibytes: u32,

    /// The length of the file that goes to the page, in megabytes
    #[arg(long, default_value_t = 200)]
    megabytes: u32,

    /// Measure a part alone
    #[arg(long, value_enum)]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Tcp,
    WebSeed,
    Passing,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wants = |part| arguments.only.is_none_or(|only| only == part);
    if wants(Part::Tcp) {
        tcp::measure(arguments.rounds, arguments.mebibytes).await?;
    }
    if wants(Part::WebSeed) {
        page::measure(arguments.rounds, arguments.megabytes).await?;
    }
    if wants(Part::Passing) {
        passing::measure().await?;
    }
    Ok(())
}

/// The middle one of an odd number of values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
