//! Counts of swarms, asked for and told.

use super::field::{Member, small_count};
use super::twenty::Twenty;
use super::{Action, Fault, SwarmCounts};
use causeway_core::InfoHash;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};
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
    let Entries(files) = serde_json::from_str::<Entries<Twenty, Counts<'_>>>(raw.get()).map_err(wrong)?;
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

/// The members of an object, in their order.
struct Entries<K, V>(Vec<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Entries<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Members<K, V> {
            type Value = Entries<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
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
