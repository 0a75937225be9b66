//! What a torrent says to one peer, message by message, when that peer speaks by hand.

mod peer;
mod rules;
mod storm;
