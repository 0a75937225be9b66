//! A torrent: what it is about, how far it is, and what can be done with it.

use leptos::prelude::*;

use super::file_list::FileList;
use super::share_link::ShareLink;
use crate::page::acts::Acts;
use crate::page::{address, format, words};
use crate::protocol::{Request, TorrentView, ViewState};

/// A torrent's card. Several updates a second change its texts and attributes in place; no element is made anew,
/// so that none loses the focus.
#[component]
pub(in crate::page) fn TorrentCard(first: TorrentView) -> impl IntoView {
    let id = first.id;
    let state = Acts::here().state;
    // For the moment between its removal from the state and from the page, the torrent stays as it was.
    let torrent = Memo::new(move |last: Option<&TorrentView>| {
        let current = state.with(|state| state.torrent(id).cloned());
        current.unwrap_or_else(|| last.unwrap_or(&first).clone())
    });
    let is_stopped = move || torrent.with(|torrent| torrent.state == ViewState::Error);
    let has_link = Memo::new(move |_| torrent.with(|torrent| torrent.magnet.is_some()));
    let has_message = Memo::new(move |_| torrent.with(|torrent| torrent.message.is_some()));

    view! {
        <article
            class="torrent"
            aria-label=move || torrent.with(|torrent| torrent.name.clone())
            data-testid="torrent"
            data-info-hash=move || torrent.with(|torrent| torrent.info_hash.clone())
            data-state=move || torrent.with(|torrent| words::state_name(torrent.state))
            data-progress=move || torrent.with(|torrent| format::fraction(torrent.progress))
        >
            <header>
                <h3>{move || torrent.with(|torrent| torrent.name.clone())}</h3>
                <p class="doing">{move || torrent.with(words::doing)}</p>
            </header>
            <progress
                class="crossing"
                max="1"
                prop:value=move || torrent.with(|torrent| torrent.progress)
                aria-label="Progress"
            ></progress>
            <Figures torrent/>
            <Show when=move || has_message.get()>
                <p class="message" role=move || if is_stopped() { "alert" } else { "status" } data-testid="error">
                    {move || torrent.with(|torrent| torrent.message.clone())}
                </p>
            </Show>
            <Show when=move || has_link.get()>
                <ShareLink torrent/>
            </Show>
            <p class="advice">{move || torrent.with(words::advice)}</p>
            <FileList torrent/>
            <Buttons torrent/>
        </article>
    }
}

/// The line of numbers.
#[component]
fn Figures(torrent: Memo<TorrentView>) -> impl IntoView {
    view! {
        <ul class="figures">
            <li>{move || torrent.with(words::extent)}</li>
            <li>
                <span data-testid="peers">{move || torrent.with(|torrent| torrent.peers)}</span>
                {move || if torrent.with(|torrent| torrent.peers == 1) { " peer" } else { " peers" }}
            </li>
            <li class="down">
                <span class="unseen">"Download "</span>
                <span data-testid="download-rate">{move || torrent.with(|torrent| format::rate(torrent.download_rate))}</span>
            </li>
            <li class="up">
                <span class="unseen">"Upload "</span>
                <span data-testid="upload-rate">{move || torrent.with(|torrent| format::rate(torrent.upload_rate))}</span>
            </li>
            <li data-testid="time-left">{move || torrent.with(words::time_left)}</li>
        </ul>
    }
}

#[component]
fn Buttons(torrent: Memo<TorrentView>) -> impl IntoView {
    let acts = Acts::here();
    let id = torrent.with_untracked(|torrent| torrent.id);
    let can_resume = Memo::new(move |_| {
        torrent.with(|torrent| matches!(torrent.state, ViewState::Paused | ViewState::Error))
    });
    let remove = move |_| {
        if let Some(hash) = torrent.with_untracked(|torrent| torrent.info_hash.clone()) {
            address::forget(&hash);
        }
        acts.remove(id);
    };

    view! {
        <footer class="buttons">
            // One button, which so keeps the focus when it changes its meaning.
            <button
                type="button"
                class="quiet"
                data-testid=move || if can_resume.get() { "resume" } else { "pause" }
                on:click=move |_| acts.send(&if can_resume.get_untracked() { Request::Resume(id) } else { Request::Pause(id) })
            >
                {move || if can_resume.get() { "Resume" } else { "Pause" }}
            </button>
            <button type="button" class="quiet" data-testid="remove" on:click=remove>
                {move || if torrent.with(|torrent| torrent.own_files) { "Stop sharing" } else { "Remove" }}
            </button>
        </footer>
    }
}
