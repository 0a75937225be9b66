//! What the page is put together from.
//!
//! A [`Part`] is an element that is made once, from HTML, and what ties it to the state: readers of the state whose
//! answers its texts and attributes show, and listeners. Several updates a second change these in place, so that no
//! element loses the keyboard's focus; what did not change is not written.
//!
//! Everything is one type behind a pointer here, however many closures there are: a framework that compiles its
//! machinery anew for each of them made the page three times as heavy.

use wasm_bindgen::prelude::*;
use web_sys::{Element, Event, EventTarget, HtmlTemplateElement, Node};

use crate::page::acts::{Acts, document};
use crate::page::state::State;

/// An element of the page, with everything in it. It leaves the document when it is dropped.
pub(in crate::page) struct Part {
    acts: Acts,
    root: Element,
    watchers: Vec<Box<dyn FnMut(&State)>>,
    listeners: Vec<Listener>,
    /// What the state says that this part depends on, and what it was when the part was last brought up to date.
    version: Option<(ReadVersion, u32)>,
}

type ReadVersion = Box<dyn Fn(&State) -> u32>;
type ReadText = Box<dyn Fn(&State) -> Option<String>>;
type ReadNames = Box<dyn Fn(&State) -> Vec<u32>>;
type Make = Box<dyn Fn(u32, &State) -> Part>;
type Act = Box<dyn FnMut(&Acts, Event)>;

impl Part {
    /// The one element that `html` describes, which is not in the document yet.
    ///
    /// # Panics
    /// Where `html`, which is written here and never comes from anybody else, has no element.
    pub(super) fn new(acts: &Acts, html: &'static str) -> Self {
        let template: HtmlTemplateElement = document()
            .create_element("template")
            .expect("a document makes elements")
            .unchecked_into();
        template.set_inner_html(html.trim_start());
        let root = template.content().first_element_child();
        Self {
            acts: acts.clone(),
            root: root.expect("there is an element in the HTML"),
            watchers: Vec::new(),
            listeners: Vec::new(),
            version: None,
        }
    }

    /// The element itself.
    pub(super) fn root(&self) -> &Element {
        &self.root
    }

    /// The first element in here that the selector is about; the part's own for `""`.
    ///
    /// # Panics
    /// Where the part's HTML has no such element.
    pub(super) fn find(&self, selector: &str) -> Element {
        let found = match selector {
            "" => Some(self.root.clone()),
            _ => self.root.query_selector(selector).ok().flatten(),
        };
        found.expect("a selector is about the part's own HTML")
    }

    /// Sets an attribute for good.
    pub(super) fn set(&self, selector: &str, name: &str, value: &str) {
        set_attribute(&self.find(selector), name, Some(value));
    }

    /// Calls `change` now and then: at least whenever the state has changed.
    pub(super) fn watch(&mut self, change: impl FnMut(&State) + 'static) {
        self.watchers.push(Box::new(change));
    }

    /// Brings this part up to date only where `version` is another one than the last time.
    pub(super) fn update_with(&mut self, version: impl Fn(&State) -> u32 + 'static) {
        self.version = Some((Box::new(version), u32::MAX));
    }

    /// The text of an element is what `read` says.
    pub(super) fn text(&mut self, selector: &str, read: impl Fn(&State) -> String + 'static) {
        let read: ReadText = Box::new(move |state| Some(read(state)));
        self.bind(selector, None, read);
    }

    /// An attribute of an element is what `read` says; the element has none where that is `None`.
    pub(super) fn attribute(
        &mut self,
        selector: &str,
        name: &'static str,
        read: impl Fn(&State) -> Option<String> + 'static,
    ) {
        self.bind(selector, Some(name), Box::new(read));
    }

    fn bind(&mut self, selector: &str, attribute: Option<&'static str>, read: ReadText) {
        let element = self.find(selector);
        let mut shown: Option<Option<String>> = None;
        self.watch(move |state| {
            let now = read(state);
            if shown.as_ref() != Some(&now) {
                match attribute {
                    None => element.set_text_content(now.as_deref()),
                    Some(name) => set_attribute(&element, name, now.as_deref()),
                }
                shown = Some(now);
            }
        });
    }

