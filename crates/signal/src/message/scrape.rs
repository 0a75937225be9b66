//! Counts of swarms, asked for and told.

use super::field::{Member, small_count};
use super::twenty::Twenty;
use super::{Action, Fault, SwarmCounts};
use causeway_core::InfoHash;
use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

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
pub(super) fn files(raw: &RawValue) -> Result<BTreeMap<InfoHash, SwarmCounts>, Fault> {
    #[derive(Deserialize)]
    struct Counts<'a> {
        #[serde(borrow, default)]
        complete: Member<'a>,
        #[serde(borrow, default)]
        incomplete: Member<'a>,
        #[serde(borrow, default)]
        downloaded: Member<'a>,
    }
    let wrong = |_| Fault::Malformed {
        member: "files",
        expected: "an object of counts by info-hash",
    };
    let files: BTreeMap<Twenty, Counts<'_>> = serde_json::from_str(raw.get()).map_err(wrong)?;
    let swarm = |(info_hash, counts): (Twenty, Counts<'_>)| {
        let counts = SwarmCounts {
            complete: small_count(counts.complete, "complete")?.unwrap_or(0),
            incomplete: small_count(counts.incomplete, "incomplete")?.unwrap_or(0),
            downloaded: small_count(counts.downloaded, "downloaded")?.unwrap_or(0),
        };
        Ok((InfoHash::from(info_hash), counts))
    };
    files.into_iter().map(swarm).collect()
}

/// The `files` of a reply, to be written.
pub(super) struct FilesOut<'a>(pub(super) &'a BTreeMap<InfoHash, SwarmCounts>);

impl Serialize for FilesOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(info_hash, counts)| (Twenty::from(*info_hash), counts)),
        )
    }
}
