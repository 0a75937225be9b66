//! One member of a message: checked here, so that a wrong one can be named in the error while the rest of the
//! message is known already.

use super::twenty::Twenty;
use super::{Fault, json};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A member as it came; `None` where it is absent or `null`.
pub(super) type Member<'a> = Option<&'a RawValue>;

/// A string that borrows from the message where it has no escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The members of an object, as they came.
pub(super) struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    /// Reads a message.
    pub(super) fn parse(text: &'a str) -> Result<Self, Fault> {
        check_length(text)?;
        let checked: &RawValue = serde_json::from_str(text).map_err(|error| not_an_object(&error))?;
        Self::of(checked.get())
    }

    /// Reads a value of a message that has been checked.
    pub(super) fn of(text: &'a str) -> Result<Self, Fault> {
        let members = json::members(text);
        let members = members.ok_or_else(|| Fault::NotAnObject("it has no members".to_owned()))?;
        Ok(Self { members })
    }

    /// The member of this name. To name one twice is an error: readers disagree about which one counts.
    pub(super) fn member(&self, name: &str) -> Result<Member<'a>, Fault> {
        let mut named = self.members.iter().filter(|(member, _)| member == name);
        let first = named.next();
        if named.next().is_some() {
            return Err(Fault::NotAnObject(format!("it has two members '{name}'")));
        }
        let value = first.map(|(_, value)| *value).filter(|value| *value != "null");
        let raw = value.map(serde_json::from_str::<&RawValue>).transpose();
        raw.map_err(|error| not_an_object(&error))
    }

    /// All members, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

/// Reads the members of a message into a structure that has them all.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    check_length(text)?;
    // serde would take an array for a struct, too.
    if !text.trim_start().starts_with('{') {
        return Err(Fault::NotAnObject("it does not begin with a brace".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| not_an_object(&error))
}

fn check_length(text: &str) -> Result<(), Fault> {
    if text.len() > super::MAX_MESSAGE_BYTES {
        return Err(Fault::TooLong { length: text.len() });
    }
    Ok(())
}

fn not_an_object(error: &serde_json::Error) -> Fault {
    Fault::NotAnObject(error.to_string())
}

pub(super) fn required<T>(value: Option<T>, member: &'static str) -> Result<T, Fault> {
    value.ok_or(Fault::Missing(member))
}

/// Twenty bytes.
pub(super) fn twenty<T: From<Twenty>>(raw: Member<'_>, member: &'static str) -> Result<Option<T>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let twenty = json::string(raw.get()).and_then(|text| Twenty::from_text(&text));
    let twenty = twenty.ok_or(Fault::Malformed {
        member,
        expected: Twenty::EXPECTED,
    })?;
    Ok(Some(twenty.into()))
}

/// A string.
pub(super) fn text<'a>(raw: Member<'a>, member: &'static str) -> Result<Option<Cow<'a, str>>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let text = json::string(raw.get()).ok_or(Fault::Malformed {
        member,
        expected: "a string",
    })?;
    Ok(Some(text))
}

/// A number of something; a negative one means 'unknown'. A fraction is cut off: these numbers are statistics,
/// not worth a refusal.
pub(super) fn count(raw: Member<'_>, member: &'static str) -> Result<Option<u64>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    json::whole(raw.get()).map_err(|()| Fault::Malformed {
        member,
        expected: "a number",
    })
}

/// Like [`count`]; a larger number than fits becomes the largest that does.
pub(super) fn small_count(raw: Member<'_>, member: &'static str) -> Result<Option<u32>, Fault> {
    let count = count(raw, member)?;
    Ok(count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
}
