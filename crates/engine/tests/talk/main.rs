//! What a torrent says to one peer, message by message, when that peer speaks by hand.

mod extensions;
mod fetching;
mod meeting;
mod peer;
mod relaying;
mod serving;
mod spreading;
mod storm;
