//! The forward pass: from pixels to shares of the logits, and of probabilities - labels.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use heapless::Vec;

use crate::{
    Role,
    data::{Data, read_pixels},
    dealt::{
        audit::Audits,
        micro_batch::MicroBatch,
        party_context::PartyContext,
        stream_ids::{Product, Tensors, Use},
    },
    gate::{
        Online,
        bilinear::Bilinear,
        tensor::{RowMask, Rows, Whole, hold_rows, hold_whole, mask_rows, mask_whole},
    },
    kernel::linear::Linear,
    model::cost_rows::{activation_row, map_row},
    net::link::Segment,
    network::{Activation, MAX_STAGES, Stage, walk},
    num::{
        fixed_point::Format,
        ring::{Ring, Word},
    },
    session::Task,
    share::{Factor, Held, Masked, Public, Share, Values, observer::Observer, truncate},
};

use super::{Party, StageMemory, skip::add_skip, steps::PartySteps};
use crate::session::RunError;

impl<R: Ring> Party<'_, R> {
    /// Fills the first stage's operand, row by row, at f fraction bits: this party's pixels; for a sample of the peer
    /// its stored opening if there is one, else zeros.
    ///
    /// Fails if a sample of this party is missing.
    #[inline(never)]
    fn load_samples(
        &mut self,
        micro: MicroBatch,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[0];
        let len = stage.linear.input_len();
        let normalisation = (&self.session.normalisation, self.network.input[2]);
        let keep = self.session.keeps_data();
        let opens = self.opens_samples(micro);
        for (row, &sample) in self.samples[..micro.rows].iter().enumerate() {
            let number = self.session.local_index(sample);
            let operand = &mut self.stages[0].operand[row * len..][..len];
            if self.session.owner(sample) == self.role {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut *self.scratch);
                let pixels = &mut bytes[..stage.entering_len()];
                data.pixels(number, pixels)?;
                read_pixels(
                    stage,
                    normalisation,
                    self.session.format.fraction,
                    pixels,
                    operand,
                );
                observer.factor(0, Factor::Input, Share::wrap_slice(operand));
                continue;
            }
            observer.factor(0, Factor::Input, &[]);
            if keep && !opens {
                let kept = &self.opened_data[number as usize * len..][..len];
                operand.copy_from_slice(Public::peel_slice(kept));
            } else {
                operand.fill(R::ZERO);
            }
        }
        Ok(())
    }

    /// Whether the party opens the micro-batch's samples, which keep their masks.
    fn opens_samples(&self, micro: MicroBatch) -> bool {
        let iteration = micro.batch.iteration;
        self.session.opens_samples(self.start, iteration)
    }

    /// Opens the weights and the micro-batch's samples in one round, as far as they are not yet open: weights with the
    /// first micro-batch of an iteration, in inference of the session; samples that keep their masks in the first
    /// whole epoch and before, others always. In inference only the weights' owner sends them.
    #[inline(never)]
    fn open_weights_and_data<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        cx.set_cost_row(map_row(0), false);
        let (network, session, role) = (self.network, self.session, self.role);
        let bits = session.format.ring;
        let opens_samples = self.opens_samples(micro);
        let tensors = micro.tensors(session, network, self.samples);
        let mut segments: Vec<Segment<'_, R>, { MAX_STAGES + 2 }> = Vec::new();
        let mut data: &mut [R] = &mut [];
        let opens_weights = micro.opens_weights(session);
        for (index, (stage, memory)) in network.stages.iter().zip(&mut self.stages).enumerate() {
            if opens_weights {
                memory.truncate_weights(role, session.format, stage);
                let mask = tensors.weights(index, Product::Forward);
                let weights = &mut memory.weights[..stage.linear.weight_len()];
                observer.factor(index, Factor::Weights, Share::wrap_slice(weights));
                let masked = mask_whole(cx, mask, Share::wrap_slice_mut(weights));
                let _ = segments.push(match mask.owner {
                    Some(owner) => Segment::owned(masked, bits, owner == role),
                    None => Segment::words(masked, bits),
                });
            }
            if index == 0 {
                let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
                unroll(stage, micro.rows, memory.operand, scratch);
                data = &mut memory.operand[..micro.rows * stage.operand_len()];
            }
        }
        let weights = segments.len();
        if session.keeps_data() {
            push_owned_data(cx, tensors, data, opens_samples, &mut segments);
        } else {
            let mask = tensors.operand(0, Product::Forward);
            let masked = mask_operand(cx, mask, &network.stages[0], micro.rows, data);
            let _ = segments.push(Segment::words(masked, bits));
        }
        if !segments.is_empty() {
            cx.open_rows(&mut segments, |index| {
                map_row(if index < weights { index } else { 0 })
            })?;
        }
        core::mem::drop(segments);
        self.hold_weights_and_data(cx, micro);
        Ok(())
    }

    /// Turns what [`Party::open_weights_and_data`] opens into what this party holds, and stores the peer's samples for
    /// later epochs.
    fn hold_weights_and_data<O: Online>(&mut self, cx: &O, micro: MicroBatch) {
        let (network, session) = (self.network, self.session);
        let tensors = micro.tensors(session, network, self.samples);
        if micro.opens_weights(session) {
            let stages = network.stages.iter().zip(&mut self.stages);
            for (index, (stage, memory)) in stages.enumerate() {
                let mask = tensors.weights(index, Product::Forward);
                let weights = &mut memory.weights[..stage.linear.weight_len()];
                hold_whole(cx, mask, weights);
            }
        }
        let mask = tensors.operand(0, Product::Forward);
        let operand = &mut *self.stages[0].operand;
        hold_operand(cx, mask, &network.stages[0], micro.rows, operand);
        if self.opens_samples(micro) && session.task == Task::Train {
            self.store_opened_data(micro);
        }
    }

    /// Stores the openings of the peer's samples for later epochs.
    fn store_opened_data(&mut self, micro: MicroBatch) {
        let len = self.network.stages[0].linear.input_len();
        for (row, &sample) in self.samples[..micro.rows].iter().enumerate() {
            if self.session.owner(sample) != self.role {
                let number = self.session.local_index(sample) as usize;
                let operand = &self.stages[0].operand[row * len..][..len];
                Public::peel_slice_mut(&mut self.opened_data[number * len..][..len])
                    .copy_from_slice(operand);
            }
        }
    }

    /// Loads and opens the samples of a micro-batch, and the weights with the first one.
    #[inline(never)]
    pub(super) fn open_inputs<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let samples = &mut self.samples[..micro.rows];
        self.session
            .batch_samples(micro.batch, micro.first, samples);
        #[cfg(feature = "contributions")]
        if self.session.contributions.is_some() {
            self.load_contributions(cx, micro, data, observer)?;
            return self.open_weights_and_data(cx, micro, observer);
        }
        #[cfg(feature = "private-training")]
        self.draw_samples(micro);
        self.load_samples(micro, data, observer)?;
        self.open_weights_and_data(cx, micro, observer)
    }

    /// Runs all stages on a micro-batch whose samples are open, as the weights are. Leaves narrow shares of the logits,
    /// `rows` x classes, in the current buffer.
    #[inline(never)]
    pub(super) fn forward<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let stages = self.network.stages.len();
        let mut steps = PartySteps {
            party: self,
            cx,
            micro,
            observer,
        };
        walk::forward(&mut steps, stages)
    }

    /// Pools and unrolls a stage's input, if the stage does so, and opens it.
    #[inline(never)]
    pub(super) fn open_operand<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        self.keep_input(micro, index);
        let stage = &self.network.stages[index];
        if let Some(pool) = stage.pooled_input {
            let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
            pool.sum_in_place(micro.rows, self.stages[index].operand, scratch);
        }
        self.drop_inputs(micro, index);
        let operand = &mut *self.stages[index].operand;
        let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
        let input = &operand[..micro.rows * stage.linear.input_len()];
        observer.factor(index, Factor::Input, Share::wrap_slice(input));
        unroll(stage, micro.rows, operand, scratch);
        cx.set_cost_row(map_row(index), false);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let mask = tensors.operand(index, Product::Forward);
        let masked = mask_operand(cx, mask, stage, micro.rows, operand);
        cx.open(&mut [Segment::words(masked, self.session.format.ring)])?;
        hold_operand(cx, mask, stage, micro.rows, operand);
        Ok(())
    }

    /// Runs a stage's bilinear map with average pooling, bias and truncation, and audits the result.
    ///
    /// The result is narrow shares in Z_2^n at f fraction bits: in the next stage's operand, or in the current buffer
    /// after the last stage.
    #[inline(never)]
    pub(super) fn map<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let network = self.network;
        let stage = &network.stages[index];
        let rows = micro.rows;
        let (linear, _) = stage.product();
        cx.set_cost_row(map_row(index), false);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let (before, after) = self.stages.split_at_mut(index + 1);
        let memory = &before[index];
        let out = match after.first_mut() {
            Some(following) => &mut *following.operand,
            None => &mut *self.current,
        };
        let out = &mut out[..rows * stage.linear.output_len()];
        let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
        let product = if stage.unrolled {
            &mut self.next[..rows * stage.product_len()]
        } else {
            &mut *out
        };
        Bilinear(linear).forward(
            cx,
            tensors.span(index, Product::Forward),
            Rows {
                held: Held::wrap_slice(&memory.operand[..rows * stage.operand_len()]),
                mask: tensors.operand(index, Product::Forward),
            },
            Whole {
                held: Held::wrap_slice(&memory.weights[..stage.linear.weight_len()]),
                mask: tensors.weights(index, Product::Forward),
            },
            Share::wrap_slice_mut(product),
            scratch,
        )?;
        if stage.unrolled {
            let product = &self.next[..rows * stage.product_len()];
            match stage.pooled_product() {
                Some(pool) => pool.sum(product, out),
                None => out.copy_from_slice(product),
            }
        }
        let format = self.session.format;
        let biases = &mut scratch[..stage.linear.channels()];
        memory.biases(self.role, format, stage, biases);
        observer.factor(index, Factor::Biases, Share::wrap_slice(biases));
        add_and_truncate(self.role, format, biases, out);
        let ring = (self.role, format.ring);
        add_skip(ring, (&network.stages, index), before, out);
        let audited = Audits::of(&tensors).tensor::<R>(index, Values::Outputs);
        self.audit
            .observe_and_count(cx, observer, audited, Share::wrap_slice(out))?;
        Ok(())
    }

    /// Max pooling of the map's narrow shares, in place, if the stage has it.
    #[inline(never)]
    pub(super) fn max_pool<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let Some(windows) = self.network.stages[index].max_pool else {
            return Ok(());
        };
        cx.set_cost_row(activation_row(index), false);
        let [at, _] = micro.max_pool(index);
        let (before, after) = self.stages.split_at_mut(index + 1);
        let values = Share::wrap_slice_mut(&mut *after[0].operand);
        let sign = &mut before[index].pool_sign;
        let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
        let gate = self.gates.max_pool::<R>(windows, 0);
        gate.forward(cx, at, micro.rows, values, sign, scratch)?;
        Ok(())
    }

    /// The activation, or only the widening if the stage has none: from narrow shares to shares in Z_2^L, in place.
    #[inline(never)]
    pub(super) fn activation<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let shape = [micro.rows, stage.leaving_len()];
        let at = micro.at(index, Use::Activation);
        cx.set_cost_row(activation_row(index), false);
        let (before, after) = self.stages.split_at_mut(index + 1);
        let values = &mut after[0].operand[..shape[0] * shape[1]];
        let values = Share::wrap_slice_mut(values);
        match stage.activation {
            Some(Activation::Relu) => {
                let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
                let sign = &mut before[index].sign;
                let relu = self.gates.relu::<R>();
                relu.run(cx, at, shape, values, sign, scratch)?;
            }
            Some(Activation::Polynomial(polynomial, _)) => {
                let drop = self.session.gradient_drop(self.network, index);
                let gate = self.gates.polynomial(polynomial, drop);
                let tensors = micro.tensors(self.session, self.network, self.samples);
                let audited = Audits::of(&tensors).tensor::<R>(index, Values::Arguments);
                self.audit
                    .observe_and_count(cx, observer, audited, values)?;
                let kept = &mut *before[index].kept;
                gate.forward(cx, at, shape, values, kept, self.scratch)?;
            }
            None => {
                let widen = self.gates.widen();
                widen.run(cx, at, shape[0], shape[1], values)?;
            }
        }
        Ok(())
    }
}

