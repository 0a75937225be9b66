//! Where the members of a JSON object lie, and what its strings and numbers are.
//!
//! `serde_json` checks a text as a whole, and keeps what is passed on as it came; inside of a checked text this module
//! only has to find its way. Nothing here is generic over what is read: deserializers that are compiled anew for every
//! structure, with the floating-point numbers that no message needs, were a fifteenth of the page's weight.

use std::borrow::Cow;

/// The members of the object that a checked JSON text is, in their order: their names, and their values as they came.
/// Nothing where the text is no object, or has a name that is not Unicode (half a surrogate pair).
pub(super) fn members(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut rest = text.trim_start_matches(WHITESPACE).strip_prefix('{')?;
    let mut members = Vec::new();
    loop {
        rest = rest.trim_start_matches(SEPARATORS);
        if rest.starts_with('}') {
            return Some(members);
        }
        let (name, after) = split_value(rest)?;
        let (value, after) = split_value(after.trim_start_matches(SEPARATORS))?;
        members.push((string(name)?, value));
        rest = after;
    }
}

/// The string that a checked JSON value is; nothing where it is no string, or not Unicode.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut string = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        string.push_str(before);
        let mut chars = after.chars();
        let escaped = match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => unicode(&mut chars)?,
            other => other,
        };
        string.push(escaped);
        rest = chars.as_str();
    }
    string.push_str(rest);
    Some(Cow::Owned(string))
}

/// The whole number that a checked JSON number is: a fraction is cut off, what is too large becomes the largest number,
/// and a negative one is nothing. An error where the value is no number.
pub(super) fn whole(value: &str) -> Result<Option<u64>, ()> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(());
    }
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.trim_start_matches('+');
    // An exponent that doesn't fit is out of all proportion, whatever it is.
    let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    });
    // The point moves through the digits; behind the last one stand zeros.
    let length = i64::try_from(whole.len()).unwrap_or(i64::MAX);
    let length = length.saturating_add(exponent).max(0);
    let digits = whole.bytes().chain(fraction.bytes());
    let mut number = 0_u64;
    let mut place = 0;
    for digit in digits {
        if place == length {
            break;
        }
        number = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        place += 1;
    }
    // Twenty more are more than any number has.
    for _ in 0..length.saturating_sub(place).min(20) {
        number = number.saturating_mul(10);
    }
    Ok((!value.starts_with('-') || number == 0).then_some(number))
}

/// The value at the start of a checked text, and what comes after it.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut is_string = false;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if is_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    is_string = false;
                    if depth == 0 {
                        return text.split_at_checked(at + 1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => is_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => {
                return text.split_at_checked(at);
            }
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return text.split_at_checked(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The character of `uXXXX`, or of two of them that are a surrogate pair.
fn unicode(chars: &mut core::str::Chars<'_>) -> Option<char> {
    let first = unit(chars)?;
    if let Some(char) = char::from_u32(first) {
        return Some(char);
    }
    (chars.next() == Some('\\') && chars.next() == Some('u')).then_some(())?;
    let units = [u16::try_from(first).ok()?, u16::try_from(unit(chars)?).ok()?];
    char::decode_utf16(units).next()?.ok()
}

fn unit(chars: &mut core::str::Chars<'_>) -> Option<u32> {
    let digits = chars.as_str().get(..4)?;
    *chars = chars.as_str().get(4..)?.chars();
    u32::from_str_radix(digits, 16).ok()
}

const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// What stands between the names and values of a checked object.
const SEPARATORS: [char; 6] = [' ', '\t', '\n', '\r', ',', ':'];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn numbers_are_cut_off_and_bounded() {
        let table = [
            ("0", Ok(Some(0))),
            ("-0", Ok(Some(0))),
            ("-0.9", Ok(Some(0))),
            ("18446744073709551615", Ok(Some(u64::MAX))),
            ("18446744073709551616", Ok(Some(u64::MAX))),
            ("-1", Ok(None)),
            ("1.99", Ok(Some(1))),
            ("1.5e1", Ok(Some(15))),
            ("12.345E+2", Ok(Some(1234))),
            ("1e3", Ok(Some(1000))),
            ("1234e-2", Ok(Some(12))),
            ("1e-9", Ok(Some(0))),
            ("1e999999999999999999999", Ok(Some(u64::MAX))),
            ("1e-999999999999999999999", Ok(Some(0))),
            ("0e99", Ok(Some(0))),
            ("\"1\"", Err(())),
            ("true", Err(())),
            ("[1]", Err(())),
        ];
        for (text, number) in table {
            assert_eq!(whole(text), number, "{text}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_no_string() {
        for text in [
            r#""\ud800""#,
            r#""\ud800x""#,
            r#""\ud800\n""#,
            r#""\udc00""#,
            r#""\ud800\ud800""#,
        ] {
            assert_eq!(string(text), None, "{text}");
        }
        assert_eq!(
            string(r#""\ud83d\ude00\/\"\u00e9""#).as_deref(),
            Some("\u{1f600}/\"é")
        );
        assert_eq!(string("12"), None);
    }

    proptest! {
        #[test]
        fn members_and_strings_are_those_that_serde_json_reads(
            value in value(),
            spaced: bool,
        ) {
            let text = if spaced { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.expect("JSON");
            let found = members(&text);
            let Value::Object(object) = &value else {
                prop_assert!(found.is_none());
                prop_assert_eq!(string(&text).as_deref(), value.as_str());
                return Ok(());
            };
            let found = found.expect("an object");
            prop_assert_eq!(found.len(), object.len());
            for (name, text) in found {
                let value: Value = serde_json::from_str(text).expect("a value");
                prop_assert_eq!(Some(&value), object.get(name.as_ref()));
            }
        }

        #[test]
        fn texts_that_nobody_has_checked_never_panic(text in r#"[\[\]{}":,\\ua0 1\-e.]{0,40}"#) {
            drop((members(&text), string(&text), whole(&text)));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            r#"[\\"{}\[\],:\n é]{0,8}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
