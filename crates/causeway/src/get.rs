//! `causeway get`: download a torrent.

use core::time::Duration;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use causeway_bridge::{Addition, Bridge, Contents, Handle, Manner, Overwrite, Status, Subject};
use causeway_engine::State;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::native::{Network, runtime, stop};
use crate::progress::{Bar, progress};
use crate::show::plain;
use crate::sources::url;
use crate::stop::Stop;
use crate::subject::{selection, subject, with_trackers};

/// Download what a torrent file or a link names.
///
/// Files are called NAME.part until they are complete and verified. Interrupted, it goes on where it was when it is run again;
/// run again after the end, it checks what is there.
///
/// The exit status is 0 where everything is there and verified, 1 where it was interrupted before, 3 where the disk is full or
/// fails, 4 where nothing came for as long as --give-up says, and 2 where anything else is wrong. After 1, 3 and 4 what is
/// there is kept, and the same command goes on with it.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(crate) struct Arguments {
    /// A torrent file or its URL over http or https, a magnet link, a page's link, or an info-hash
    #[arg(value_name = "TORRENT|URL|MAGNET")]
    what: String,

    /// Folder for the files
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,

    /// Only files whose path matches, `*` standing for anything (may be repeated)
    #[arg(long, value_name = "GLOB")]
    select: Vec<String>,

    /// Fetch pieces in their order, so that what is there can be used from its beginning
    #[arg(long)]
    sequential: bool,

    /// Hash what an earlier run has left, whatever it kept of that
    #[arg(long)]
    recheck: bool,

    /// Go on with files that are there and aren't parts of an earlier download
    #[arg(long)]
    overwrite: bool,

    /// Take the whole space of a file on the disk when it is begun
    #[arg(long)]
    preallocate: bool,

    /// End with status 4 when nothing has come for so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    give_up: Option<u64>,

    /// URL of a further tracker, where the torrent is not private (may be repeated)
    #[arg(long = "tracker", value_name = "URL", value_parser = url)]
    trackers: Vec<String>,

    /// URL that serves the same files over HTTP (may be repeated)
    #[arg(long = "web-seed", value_name = "URL", value_parser = url)]
    web_seeds: Vec<String>,

    #[command(flatten)]
    network: Network,
}

/// How a download ended.
enum Outcome {
    Complete,
    Interrupted,
    StorageFailed(String),
    NothingCame,
}

/// Downloads.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let runtime = runtime()?;
    let result = runtime.block_on(get(arguments));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn get(arguments: &Arguments) -> Result<ExitCode> {
    let network = &arguments.network;
    let mut signals = Stop::install()?;
    let subject = tokio::select! {
        subject = subject(&arguments.what, arguments.network.proxy()?) => subject?,
        () = signals.wait() => return end(arguments, &Outcome::Interrupted, None),
    };
    let bridge = network.start(None).await?;
    let torrent = add(arguments, &bridge, subject).await?;
    let outcome = tokio::select! {
        outcome = watch(arguments, &bridge, &torrent) => outcome,
        () = signals.wait() => Ok(Outcome::Interrupted),
    };
    stop(bridge, &mut signals).await;
    let outcome = outcome.inspect_err(|error| {
        // Who does not read any more learns it from the status.
        let event = json!({"event": "error", "message": format!("{error:#}")});
        network.tell(&event).unwrap_or_default();
    });
    end(arguments, &outcome?, Some(&torrent))
}

async fn add(arguments: &Arguments, bridge: &Bridge, subject: Subject) -> Result<Handle> {
    let of_link = match &subject {
        Subject::Magnet(magnet) => magnet.peers.clone(),
        Subject::Metainfo(_) => Vec::new(),
    };
    let peers = arguments.network.peers(&of_link).await?;
    let overwrite = if arguments.overwrite {
        Overwrite::Allowed
    } else {
        Overwrite::Never
    };
    Ok(bridge.add(Addition {
        selection: selection(&arguments.select, &subject),
        subject: with_trackers(subject, &arguments.trackers),
        contents: Contents::Download {
            folder: arguments.output.clone(),
            overwrite,
            preallocate: arguments.preallocate,
        },
        peers,
        web_seeds: arguments.web_seeds.clone(),
        manner: Manner {
            is_sequential: arguments.sequential,
            is_rechecked: arguments.recheck,
        },
    })?)
}

