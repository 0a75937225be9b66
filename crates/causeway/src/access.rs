//! The operator's lists of who may use the tracker, kept up to date with their files.

use core::str::FromStr;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use causeway_core::InfoHash;
use causeway_tracker::{Access, OriginRule};

use crate::settings::TrackerOptions;

/// Reads the lists.
pub(crate) fn read(options: &TrackerOptions) -> Result<Access> {
    let info_hashes = |path: &Option<_>| path.as_deref().map(info_hashes).transpose();
    let passkeys = options
        .passkeys
        .as_deref()
        .map(words)
        .transpose()?
        .unwrap_or_default();
    ensure!(
        passkeys.iter().all(|passkey| passkey.len() <= 128),
        "a passkey is longer than 128 bytes: choose a shorter one"
    );
    let (private, all_private) = options
        .private
        .as_deref()
        .map(private)
        .transpose()?
        .unwrap_or_default();
    Ok(Access {
        allowed: info_hashes(&options.allow)?,
        denied: info_hashes(&options.deny)?.unwrap_or_default(),
        private,
        all_private,
        passkeys,
        origins: options.origins.as_deref().map(origins).transpose()?,
    })
}

/// The files that [`read`] reads.
pub(crate) fn files(options: &TrackerOptions) -> impl Iterator<Item = &Path> {
    let all = [
        &options.allow,
        &options.deny,
        &options.private,
        &options.passkeys,
        &options.origins,
    ];
    all.into_iter().flatten().map(AsRef::as_ref)
}

/// The info-hashes in a file.
pub(crate) fn info_hashes(path: &Path) -> Result<HashSet<InfoHash>> {
    parsed(path)
}

/// The info-hashes in a file, and whether all others are meant, too.
fn private(path: &Path) -> Result<(HashSet<InfoHash>, bool)> {
    let torrents: Vec<Torrents> = parsed(path)?;
    let mut all = (HashSet::new(), false);
    for torrents in torrents {
        match torrents {
            Torrents::All => all.1 = true,
            Torrents::One(info_hash) => drop(all.0.insert(info_hash)),
        }
    }
    Ok(all)
}

enum Torrents {
    All,
    One(InfoHash),
}

impl FromStr for Torrents {
    type Err = <InfoHash as FromStr>::Err;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        if line == "*" {
            Ok(Self::All)
        } else {
            line.parse().map(Self::One)
        }
    }
}

fn origins(path: &Path) -> Result<Vec<OriginRule>> {
    parsed(path)
}

/// What is on the lines of a file.
fn parsed<T, C>(path: &Path) -> Result<C>
where
    T: FromStr<Err: core::error::Error + Send + Sync + 'static>,
    C: FromIterator<T>,
{
    let parse = |(number, line): (usize, &str)| {
        line.parse::<T>()
            .with_context(|| format!("line {} of {}", number + 1, path.display()))
    };
    lines(&text(path)?).map(parse).collect()
}

/// The words in a file, one on a line.
pub(crate) fn words(path: &Path) -> Result<HashSet<String>> {
    Ok(lines(&text(path)?).map(|(_, line)| line.to_owned()).collect())
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// What stands on the lines, with their indices; a `#` begins a comment.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
}
