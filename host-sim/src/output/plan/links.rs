//! The bytes that the secure links of a session carry between hosts, to the byte.

use ringlet_core::{
    Role,
    dealt::{Plan, Sent},
    net::secure::Suite,
    network::Network,
    num::Ring,
    prg::Key,
    session::{RunError, Session},
};
use serde::Serialize;

use crate::{
    links::sealed_bytes::{from_helper, to_helper, to_peer},
    output::amounts::{bytes, counted},
    run::dry_run::{RolesSent, key_message, securenn_iteration},
};

/// Bytes that each direction of each link carries in the whole session: Noise handshakes, frames and ends, without the
/// greetings before them. The helper is the dealer or the assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LinkBytes {
    iterations: u32,
    p0_to_p1: u64,
    p1_to_p0: u64,
    p0_to_helper: u64,
    p1_to_helper: u64,
    helper_to_p0: u64,
    helper_to_p1: u64,
}

impl LinkBytes {
    /// The links of a session with a dealer.
    pub fn dealt<R: Ring>(session: &Session, network: &Network) -> Self {
        let plan = Plan::new(session, network);
        Self::new(
            session,
            RolesSent {
                to_peer: Role::BOTH.map(|role| plan.sent_to_peer::<R>(role, 0)),
                from_helper: [Sent::default(), plan.sent_to_p1::<R>(0)],
                ..RolesSent::default()
            },
        )
    }

    /// The links of a session with SecureNN's assistant. All iterations over as many samples are alike, with audits or
    /// without.
    pub fn securenn(session: &Session, network: &Network) -> Result<Self, RunError> {
        let mut sent = RolesSent::default();
        let mut add = |more: RolesSent| {
            add(&mut sent.to_peer, more.to_peer);
            add(&mut sent.to_helper, more.to_helper);
            add(&mut sent.from_helper, more.from_helper);
        };
        // Each party sends its part of the key that only the parties have.
        let key = Sent {
            bytes: Key::LEN as u64,
            messages: 1,
        };
        add(RolesSent {
            to_peer: [key; 2],
            ..RolesSent::default()
        });
        let mut known: Vec<((u32, bool), RolesSent)> = Vec::new();
        for iteration in 0..session.iterations() {
            let audited = session.is_audited(iteration);
            let kind = (session.batch(iteration).len, audited);
            let sent = match known.iter().find(|(of, _)| *of == kind) {
                Some((_, sent)) => *sent,
                None => {
                    let sent = securenn_iteration(session, network, kind.0, audited)?;
                    known.push((kind, sent));
                    sent
                }
            };
            add(sent);
        }
        if let Some(receiver) = session.receiver {
            let mut reveals = RolesSent::default();
            reveals.to_peer[receiver.other().index()] = Sent {
                bytes: 8 * network.parameters() as u64,
                messages: 1,
            };
            add(reveals);
        }
        Ok(Self::new(session, sent))
    }

    fn new(session: &Session, sent: RolesSent) -> Self {
        let [p0, p1] = Role::BOTH;
        // P0 listens, and P1 connects.
        let to_peer = |role: Role| {
            let sent = sent.to_peer[role.index()];
            to_peer(sent, role, Suite::Host, role == Role::P1)
        };
        let to_helper = |role: Role| to_helper(sent.to_helper[role.index()]);
        let from_helper = |role: Role| from_helper(key_message() + sent.from_helper[role.index()]);
        LinkBytes {
            iterations: session.iterations(),
            p0_to_p1: to_peer(p0),
            p1_to_p0: to_peer(p1),
            p0_to_helper: to_helper(p0),
            p1_to_helper: to_helper(p1),
            helper_to_p0: from_helper(p0),
            helper_to_p1: from_helper(p1),
        }
    }

    /// Bytes that P0, P1 and the helper send and receive.
    pub fn of_roles(&self) -> [u64; 3] {
        let between = self.p0_to_p1 + self.p1_to_p0;
        let p0 = self.p0_to_helper + self.helper_to_p0;
        let p1 = self.p1_to_helper + self.helper_to_p1;
        [between + p0, between + p1, p0 + p1]
    }

    /// Bytes of the busiest direction between the parties, and of the busiest from the helper.
    pub fn longest(&self) -> [u64; 2] {
        [
            self.p0_to_p1.max(self.p1_to_p0),
            self.helper_to_p0.max(self.helper_to_p1),
        ]
    }

    /// The lines of a table; `helper` is the dealer or the assistant.
    pub fn lines(&self, helper: &str) -> String {
        let row = |name: &str, [there, back]: [u64; 2]| {
            format!("{name:<24}{:>15}{:>15}\n", bytes(there), bytes(back))
        };
        format!(
            "\nSecure links between hosts carry in {}:\n",
            counted(self.iterations.into(), "iteration")
        ) + &row("p0 to p1, back", [self.p0_to_p1, self.p1_to_p0])
            + &row(
                &format!("{helper} to p0, back"),
                [self.helper_to_p0, self.p0_to_helper],
            )
            + &row(
                &format!("{helper} to p1, back"),
                [self.helper_to_p1, self.p1_to_helper],
            )
    }
}

fn add(sums: &mut [Sent; 2], more: [Sent; 2]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}
