//! The page: what a person sees and does, and the connections that only a page can make.

mod acts;
mod address;
pub(crate) mod app;
mod arrange;
mod connections;
mod format;
mod gestures;
mod link_port;
mod pick;
mod save;
mod state;
mod view;
mod words;
pub(crate) mod worker_handle;
