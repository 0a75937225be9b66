//! The components that the page is put together from.

mod file_list;
mod intake;
pub(super) mod part;
mod removal;
mod share_link;
mod torrent;
mod troubles;

use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use self::part::Part;
use super::acts::{Acts, document};
use super::gestures;
use super::state::{Phase, State};
use crate::protocol::TorrentId;

/// Puts the whole page into `place`.
pub(super) fn page(acts: &Acts, place: &HtmlElement) -> Part {
    let mut page = Part::new(
        acts,
        r#"
        <div class="page">
            <slot name="troubles"></slot>
            <slot name="other-tab"></slot>
            <slot name="intake"></slot>
            <section class="torrents" aria-label="Your files" tabindex="-1"><slot name="torrents"></slot></section>
            <slot name="removal"></slot>
            <p class="unseen" role="status"></p>
            <div aria-hidden="true" data-part="drop-hint"><p>Drop to share</p></div>
        </div>"#,
    );
    page.put("[name=troubles]", troubles::troubles(acts));
    let other_tab = acts.clone();
    page.when("[name=other-tab]", is_other_tab, move |_| {
        Part::new(&other_tab, OTHER_TAB)
    });
    page.put("[name=intake]", intake::intake(acts));

    let card = acts.clone();
    page.each(
        "[name=torrents]",
        |state| state.newest_first().map(|id| id.0).collect(),
        move |id, state| torrent::card(&card, TorrentId(id), state),
    );
    let list: HtmlElement = page.find(".torrents").unchecked_into();
    let mut count = 0;
    page.watch(move |state| {
        let now = state.newest_first().count();
        if now < count {
            catch_focus(&list);
        }
        count = now;
    });

    page.put("[name=removal]", removal::dialog(acts));
    page.text("[role=status]", |state| state.announcement().to_owned());
    page.attribute("[data-part=drop-hint]", "class", |state| {
        Some(
            if state.dragging {
                "drop-hint shown"
            } else {
                "drop-hint"
            }
            .to_owned(),
        )
    });
    gestures::listen(&mut page);
    place.append_child(page.root()).expect("there is room for it");
    page
}

fn is_other_tab(state: &State) -> bool {
    state.phase == Phase::OtherTab
}

/// Somebody at the keyboard whose torrent has gone, and the focus with it, goes on at the list.
fn catch_focus(list: &HtmlElement) {
    if document().active_element() == document().body().map(Into::into) {
        list.focus().unwrap_or_default();
    }
}

const OTHER_TAB: &str = r#"
    <section class="other-tab" role="status" data-testid="other-tab">
        <h2>Causeway runs in another tab</h2>
        <p>That tab holds your torrents. A link that you open here is handed to it; when you close it, this tab takes over.</p>
    </section>"#;
