//! A party's part in audits: its shares of the counts, their opening, and its buffers.

use bytemuck::TransparentWrapper;

use crate::{
    gate::{Online, range::COUNT_BITS},
    net::link::{LinkError, Segment},
    network::Network,
    num::{
        arena::{Arena, words},
        ring::{Ring, Word},
    },
    session::Session,
    share::{Masked, Share, Values, observer::Observer},
};

use super::{Audited, AuditedTensors, Audits, piece_len};

/// A party's protocol context, which counts traffic by cost row.
pub(crate) trait Counting: Online {
    /// Counts the traffic that follows under a cost row, forward or backward.
    fn count_under(&mut self, cost_row: usize, backward: bool);
}

/// Lengths of a party's buffers for audits, in elements; 0 in sessions without audits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lengths {
    /// Pairs of counts, one for each cost row.
    counts: usize,
    /// Ring words.
    values: usize,
    /// Bytes.
    scratch: usize,
}

impl Lengths {
    pub fn new<R: Ring, T: AuditedTensors>(session: &Session, network: &Network) -> Self {
        if !session.has_audits() {
            return Lengths::default();
        }
        let audits = Audits::<T>::new(session, network, session.micro_batch as usize);
        let stages = 0..network.stages.len();
        let tensors =
            stages.flat_map(|stage| Values::ALL.map(|values| audits.tensor::<R>(stage, values)));
        let scratch = tensors.flatten().map(|audited| {
            let gate = audited.gate::<R>();
            let parts = audited.parts();
            let lens = parts.map(|(_, _, [rows, len])| gate.scratch_len(rows, len));
            lens.max().unwrap_or(0)
        });
        Lengths {
            counts: 2 * network.stages.len(),
            values: piece_len(session, network),
            scratch: scratch.max().unwrap_or(0),
        }
    }

    /// 64-bit words of the buffers, with ring words of `R`.
    pub fn words<R: Ring>(&self) -> usize {
        words(self.counts, size_of::<[u32; 2]>())
            + words(self.values, size_of::<R>())
            + words(self.scratch, 1)
    }
}

/// A party's audit of the current iteration, and the counts of the last one.
pub(crate) struct Audit<'a, R> {
    /// Whether the current iteration is audited.
    due: bool,
    /// Whether the counts are open.
    known: bool,
    /// For each cost row, forward and backward: this party's shares of the counts; once open, the counts.
    counts: &'a mut [[u32; 2]],
    values: &'a mut [R],
    scratch: &'a mut [u8],
}

impl<'a, R: Ring> Audit<'a, R> {
    /// Takes the buffers from the arena.
    pub fn take(arena: &mut Arena<'a>, lengths: Lengths) -> Self {
        Audit {
            due: false,
            known: false,
            counts: arena.take(lengths.counts),
            values: arena.take(lengths.values),
            scratch: arena.take(lengths.scratch),
        }
    }

    /// Begins an iteration, which is audited if `due`, with all counts at 0.
    pub fn begin(&mut self, due: bool) {
        self.due = due;
        self.known = false;
        self.counts.fill([0; 2]);
    }

    /// Shows a tensor to the observer, and adds it to the counts if the iteration is audited.
    #[inline(never)]
    pub fn observe_and_count<C: Counting>(
        &mut self,
        cx: &mut C,
        observer: &mut impl Observer<R>,
        audited: Option<Audited>,
        shares: &[Share<R>],
    ) -> Result<(), LinkError> {
        let Some(audited) = audited else {
            return Ok(());
        };
        let rings = [audited.tensor.ring, audited.tensor.contract.bits];
        observer.values(audited.stage, audited.values, rings, shares);
        let (cost_row, backward) = audited.cost_row();
        if !self.due {
            return Ok(());
        }
        cx.count_under(cost_row, backward);
        let gate = audited.gate::<R>();
        for (at, piece, shape) in audited.parts() {
            let shares = &shares[piece];
            let share = gate.run(cx, at, shape, shares, self.values, self.scratch)?;
            let count = &mut self.counts[cost_row][usize::from(backward)];
            *count = count.plus(share.reveal());
        }
        Ok(())
    }

    /// This party's shares of the counts of the current iteration, until they are open.
    pub fn shares(&mut self) -> &mut [u32] {
        self.counts.as_flattened_mut()
    }

    /// Opens the counts in one round, if the iteration is audited.
    #[inline(never)]
    pub fn open<C: Counting, T: AuditedTensors>(
        &mut self,
        cx: &mut C,
        audits: Audits<'_, T>,
    ) -> Result<(), LinkError> {
        if !self.due {
            return Ok(());
        }
        let (cost_row, backward) = audits.counts_row();
        cx.count_under(cost_row, backward);
        // Only counts with audited tensors are sent: they move to the front, and back after the opening.
        let counts = self.counts.as_flattened_mut();
        let mut opened = 0;
        for count in 0..counts.len() {
            if audits.is_counted::<R>(count) {
                counts.swap(opened, count);
                opened += 1;
            }
        }
        // Both parties may know the sums, and shares of a sum that both know reveal no more, so they need no mask.
        let shares = Masked::wrap_slice_mut(&mut counts[..opened]);
        cx.open(&mut [Segment::words(shares, COUNT_BITS)])?;
        for count in (0..counts.len()).rev() {
            if audits.is_counted::<R>(count) {
                opened -= 1;
                counts.swap(opened, count);
            }
        }
        self.known = true;
        Ok(())
    }

    /// The counts of the last iteration, if it was audited and is complete.
    pub fn counts(&self) -> Option<&[[u32; 2]]> {
        self.known.then_some(&*self.counts)
    }

    /// Wipes the buffers that hold shares of values.
    pub fn wipe(&mut self) {
        use zeroize::Zeroize;
        self.values.zeroize();
        self.scratch.zeroize();
    }
}