/// Masks this party's own samples, and if `opens` adds both parties' samples to the segments to open. Later epochs mask
/// the party's own samples again, to the same values, and send nothing.
fn push_owned_data<'d, R: Ring, O: Online>(
    cx: &O,
    tensors: Tensors<'_>,
    data: &'d mut [R],
    opens: bool,
    segments: &mut Vec<Segment<'d, R>, { MAX_STAGES + 2 }>,
) {
    let (numbers, session) = (tensors.samples, tensors.session);
    let len = data.len() / numbers.len().max(1);
    let owned_by_p0 = numbers.partition_point(|&s| session.owner(s) == Role::P0);
    let (first, second) = data.split_at_mut(owned_by_p0 * len);
    let (first_samples, second_samples) = numbers.split_at(owned_by_p0);
    for (owner, numbers, piece) in [
        (Role::P0, first_samples, first),
        (Role::P1, second_samples, second),
    ] {
        let own = owner == cx.role();
        let piece = if own {
            let tensors = Tensors {
                samples: numbers,
                ..tensors
            };
            let mask = tensors.operand(0, Product::Forward);
            mask_rows(cx, mask, numbers.len(), len, Share::wrap_slice_mut(piece))
        } else {
            Masked::wrap_slice_mut(piece)
        };
        if opens && !numbers.is_empty() {
            let _ = segments.push(Segment::owned(piece, session.format.ring, own));
        }
    }
}

