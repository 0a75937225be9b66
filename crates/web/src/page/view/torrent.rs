//! A torrent: what it is about, how far it is, and what can be done with it.

use leptos::prelude::*;

use super::file_list::FileList;
use super::share_link::ShareLink;
use super::{dynamic, when};
use crate::page::acts::Acts;
use crate::page::{format, words};
use crate::protocol::{Request, TorrentId, TorrentView, ViewState};

/// A torrent's card. Several updates a second change its texts and attributes in place; no element is made anew,
/// so that none loses the focus.
#[component]
pub(in crate::page) fn TorrentCard(first: TorrentView) -> impl IntoView {
    let (id, is_own) = (first.id, first.own_files);
    let state = Acts::here().state;
    // For the moment between its removal from the state and from the page, the torrent stays as it was.
    let torrent = Memo::new(move |last: Option<&TorrentView>| {
        let current = state.with(|state| state.torrent(id).cloned());
        current.unwrap_or_else(|| last.unwrap_or(&first).clone())
    });
    let text = move |of: fn(&TorrentView) -> String| dynamic(move || torrent.with(of));
    let has_link = move || torrent.with(|torrent| torrent.magnet.is_some());
    let has_message = move || torrent.with(|torrent| torrent.message.is_some());
    let message = move || {
        view! {
            <p
                class="message"
                role=text(|torrent| if torrent.state == ViewState::Error { "alert" } else { "status" }.to_owned())
                data-testid="error"
            >
                {text(|torrent| torrent.message.clone().unwrap_or_default())}
            </p>
        }
    };

    view! {
        <article
            class="torrent"
            id=element_id(id)
            tabindex="-1"
            aria-label=text(|torrent| torrent.name.clone())
            data-testid="torrent"
            data-info-hash=text(|torrent| torrent.info_hash.clone().unwrap_or_default())
            data-state=text(|torrent| words::state_name(torrent.state).to_owned())
            data-progress=text(|torrent| format::fraction(torrent.progress))
        >
            <header>
                <h3>{text(|torrent| torrent.name.clone())}</h3>
                <p class="doing">{text(|torrent| words::doing(torrent).to_owned())}</p>
            </header>
            <progress
                class="crossing"
                max="1"
                prop:value=dynamic(move || torrent.with(|torrent| torrent.progress))
                aria-label="Progress"
            ></progress>
            <div class="status">
                <ul class="figures">
                    <li>{text(words::extent)}</li>
                    <li>
                        <span data-testid="peers">{text(|torrent| torrent.peers.to_string())}</span>
                        {text(|torrent| if torrent.peers == 1 { " peer" } else { " peers" }.to_owned())}
                    </li>
                    <li class="down">
                        <span class="unseen">"Download "</span>
                        <span data-testid="download-rate">{text(|torrent| format::rate(torrent.download_rate))}</span>
                    </li>
                    <li class="up">
                        <span class="unseen">"Upload "</span>
                        <span data-testid="upload-rate">{text(|torrent| format::rate(torrent.upload_rate))}</span>
                    </li>
                    <li data-testid="time-left">{text(words::time_left)}</li>
                </ul>
                <Buttons torrent/>
            </div>
            {when(has_message, move || message().into_any())}
            {when(has_link, move || view! { <ShareLink torrent/> }.into_any())}
            <p class="advice">{text(|torrent| words::advice(torrent).to_owned())}</p>
            <FileList id is_own/>
        </article>
    }
}

/// The card's `id` in the document.
pub(super) fn element_id(id: TorrentId) -> String {
    format!("torrent-{}", id.0)
}

#[component]
fn Buttons(torrent: Memo<TorrentView>) -> impl IntoView {
    let acts = Acts::here();
    let id = torrent.with_untracked(|torrent| torrent.id);
    let text = move |of: fn(&TorrentView) -> &'static str| dynamic(move || torrent.with(of).to_owned());
    let label = move |button: fn(&TorrentView) -> &'static str| {
        dynamic(move || torrent.with(|torrent| words::of(button(torrent), torrent)))
    };
    let pause = move |_| {
        let can_resume = torrent.with_untracked(words::can_resume);
        acts.send(&if can_resume {
            Request::Resume(id)
        } else {
            Request::Pause(id)
        });
    };
    view! {
        <div class="buttons">
            // One button, which so keeps the focus when it changes its meaning.
            <button
                type="button"
                class="quiet"
                data-testid=text(|torrent| if words::can_resume(torrent) { "resume" } else { "pause" })
                aria-label=label(words::pausing)
                hidden=dynamic(move || torrent.with(|torrent| !torrent.can_pause))
                on:click=pause
            >
                {text(words::pausing)}
            </button>
            <button
                type="button"
                class="quiet"
                aria-label=label(words::removing)
                data-testid="remove"
                on:click=move |_| acts.perform(|state| state.ask_removal(id))
            >
                {text(words::removing)}
            </button>
        </div>
    }
}
