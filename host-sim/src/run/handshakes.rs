//! Handshakes before a run over links within this process: a party with its peer and helper, a helper with both parties.

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    net::Link,
    prg::Key,
    session::{
        Session,
        handshake::{HandshakeError, Hello, Mismatch, Start, receive_key, refuse, send_key},
    },
};

use super::actors::Helper;
use crate::error::Failure;

/// Completes a party's handshakes with the peer and with the dealer or assistant. Returns the key that the latter sends.
pub fn greet<P: Read + Write, D: Read + Write>(
    hello: &Hello,
    peer: &mut Link<P>,
    dealer: &mut Link<D>,
) -> Result<Key, Failure> {
    // The dealer first, so that it too learns of a mismatch of the parties.
    hello.send(dealer)?;
    hello.exchange_with_peer(peer)?;
    Ok(receive_key(dealer)?.key)
}

/// Compares the first messages of both parties, refuses them if they do not fit together or want another `helper` than
/// this one, and sends the keys. Returns the session and the links in the order of the roles.
pub fn meet_parties<T: Read + Write>(
    helper: Helper,
    mut links: [Link<T>; 2],
    heard: [Hello; 2],
    keys: &[Key; 2],
) -> Result<(Session, [Link<T>; 2]), Failure> {
    let wanted = Helper::of(heard[0].session.protocol);
    let mismatch = match helper {
        _ if heard[0].role == heard[1].role => Some(Mismatch::Role(heard[0].role)),
        Helper::Dealer if wanted != helper => Some(Mismatch::Dealer),
        Helper::Assistant if wanted != helper => Some(Mismatch::Assistant),
        _ => heard[0].compare(&heard[1]).err(),
    };
    if let Some(mismatch) = mismatch {
        for link in &mut links {
            // A party that is gone needs no answer.
            let _ = refuse(link, mismatch);
        }
        return Err(HandshakeError::from(mismatch).into());
    }
    if heard[0].role == Role::P1 {
        links.swap(0, 1);
    }
    for (link, key) in links.iter_mut().zip(keys) {
        let start = Start {
            key: key.clone(),
            first: 0,
            ranks: 1,
        };
        send_key(link, &start)?;
    }
    let [hello, _] = heard;
    Ok((hello.session, links))
}
