//! The `offers` of an announce: the largest part of the messages that a tracker reads, so it is looked through
//! no more often than needed.
//!
//! What is no offer is left out instead of refused: bittorrent-tracker's process ends on `[null]`, so clients
//! that send such things find trackers that bear it.

use super::field::Text;
use super::twenty::Twenty;
use super::{DescriptionKind, MAX_OFFERS, OfferItem};
use core::fmt;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The offers of an announce.
pub(super) enum Offers<'a> {
    /// At most [`MAX_OFFERS`]; none where they are absent or `null`.
    List(Vec<OfferItem<'a>>),
    /// The member is no array.
    NoArray,
}

impl Default for Offers<'_> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Offers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OffersVisitor)
    }
}

/// The visits of values that are neither objects nor arrays, nor `null`.
macro_rules! visit_plain_values {
    ($outcome:expr) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok($outcome)
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($outcome)
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($outcome)
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($outcome)
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok($outcome)
        }
    };
}

struct OffersVisitor;

impl<'de> Visitor<'de> for OffersVisitor {
    type Value = Offers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut offers = Vec::new();
        while offers.len() < MAX_OFFERS
            && let Some(Item(item)) = items.next_element()?
        {
            offers.extend(item);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Offers::List(offers))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Offers::NoArray)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Offers::default())
    }

    visit_plain_values!(Offers::NoArray);
}

/// An item of the array; `None` where it is no offer.
struct Item<'a>(Option<OfferItem<'a>>);

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut id, mut offer) = (None::<&RawValue>, None);
        while let Some(Text(name)) = members.next_key()? {
            match name.as_ref() {
                "offer_id" => id = Some(members.next_value()?),
                "offer" => offer = Some(members.next_value()?),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let item = || {
            let (id, offer) = (serde_json::from_str::<Twenty>(id?.get()).ok()?, offer?);
            DescriptionKind::Offer.sdp(offer)?;
            Some(OfferItem {
                offer_id: id.into(),
                offer,
            })
        };
        Ok(Item(item()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Item(None))
    }

    visit_plain_values!(Item(None));
}