/// Masks a stage's left operand of `rows` samples, in place.
pub(super) fn mask_operand<'d, R: Ring, O: Online>(
    cx: &O,
    mask: RowMask<'_>,
    stage: &Stage,
    rows: usize,
    operand: &'d mut [R],
) -> &'d mut [Masked<R>] {
    let (linear, rows_each) = stage.product();
    let operand = Share::wrap_slice_mut(operand);
    mask_rows(cx, mask, rows * rows_each, linear.input_len(), operand)
}

/// Turns the opening of [`mask_operand`] into what this party holds, in place.
pub(super) fn hold_operand<R: Ring, O: Online>(
    cx: &O,
    mask: RowMask<'_>,
    stage: &Stage,
    rows: usize,
    operand: &mut [R],
) {
    let (linear, rows_each) = stage.product();
    hold_rows(cx, mask, rows * rows_each, linear.input_len(), operand);
}

/// Replaces images by their patches if the stage is an unrolled convolution. `scratch` holds one image.
fn unroll<R: Ring>(stage: &Stage, rows: usize, operand: &mut [R], scratch: &mut [R]) {
    let (Linear::Conv(conv), true) = (stage.linear, stage.unrolled) else {
        return;
    };
    let (len, out_len) = (conv.input_len(), stage.operand_len());
    let image = &mut scratch[..len];
    for step in 0..rows {
        // Patches may be longer or shorter than images; the order of rows overwrites no image before it is read.
        let row = if out_len >= len {
            rows - 1 - step
        } else {
            step
        };
        image.copy_from_slice(&operand[row * len..][..len]);
        conv.unroll(image, &mut operand[row * out_len..][..out_len]);
    }
}

