//! The files of a torrent.

use wasm_bindgen::JsCast;
use web_sys::{Event, HtmlInputElement};

use super::part::Part;
use crate::page::acts::Acts;
use crate::page::format;
use crate::page::state::{self, State};
use crate::protocol::{FileView, Request, TorrentId};

/// The files with their progress and a button that saves each of them. A torrent may have a hundred thousand:
/// only those that the user asks for are put on the page.
pub(super) fn file_list(acts: &Acts, id: TorrentId, is_own: bool) -> Part {
    let mut part = Part::new(
        acts,
        r#"
        <details class="files" open>
            <summary></summary>
            <ul><slot name="rows"></slot></ul>
            <slot name="together"></slot>
        </details>"#,
    );
    part.update_with(move |state| state.files_version(id));
    part.text("summary", move |state| {
        format::count(state.files(id).len(), "file", "files")
    });
    let row_acts = acts.clone();
    part.each(
        "[name=rows]",
        move |state| (0..).take(state.files_shown(id)).collect(),
        move |index, state| row(&row_acts, id, index, state),
    );
    let acts = acts.clone();
    part.when(
        "[name=together]",
        move |state| state.files(id).len() > 1,
        move |_| together(&acts, id, is_own),
    );
    part
}

fn row(acts: &Acts, id: TorrentId, index: u32, state: &State) -> Part {
    let mut row = Part::new(
        acts,
        r#"
        <li data-testid="file">
            <slot></slot>
            <span class="path"><span class="folder"></span><span></span></span>
            <span class="size"></span>
            <button type="button" class="quiet" data-testid="save">Save</button>
        </li>"#,
    );
    let position = index as usize;
    let file = move |state: &State| state.files(id).get(position).cloned();
    let path = file(state).map(|file| file.path).unwrap_or_default();
    let (folder, name) = path
        .rfind('/')
        .map_or(("", path.as_str()), |slash| path.split_at(slash + 1));
    row.find(".folder").set_text_content(Some(folder));
    row.find(".folder + span").set_text_content(Some(name));
    row.set("", "data-path", &path);
    row.set("button", "aria-label", &format!("Save {path}"));

    let read = move |state: &State, read: fn(&FileView) -> String| {
        state.files(id).get(position).map(read).unwrap_or_default()
    };
    row.attribute("", "data-progress", move |state| {
        Some(read(state, |file| {
            format::fraction(format::part(file.done, file.length))
        }))
    });
    row.text(".size", move |state| {
        read(state, |file| match file.done {
            done if state::is_complete(done, file.length) => format::bytes(file.length),
            done => {
                let percent = format::percent(format::part(done, file.length));
                format!("{percent} of {}", format::bytes(file.length))
            }
        })
    });
    row.attribute("button", "disabled", move |state| {
        let file = state.files(id).get(position);
        file.is_none_or(|file| !state::is_complete(file.done, file.length))
            .then(String::new)
    });
    row.on("button", "click", move |acts, _| {
        acts.send(&Request::Save(id, index))
    });

    let is_own = state.torrent(id).is_some_and(|torrent| torrent.own_files);
    if state.files(id).len() > 1 && !is_own {
        row.put("slot", checkbox(acts, id, position, &path));
    }
    row
}

fn checkbox(acts: &Acts, id: TorrentId, position: usize, path: &str) -> Part {
    let mut part = Part::new(acts, r#"<input type="checkbox" data-testid="select">"#);
    part.set("", "aria-label", &format!("Download {path}"));
    let input: HtmlInputElement = part.root().clone().unchecked_into();
    part.watch(move |state| {
        let file = state.files(id).get(position);
        input.set_checked(file.is_some_and(|file| file.selected));
    });
    part.on("", "change", move |acts, event| {
        acts.perform(|state| state.select(id, position, is_checked(&event)));
    });
    part
}

fn is_checked(event: &Event) -> bool {
    event
        .target()
        .is_some_and(|target| target.unchecked_into::<HtmlInputElement>().checked())
}

/// What can be done with several files at once.
fn together(acts: &Acts, id: TorrentId, is_own: bool) -> Part {
    let mut part = Part::new(acts, TOGETHER);
    part.text("[data-testid=show-more]", move |state| {
        let hidden = format::count(state.files_hidden(id), "file", "files");
        format!("Show more ({hidden} not shown)")
    });
    part.attribute("[data-testid=show-more]", "hidden", move |state| {
        (state.files_hidden(id) == 0).then(String::new)
    });
    part.on("[data-testid=show-more]", "click", move |acts, _| {
        acts.update(|state| state.show_more_files(id));
    });

    let all_selected = move |state: &State| state.files(id).iter().all(|file| file.selected);
    part.text("[data-testid=select-all]", move |state| {
        if all_selected(state) {
            "Select none"
        } else {
            "Select all"
        }
        .to_owned()
    });
    part.attribute("[data-testid=select-all]", "hidden", move |_| {
        is_own.then(String::new)
    });
    part.on("[data-testid=select-all]", "click", move |acts, _| {
        acts.perform(|state| {
            let selected = !all_selected(state);
            state.select_all(id, selected)
        });
    });

    part.text("[data-testid=save-all]", move |state| {
        format!(
            "Save {}",
            format::count(state.save_all(id).len(), "file", "files")
        )
    });
    part.attribute("[data-testid=save-all]", "hidden", move |state| {
        state.save_all(id).is_empty().then(String::new)
    });
    part.on("[data-testid=save-all]", "click", move |acts, _| {
        for request in acts.read(|state| state.save_all(id)) {
            acts.send(&request);
        }
    });
    part
}

const TOGETHER: &str = r#"
    <div class="buttons">
        <button type="button" class="quiet" data-testid="show-more"></button>
        <button type="button" class="quiet" data-testid="select-all"></button>
        <button type="button" class="quiet" data-testid="save-all"></button>
    </div>"#;
