//! The metadata's way from peers to us and from us to peers (BEP 9, 10).

use super::messages::misbehaved;
use super::{Bytes, Content, Info, LinkId, Metadata, StorageError, Stored, Torrent, relaying};
use crate::Event;
use crate::metadata::Outcome;
use crate::peer_pieces::PeerPieces;
use causeway_wire::Message;
use causeway_wire::extended::{METADATA_PIECE_LENGTH, MetadataMessage};
use core::mem;
use std::sync::Arc;

impl Torrent {
    /// Asks peers for parts of the metadata that nobody was asked for.
    pub(super) fn ask_for_metadata(&mut self) {
        let Metadata::Fetching { fetch, .. } = &mut self.metadata else {
            return;
        };
        for (link, piece) in fetch.requests(self.now) {
            if let Some(peer) = self.peers.get_mut(&link)
                && let Some(id) = peer.extensions.metadata
            {
                let payload = MetadataMessage::Request { piece }.to_bytes();
                peer.outbox.push(&Message::Extended { id, payload });
                self.touched.insert(link);
            }
        }
    }

    /// Sends parts of the metadata that the peer asked for, within what its link takes.
    pub(super) fn send_metadata(&mut self, link: LinkId) {
        let Metadata::Known(content) = &self.metadata else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let Some(id) = peer.extensions.metadata else {
            return;
        };
        let raw = content.info.raw();
        let total_size = u32::try_from(raw.len()).unwrap_or(u32::MAX);
        while peer.uploads.has_metadata() && peer.outbox.takes(METADATA_PIECE_LENGTH as usize) {
            let Some(piece) = peer.uploads.next_metadata() else {
                return;
            };
            let start = u64::from(piece) * u64::from(METADATA_PIECE_LENGTH);
            let start = usize::try_from(start).unwrap_or(usize::MAX).min(raw.len());
            let end = start
                .saturating_add(METADATA_PIECE_LENGTH as usize)
                .min(raw.len());
            let message = if start < end {
                MetadataMessage::Data {
                    piece,
                    total_size,
                    data: raw.slice(start..end),
                }
            } else {
                MetadataMessage::Reject { piece }
            };
            peer.outbox.push(&Message::Extended {
                id,
                payload: message.to_bytes(),
            });
        }
    }

    pub(super) fn metadata_message(&mut self, link: LinkId, message: MetadataMessage) {
        match message {
            MetadataMessage::Request { piece } => self.metadata_asked(link, piece),
            MetadataMessage::Data { piece, data, .. } => self.metadata_arrived(link, piece, data),
            MetadataMessage::Reject { piece } => {
                if let Metadata::Fetching { fetch, .. } = &mut self.metadata {
                    fetch.rejected(link, piece, self.now);
                }
            }
            MetadataMessage::Unknown => {}
        }
    }

    fn metadata_asked(&mut self, link: LinkId, piece: u32) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let is_known = matches!(self.metadata, Metadata::Known(_));
        if let Some(id) = peer.extensions.metadata
            && !(is_known && peer.uploads.ask_metadata(piece))
        {
            let payload = MetadataMessage::Reject { piece }.to_bytes();
            peer.outbox.push(&Message::Extended { id, payload });
        }
    }

    fn metadata_arrived(&mut self, link: LinkId, piece: u32, data: Bytes) {
        let Metadata::Fetching { fetch, .. } = &mut self.metadata else {
            return;
        };
        match fetch.received(link, piece, data) {
            Outcome::Incomplete | Outcome::Wrong(None) => {}
            Outcome::Wrong(Some(liar)) => self.ban(liar),
            Outcome::Complete(raw) => match Info::from_bytes(raw) {
                Ok(info) => self.metadata_complete(Arc::new(info)),
                Err(error) => self.fail(StorageError::Failed(error.to_string())),
            },
        }
    }

    /// From here on the torrent has pieces. What peers said of theirs so far counts now.
    fn metadata_complete(&mut self, info: Arc<Info>) {
        let Metadata::Fetching {
            selected, preferred, ..
        } = &mut self.metadata
        else {
            return;
        };
        let preferred = mem::take(preferred);
        let selected = if self.config.relay {
            relaying::selection(&self.config, &info)
        } else {
            mem::take(selected)
        };
        let mut content = Content::new(Arc::clone(&info), &Stored::Nothing, selected, &mut self.rng);
        content.prefer(preferred);
        let geometry = content.geometry();
        self.metadata = Metadata::Known(Box::new(content));
        self.tell(Event::MetadataReceived(info));
        let links: Vec<_> = self.peers.keys().copied().collect();
        for link in links {
            let Some(peer) = self.peers.get_mut(&link) else {
                continue;
            };
            let said = mem::replace(&mut peer.pieces, PeerPieces::none(Some(geometry)));
            let PeerPieces::Claimed(claim) = said else {
                continue;
            };
            match claim.into_known(geometry) {
                Some(have) => self.set_known(link, have),
                None => self.close(link, misbehaved("it claims pieces that do not exist")),
            }
            if let Some(mut peer) = self.peers.remove(&link) {
                self.send_extended_handshake(&mut peer);
                self.peers.insert(link, peer);
            }
        }
        self.plan_streaming();
        self.touch_all();
    }
}
