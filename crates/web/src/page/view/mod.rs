//! The components that the page is put together from.

// What Leptos generates for a component's properties is `pub` whatever the component is.
#![expect(unreachable_pub, reason = "generated code")]

mod file_list;
mod intake;
mod removal;
mod share_link;
mod torrent;
mod troubles;

pub(super) use intake::Intake;
pub(super) use removal::RemovalDialog;
pub(super) use torrent::TorrentCard;
pub(super) use troubles::Troubles;