/// Adds the biases at scale 2f to each row of `values`, and truncates the sums to narrow shares.
fn add_and_truncate<R: Ring>(role: Role, format: Format, biases: &[R], values: &mut [R]) {
    for values in values.chunks_exact_mut(biases.len()) {
        for (value, &bias) in values.iter_mut().zip(biases) {
            let sum = value.plus(bias);
            *value = truncate(role, sum, format.ring, format.weights);
        }
    }
}

impl<R: Ring> StageMemory<'_, R> {
    /// Turns the upper words of the weights, in place, into this party's shares in Z_2^L of the weights as operand:
    /// the truncation of the whole shares, or in a direct format the shares themselves.
    fn truncate_weights(&mut self, role: Role, format: Format, stage: &Stage) {
        if role == Role::P0 {
            return;
        }
        for index in 0..stage.linear.weight_len() {
            let carry = self.carry(format, index);
            self.weights[index] = self.weights[index].plus(carry);
        }
    }

    /// Writes this party's shares of the biases at the product's scale, one for each output channel: truncated from
    /// the master weights' scale, or in a direct format raised to it.
    fn biases(&self, role: Role, format: Format, stage: &Stage, out: &mut [R]) {
        for (channel, bias) in out.iter_mut().enumerate() {
            let master = self.master_share(format, stage.linear.weight_len() + channel);
            *bias = match format.is_direct() {
                true => master.cast::<R>().left(format.fraction),
                false => {
                    let by = format.master() - 2 * format.fraction;
                    truncate(role, master, format.wide(), by).cast()
                }
            };
        }
    }
}
