//! Fuzz targets: functions that take any bytes and must return.
//!
//! Each target has a corpus, a folder of inputs that together reach all the code that was ever reached. The tests
//! replay them on every run; `cargo xtask fuzz` looks for more. An input that made a target panic becomes a part
//! of its corpus once the fault is mended.

#![forbid(unsafe_code)]

mod engine;
mod mse;
mod parsers;
mod source;
mod tracker;
mod wire;

/// A function to be fed with arbitrary bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Panics where something is wrong.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 9] = [
    Target {
        name: "metainfo",
        run: parsers::metainfo,
    },
    Target {
        name: "magnet",
        run: parsers::magnet,
    },
    Target {
        name: "wire",
        run: wire::decoder,
    },
    Target {
        name: "mse",
        run: mse::negotiation,
    },
    Target {
        name: "extensions",
        run: wire::extensions,
    },
    Target {
        name: "signal",
        run: parsers::signal,
    },
    Target {
        name: "tracker",
        run: tracker::doors,
    },
    Target {
        name: "snapshot",
        run: engine::snapshot,
    },
    Target {
        name: "engine",
        run: engine::torrent,
    },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
