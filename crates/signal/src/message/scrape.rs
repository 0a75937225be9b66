//! Counts of swarms, asked for and told.

use super::field::{Member, Object, small_count};
use super::twenty::Twenty;
use super::{Action, Fault, SwarmCounts};
use causeway_core::InfoHash;
use serde::Serialize as DeriveSerialize;
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The swarms that a scrape asks for: one, several, or, where the member is absent, all.
pub(super) fn info_hashes(raw: Member<'_>) -> Result<Vec<InfoHash>, Fault> {
    let Some(raw) = raw.map(RawValue::get) else {
        return Ok(Vec::new());
    };
    let several = if raw.starts_with('[') {
        serde_json::from_str::<Vec<Twenty>>(raw)
    } else {
        serde_json::from_str::<Twenty>(raw).map(|one| vec![one])
    };
    match several {
        Ok(several) => Ok(several.into_iter().map(InfoHash::from).collect()),
        Err(_) => Err(Fault::Malformed {
            member: "info_hash",
            expected: Twenty::EXPECTED,
        }),
    }
}

#[derive(DeriveSerialize)]
pub(super) struct ScrapeOut {
    action: Action,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    info_hash: Vec<Twenty>,
}

impl From<&[InfoHash]> for ScrapeOut {
    fn from(info_hashes: &[InfoHash]) -> Self {
        let info_hash = info_hashes.iter().copied().map(Twenty::from).collect();
        Self {
            action: Action::Scrape,
            info_hash,
        }
    }
}

/// The `files` of a reply.
pub(super) fn files(raw: &RawValue) -> Result<Vec<(InfoHash, SwarmCounts)>, Fault> {
    let wrong = || Fault::Malformed {
        member: "files",
        expected: "an object of counts by info-hash",
    };
    let swarms = Object::of(raw.get()).map_err(|_| wrong())?;
    let swarm = |(name, counts): (&str, &str)| {
        let info_hash = Twenty::from_text(name).ok_or_else(wrong)?;
        let counts = Object::of(counts).map_err(|_| wrong())?;
        let count = |member| Ok(small_count(counts.member(member)?, member)?.unwrap_or(0));
        let counts = SwarmCounts {
            complete: count("complete")?,
            incomplete: count("incomplete")?,
            downloaded: count("downloaded")?,
        };
        Ok((InfoHash::from(info_hash), counts))
    };
    swarms.iter().map(swarm).collect()
}

/// The `files` of a reply, to be written.
pub(super) struct FilesOut<'a>(pub(super) &'a [(InfoHash, SwarmCounts)]);

impl Serialize for FilesOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(info_hash, counts)| (Twenty::from(*info_hash), counts)),
        )
    }
}