    /// In the place of the `<slot>` that the selector is about stand parts, one for each name, in this order. A part
    /// stays as long as its name does.
    pub(super) fn each(
        &mut self,
        slot: &str,
        names: impl Fn(&State) -> Vec<u32> + 'static,
        make: impl Fn(u32, &State) -> Part + 'static,
    ) {
        let mut parts = Parts {
            slot: self.find(slot),
            names: Box::new(names),
            make: Box::new(make),
            shown: Vec::new(),
        };
        self.watch(move |state| parts.update(state));
    }

    /// In the place of a `<slot>` stands a part while the condition holds.
    pub(super) fn when(
        &mut self,
        slot: &str,
        condition: impl Fn(&State) -> bool + 'static,
        make: impl Fn(&State) -> Part + 'static,
    ) {
        let names = move |state: &State| if condition(state) { vec![0] } else { Vec::new() };
        self.each(slot, names, move |_, state| make(state));
    }

    /// In the place of a `<slot>` stands another part.
    pub(super) fn put(&mut self, slot: &str, mut part: Part) {
        insert_before(part.root(), &self.find(slot));
        self.watch(move |state| part.update(state));
    }

    /// What the user does to an element.
    pub(super) fn on(&mut self, selector: &str, kind: &'static str, act: impl FnMut(&Acts, Event) + 'static) {
        self.listen(self.find(selector).into(), kind, Box::new(act));
    }

    /// What happens to anything else, for as long as this part lives.
    pub(in crate::page) fn listen(&mut self, target: EventTarget, kind: &'static str, mut act: Act) {
        let acts = self.acts.clone();
        let closure = Closure::new(move |event| act(&acts, event));
        self.listeners.push(Listener::new(target, kind, closure));
    }

    /// Brings everything up to date.
    pub(in crate::page) fn update(&mut self, state: &State) {
        if let Some((read, version)) = &mut self.version {
            let now = read(state);
            if *version == now {
                return;
            }
            *version = now;
        }
        for watcher in &mut self.watchers {
            watcher(state);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.root.remove();
    }
}

/// Parts that come and go.
struct Parts {
    /// They stand before it; it has no children and no box.
    slot: Element,
    names: ReadNames,
    make: Make,
    shown: Vec<(u32, Part)>,
}

impl Parts {
    fn update(&mut self, state: &State) {
        let names = (self.names)(state);
        if !self.shown.iter().map(|(name, _)| name).eq(&names) {
            let mut before = std::mem::take(&mut self.shown);
            for name in names {
                let kept = before.iter().position(|(kept, _)| *kept == name);
                let part = match kept {
                    Some(position) => before.remove(position).1,
                    None => (self.make)(name, state),
                };
                self.shown.push((name, part));
            }
            drop(before);
            self.arrange();
        }
        for (_, part) in &mut self.shown {
            part.update(state);
        }
    }

    /// Moves only what does not stand where it should: an element that is moved loses the focus.
    fn arrange(&self) {
        let mut next = self.slot.clone();
        for (_, part) in self.shown.iter().rev() {
            if part.root().next_element_sibling().as_ref() != Some(&next) {
                insert_before(part.root(), &next);
            }
            next = part.root().clone();
        }
    }
}

/// A function that a target calls, as long as this lives.
struct Listener {
    target: EventTarget,
    kind: &'static str,
    closure: Closure<dyn FnMut(Event)>,
}

impl Listener {
    fn new(target: EventTarget, kind: &'static str, closure: Closure<dyn FnMut(Event)>) -> Self {
        target
            .add_event_listener_with_callback(kind, closure.as_ref().unchecked_ref())
            .unwrap_or_default();
        Self {
            target,
            kind,
            closure,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.target
            .remove_event_listener_with_callback(self.kind, self.closure.as_ref().unchecked_ref())
            .unwrap_or_default();
    }
}

fn insert_before(element: &Element, next: &Element) {
    if let Some(parent) = next.parent_node() {
        let (element, next): (&Node, &Node) = (element, next);
        parent
            .insert_before(element, Some(next))
            .expect("it is a child of its parent");
    }
}

fn set_attribute(element: &Element, name: &str, value: Option<&str>) {
    // Fails on names that are no names.
    match value {
        Some(value) => element.set_attribute(name, value),
        None => element.remove_attribute(name),
    }
    .unwrap_or_default();
}
