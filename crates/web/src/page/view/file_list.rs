//! The files of a torrent.

use leptos::prelude::*;

use crate::page::acts::Acts;
use crate::page::{format, state};
use crate::protocol::{FileView, Request, TorrentId, TorrentView};

/// So many files are shown at first, and so many more each time.
const SHOWN: usize = 100;

/// The files with their progress and a button that saves each of them. A torrent may have a hundred thousand:
/// only those that the user asks for are put on the page.
#[component]
pub(in crate::page) fn FileList(torrent: Memo<TorrentView>) -> impl IntoView {
    let acts = Acts::here();
    let (id, is_own) = torrent.with_untracked(|torrent| (torrent.id, torrent.own_files));
    let count = Memo::new(move |_| acts.state.with(|state| state.files(id).len()));
    let limit = RwSignal::new(SHOWN);
    let shown = Memo::new(move |_| count.get().min(limit.get()));
    let is_selectable = Memo::new(move |_| !is_own && count.get() > 1);
    let row = move |index| {
        let file = acts
            .state
            .with_untracked(|state| state.files(id).get(index).cloned())?;
        Some(view! { <FileRow id index file is_selectable=is_selectable.get_untracked()/> })
    };

    view! {
        <Show when=move || { count.get() > 0 }>
            <details class="files" open>
                <summary>{move || format::count(count.get(), "file", "files")}</summary>
                <ul>
                    <For each=move || 0..shown.get() key=|index| *index children=row/>
                </ul>
                <div class="buttons">
                    <Show when=move || shown.get() < count.get()>
                        <button type="button" class="quiet" data-testid="show-more" on:click=move |_| limit.update(|limit| *limit += SHOWN)>
                            {move || format!("Show more ({} not shown)", format::count(count.get() - shown.get(), "file", "files"))}
                        </button>
                    </Show>
                    <Show when=move || is_selectable.get()>
                        <SelectAll id/>
                    </Show>
                    <SaveAll id/>
                </div>
            </details>
        </Show>
    }
}

#[component]
fn FileRow(id: TorrentId, index: usize, file: FileView, is_selectable: bool) -> impl IntoView {
    let acts = Acts::here();
    let FileView { path, length, .. } = file.clone();
    let file = Memo::new(move |last: Option<&(f64, bool)>| {
        let current = acts
            .state
            .with(|state| state.files(id).get(index).map(|file| (file.done, file.selected)));
        current.or(last.copied()).unwrap_or((file.done, file.selected))
    });
    let progress = move || format::part(file.get().0, length);
    let is_complete = Memo::new(move |_| state::is_complete(file.get().0, length));
    let (folder, name) = path
        .rsplit_once('/')
        .map_or(("", path.as_str()), |(folder, name)| (folder, name));
    let folder = (!folder.is_empty()).then(|| view! { <span class="folder">{format!("{folder}/")}</span> });
    let name = name.to_owned();
    let save = u32::try_from(index).ok().map(|index| Request::Save(id, index));

    view! {
        <li data-testid="file" data-path=path.clone() data-progress=move || format::fraction(progress())>
            {is_selectable.then(|| view! {
                <input
                    type="checkbox"
                    data-testid="select"
                    aria-label=format!("Download {path}")
                    prop:checked=move || file.get().1
                    on:change=move |event| acts.perform(|state| state.select(id, index, event_target_checked(&event)))
                />
            })}
            <span class="path">{folder}{name}</span>
            <span class="size">
                {move || if is_complete.get() { None } else { Some(format::percent(progress()) + " of ") }}
                {format::bytes(length)}
            </span>
            <button
                type="button"
                class="quiet"
                data-testid="save"
                aria-label=format!("Save {path}")
                disabled=move || !is_complete.get()
                on:click=move |_| save.iter().for_each(|save| acts.send(save))
            >
                "Save"
            </button>
        </li>
    }
}

#[component]
fn SelectAll(id: TorrentId) -> impl IntoView {
    let acts = Acts::here();
    let all = Memo::new(move |_| {
        acts.state
            .with(|state| state.files(id).iter().all(|file| file.selected))
    });

    view! {
        <button
            type="button"
            class="quiet"
            data-testid="select-all"
            on:click=move |_| acts.perform(|state| state.select_all(id, !all.get_untracked()))
        >
            {move || if all.get() { "Select none" } else { "Select all" }}
        </button>
    }
}

#[component]
fn SaveAll(id: TorrentId) -> impl IntoView {
    let acts = Acts::here();
    let count = Memo::new(move |_| acts.state.with(|state| state.save_all(id).len()));
    let save_all = move |_| {
        for request in acts.state.with_untracked(|state| state.save_all(id)) {
            acts.send(&request);
        }
    };

    view! {
        <Show when=move || { count.get() > 0 }>
            <button type="button" class="quiet" data-testid="save-all" on:click=save_all>
                {move || format!("Save all {}", count.get())}
            </button>
        </Show>
    }
}
