//! What each rank of a role has in an iteration, for growing numbers of ranks.

use ringlet_core::{cost::Cost, dealt::Plan, network::Network, num::Ring, session::Session};
use serde::Serialize;

use super::process::{DEALER_LINK, THREAD};
use crate::{output::amounts::bytes, run::dealt_files::BLOCK};

/// What the ranks of each role have, of which there are so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Share {
    ranks: u16,
    /// Micro-batches of the first rank, which has the most.
    micro_batches: u32,
    /// Bytes that the first rank sends to its peer, and those of corrections that it gets.
    online_bytes_first: u64,
    dealer_bytes_first: u64,
    /// The same of another rank, that has the most of the others.
    online_bytes_other: u64,
    dealer_bytes_other: u64,
}

/// An iteration of the first epoch over ranks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RanksPlan {
    micro_batches: u32,
    /// Bytes that each rank gets of the first: the weights as it holds them.
    weight_bytes: u64,
    /// Bytes that each rank gives to the first: the sums of gradients.
    gradient_bytes: u64,
    /// Bytes that a rank gives to all others in the first epoch: the opened images of a micro-batch.
    image_bytes: u64,
    /// Bytes of memory that a process takes for each further rank, as a thread.
    thread_bytes_p0: u64,
    thread_bytes_p1: u64,
    thread_bytes_dealer: u64,
    /// Bytes that each rank of P1 holds of a dealt file.
    dealt_file_bytes_p1: u64,
    shares: Vec<Share>,
}

/// 1, 2, 4 and so on, and the most ranks that have work.
pub fn numbers(most: u16) -> Vec<u16> {
    let mut numbers: Vec<u16> = (0..u16::BITS - 1).map(|power| 1 << power).collect();
    numbers.retain(|&number| number <= most);
    if !numbers.contains(&most) {
        numbers.push(most);
    }
    numbers
}

impl RanksPlan {
    /// The plan for 1, 2, 4 and so on ranks, up to the most that have work. A rank of P0 and one of P1 hold so many bytes in
    /// buffers and links.
    pub fn new<R: Ring>(session: &Session, network: &Network, held: [u64; 2]) -> Self {
        let plan = Plan::new(session, network);
        let size = session.micro_batch;
        let of = |count: u32| {
            let len = count * size;
            plan.iteration::<R>(len) + plan.data::<R>(len, len)
        };
        let amounts = |cost: Cost| [cost.online_bytes, cost.dealer_bytes];
        let (one, two) = (amounts(of(1)), amounts(of(2)));
        let each = [0, 1].map(|at| two[at] - one[at]);
        // What is there once in an iteration is the first rank's.
        let once = [0, 1].map(|at| one[at] - each[at]);
        let micro_batches = session.batch_rows().div_ceil(size);
        let share = |ranks: u16| {
            let first = micro_batches.div_ceil(ranks.into());
            let other = match ranks {
                1 => 0,
                _ => (micro_batches - 1).div_ceil(ranks.into()),
            };
            let at_first = [0, 1].map(|at| once[at] + u64::from(first) * each[at]);
            let at_other = each.map(|each| u64::from(other) * each);
            Share {
                ranks,
                micro_batches: first,
                online_bytes_first: at_first[0],
                dealer_bytes_first: at_first[1],
                online_bytes_other: at_other[0],
                dealer_bytes_other: at_other[1],
            }
        };
        let parameters = network.parameters() as u64;
        RanksPlan {
            micro_batches,
            weight_bytes: parameters * u64::from(session.format.wide() / 8),
            gradient_bytes: parameters * size_of::<R>() as u64,
            image_bytes: plan.data_bytes(size.min(session.batch_rows())),
            thread_bytes_p0: THREAD + held[0],
            thread_bytes_p1: THREAD + held[1],
            thread_bytes_dealer: THREAD + 8 * plan.dealer_arena_words::<R>() as u64 + DEALER_LINK,
            dealt_file_bytes_p1: BLOCK as u64,
            shares: numbers(session.most_ranks())
                .into_iter()
                .map(share)
                .collect(),
        }
    }

    /// The lines of a table.
    pub fn lines(&self) -> String {
        let mut table = format!(
            "\nRanks of each role, which share {} micro-batches:\n{:>5}{:>15}{:>27}{:>29}\n{:>5}{:>15}{:>13}{:>14}{:>15}{:>14}\n",
            self.micro_batches,
            "",
            "micro-batches",
            "sent to the peer by",
            "corrections got by",
            "ranks",
            "of the first",
            "the first",
            "another",
            "the first",
            "another",
        );
        for share in &self.shares {
            let other = |amount: u64| match share.ranks {
                1 => "-".to_owned(),
                _ => bytes(amount),
            };
            table += &format!(
                "{:>5}{:>15}{:>13}{:>14}{:>15}{:>14}\n",
                share.ranks,
                share.micro_batches,
                bytes(share.online_bytes_first),
                other(share.online_bytes_other),
                bytes(share.dealer_bytes_first),
                other(share.dealer_bytes_other),
            );
        }
        table += &format!(
            "Within a party the first rank gives each other one {} of weights and gets {} of gradients; in the first\n\
             epoch each gives all others the {} of images that a micro-batch opens.\n\
             Memory for each further thread: p0 {}, p1 {}, dealer {}. With dealt files each thread of p1 holds {} more.\n",
            bytes(self.weight_bytes),
            bytes(self.gradient_bytes),
            bytes(self.image_bytes),
            bytes(self.thread_bytes_p0),
            bytes(self.thread_bytes_p1),
            bytes(self.thread_bytes_dealer),
            bytes(self.dealt_file_bytes_p1)
        );
        table
    }
}
