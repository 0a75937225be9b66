//! Choosing at random.

use core::ops::Range;

/// Adds up to `count` different places in `range` to `places`, without the place `except`, each set of them as likely as
/// any other, in time that does not depend on the size of the range (Floyd's algorithm).
pub(super) fn sample(
    rng: &mut fastrand::Rng,
    range: Range<usize>,
    except: Option<usize>,
    count: usize,
    places: &mut Vec<usize>,
) {
    let except = except.filter(|place| range.contains(place));
    let available = range.len() - usize::from(except.is_some());
    let first = places.len();
    for last in available - count.min(available)..available {
        let pick = range.start + rng.usize(..=last);
        let pick = if places[first..].contains(&pick) {
            range.start + last
        } else {
            pick
        };
        places.push(pick);
    }
    for place in &mut places[first..] {
        if except.is_some_and(|except| *place >= except) {
            *place += 1;
        }
    }
}
