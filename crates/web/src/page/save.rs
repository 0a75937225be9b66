//! Downloads: a file on disk becomes an ordinary download of the browser.

use std::time::Duration;

use leptos::prelude::{document, set_timeout};
use wasm_bindgen::prelude::*;
use web_sys::{File, HtmlAnchorElement, Url};

/// Browsers drop downloads that a page starts faster than that.
const BETWEEN_DOWNLOADS: f64 = 400.0;

/// Until then every browser has opened the file, also where it asked the user for a place first. The address
/// holds no memory: the file lies on disk.
const FORGET_AFTER: Duration = Duration::from_mins(15);

/// Starts downloads, one after the other.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    /// In milliseconds of `Date`.
    next_at: f64,
}

impl Downloads {
    /// Saves the file under this name as soon as the browser takes another download.
    pub(super) fn start(&mut self, name: String, file: File) {
        let now = js_sys::Date::now();
        let at = self.next_at.max(now);
        self.next_at = at + BETWEEN_DOWNLOADS;
        if at > now {
            set_timeout(
                move || download(&name, &file),
                Duration::from_secs_f64((at - now) / 1000.0),
            );
        } else {
            download(&name, &file);
        }
    }
}

/// Clicks a link to the file. Nothing can be told about what the browser makes of it.
fn download(name: &str, file: &File) {
    let Ok(address) = Url::create_object_url_with_blob(file) else {
        return;
    };
    let Ok(link) = document().create_element("a") else {
        return;
    };
    let link: HtmlAnchorElement = link.unchecked_into();
    link.set_href(&address);
    link.set_download(name);
    link.click();
    set_timeout(
        move || Url::revoke_object_url(&address).unwrap_or_default(),
        FORGET_AFTER,
    );
}
