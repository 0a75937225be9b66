//! Where the bytes of torrents lie.
//!
//! - `layout`: which file of the torrent lies where, and what it is called until it is complete;
//! - `files`: reading and writing ranges of a torrent across its files; `handles`: those that are open, a bounded number;
//! - `store`: one torrent's storage as its task sees it, which never waits: jobs in, answers out;
//! - `writes`: blocks on their way to the disk, hashed as they pass; `reads`: blocks on their way out, and those kept in memory;
//! - `cache`: pieces of torrents that are carried over, in a bounded file; `ledger`: which of them stay;
//! - `record`: how far a torrent has come, so that it goes on after a restart without hashing anything again.
//!
//! All that may wait for a disk, and all hashing, runs on threads for that.

mod cache;
mod files;
mod handles;
mod layout;
mod ledger;
mod platform;
mod reads;
mod record;
mod store;
mod writes;

pub use cache::Cache;
pub(crate) use cache::Portion;
pub(crate) use files::Files;
pub(crate) use handles::Handles;
pub(crate) use layout::Layout;
pub use layout::Overwrite;
pub(crate) use ledger::Room;
pub(crate) use record::{Keeper, Kept};
pub(crate) use store::{Answer, Answers, Medium, Store};
