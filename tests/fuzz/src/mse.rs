//! Message stream encryption between two sides, whose words are changed on their way.

use causeway_core::{InfoHash, Sha1Hash};
use causeway_wire::mse::{Initiator, Method, Methods, Responder, Secret, Step, torrent_key};

use crate::source::Source;

const TORRENT: InfoHash = InfoHash::new([7; 20]);

/// Neither side breaks; and where nothing was changed they agree.
pub(crate) fn negotiation(data: &[u8]) {
    let mut source = Source(data);
    let methods = [Methods::ALL, Methods::RC4, Methods::PLAINTEXT];
    let mut any = || methods[usize::from(source.byte()) % methods.len()];
    let mut a = Initiator::new(TORRENT, any(), Secret::new([1; 20]));
    let mut b = Responder::new(any(), Method::Plaintext, Secret::new([2; 20]), vec![3; 30]);
    let find = |key: Sha1Hash| (key == torrent_key(TORRENT)).then_some(TORRENT);
    let (mut to_b, mut to_a) = (a.hello(&[4; 20]), Vec::new());
    let (mut of_a, mut of_b) = (None, None);
    let mut is_changed = false;
    for _ in 0..4 {
        is_changed |= change(&mut to_b, &mut source);
        for part in core::mem::take(&mut to_b).chunks(1 + source.number() as usize % 600) {
            match b.receive(part, find) {
                Ok(Step::Send(bytes)) => to_a.extend(bytes),
                Ok(Step::Done(settled)) => {
                    to_a.extend_from_slice(&settled.send);
                    of_b = Some(settled.method);
                }
                Err(_) => {}
            }
        }
        is_changed |= change(&mut to_a, &mut source);
        for part in core::mem::take(&mut to_a).chunks(1 + source.number() as usize % 600) {
            match a.receive(part) {
                Ok(Step::Send(bytes)) => to_b.extend(bytes),
                Ok(Step::Done(settled)) => of_a = Some(settled.method),
                Err(_) => {}
            }
        }
    }
    assert!(is_changed || of_a == of_b, "{of_a:?} and {of_b:?}");
}

/// Changes a few of the bytes, or adds others; says whether it did.
fn change(bytes: &mut Vec<u8>, source: &mut Source) -> bool {
    let mut is_changed = false;
    while source.byte() % 4 == 1 {
        is_changed = true;
        let place = source.number() as usize % (bytes.len() + 1);
        match source.byte() % 3 {
            0 => bytes.truncate(place),
            1 => drop(bytes.splice(place..place, source.bytes(700))),
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= source.byte();
                }
            }
        }
    }
    is_changed
}
