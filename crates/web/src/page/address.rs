//! Links: which texts are one, the one in the page's own address, and the address that a shared link starts with.

use leptos::prelude::window;

/// Whether a text that somebody pasted or dropped somewhere on the page is meant to be opened. (What is typed into
/// the field for it always is.)
pub(super) fn is_link(text: &str) -> bool {
    let text = text.trim();
    let starts_magnet = |text: &str| {
        text.get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("magnet:"))
    };
    let is_hash = match text.len() {
        40 => text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        32 => text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'2'..=b'7')),
        _ => false,
    };
    is_hash
        || starts_magnet(text)
        || text
            .split_once('#')
            .is_some_and(|(_, fragment)| starts_magnet(fragment))
}

/// The page's address as shared links continue it, with `#` and the magnet link.
pub(super) fn base(address: &str) -> &str {
    address.split(['#', '?']).next().unwrap_or_default()
}

/// The page's own address.
pub(super) fn current() -> String {
    window().location().href().unwrap_or_default()
}

/// The magnet link or info-hash that the page was opened with.
pub(super) fn link() -> Option<String> {
    let fragment = window().location().hash().ok()?;
    let fragment = fragment.strip_prefix('#')?;
    if is_link(fragment) {
        return Some(fragment.to_owned());
    }
    // Some messengers escape the whole fragment.
    let unescaped = js_sys::decode_uri_component(fragment).ok()?.as_string()?;
    is_link(&unescaped).then_some(unescaped)
}

/// Takes the link to this torrent out of the address, so that a reload doesn't bring the torrent back.
pub(super) fn forget(info_hash: &str) {
    if link().is_some_and(|link| link.to_ascii_lowercase().contains(info_hash))
        && let Ok(history) = window().history()
    {
        // A page that may not change its address keeps it.
        history
            .replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(base(&current())))
            .unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_from_other_text() {
        let links = [
            "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567",
            "  MAGNET:?dn=broken, and the worker says so ",
            "https://share.example/dir/#magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567",
            "0123456789ABCDEF0123456789abcdef01234567",
            "abcdefghijklmnopqrstuvwxyz234567",
        ];
        let others = [
            "",
            "main",
            "magnet",
            "see magnet: below",
            "0123456789abcdef0123456789abcdef0123456",
            "0123456789abcdef0123456789abcdef0123456g",
            "abcdefghijklmnopqrstuvwxyz234561",
            "https://share.example/#top",
            "äääääää",
        ];
        for text in links {
            assert!(is_link(text), "{text}");
        }
        for text in others {
            assert!(!is_link(text), "{text}");
        }
    }

    #[test]
    fn a_shared_link_starts_with_the_page_wherever_it_lies() {
        let table = [
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
            (
                "https://example.org/share/#magnet:?xt=a",
                "https://example.org/share/",
            ),
            (
                "https://example.org/share/index.html?from=mail#x",
                "https://example.org/share/index.html",
            ),
        ];
        for (address, start) in table {
            assert_eq!(base(address), start);
        }
    }
}
