//! The ways in: files to share, and links and torrent files to open.

use wasm_bindgen::JsCast;
use web_sys::{Event, HtmlInputElement};

use super::is_other_tab;
use super::part::Part;
use crate::page::acts::Acts;
use crate::page::pick::{self, Chosen};

/// The drop zone with its buttons, and the field for links; says what Causeway is for while there is no torrent. A
/// tab that waits for another one hands on links and nothing else.
pub(super) fn intake(acts: &Acts) -> Part {
    let mut part = Part::new(acts, INTAKE);
    part.attribute("", "class", |state| {
        let is_first = state.newest_first().next().is_none();
        Some(if is_first { "intake first" } else { "intake" }.to_owned())
    });
    let share_acts = acts.clone();
    part.when(
        "[name=share]",
        |state| !is_other_tab(state),
        move |_| share(&share_acts),
    );
    let torrent_acts = acts.clone();
    part.when(
        "[name=torrent-file]",
        |state| !is_other_tab(state),
        move |_| torrent_file(&torrent_acts),
    );
    let field: HtmlInputElement = part.find("#open-link").unchecked_into();
    part.on("form", "submit", move |acts, event| {
        event.prevent_default();
        acts.open(&field.value());
        field.set_value("");
    });
    part
}

fn share(acts: &Acts) -> Part {
    let mut part = Part::new(acts, SHARE);
    part.text("h2", |state| {
        if state.reading {
            "Looking through your folder…"
        } else {
            "Drop files here, send the link"
        }
        .to_owned()
    });
    // A browser that can't pick folders shows a picker of files there.
    for picker in ["[data-testid=file-input]", "[data-testid=folder-input]"] {
        part.on(picker, "change", |acts, event| acts.share(chosen(&event)));
    }
    part
}

fn torrent_file(acts: &Acts) -> Part {
    let mut part = Part::new(acts, TORRENT_FILE);
    part.on("input", "change", |acts, event| {
        acts.open_torrent_files(chosen(&event).into_iter().map(|(_, file)| file));
    });
    part
}

/// What was chosen; the same choice made again is an event again.
fn chosen(event: &Event) -> Chosen {
    let Some(target) = event.target() else {
        return Chosen::new();
    };
    let input: HtmlInputElement = target.unchecked_into();
    let chosen = input.files().map(|list| pick::from_list(&list));
    input.set_value("");
    chosen.unwrap_or_default()
}

const INTAKE: &str = r#"
    <section aria-label="Share or open">
        <slot name="share"></slot>
        <div class="open">
            <form class="open-form">
                <label for="open-link">Got a link?</label>
                <input id="open-link" type="text" required placeholder="Magnet link" autocomplete="off"
                    autocapitalize="off" spellcheck="false" enterkeyhint="go" data-testid="open-input">
                <button type="submit" data-testid="open-button">Open</button>
            </form>
            <slot name="torrent-file"></slot>
        </div>
    </section>"#;

/// Two shores and the stones between them; file inputs that look like buttons: the input is unseen but keeps the
/// focus, its label is what one sees.
const SHARE: &str = r#"
    <div class="share">
        <svg class="shores" viewBox="0 0 640 124" aria-hidden="true">
            <path class="shore" d="M0 0h118c26 18 36 40 18 62S66 108 0 112z"/>
            <path class="shore" d="M640 0h-92c-34 14-58 42-46 68s66 50 138 52z"/>
            <path class="road" pathLength="100" d="M166 66c70-42 120 34 176 14s70-40 138-18"/>
        </svg>
        <h2></h2>
        <p class="explanation">Whoever opens it gets them straight from your browser, for as long as this tab is open.</p>
        <div class="buttons">
            <label class="button main"><input class="unseen" type="file" multiple data-testid="file-input">Choose files</label>
            <label class="button"><input class="unseen" type="file" multiple webkitdirectory data-testid="folder-input">Choose a folder</label>
        </div>
    </div>"#;

const TORRENT_FILE: &str = r#"
    <label class="button"><input class="unseen" type="file" multiple accept=".torrent,application/x-bittorrent"
        data-testid="torrent-input">Open a .torrent file</label>"#;
