//! A dry run of one role without the others, which counts what the role sends: it hears zeros. Which messages a role sends
//! depends on public values alone.

use ringlet_core::{
    Role,
    dealt::{PartyContext, Plan, Sent, Trainer},
    net::{Link, Remote},
    network::Network,
    num::Ring,
    securenn::{self, Assistant, AssistantContext, assistant_words, party_words},
    session::{
        RunError, Session, Task,
        handshake::{Start, send_key},
    },
    share::NoObserver,
};

use super::{
    nobody::{Blank, Inputs, Nobody, key, link},
    ranks::ThreadRanks,
};
use crate::links::any_end::AnyEnd;

/// Counts what the party of `role` sends in the whole session, at a link that takes `ahead` bytes ahead: a device's takes
/// none.
pub fn sent<R: Ring>(
    session: &Session,
    network: &Network,
    role: Role,
    ahead: usize,
) -> Result<Sent, RunError> {
    let plan = Plan::new(session, network);
    let mut arena = vec![0; plan.arena_words::<R>(role)];
    let mut opened = vec![R::ZERO; plan.opened_data_words(role)];
    let mut party = Trainer::<R>::new(session, network, role, &key(), &mut arena, &mut opened)?;
    let [mut peer, mut dealer] = <[Nobody; 2]>::default();
    let to_peer = Link::new(AnyEnd::new(&mut peer), Remote::Peer, ahead);
    let to_dealer = Link::new(AnyEnd::new(&mut dealer), Remote::Dealer, 0);
    let mut cx = PartyContext::new(role, key(), to_peer, to_dealer);
    let (mut data, mut observer): Inputs<'_, R> = (&mut Blank, &mut NoObserver);
    let mut ranks = ThreadRanks::only();
    for iteration in 0..session.iterations() {
        party.iterate_in_ranks(&mut cx, &mut ranks, iteration, &mut data, &mut observer)?;
    }
    party.reveal(&mut cx, |_, _| {})?;
    drop(cx);
    Ok(peer.heard())
}

/// What a helper sends to a party before the protocol: its key.
pub fn key_message() -> Sent {
    let mut party = Nobody::default();
    let start = Start {
        key: key(),
        first: 0,
        ranks: 1,
    };
    // The first iteration takes a byte more in a run that goes on from a checkpoint.
    let sent = send_key(&mut link(&mut party, Remote::Party(Role::P0)), &start);
    match sent {
        Ok(()) => party.heard(),
        Err(_) => Sent::default(),
    }
}

/// What the roles of a session send, P0 first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RolesSent {
    /// Each party to the other.
    pub to_peer: [Sent; 2],
    /// Each party to the dealer or the assistant.
    pub to_helper: [Sent; 2],
    /// The dealer or the assistant to each party.
    pub from_helper: [Sent; 2],
}

/// Counts what the roles of SecureNN send in an iteration over `len` samples, which is `audited` or not. All such
/// iterations are alike.
pub fn securenn_iteration(
    session: &Session,
    network: &Network,
    len: u32,
    audited: bool,
) -> Result<RolesSent, RunError> {
    let session = &Session {
        samples: match session.samples_owner() {
            Role::P0 => [len, 0],
            Role::P1 => [0, len],
        },
        contributions: None,
        batch: len,
        micro_batch: session.micro_batch.min(len),
        limit: 1,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: audited.into(),
        ..session.clone()
    };
    let mut sent = RolesSent::default();
    for role in Role::BOTH {
        let mut memory = vec![0; party_words(session, network)];
        let [mut peer, mut helper] = <[Nobody; 2]>::default();
        let to_peer = link(&mut peer, Remote::Peer);
        let to_helper = link(&mut helper, Remote::Assistant);
        let (mut data, mut observer): Inputs<'_, u64> = (&mut Blank, &mut NoObserver);
        let mut cx = securenn::PartyContext::new(role, [key(), key()], to_peer, to_helper);
        match session.task {
            Task::Train => {
                let mut party =
                    securenn::Trainer::new(session, network, role, &key(), &mut memory)?;
                party.iterate(&mut cx, 0, &mut data, &mut observer)?;
            }
            Task::Infer | Task::Evaluate => {
                let mut party = securenn::Classifier::new(session, network, role, &mut memory)?;
                party.classify(&mut cx, 0, &mut data, &mut observer, |_, _| {})?;
            }
        }
        drop(cx);
        sent.to_peer[role.index()] = peer.heard();
        sent.to_helper[role.index()] = helper.heard();
    }
    let mut memory = vec![0; assistant_words(session, network)];
    let mut assistant = Assistant::new(session, network, &mut memory)?;
    let [mut first, mut second] = <[Nobody; 2]>::default();
    let to_first = link(&mut first, Remote::Party(Role::P0));
    let to_second = link(&mut second, Remote::Party(Role::P1));
    let mut cx = AssistantContext::new(key(), [key(), key()], to_first, to_second);
    assistant.iterate(&mut cx, 0)?;
    drop(cx);
    sent.from_helper = [first.heard(), second.heard()];
    Ok(sent)
}
