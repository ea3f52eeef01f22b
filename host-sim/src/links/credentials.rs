//! The identities by which a role knows itself and the others.

use std::collections::BTreeMap;

use ringlet_core::{
    Role,
    net::secure::{Identity, PublicIdentity},
    prg::Key,
    session::handshake::Actor,
};

/// All roles, in the order of [`index`].
const ACTORS: [Actor; 4] = [
    Actor::Party(Role::P0),
    Actor::Party(Role::P1),
    Actor::Dealer,
    Actor::Assistant,
];

/// A role's number.
fn index(actor: Actor) -> u8 {
    match actor {
        Actor::Party(role) => role.index() as u8,
        Actor::Dealer => 2,
        Actor::Assistant => 3,
    }
}

/// The identity of a role, and the public identities of all roles.
pub struct Credentials {
    own: Identity,
    others: BTreeMap<u8, PublicIdentity>,
    secret: bool,
}

impl Credentials {
    /// The identity `own`, and the public identities that a roster gives.
    pub fn new(own: Identity, others: impl IntoIterator<Item = (Actor, PublicIdentity)>) -> Self {
        let others = others.into_iter();
        Credentials {
            own,
            others: others.map(|(actor, id)| (index(actor), id)).collect(),
            secret: true,
        }
    }

    /// Identities that anyone can compute, for roles on one machine. Their links find damage and keep out whoever only
    /// listens, but nobody proves who he is.
    pub fn known_to_all(own: Actor) -> Self {
        let identity = |actor| {
            let mut secret = [0; Key::LEN];
            secret[..24].copy_from_slice(b"ringlet: known to anyone");
            secret[31] = index(actor);
            Identity::new(Key::new(secret))
        };
        Credentials {
            secret: false,
            ..Credentials::new(
                identity(own),
                ACTORS.map(|actor| (actor, identity(actor).public())),
            )
        }
    }

    /// This role's identity.
    pub fn own(&self) -> &Identity {
        &self.own
    }

    /// The public identity of a role, if the roster has it.
    pub fn of(&self, actor: Actor) -> Option<PublicIdentity> {
        self.others.get(&index(actor)).copied()
    }

    /// Whether the identities are secret. If not, they serve on one machine only.
    pub fn are_secret(&self) -> bool {
        self.secret
    }
}
