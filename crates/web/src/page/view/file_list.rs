//! The files of a torrent.

use leptos::prelude::*;

use super::{dynamic, each, when};
use crate::page::acts::Acts;
use crate::page::state::{self, State};
use crate::page::{format, words};
use crate::protocol::{FileView, Request, TorrentId};

/// So many files are shown at first, and so many more each time.
const SHOWN: usize = 100;

/// The files with their progress and a button that saves each of them. A torrent may have a hundred thousand:
/// only those that the user asks for are put on the page.
#[component]
pub(in crate::page) fn FileList(id: TorrentId, is_own: bool) -> impl IntoView {
    let state = Acts::here().state;
    let count = move || state.with(|state| state.files(id).len());
    let limit = RwSignal::new(SHOWN);

    let list = move || {
        // Rows look at their file only when one of this torrent's files has changed.
        let version = Memo::new(move |_| state.with(|state| state.files_version(id)));
        let row = move |index| view! { <FileRow id index version is_own/> }.into_any();
        view! {
            <details class="files" open>
                <summary>{dynamic(move || format::count(count(), "file", "files"))}</summary>
                <ul>{each(move || (0..).take(count().min(limit.get())).collect(), row)}</ul>
                {when(move || count() > 1, move || view! { <Together id limit is_own/> }.into_any())}
            </details>
        }
        .into_any()
    };
    when(move || count() > 0, list)
}

#[component]
fn FileRow(id: TorrentId, index: u32, version: Memo<u32>, is_own: bool) -> Option<impl IntoView> {
    let acts = Acts::here();
    let position = index as usize;
    let (FileView { path, length, .. }, count) = acts.state.with_untracked(|state| {
        let files = state.files(id);
        Some((files.get(position)?.clone(), files.len()))
    })?;
    let read = move |state: &State| {
        let file = state.files(id).get(position);
        file.map(|file| (file.done, file.selected)).unwrap_or_default()
    };
    let file = move || version.with(|_| acts.state.with_untracked(read));
    let progress = move || format::part(file().0, length);
    let size = move || match file().0 {
        done if state::is_complete(done, length) => format::bytes(length),
        _ => format!("{} of {}", format::percent(progress()), format::bytes(length)),
    };
    let (folder, name) = path
        .rfind('/')
        .map_or(("", path.as_str()), |slash| path.split_at(slash + 1));

    let checkbox = (count > 1 && !is_own).then(|| {
        view! {
            <input
                type="checkbox"
                data-testid="select"
                aria-label=format!("Download {path}")
                prop:checked=dynamic(move || file().1)
                on:change=move |event| acts.perform(|state| state.select(id, position, event_target_checked(&event)))
            />
        }
    });
    Some(view! {
        <li data-testid="file" data-path=path.clone() data-progress=dynamic(move || format::fraction(progress()))>
            {checkbox}
            <span class="path"><span class="folder">{folder.to_owned()}</span>{name.to_owned()}</span>
            <span class="size">{dynamic(size)}</span>
            <button
                type="button"
                class="small"
                class:main=count == 1 && !is_own
                data-testid="save"
                aria-label=format!("Save {path}")
                disabled=dynamic(move || !state::is_complete(file().0, length))
                on:click=move |_| acts.send(&Request::Save(id, index))
            >
                "Save"
            </button>
        </li>
    })
}

/// What can be done with several files at once.
#[component]
fn Together(id: TorrentId, limit: RwSignal<usize>, is_own: bool) -> impl IntoView {
    let acts = Acts::here();
    let state = acts.state;
    let hidden = move || {
        state
            .with(|state| state.files(id).len())
            .saturating_sub(limit.get())
    };
    let all_selected = move || state.with(|state| state.files(id).iter().all(|file| file.selected));
    let to_save = Memo::new(move |_| {
        let (indices, are_all) = state.with(|state| state.to_save(id));
        (indices.len(), are_all)
    });
    let select_all = move |_| {
        let selected = !untrack(all_selected);
        acts.perform(|state| state.select_all(id, selected));
    };
    let save_all = move |_| {
        for request in state.try_update(|state| state.save_next(id)).unwrap_or_default() {
            acts.send(&request);
        }
    };

    let show_more = move || {
        view! {
            <button type="button" class="quiet" data-testid="show-more" on:click=move |_| limit.update(|limit| *limit += SHOWN)>
                {dynamic(move || format!("Show more ({} not shown)", format::count(hidden(), "file", "files")))}
            </button>
        }
    };
    let select = move || {
        view! {
            <button type="button" class="quiet" data-testid="select-all" on:click=select_all>
                {dynamic(move || if all_selected() { "Select none" } else { "Select all" }.to_owned())}
            </button>
        }
    };
    let save = move || {
        view! {
            <button type="button" class="small" class:main=!is_own data-testid="save-all" on:click=save_all>
                {dynamic(move || to_save.with(|&(count, are_all)| words::saving(count, are_all)))}
            </button>
        }
    };
    view! {
        <div class="buttons">
            {when(move || hidden() > 0, move || show_more().into_any())}
            {when(move || !is_own, move || select().into_any())}
            {when(move || to_save.with(|(count, _)| *count > 0), move || save().into_any())}
        </div>
    }
}
