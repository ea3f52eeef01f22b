//! What each rank of a role has in an iteration of training by SecureNN, for growing numbers of ranks.

use ringlet_core::{
    network::Network,
    securenn::plan,
    session::{Batch, Rank, Session},
};
use serde::Serialize;

use super::{process::THREAD, ranks::numbers};
use crate::output::amounts::bytes;

/// What the ranks of each role have, of which there are so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Share {
    ranks: u16,
    /// Micro-batches of the first rank, which has the most.
    micro_batches: u32,
    /// Bytes that the first ranks of all three roles send.
    all_parties_bytes_first: u64,
    /// The same of another rank, that has the most of the others.
    all_parties_bytes_other: u64,
}

/// An iteration over ranks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecureNnRanks {
    micro_batches: u32,
    /// Bytes that each rank of a party gets of the first: its shares of the weights.
    weight_bytes: u64,
    /// Bytes that each rank of a party gives to the first: the sums of gradients.
    gradient_bytes: u64,
    /// Bytes of memory that a process takes for each further rank, as a thread.
    thread_bytes_party: u64,
    thread_bytes_assistant: u64,
    shares: Vec<Share>,
}

impl SecureNnRanks {
    /// The plan for 1, 2, 4 and so on ranks, up to the most that have work. A rank of a party and one of the assistant hold
    /// so many bytes in buffers and links.
    pub fn new(session: &Session, network: &Network, held: [u64; 2]) -> Self {
        let batch = Batch {
            iteration: 0,
            epoch: 0,
            first: 0,
            len: session.batch,
        };
        let sent = |rows: u32| {
            let rows = plan::cost_rows(session, network, rows);
            let passes = rows.iter().flat_map(|row| [row.forward, row.backward]);
            passes.map(|cost| cost.bytes).sum::<u64>()
        };
        // All micro-batches but the last have as many rows as the first.
        let of_whole = sent(session.micro_batch);
        let of_rank = |index: u16, count: u16| {
            let rank = Rank::new(index, count).into_iter();
            let micro_batches =
                rank.flat_map(|rank| rank.micro_batches(batch, session.micro_batch));
            micro_batches.fold((0, 0), |(number, sum), (_, rows)| {
                let bytes = match rows == session.micro_batch {
                    true => of_whole,
                    false => sent(rows),
                };
                (number + 1, sum + bytes)
            })
        };
        let share = |ranks: u16| {
            let (micro_batches, all_parties_bytes_first) = of_rank(0, ranks);
            let (_, all_parties_bytes_other) = of_rank(1, ranks);
            Share {
                ranks,
                micro_batches,
                all_parties_bytes_first,
                all_parties_bytes_other,
            }
        };
        let words = 8 * network.parameters() as u64;
        SecureNnRanks {
            micro_batches: session.batch.div_ceil(session.micro_batch),
            weight_bytes: words,
            gradient_bytes: words,
            thread_bytes_party: THREAD + held[0],
            thread_bytes_assistant: THREAD + held[1],
            shares: numbers(session.most_ranks())
                .into_iter()
                .map(share)
                .collect(),
        }
    }

    /// The lines of a table.
    pub fn lines(&self) -> String {
        let mut table = format!(
            "\nRanks of each role, which share {} micro-batches:\n{:>5}{:>15}{:>31}\n{:>5}{:>15}{:>16}{:>15}\n",
            self.micro_batches,
            "",
            "micro-batches",
            "sent by all three roles, at",
            "ranks",
            "of the first",
            "the first",
            "another",
        );
        for share in &self.shares {
            let other = match share.ranks {
                1 => "-".to_owned(),
                _ => bytes(share.all_parties_bytes_other),
            };
            table += &format!(
                "{:>5}{:>15}{:>16}{other:>15}\n",
                share.ranks,
                share.micro_batches,
                bytes(share.all_parties_bytes_first),
            );
        }
        table += &format!(
            "Within a party the first rank gives each other one {} of weights and gets {} of gradients.\n\
             Memory for each further thread: a party {}, the assistant {}.\n",
            bytes(self.weight_bytes),
            bytes(self.gradient_bytes),
            bytes(self.thread_bytes_party),
            bytes(self.thread_bytes_assistant),
        );
        table
    }
}

#[cfg(test)]
mod tests {
    use ringlet_core::{
        model::{Loss, Model, TripleScheme},
        num::Format,
        session::{Headroom, Protocol},
    };

    use super::*;
    use crate::config::session::one_batch;

    #[test]
    fn ranks_share_what_one_sends() {
        let model = Model::built_in("digits8").expect("built in");
        let mut session = one_batch(model, 10).expect("a session");
        // Four micro-batches, the last of which has one row.
        session.micro_batch = 3;
        session.protocol = Protocol::SecureNn {
            triples: TripleScheme::Fused,
            loss: Loss::Softmax,
        };
        session.format = Format::new::<u64>(13).expect("a format");
        session.headroom = Headroom::NONE;
        let network = ringlet_core::securenn::check(&session).expect("a network");
        let plan = SecureNnRanks::new(&session, &network, [0; 2]);
        let rows = plan::cost_rows(&session, &network, 10);
        let passes = rows.iter().flat_map(|row| [row.forward, row.backward]);
        let all: u64 = passes.map(|cost| cost.bytes).sum();
        let [one, two, four] = plan.shares[..] else {
            panic!("{:?}", plan.shares);
        };
        assert_eq!((one.ranks, one.micro_batches), (1, 4));
        assert_eq!(
            (one.all_parties_bytes_first, one.all_parties_bytes_other),
            (all, 0)
        );
        assert_eq!((two.ranks, two.micro_batches), (2, 2));
        assert_eq!(
            two.all_parties_bytes_first + two.all_parties_bytes_other,
            all
        );
        assert_eq!((four.ranks, four.micro_batches), (4, 1));
        assert_eq!(four.all_parties_bytes_first, four.all_parties_bytes_other);
        assert_eq!(
            2 * four.all_parties_bytes_first,
            two.all_parties_bytes_first
        );
    }
}
