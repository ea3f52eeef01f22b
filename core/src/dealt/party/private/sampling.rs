//! Poisson sampling: each iteration draws each sample with the same probability, independently. Only its owner knows which.

use zeroize::Zeroize;

use crate::{Role, cost::LANES, dealt::micro_batch::MicroBatch, num::ring::Ring, session::Session};

use super::{Party, PrivateMemory, SAMPLING};

impl<R: Ring> Party<'_, R> {
    /// Puts the samples that this party draws in its rows of a micro-batch. Further rows have its first sample, and do not count.
    /// If more are drawn than it has rows, the last ones are left out.
    ///
    /// Which samples are drawn is secret. So each sample is compared with each row.
    #[inline(never)]
    pub(in crate::dealt::party) fn draw_samples(&mut self, micro: MicroBatch) {
        let (session, role) = (self.session, self.role);
        let (Some(private), Some(own)) = (&mut self.private, session.drawn_rows(role)) else {
            return;
        };
        let end = micro.first + micro.rows as u32;
        let from = own.start.clamp(micro.first, end);
        let to = own.end.clamp(from, end);
        let rows = (from - micro.first) as usize..(to - micro.first) as usize;
        // The rank of the sample that the first of these rows takes.
        let first = from - own.start;
        let numbers = &mut self.samples[rows];
        private.draw(session, role, micro.batch.iteration, first, numbers);
    }
}

impl<R: Ring> PrivateMemory<'_, R> {
    /// Puts the samples of the ranks from `first` on among those that the iteration draws in `numbers`, as far as it draws so many.
    pub(super) fn draw(
        &mut self,
        session: &Session,
        role: Role,
        iteration: u32,
        first: u32,
        numbers: &mut [u32],
    ) {
        let number_of = |local: u32| match role {
            Role::P0 => local,
            Role::P1 => session.samples[0] + local,
        };
        let (samples, rate) = (session.samples[role.index()], session.drawing_rate());
        let stream = Self::stream(SAMPLING, iteration, 0);
        let mut words = [0u64; LANES];
        let mut rank = 0u32;
        for local in 0..samples {
            let lane = local as usize % LANES;
            if lane == 0 {
                self.secret.fill(stream, local.into(), &mut words);
            }
            // 1 if the word is below the rate.
            let is_drawn = (u128::from(words[lane]).wrapping_sub(rate) >> 127) as u32;
            for (number, row) in numbers.iter_mut().zip(first..) {
                let differs = rank ^ row;
                // All ones if the rank is the row's and the sample is drawn.
                let is_here = (differs | differs.wrapping_neg()) >> 31 ^ 1;
                let select = (is_here & is_drawn).wrapping_neg();
                *number ^= (*number ^ number_of(local)) & select;
            }
            rank += is_drawn;
        }
        words.zeroize();
        self.drawn = rank;
    }

    /// 1 if a row of a batch is this party's own and does not count, else 0.
    pub(super) fn is_weightless(drawn: u32, own: &core::ops::Range<u32>, row: u32) -> u64 {
        match own.contains(&row) {
            // Below 0 from the first row on that no drawn sample takes.
            true => (i64::from(drawn) - 1 - i64::from(row - own.start)) as u64 >> 63,
            false => 0,
        }
    }
}
