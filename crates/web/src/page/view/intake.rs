//! The ways in: files to share, and links and torrent files to open.

use leptos::ev::{Event, SubmitEvent};
use leptos::html;
use leptos::prelude::*;
use web_sys::{File, FileList, HtmlInputElement};

use crate::page::acts::Acts;
use crate::page::pick;

/// The drop zone with its buttons, and the field for links; says what Causeway is for while there is no torrent.
#[component]
pub(in crate::page) fn Intake(is_first: Signal<bool>) -> impl IntoView {
    let acts = Acts::here();
    let share = move |event| acts.share(chosen(&event, pick::from_list));
    let open_torrents = move |event| {
        let files: Vec<File> = chosen(&event, pick::from_list)
            .into_iter()
            .map(|(_, file)| file)
            .collect();
        acts.open_torrent_files(files);
    };

    view! {
        <section class="intake" class:first=move || is_first.get() aria-label="Share or open">
            <div class="share">
                <Shores/>
                <h2>"Drop files here, send the link"</h2>
                <p class="explanation">
                    "Whoever opens it gets them straight from your browser, for as long as this tab is open."
                </p>
                <div class="buttons">
                    <Picker label="Choose files" testid="file-input" is_main=true on_change=share/>
                    <Picker label="Choose a folder" testid="folder-input" folder=true on_change=share/>
                </div>
            </div>
            <div class="open">
                <OpenForm/>
                <Picker label="Open a .torrent file" testid="torrent-input" accept=".torrent,application/x-bittorrent" on_change=open_torrents/>
            </div>
        </section>
    }
}

/// What was chosen; the same choice made again is an event again.
fn chosen<T: Default>(event: &Event, read: impl FnOnce(&FileList) -> T) -> T {
    let input: HtmlInputElement = event_target(event);
    let chosen = input.files().map(|list| read(&list)).unwrap_or_default();
    input.set_value("");
    chosen
}

/// A file input that looks like a button: the input is unseen but keeps the focus, its label is what one sees.
#[component]
fn Picker(
    label: &'static str,
    testid: &'static str,
    #[prop(optional)] accept: &'static str,
    #[prop(optional)] folder: bool,
    #[prop(optional)] is_main: bool,
    on_change: impl FnMut(Event) + 'static,
) -> impl IntoView {
    view! {
        <label class="button" class:main=is_main>
            <input
                class="unseen"
                type="file"
                multiple
                accept=(!accept.is_empty()).then_some(accept)
                prop:webkitdirectory=folder
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
            acts.open(&field.value());
            field.set_value("");
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
                placeholder="Magnet link or info-hash"
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
        <svg class="shores" viewBox="0 0 320 80" aria-hidden="true">
            <path class="shore" d="M0 14c34 0 62 10 62 30S34 74 0 74z"/>
            <path class="shore" d="M320 14c-34 0-62 10-62 30s28 30 62 30z"/>
            <path class="road" d="M78 44h164"/>
        </svg>
    }
}
