//! What a user may open, read on the page where they type it and in the worker that opens it.

use causeway_core::{InfoHash, Magnet};

/// Reads a magnet link, a link to a page with one after its `#`, or a bare info-hash.
pub(crate) fn parse_link(text: &str) -> Result<Magnet, String> {
    let text = text.trim();
    if let Ok(info_hash) = text.parse::<InfoHash>() {
        return Ok(Magnet::new(info_hash));
    }
    let link = match text.split_once('#') {
        Some((_, fragment)) if !text.starts_with("magnet:") => fragment,
        _ => text,
    };
    if let Ok(info_hash) = link.parse::<InfoHash>() {
        return Ok(Magnet::new(info_hash));
    }
    link.parse()
        .map_err(|error| format!("That link can't be opened: {error}. Check that the whole link was copied."))
}

#[cfg(test)]
mod tests {
    use super::parse_link;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_link_is_a_magnet_a_page_with_one_or_a_bare_hash() {
        for text in [
            HASH.to_owned(),
            format!("  magnet:?xt=urn:btih:{HASH} "),
            format!("http://localhost:8080/#magnet:?xt=urn:btih:{HASH}&dn=a%23b"),
            format!("https://example.org/page/#{HASH}"),
        ] {
            assert_eq!(
                parse_link(&text).map(|magnet| magnet.info_hash.to_string()),
                Ok(HASH.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_sentence() {
        for text in [
            "",
            "hello",
            "http://localhost:8080/",
            "magnet:?dn=only+a+name",
            "#",
        ] {
            assert!(
                parse_link(text).is_err_and(
                    |error| error.starts_with("That link can't be opened") && error.ends_with("copied.")
                ),
                "{text}"
            );
        }
    }
}
