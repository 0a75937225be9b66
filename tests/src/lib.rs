//! The end-to-end tests' own house: real browsers, real servers and the real WebTorrent client, started by a test
//! and gone with it.
//!
//! A test is a [`stage::run`] with a story: who shares what, who opens it, what must have arrived. On the stage
//! stand [`browser::Browser`]s, each with a profile of its own as if it were another person's machine, with
//! [`page::CausewayPage`] or [`webtorrent::WebTorrentPage`] in their tabs, and the [`server`]s between them.
//!
//! `WebDriver` does what a person does (addresses, clicks, keys, files); Chromium's debugging protocol
//! ([`cdp`]) sees what a person can't (console, requests, workers) and plays fate (quotas, missing APIs). Nothing
//! sleeps: pages are waited for inside the page, by a `MutationObserver` with a deadline, and what was seen last is
//! part of the message when it passes.

pub mod bad_tracker;
pub mod browser;
pub mod cdp;
pub mod classic;
pub mod files;
pub mod firefox;
pub mod native;
pub mod page;
pub mod pion;
pub mod processes;
pub mod program;
pub mod server;
pub mod site;
pub mod socks;
pub mod stage;
pub mod stranger;
pub mod tab;
pub mod torrents;
pub mod turn;
pub mod watch;
pub mod web;
pub mod webtorrent;
