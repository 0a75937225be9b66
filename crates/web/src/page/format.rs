//! Numbers as people read them: 10^6 bytes are a megabyte, and what isn't complete never reads as 100%.
//!
//! All arithmetic is on integers: formatting floating-point numbers would cost the page kilobytes of code.

/// `1.2 MB`, `123 MB`; whole bytes below 1000.
pub(super) fn bytes(count: f64) -> String {
    let count = whole(count);
    if count < 1000 {
        return format!("{count} B");
    }
    let mut unit = 1000;
    let mut names = ["kB", "MB", "GB", "TB"].into_iter().peekable();
    while let Some(name) = names.next() {
        let units = (count + unit / 2) / unit;
        if units < 1000 || names.peek().is_none() {
            let tenths = (count + unit / 20) / (unit / 10);
            return match tenths {
                0..1000 => format!("{}.{} {name}", tenths / 10, tenths % 10),
                _ => format!("{units} {name}"),
            };
        }
        unit *= 1000;
    }
    String::new()
}

/// `1.2 MB/s`.
pub(super) fn rate(bytes_a_second: f64) -> String {
    bytes(bytes_a_second) + "/s"
}

/// `45 s`, `3 min`, `2 h 5 min`, `4 days`.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = whole(seconds.ceil());
    let minutes = seconds.div_ceil(60);
    match seconds {
        0..=59 => format!("{} s", seconds.max(1)),
        60..3600 if minutes < 60 => format!("{minutes} min"),
        60..86_400 => format!("{} h {} min", minutes / 60, minutes % 60),
        86_400 => "1 day".to_owned(),
        86_401..8_640_000 => format!("{} days", seconds.div_ceil(86_400)),
        _ => "more than 100 days".to_owned(),
    }
}

/// `43%`, rounded down.
pub(super) fn percent(part: f64) -> String {
    format!("{}%", ten_thousandths(part) / 100)
}

/// `0.4375`, rounded down: `1` means complete.
pub(super) fn fraction(part: f64) -> String {
    match ten_thousandths(part) {
        0 => "0".to_owned(),
        10_000.. => "1".to_owned(),
        part => format!("0.{part:04}"),
    }
}

/// `1 peer`, `2 peers`, `100,000 files`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    let mut digits = number.to_string();
    let mut place = digits.len();
    while place > 3 {
        place -= 3;
        digits.insert(place, ',');
    }
    digits + " " + if number == 1 { one } else { many }
}

/// The part that `done` is of `length`; an empty file is complete.
pub(super) fn part(done: f64, length: f64) -> f64 {
    if length > 0.0 { done / length } else { 1.0 }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, and makes NaN 0"
)]
fn whole(number: f64) -> u64 {
    // 2^53, up to which an f64 tells neighbours apart.
    (number as u64).min(1 << 53)
}

fn ten_thousandths(part: f64) -> u64 {
    // A part that is a tenth of a millionth short of the next step by rounding counts as having reached it; only
    // what is complete counts as complete.
    if part >= 1.0 {
        10_000
    } else {
        whole(part * 10_000.0 + 1e-7).min(9_999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_leaves_one_to_three_digits() {
        let table = [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1000.0, "1.0 kB"),
            (1049.0, "1.0 kB"),
            (1050.0, "1.1 kB"),
            (99_949.0, "99.9 kB"),
            (99_950.0, "100 kB"),
            (999_499.0, "999 kB"),
            (999_500.0, "1.0 MB"),
            (1_048_576.0, "1.0 MB"),
            (209_715_200.0, "210 MB"),
            (10e9, "10.0 GB"),
            (1.5e12, "1.5 TB"),
            (5e15, "5000 TB"),
            (f64::NAN, "0 B"),
            (-5.0, "0 B"),
            (f64::INFINITY, "9007 TB"),
        ];
        for (count, text) in table {
            assert_eq!(bytes(count), text, "{count} bytes");
        }
        assert_eq!(rate(3.2e6), "3.2 MB/s");
    }

    #[test]
    fn times_are_as_exact_as_anybody_wants_to_know() {
        let table = [
            (0.0, "1 s"),
            (0.2, "1 s"),
            (44.1, "45 s"),
            (59.5, "1 min"),
            (61.0, "2 min"),
            (3540.0, "59 min"),
            (3599.0, "1 h 0 min"),
            (7500.0, "2 h 5 min"),
            (86_400.0, "1 day"),
            (90_000.0, "2 days"),
            (1e9, "more than 100 days"),
            (f64::INFINITY, "more than 100 days"),
        ];
        for (seconds, text) in table {
            assert_eq!(duration(seconds), text, "{seconds} s");
        }
    }

    #[test]
    fn only_what_is_complete_reads_as_complete() {
        let table = [
            (0.0, "0%", "0"),
            (0.0001, "0%", "0.0001"),
            (0.29, "29%", "0.2900"),
            (0.4375, "43%", "0.4375"),
            (0.999_999_999, "99%", "0.9999"),
            (1.0, "100%", "1"),
            (1.5, "100%", "1"),
            (-1.0, "0%", "0"),
            (f64::NAN, "0%", "0"),
        ];
        for (part, shown, exact) in table {
            assert_eq!(
                (percent(part).as_str(), fraction(part).as_str()),
                (shown, exact),
                "{part}"
            );
        }
    }

    #[test]
    fn counts_agree_with_their_nouns() {
        let table = [
            (0, "0 files"),
            (1, "1 file"),
            (999, "999 files"),
            (1000, "1,000 files"),
            (1_234_567, "1,234,567 files"),
        ];
        for (number, text) in table {
            assert_eq!(count(number, "file", "files"), text);
        }
    }

    #[test]
    fn an_empty_file_is_complete() {
        assert_eq!(fraction(part(0.0, 0.0)), "1");
        assert_eq!(fraction(part(1.0, 4.0)), "0.2500");
    }
}
