//! One file over TCP on loopback: each program as the one that downloads, and as the one that gives.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use causeway_tests::classic::{Classic, Client, Seed, getting};
use causeway_tests::files::{assert_same, generate};
use causeway_tests::processes::{cpu_seconds, most_resident};
use causeway_tests::program::Program;
use causeway_tests::torrents;
use tempfile::TempDir;

use crate::median;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Causeway,
    Libtorrent,
    Rqbit,
}

const ALL: [Who; 3] = [Who::Causeway, Who::Libtorrent, Who::Rqbit];

/// What one program needed for one transfer.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// MiB a second.
    rate: f64,
    /// Seconds of CPU for a GiB.
    cpu: f64,
    /// MiB at the most.
    memory: f64,
}

/// Prints the medians.
pub(crate) async fn measure(rounds: u32, mebibytes: u32) -> Result<()> {
    let folder = TempDir::with_prefix("causeway-bench-")?;
    let shared = folder.path().join("shared");
    let file = generate(&shared.join("file.bin"), u64::from(mebibytes) << 20, 1)?;
    let torrent = folder.path().join("file.torrent");
    fs::write(&torrent, torrents::of_file(&file)?)?;
    let setting = Setting {
        mebibytes: f64::from(mebibytes),
        folder: folder.path(),
        file: &file,
        torrent: &torrent,
    };
    println!(
        "TCP over loopback, {mebibytes} MiB, files in {}:",
        folder.path().display()
    );
    println!(
        "libtorrent maps files into its memory, which counts as resident; Causeway and rqbit read and write them"
    );
    let mut all = Vec::new();
    for _ in 0..rounds {
        for who in ALL {
            all.push((who, "down", setting.download(who).await?));
            all.push((who, "up", setting.upload(who).await?));
        }
    }
    println!("| | MiB/s | CPU s a GiB | most memory, MiB |");
    for direction in ["down", "up"] {
        for who in ALL {
            let of = |what: fn(&Figures) -> f64| {
                let these = all
                    .iter()
                    .filter(|(other, way, _)| *other == who && *way == direction);
                median(these.map(|(_, _, figures)| what(figures)).collect())
            };
            println!(
                "| {who:?}, {direction} | {:.0} | {:.2} | {:.0} |",
                of(|figures| figures.rate),
                of(|figures| figures.cpu),
                of(|figures| figures.memory)
            );
        }
    }
    Ok(())
}

struct Setting<'a> {
    mebibytes: f64,
    folder: &'a Path,
    file: &'a Path,
    torrent: &'a Path,
}

impl Setting<'_> {
    /// A program gets the file from libtorrent.
    async fn download(&self, who: Who) -> Result<Figures> {
        let mut seeder = self.libtorrent(&self.folder.join("shared"), None).await?;
        seeder.complete("file.bin", LIMIT).await?;
        let target = TempDir::new_in(self.folder)?;
        let peer = seeder.address().to_string();
        let started = Instant::now();
        let figures = match who {
            Who::Causeway => {
                let arguments = ["--peer", &peer, "--no-webrtc"];
                let mut command = getting(&self.torrent.display().to_string(), target.path(), &arguments)?;
                command.env_remove("RUST_LOG");
                let (mut program, _) = Program::start("get", command, "\"event\":\"started\"").await?;
                let pid = program.pid()?;
                // What is used up is looked at while it still runs: it says so many times a second how far it is.
                let watching = tokio::spawn(last_of(pid));
                program.says("\"event\":\"complete\"", LIMIT).await?;
                let took = started.elapsed();
                drop(program);
                let (cpu, memory) = watching.await?;
                self.figures(took, cpu, memory)
            }
            Who::Libtorrent | Who::Rqbit => {
                let mut leecher = match who {
                    Who::Rqbit => Classic::rqbit(self.torrent, target.path(), &peer).await?,
                    Who::Causeway | Who::Libtorrent => self.libtorrent(target.path(), Some(&peer)).await?,
                };
                let pid = leecher.pid()?;
                leecher.complete("file.bin", LIMIT).await?;
                self.figures(started.elapsed(), cpu_seconds(pid)?, most_resident(pid)?)
            }
        };
        assert_same(self.file, &target.path().join("file.bin"))?;
        Ok(figures)
    }

    /// A program gives the file to libtorrent.
    async fn upload(&self, who: Who) -> Result<Figures> {
        let target = TempDir::new_in(self.folder)?;
        let (seeder, address) = match who {
            Who::Causeway => {
                let arguments = [
                    "--no-webrtc",
                    "--torrent",
                    self.torrent.to_str().unwrap_or_default(),
                ];
                let seed = Seed::start(self.file, &self.folder.join("again.torrent"), &arguments).await?;
                let address = seed.address()?;
                (Seeder::Ours(seed), address)
            }
            Who::Libtorrent | Who::Rqbit => {
                let shared = self.folder.join("shared");
                let seed = match who {
                    // Once it is ready it has looked at its files.
                    Who::Rqbit => Classic::start(Client::Rqbit, self.torrent, &shared).await?,
                    Who::Causeway | Who::Libtorrent => {
                        let mut seed = self.libtorrent(&shared, None).await?;
                        seed.complete("file.bin", LIMIT).await?;
                        seed
                    }
                };
                let address = seed.address();
                (Seeder::Theirs(seed), address)
            }
        };
        let pid = match &seeder {
            Seeder::Ours(seed) => seed.pid()?,
            Seeder::Theirs(seed) => seed.pid()?,
        };
        let (before, started) = (cpu_seconds(pid)?, Instant::now());
        let mut leecher = self.libtorrent(target.path(), Some(&address.to_string())).await?;
        leecher.complete("file.bin", LIMIT).await?;
        Ok(self.figures(started.elapsed(), cpu_seconds(pid)? - before, most_resident(pid)?))
    }

    /// libtorrent over TCP alone, as it would not be of its own accord.
    async fn libtorrent(&self, folder: &Path, peer: Option<&str>) -> Result<Classic> {
        let connect = peer.map(|peer| format!("connect={peer}"));
        let mut settings = vec!["enable_outgoing_utp=0", "enable_incoming_utp=0"];
        settings.extend(connect.as_deref());
        Classic::libtorrent(self.torrent, folder, &settings).await
    }

    fn figures(&self, took: Duration, cpu: f64, memory: f64) -> Figures {
        Figures {
            rate: self.mebibytes / took.as_secs_f64(),
            cpu: cpu / (self.mebibytes / 1024.0),
            memory,
        }
    }
}

enum Seeder {
    Ours(Seed),
    Theirs(Classic),
}

/// What a process has used, as of its last moment that could be seen.
async fn last_of(pid: u32) -> (f64, f64) {
    let mut last = (0.0, 0.0);
    while let (Ok(cpu), Ok(memory)) = (cpu_seconds(pid), most_resident(pid)) {
        last = (cpu, memory);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    last
}

/// The longest that a transfer may take.
const LIMIT: Duration = Duration::from_mins(10);
