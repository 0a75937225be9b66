//! Which trackers the page may connect to, and by what address.
//!
//! The page's policy names them, but a policy in the document does not reach the worker, which opens the sockets: a
//! stranger's link could have it connect to anything. So what the policy says is asked for here as well, as for web seeds.

/// The trackers of this page's settings.
#[derive(Debug, Default)]
pub(super) struct Trackers {
    /// The name and port of the page's own server.
    host: String,
    /// Whether the page came over https, where browsers refuse `ws:`.
    is_secure: bool,
    /// As the page connects to them.
    addresses: Vec<String>,
    /// As others may know them.
    public: Vec<String>,
}

impl Trackers {
    /// Of a page of this origin that was told of these.
    pub(super) fn new(origin: &str, addresses: Vec<String>) -> Self {
        let (scheme, host) = origin.split_once("://").unwrap_or_default();
        Self {
            host: host.to_owned(),
            is_secure: scheme == "https",
            public: addresses.iter().map(|url| without_token(url)).collect(),
            addresses,
        }
    }

    /// The page's trackers, as links and torrents name them.
    pub(super) fn of_page(&self) -> &[String] {
        &self.public
    }

    /// The address to connect to for one of those: with the token that this browser was given, if it was.
    pub(super) fn address<'a>(&'a self, url: &'a str) -> &'a str {
        let same = |public: &String| public.trim_end_matches('/') == url.trim_end_matches('/');
        let place = self.public.iter().position(same);
        place
            .and_then(|place| self.addresses.get(place))
            .map_or(url, String::as_str)
    }

    /// Those that the page may connect to.
    pub(super) fn usable(&self, trackers: &[String]) -> Vec<String> {
        trackers.iter().filter(|url| self.admits(url)).cloned().collect()
    }

    /// Why none of these is used, in a sentence.
    pub(super) fn refusal(&self, trackers: &[String]) -> String {
        let socket = trackers.iter().find_map(|url| Some((url, origin(url)?.0)));
        let reason = match socket {
            None => "This torrent names no tracker that a browser can use (wss://…)".to_owned(),
            Some((url, false)) if self.is_secure => {
                format!("The tracker {url} is not used: from a page over https it would have to be wss://…")
            }
            Some((url, _)) => {
                format!("The tracker {url} is not used: the operator of this page has not allowed its server")
            }
        };
        format!("{reason}. So nobody who has the files can be found from here.")
    }

    fn admits(&self, url: &str) -> bool {
        let Some((is_secure, host)) = origin(url) else {
            return false;
        };
        (is_secure || !self.is_secure)
            && (host.eq_ignore_ascii_case(&self.host)
                || self.addresses.iter().any(|page| {
                    origin(page).is_some_and(|(secure, other)| {
                        secure == is_secure && host.eq_ignore_ascii_case(other)
                    })
                }))
    }
}

/// Whether a WebSocket URL is one over TLS, and its host with the port where that is not the usual one.
fn origin(url: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_secure = scheme.eq_ignore_ascii_case("wss");
    if !is_secure && !scheme.eq_ignore_ascii_case("ws") {
        return None;
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let usual = if is_secure { ":443" } else { ":80" };
    Some((is_secure, host.strip_suffix(usual).unwrap_or(host)))
}

/// A tracker's address as others may know it: who has the token in it may use the gateway in its owner's name.
pub(super) fn without_token(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let mut public = path.to_owned();
    for pair in query.split('&').filter(|pair| !pair.starts_with(TOKEN)) {
        public.push(if public.len() == path.len() { '?' } else { '&' });
        public.push_str(pair);
    }
    public
}

/// What stands before a token (`causeway serve --gateway-tokens`).
const TOKEN: &str = "gateway=";

#[cfg(test)]
mod tests {
    use super::*;

    fn page(origin: &str, trackers: &[&str]) -> Trackers {
        Trackers::new(origin, trackers.iter().map(|&url| url.to_owned()).collect())
    }

    #[test]
    fn a_page_connects_to_its_own_server_and_to_those_of_its_settings() {
        let page = page("https://page.example", &["wss://t.example:8443/announce"]);
        let table = [
            ("wss://page.example/announce", true),
            ("WSS://Page.Example:443/x", true),
            ("wss://t.example:8443", true),
            ("wss://t.example/announce", false),
            ("ws://page.example/announce", false),
            ("wss://192.168.0.1/", false),
            ("wss://page.example@evil.example/", false),
            ("wss://page.example.evil.example/", false),
            ("wss://page.example\\@evil.example/", false),
            ("wss:///page.example", false),
            ("https://page.example/announce", false),
            ("udp://page.example:80", false),
        ];
        for (url, is_usable) in table {
            assert_eq!(page.usable(&[url.to_owned()]).len() == 1, is_usable, "{url}");
        }
    }

    #[test]
    fn a_page_over_http_connects_either_way() {
        let page = page("http://127.0.0.1:8080", &["ws://t.example/"]);
        for (url, is_usable) in [
            ("ws://127.0.0.1:8080/announce", true),
            ("wss://127.0.0.1:8080/announce", true),
            ("ws://127.0.0.1:8081/announce", false),
            ("ws://t.example:80/announce", true),
            ("wss://t.example/announce", false),
        ] {
            assert_eq!(page.usable(&[url.to_owned()]).len() == 1, is_usable, "{url}");
        }
    }

    #[test]
    fn what_is_not_used_is_said_with_its_reason() {
        let page = page("https://page.example", &[]);
        for (trackers, words) in [
            (&[][..], "names no tracker that a browser can use"),
            (&["udp://t.example:80"], "names no tracker that a browser can use"),
            (
                &["udp://t.example:80", "wss://t.example"],
                "wss://t.example is not used: the operator",
            ),
            (&["ws://page.example"], "from a page over https"),
        ] {
            let trackers: Vec<String> = trackers.iter().map(|&url| url.to_owned()).collect();
            let sentence = page.refusal(&trackers);
            assert!(sentence.contains(words) && sentence.ends_with('.'), "{sentence}");
        }
    }

    #[test]
    fn a_token_goes_to_the_tracker_and_nowhere_else() {
        let page = page(
            "https://page.example",
            &["wss://page.example/announce?gateway=open-sesame"],
        );
        assert_eq!(page.of_page(), ["wss://page.example/announce"]);
        assert_eq!(
            page.address("wss://page.example/announce"),
            "wss://page.example/announce?gateway=open-sesame"
        );
        assert_eq!(
            page.address("wss://t.example/announce"),
            "wss://t.example/announce"
        );
        for (address, public) in [
            ("wss://t/a?gateway=x", "wss://t/a"),
            ("wss://t/a?x=1&gateway=x&y=2", "wss://t/a?x=1&y=2"),
            ("wss://t/a?x=1", "wss://t/a?x=1"),
            ("wss://t/a", "wss://t/a"),
        ] {
            assert_eq!(without_token(address), public);
        }
    }
}