/// Says how it ended.
fn end(arguments: &Arguments, outcome: &Outcome, torrent: Option<&Handle>) -> Result<ExitCode> {
    let (network, info) = (
        &arguments.network,
        torrent.and_then(|torrent| torrent.status().borrow().info.clone()),
    );
    let (event, sentence, status) = match outcome {
        Outcome::Complete => {
            let path = info.map_or_else(
                || arguments.output.clone(),
                |info| arguments.output.join(info.name()),
            );
            let info_hash = torrent.map(|torrent| torrent.info_hash().to_string());
            let sentence = format!("{} is complete", plain(&path.display().to_string()));
            (
                json!({"event": "complete", "infoHash": info_hash, "path": path}),
                sentence,
                0,
            )
        }
        Outcome::Interrupted => {
            let sentence = "interrupted: run it again to go on".to_owned();
            (json!({"event": "interrupted"}), sentence, 1)
        }
        Outcome::StorageFailed(error) => {
            let sentence =
                format!("the download has stopped: {error}. What is there is kept: run it again to go on");
            (json!({"event": "error", "message": sentence}), sentence, 3)
        }
        Outcome::NothingCame => {
            let sentence = "nothing has come for a while: run it again to go on".to_owned();
            (json!({"event": "error", "message": sentence}), sentence, 4)
        }
    };
    network.tell(&event)?;
    if !network.json {
        eprintln!("causeway: {sentence}");
    }
    Ok(ExitCode::from(status))
}

/// Shows how far it is, until everything is there or it can't go on.
async fn watch(arguments: &Arguments, bridge: &Bridge, torrent: &Handle) -> Result<Outcome> {
    let network = &arguments.network;
    let mut changes = torrent.status();
    let info_hash = torrent.info_hash().to_string();
    let listen = bridge.listen_address();
    network.tell(&json!({"event": "started", "infoHash": info_hash, "listen": listen}))?;
    let bar = Bar::new(network.json);
    let mut is_named = false;
    let mut patience = Patience::new(arguments.give_up);
    loop {
        let status = changes.borrow_and_update().clone();
        if let Some(info) = status.info.as_ref().filter(|_| !is_named) {
            is_named = true;
            let files: Vec<_> = info
                .files()
                .iter()
                .filter(|file| !file.is_padding())
                .map(|file| json!({"path": file.path(), "length": file.length()}))
                .collect();
            network.tell(
                &json!({"event": "metadata", "infoHash": info_hash, "name": info.name(),
                "length": info.geometry().total_length(), "files": files}),
            )?;
            bar.name(info);
        }
        network.tell(&progress(&status))?;
        bar.show(&status);
        if let State::Failed(error) = &status.state {
            return Ok(Outcome::StorageFailed(error.to_string()));
        }
        if status.is_done {
            ensure!(
                status.stats.wanted > 0 || is_empty(&status),
                "no file matches --select"
            );
            return Ok(Outcome::Complete);
        }
        patience.note(&status);
        tokio::select! {
            result = changes.changed() => if result.is_err() {
                bail!("the download has ended by itself, which is a fault of this program");
            },
            () = patience.ends() => return Ok(Outcome::NothingCame),
        }
    }
}

/// Whether there are no bytes to select at all.
fn is_empty(status: &Status) -> bool {
    let info = status.info.as_ref();
    info.is_some_and(|info| info.files().iter().all(|file| file.length() == 0))
}

/// How long nothing may come.
struct Patience {
    most: Option<Duration>,
    /// What was there when something came last, and when that was.
    last: (u64, u32, Instant),
}

impl Patience {
    fn new(seconds: Option<u64>) -> Self {
        Self {
            most: seconds.map(Duration::from_secs),
            last: (0, 0, Instant::now()),
        }
    }

    /// Bytes that come and pieces that are checked are progress, and so is the metadata.
    fn note(&mut self, status: &Status) {
        let numbers = &status.stats;
        let now = numbers.downloaded + u64::from(status.info.is_some());
        if (now, numbers.unchecked_pieces) != (self.last.0, self.last.1) {
            self.last = (now, numbers.unchecked_pieces, Instant::now());
        }
    }

    async fn ends(&self) {
        match self.most {
            Some(most) => sleep_until(self.last.2 + most).await,
            None => core::future::pending().await,
        }
    }
}
