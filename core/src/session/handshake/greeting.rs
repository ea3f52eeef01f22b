//! Greetings: how two roles begin a secure link.
//!
//! The role that connects sends its [`Greeting`]: who it is, which role it wants, its public identity and its session.
//! The role that listens welcomes or refuses it. Then both run the Noise handshake, whose prologue is the hash of
//! all that was said: nobody in the middle can make them take another role, session or version for the agreed one.

use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

use super::{Actor, Checkpoints, HandshakeError, Hello, Mismatch, VERSION};
use crate::{
    net::{
        link::Link,
        message::{receive, send},
        secure::{self, Aead, Identity, Keys, Prologue, PublicIdentity, Suite},
    },
    prg::Key,
};

/// The first message over a link, from the role that connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The sender's role and session.
    pub hello: Hello,
    /// The role that the sender wants to reach.
    pub to: Actor,
    /// The sender's public identity. The Noise handshake proves it.
    pub identity: PublicIdentity,
    /// The cipher and the frame size of the link.
    pub suite: Suite,
}

/// The answer to a greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reply {
    /// The roles fit together. Has the checkpoints of the answering role.
    Welcome(Checkpoints),
    /// They do not.
    Refused(Mismatch),
}

/// The ends of a secure link, as the end that uses it knows them.
pub struct Ends<'a> {
    /// The identity of this end.
    pub own: &'a Identity,
    /// The public identity of the other end.
    pub remote: PublicIdentity,
    /// A secret that serves this handshake alone.
    pub ephemeral: Key,
    /// The cipher and the frame size. The cipher of the handshake has to be the one that they name.
    pub suite: Suite,
}

/// What a greeted role has answered.
pub struct Welcome {
    /// The keys of the link.
    pub keys: Keys,
    /// The checkpoints of the other role.
    pub checkpoints: Checkpoints,
}

/// Begins every prologue.
const LABEL: &str = "ringlet";

/// Greets the role `to` over a connected link as the role of `hello`.
///
/// # Errors
/// [`HandshakeError::Refused`] when the other role refuses, [`LinkError::Unauthentic`](crate::net::LinkError) when it
/// cannot prove its identity, or when the link fails.
#[inline(never)]
pub fn greet<A: Aead, T: Read + Write>(
    link: &mut Link<T>,
    hello: &Hello,
    to: Actor,
    ends: Ends<'_>,
) -> Result<Welcome, HandshakeError> {
    let own = ends.own.public();
    let greeting = Borrowed {
        hello,
        to,
        identity: own,
        suite: ends.suite,
    };
    send(link, &greeting)?;
    let reply: Reply = receive(link)?;
    let mut prologue = Prologue::new(LABEL);
    prologue.add_message(&greeting);
    prologue.add_message(&reply);
    match reply {
        Reply::Refused(mismatch) => Err(HandshakeError::Refused(mismatch)),
        Reply::Welcome(checkpoints) => {
            let Ends {
                own,
                remote,
                ephemeral,
                ..
            } = ends;
            let keys = secure::connect::<A, T>(link, own, remote, prologue, ephemeral)?;
            Ok(Welcome { keys, checkpoints })
        }
    }
}

/// A [`Greeting`] whose hello lies elsewhere: it has the same bytes.
#[derive(Serialize)]
struct Borrowed<'a> {
    hello: &'a Hello,
    to: Actor,
    identity: PublicIdentity,
    suite: Suite,
}

/// Receives a greeting. Fails if the link does, or if the other end has another version or speaks no such protocol.
#[inline(never)]
pub fn receive_greeting<T: Read + Write>(link: &mut Link<T>) -> Result<Greeting, HandshakeError> {
    let greeting: Greeting = receive(link)?;
    if greeting.hello.version != VERSION {
        return Err(Mismatch::Version(greeting.hello.version).into());
    }
    Ok(greeting)
}

impl Greeting {
    /// Checks that the greeting is for the role `own`, and comes from a role with the identity `remote`. Whether the
    /// sessions fit is for the caller to see.
    pub fn check(&self, own: Actor, remote: PublicIdentity) -> Result<(), Mismatch> {
        if self.to != own {
            return Err(Mismatch::Actor(own));
        }
        if self.identity != remote {
            return Err(Mismatch::Identity);
        }
        Ok(())
    }

    /// Welcomes the role that has sent this greeting, and runs the handshake with it. `checkpoints` are those of the
    /// answering role.
    ///
    /// # Errors
    /// [`LinkError::Unauthentic`](crate::net::LinkError) when the other role cannot prove its identity, or when the
    /// link fails.
    #[inline(never)]
    pub fn welcome<A: Aead, T: Read + Write>(
        &self,
        link: &mut Link<T>,
        checkpoints: &Checkpoints,
        ends: Ends<'_>,
    ) -> Result<Keys, HandshakeError> {
        let prologue = self.reply(link, checkpoints)?;
        accept_welcomed::<A, T>(link, prologue, ends)
    }

    /// Welcomes the role that has sent this greeting: the first half of [`Greeting::welcome`], for a device whose stack has no
    /// room for a greeting beside the handshake. The second half is [`accept_welcomed`]. Fails if the link does.
    #[inline(never)]
    pub fn reply<T: Read + Write>(
        &self,
        link: &mut Link<T>,
        checkpoints: &Checkpoints,
    ) -> Result<Prologue, HandshakeError> {
        let reply = Reply::Welcome(checkpoints.clone());
        send(link, &reply)?;
        let mut prologue = Prologue::new(LABEL);
        prologue.add_message(self);
        prologue.add_message(&reply);
        Ok(prologue)
    }
}

/// Runs the handshake with a role that was welcomed, after all that was said before. Fails as [`Greeting::welcome`] does.
pub fn accept_welcomed<A: Aead, T: Read + Write>(
    link: &mut Link<T>,
    prologue: Prologue,
    ends: Ends<'_>,
) -> Result<Keys, HandshakeError> {
    let Ends {
        own,
        remote,
        ephemeral,
        ..
    } = ends;
    Ok(secure::accept::<A, T>(
        link, own, remote, prologue, ephemeral,
    )?)
}

/// Refuses a greeting, and says why. Fails if the link does.
pub fn refuse_greeting<T: Read + Write>(
    link: &mut Link<T>,
    why: Mismatch,
) -> Result<(), HandshakeError> {
    Ok(send(link, &Reply::Refused(why))?)
}
