//! The ways in: files to share, and links and torrent files to open.

use leptos::ev::{Event, SubmitEvent};
use leptos::html;
use leptos::prelude::*;
use web_sys::HtmlInputElement;

use super::{dynamic, when};
use crate::page::acts::Acts;
use crate::page::pick::{self, Chosen};
use crate::page::state::Phase;

/// The drop zone with its buttons, and the field for links; says what Causeway is for while there is no torrent. A
/// tab that waits for another one hands on links and nothing else.
#[component]
pub(in crate::page) fn Intake() -> impl IntoView {
    let acts = Acts::here();
    let state = acts.state;
    let is_first = move || state.with(|state| state.newest_first().next().is_none());
    let is_other_tab = move || state.with(|state| state.phase == Phase::OtherTab);

    view! {
        <section class="intake" class:first=dynamic(is_first) aria-label="Share or open">
            {when(move || !is_other_tab(), || view! { <Share/> }.into_any())}
            <div class="open">
                <OpenForm/>
                {when(move || !is_other_tab(), || view! { <OpenTorrentFile/> }.into_any())}
            </div>
        </section>
    }
}

#[component]
fn Share() -> impl IntoView {
    let acts = Acts::here();
    let share = move |event| acts.share(chosen(&event));
    let title = move || {
        let is_reading = acts.state.with(|state| state.reading);
        if is_reading {
            "Looking through your folder…"
        } else {
            "Drop files here, send the link"
        }
    };

    view! {
        <div class="share">
            <Shores/>
            <h2>{dynamic(move || title().to_owned())}</h2>
            <p class="explanation">
                "Whoever opens it gets them straight from your browser, for as long as this tab is open."
            </p>
            <div class="buttons">
                <Picker label="Choose files" testid="file-input" on_change=Box::new(share)/>
                <Picker label="Choose a folder" testid="folder-input" on_change=Box::new(share)/>
            </div>
        </div>
    }
}

#[component]
fn OpenTorrentFile() -> impl IntoView {
    let acts = Acts::here();
    let open = move |event| acts.open_torrent_files(chosen(&event).into_iter().map(|(_, file)| file));

    view! { <Picker label="Open a .torrent file" testid="torrent-input" on_change=Box::new(open)/> }
}

/// What was chosen; the same choice made again is an event again.
fn chosen(event: &Event) -> Chosen {
    let input: HtmlInputElement = event_target(event);
    let chosen = input
        .files()
        .map(|list| pick::from_list(&list))
        .unwrap_or_default();
    input.set_value("");
    chosen
}

/// A file input that looks like a button: the input is unseen but keeps the focus, its label is what one sees.
#[component]
fn Picker(label: &'static str, testid: &'static str, on_change: Box<dyn FnMut(Event)>) -> impl IntoView {
    view! {
        <label class="button" class:main=testid == "file-input">
            <input
                class="unseen"
                type="file"
                multiple
                accept=(testid == "torrent-input").then_some(".torrent,application/x-bittorrent")
                prop:webkitdirectory=testid == "folder-input"
                data-testid=testid
                on:change=on_change
            />
            {label}
        </label>
    }
}

#[component]
fn OpenForm() -> impl IntoView {
    let acts = Acts::here();
    let field = NodeRef::<html::Input>::new();
    let open = move |event: SubmitEvent| {
        event.prevent_default();
        if let Some(field) = field.get_untracked() {
            // What is refused stays, to be put right.
            if acts.open(&field.value()) {
                field.set_value("");
            }
        }
    };

    view! {
        <form class="open-form" on:submit=open>
            <label for="open-link">"Got a link?"</label>
            <input
                node_ref=field
                id="open-link"
                type="text"
                required
                placeholder="Magnet link"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                enterkeyhint="go"
                data-testid="open-input"
            />
            <button type="submit" data-testid="open-button">"Open"</button>
        </form>
    }
}

/// Two shores and the stones between them.
#[component]
fn Shores() -> impl IntoView {
    view! {
        <svg class="shores" viewBox="0 0 640 124" aria-hidden="true">
            <path class="shore" d="M0 0h118c26 18 36 40 18 62S66 108 0 112z"/>
            <path class="shore" d="M640 0h-92c-34 14-58 42-46 68s66 50 138 52z"/>
            <path class="road" pathLength="100" d="M166 66c70-42 120 34 176 14s70-40 138-18"/>
        </svg>
    }
}
