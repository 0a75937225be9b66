//! One member of a message: checked here, so that a wrong one can be named in the error while the rest of the
//! message is known already.

use super::Fault;
use super::twenty::Twenty;
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A member as it came; `None` where it is absent or `null`.
pub(super) type Member<'a> = Option<&'a RawValue>;

/// A string that borrows from the message where it has no escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Reads the members of a message.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    if text.len() > super::MAX_MESSAGE_BYTES {
        return Err(Fault::TooLong { length: text.len() });
    }
    // serde would take an array for a struct, too.
    if !text.trim_start().starts_with('{') {
        return Err(Fault::NotAnObject("it does not begin with a brace".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| Fault::NotAnObject(error.to_string()))
}

pub(super) fn required<T>(value: Option<T>, member: &'static str) -> Result<T, Fault> {
    value.ok_or(Fault::Missing(member))
}

/// Twenty bytes.
pub(super) fn twenty<T: From<Twenty>>(raw: Member<'_>, member: &'static str) -> Result<Option<T>, Fault> {
    let parse = |raw: &RawValue| serde_json::from_str::<Twenty>(raw.get());
    match raw.map(parse).transpose() {
        Ok(twenty) => Ok(twenty.map(T::from)),
        Err(_) => Err(Fault::Malformed {
            member,
            expected: Twenty::EXPECTED,
        }),
    }
}

/// A string.
pub(super) fn text<'a>(raw: Member<'a>, member: &'static str) -> Result<Option<Cow<'a, str>>, Fault> {
    let parse = |raw: &'a RawValue| serde_json::from_str::<Text<'a>>(raw.get());
    match raw.map(parse).transpose() {
        Ok(text) => Ok(text.map(|text| text.0)),
        Err(_) => Err(Fault::Malformed {
            member,
            expected: "a string",
        }),
    }
}

/// A number of something; a negative one means 'unknown'. A fraction is cut off: these numbers are statistics,
/// not worth a refusal.
pub(super) fn count(raw: Member<'_>, member: &'static str) -> Result<Option<u64>, Fault> {
    let parse = |raw: &RawValue| serde_json::from_str::<Number>(raw.get());
    match raw.map(parse).transpose() {
        Ok(number) => Ok(number.as_ref().and_then(whole)),
        Err(_) => Err(Fault::Malformed {
            member,
            expected: "a number",
        }),
    }
}

/// Like [`count`]; a larger number than fits becomes the largest that does.
pub(super) fn small_count(raw: Member<'_>, member: &'static str) -> Result<Option<u32>, Fault> {
    let count = count(raw, member)?;
    Ok(count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
}

fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| *float >= 0.0)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is not negative"
        )]
        let whole = float as u64;
        Some(whole)
    })
}
