//! A torrent: what it is about, how far it is, and what can be done with it.

use super::file_list::file_list;
use super::part::Part;
use super::share_link::share_link;
use crate::page::acts::Acts;
use crate::page::state::State;
use crate::page::{format, words};
use crate::protocol::{Request, TorrentId, TorrentView, ViewState};

/// A torrent's card.
pub(super) fn card(acts: &Acts, id: TorrentId, state: &State) -> Part {
    let mut card = Part::new(acts, CARD);
    let is_own = state.torrent(id).is_some_and(|torrent| torrent.own_files);

    for (selector, read) in TEXTS {
        card.text(selector, of(id, *read));
    }
    for (selector, name, read) in ATTRIBUTES {
        let read = of(id, *read);
        card.attribute(selector, name, move |state| Some(read(state)));
    }
    card.on(".pause", "click", move |acts, _| {
        let can_resume = acts.read(|state| state.torrent(id).is_some_and(words::can_resume));
        acts.send(&if can_resume {
            Request::Resume(id)
        } else {
            Request::Pause(id)
        });
    });
    card.on("[data-testid=remove]", "click", move |acts, _| {
        acts.perform(|state| state.ask_removal(id));
    });

    let has = move |state: &State, what: fn(&TorrentView) -> bool| state.torrent(id).is_some_and(what);
    let message_acts = acts.clone();
    card.when(
        "[name=message]",
        move |state| has(state, |torrent| torrent.message.is_some()),
        move |_| message(&message_acts, id),
    );
    let link_acts = acts.clone();
    card.when(
        "[name=link]",
        move |state| has(state, |torrent| torrent.magnet.is_some()),
        move |_| share_link(&link_acts, id),
    );
    let files_acts = acts.clone();
    card.when(
        "[name=files]",
        move |state| !state.files(id).is_empty(),
        move |_| file_list(&files_acts, id, is_own),
    );
    card
}

fn message(acts: &Acts, id: TorrentId) -> Part {
    let mut part = Part::new(acts, r#"<p class="message" data-testid="error"></p>"#);
    let role = of(id, |torrent| match torrent.state {
        ViewState::Error => "alert".to_owned(),
        _ => "status".to_owned(),
    });
    part.attribute("", "role", move |state| Some(role(state)));
    part.text("", of(id, |torrent| torrent.message.clone().unwrap_or_default()));
    part
}

/// What `words` says of a torrent, while it is there.
fn of(id: TorrentId, words: Words) -> impl Fn(&State) -> String {
    move |state| state.torrent(id).map(words).unwrap_or_default()
}

type Words = fn(&TorrentView) -> String;

const TEXTS: &[(&str, Words)] = &[
    ("h3", |torrent| torrent.name.clone()),
    (".doing", |torrent| words::doing(torrent).to_owned()),
    (".extent", words::extent),
    ("[data-testid=peers]", |torrent| torrent.peers.to_string()),
    (".peers", |torrent| {
        if torrent.peers == 1 { " peer" } else { " peers" }.to_owned()
    }),
    ("[data-testid=download-rate]", |torrent| {
        format::rate(torrent.download_rate)
    }),
    ("[data-testid=upload-rate]", |torrent| {
        format::rate(torrent.upload_rate)
    }),
    ("[data-testid=time-left]", words::time_left),
    (".pause", |torrent| {
        if words::can_resume(torrent) {
            "Resume"
        } else {
            "Pause"
        }
        .to_owned()
    }),
    ("[data-testid=remove]", |torrent| {
        if torrent.own_files {
            "Stop sharing"
        } else {
            "Remove"
        }
        .to_owned()
    }),
    (".advice", |torrent| words::advice(torrent).to_owned()),
];

const ATTRIBUTES: &[(&str, &str, Words)] = &[
    ("", "aria-label", |torrent| torrent.name.clone()),
    ("", "data-info-hash", |torrent| {
        torrent.info_hash.clone().unwrap_or_default()
    }),
    ("", "data-state", |torrent| {
        words::state_name(torrent.state).to_owned()
    }),
    ("", "data-progress", |torrent| format::fraction(torrent.progress)),
    ("progress", "value", |torrent| format::fraction(torrent.progress)),
    (".pause", "data-testid", |torrent| {
        if words::can_resume(torrent) {
            "resume"
        } else {
            "pause"
        }
        .to_owned()
    }),
];

/// One button pauses and resumes, which so keeps the focus when it changes its meaning.
const CARD: &str = r#"
    <article class="torrent" data-testid="torrent">
        <header><h3></h3><p class="doing"></p></header>
        <progress class="crossing" max="1" aria-label="Progress"></progress>
        <div class="status">
            <ul class="figures">
                <li class="extent"></li>
                <li><span data-testid="peers"></span><span class="peers"></span></li>
                <li class="down"><span class="unseen">Download </span><span data-testid="download-rate"></span></li>
                <li class="up"><span class="unseen">Upload </span><span data-testid="upload-rate"></span></li>
                <li data-testid="time-left"></li>
            </ul>
            <div class="buttons">
                <button type="button" class="quiet pause"></button>
                <button type="button" class="quiet" data-testid="remove"></button>
            </div>
        </div>
        <slot name="message"></slot>
        <slot name="link"></slot>
        <p class="advice"></p>
        <slot name="files"></slot>
    </article>"#;
