//! From pixels to shares of the logits, and of (probabilities - labels).

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use heapless::Vec;

use crate::{
    Role,
    data::{Data, read_pixels},
    dealt::{
        audit::{Audits, Kind},
        micro_batch::Micro,
        party_context::PartyContext,
        stream_ids::{self, Product, Tensors, Use},
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
    session::{Session, Task},
    share::{Held, Masked, Public, Share, observer::Observer, truncate},
};

use super::{Party, StageMemory, steps::PartySteps};
use crate::session::RunError;

impl<R: Ring> Party<'_, R> {
    /// Reads this party's own samples into the first operand, and the openings of the other's from
    /// where they were kept.
    #[inline(never)]
    fn load(&mut self, micro: Micro, data: &mut impl Data) -> Result<(), RunError> {
        let stage = &self.network.stages[0];
        let len = stage.linear.input_len();
        for (row, &sample) in self.samples[..micro.rows].iter().enumerate() {
            let number = self.session.own_number(sample);
            let operand = &mut self.stages[0].operand[row * len..][..len];
            if self.session.owner(sample) == self.role {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut *self.scratch);
                let pixels = &mut bytes[..stage.entering_len()];
                data.pixels(number, pixels)?;
                read_pixels(stage, self.session.format.fraction, pixels, operand);
            } else if micro.batch.epoch > 0 && self.session.protocol.triples().keep_data() {
                let kept = &self.opened_data[number as usize * len..][..len];
                operand.copy_from_slice(Public::peel_slice(kept));
            } else {
                operand.fill(R::ZERO);
            }
        }
        Ok(())
    }

    /// Opens what is new: the weights once in an iteration, data once in a run or in each iteration. In inference the
    /// weights once in a session, by their owner alone.
    #[inline(never)]
    fn open_weights_and_data<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
    ) -> Result<(), RunError> {
        cx.set_cost_row(map_row(0), false);
        let (network, session, role) = (self.network, self.session, self.role);
        let bits = session.format.ring;
        let tensors = micro.tensors(session, network, self.samples);
        let keep = session.protocol.triples().keep_data();
        let opens_weights = micro.opens_weights(session);
        let mut segments: Vec<Segment<'_, R>, { MAX_STAGES + 2 }> = Vec::new();
        let mut data: &mut [R] = &mut [];
        for (index, (stage, memory)) in network.stages.iter().zip(&mut self.stages).enumerate() {
            if opens_weights {
                memory.step_weights_down(role, session.format, stage);
                let mask = tensors.weights(index, Product::Forward);
                let w = &mut memory.weights[..stage.linear.weight_len()];
                let masked = mask_whole(cx, mask, Share::wrap_slice_mut(w));
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
        if keep {
            push_owned_data(cx, session, tensors, micro, data, &mut segments);
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
        for (index, (stage, memory)) in network.stages.iter().zip(&mut self.stages).enumerate() {
            if opens_weights {
                let mask = tensors.weights(index, Product::Forward);
                let weights = &mut memory.weights[..stage.linear.weight_len()];
                hold_whole(cx, mask, weights);
            }
        }
        hold_operand(
            cx,
            tensors.operand(0, Product::Forward),
            &network.stages[0],
            micro.rows,
            self.stages[0].operand,
        );
        if keep && micro.batch.epoch == 0 && session.task == Task::Train {
            self.keep_data(micro);
        }
        Ok(())
    }

    /// Keeps the openings of the other party's samples for the epochs to come.
    fn keep_data(&mut self, micro: Micro) {
        let len = self.network.stages[0].linear.input_len();
        for (row, &sample) in self.samples[..micro.rows].iter().enumerate() {
            if self.session.owner(sample) != self.role {
                let number = self.session.own_number(sample) as usize;
                let operand = &self.stages[0].operand[row * len..][..len];
                Public::peel_slice_mut(&mut self.opened_data[number * len..][..len])
                    .copy_from_slice(operand);
            }
        }
    }

    /// Loads and opens the samples of a micro-batch and runs all stages. Leaves shares of the logits in the front
    /// gradient buffer.
    #[inline(never)]
    pub(super) fn forward<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let samples = &mut self.samples[..micro.rows];
        self.session
            .batch_samples(micro.batch, micro.first, samples);
        self.load(micro, data)?;
        self.open_weights_and_data(cx, micro)?;
        let stages = self.network.stages.len();
        let mut steps = PartySteps {
            party: self,
            cx,
            micro,
            observer,
        };
        walk::forward(&mut steps, stages)
    }

    /// Turns the logits into shares of the probabilities, scaled, in place.
    #[inline(never)]
    pub(super) fn softmax<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
    ) -> Result<(), RunError> {
        cx.set_cost_row(activation_row(self.network.stages.len() - 1), false);
        let logits = Share::wrap_slice_mut(&mut self.front[..micro.rows * self.network.classes]);
        let at = stream_ids::softmax(micro.batch.iteration, micro.first);
        self.gates
            .softmax
            .run(cx, at, micro.rows, logits, self.scratch)?;
        Ok(())
    }

    /// Pools what enters a stage, if the stage says so, and opens it.
    #[inline(never)]
    pub(super) fn open_operand<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let operand = &mut *self.stages[index].operand;
        let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
        if let Some(pool) = stage.pooled_input {
            pool.sum_in_place(micro.rows, operand, scratch);
        }
        unroll(stage, micro.rows, operand, scratch);
        cx.set_cost_row(map_row(index), false);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let mask = tensors.operand(index, Product::Forward);
        let masked = mask_operand(cx, mask, stage, micro.rows, operand);
        cx.open(&mut [Segment::words(masked, self.session.format.ring)])?;
        hold_operand(cx, mask, stage, micro.rows, operand);
        Ok(())
    }

    /// The bilinear map of a stage with its bias, stepped down to narrow shares in the next stage's
    /// operand, or in the front gradient buffer after the last.
    #[inline(never)]
    pub(super) fn map<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let format = self.session.format;
        let (rows, out_len) = (micro.rows, stage.linear.output_len());
        let (linear, _) = stage.product();
        cx.set_cost_row(map_row(index), false);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let (before, after) = self.stages.split_at_mut(index + 1);
        let memory = &mut before[index];
        let out = match after.first_mut() {
            Some(next) => &mut next.operand[..rows * out_len],
            None => &mut self.front[..rows * out_len],
        };
        let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
        let product = if stage.unrolled {
            &mut self.back[..rows * stage.product_len()]
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
            Share::wrap_slice_mut(&mut *product),
            scratch,
        )?;
        if stage.unrolled {
            let product = &self.back[..rows * stage.product_len()];
            match stage.pooled_product() {
                Some(pool) => pool.sum(product, out),
                None => out.copy_from_slice(product),
            }
        }

        let channels = stage.linear.channels();
        let biases = &mut scratch[..channels];
        for (channel, bias) in biases.iter_mut().enumerate() {
            let master = memory.share(format, stage.linear.weight_len() + channel);
            // To the product's scale, from a finer one or from the operand's own.
            *bias = match format.is_direct() {
                true => master.cast::<R>().left(format.fraction),
                false => {
                    let by = format.master() - 2 * format.fraction;
                    truncate(self.role, master, format.wide(), by).cast()
                }
            };
        }
        for out in out.chunks_exact_mut(channels) {
            for (out, &bias) in out.iter_mut().zip(biases.iter()) {
                let sum = out.plus(bias);
                *out = truncate(self.role, sum, format.ring, format.weights);
            }
        }
        let audited = Audits::of(&tensors).tensor(index, Kind::Product);
        self.audit
            .look(cx, observer, audited, Share::wrap_slice(out))?;
        Ok(())
    }

    /// Max pooling, if the stage has it, of narrow shares in place.
    #[inline(never)]
    pub(super) fn max_pool<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
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

    /// The activation, or the step up where there is none, from narrow shares to shares in Z_2^L in place.
    #[inline(never)]
    pub(super) fn activate<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
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
                let audited = Audits::of(&tensors).tensor(index, Kind::Polynomial);
                self.audit.look(cx, observer, audited, values)?;
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

    /// Takes the labels off the probabilities. The owner of a sample does it alone.
    #[inline(never)]
    pub(super) fn subtract_labels(
        &mut self,
        micro: Micro,
        data: &mut impl Data,
    ) -> Result<(), RunError> {
        let classes = self.network.classes;
        let exponent =
            self.session.format.fraction as i32 + self.session.softmax_exponent(self.network);
        let one = R::ONE.left(exponent.max(0) as u32);
        for (row, &sample) in self.samples[..micro.rows].iter().enumerate() {
            if self.session.owner(sample) != self.role {
                continue;
            }
            let number = self.session.own_number(sample);
            let label = data.label(number)?;
            let row = &mut self.front[row * classes..][..classes];
            // The label is secret, so every class is touched.
            for (class, value) in row.iter_mut().enumerate() {
                let hit = R::from_u64(u64::from(class == usize::from(label)));
                *value = value.minus(one.times(hit));
            }
        }
        Ok(())
    }
}

/// Masks the owners' data and has it opened the first time it is used. A sample's own opening is
/// computed anew each time; only the first time is it sent.
fn push_owned_data<'d, R: Ring, O: Online>(
    cx: &O,
    session: &Session,
    tensors: Tensors<'_>,
    micro: Micro,
    data: &'d mut [R],
    segments: &mut Vec<Segment<'d, R>, { MAX_STAGES + 2 }>,
) {
    let len = data.len() / micro.rows.max(1);
    let samples = tensors.samples;
    let owned_by_p0 = samples.partition_point(|&s| session.owner(s) == Role::P0);
    let (first, second) = data.split_at_mut(owned_by_p0 * len);
    let (first_samples, second_samples) = samples.split_at(owned_by_p0);
    for (owner, samples, piece) in [
        (Role::P0, first_samples, first),
        (Role::P1, second_samples, second),
    ] {
        let own = owner == cx.role();
        let piece = if own {
            let tensors = Tensors { samples, ..tensors };
            let mask = tensors.operand(0, Product::Forward);
            mask_rows(cx, mask, samples.len(), len, Share::wrap_slice_mut(piece))
        } else {
            Masked::wrap_slice_mut(piece)
        };
        if micro.batch.epoch == 0 && !samples.is_empty() {
            let _ = segments.push(Segment::owned(piece, session.format.ring, own));
        }
    }
}

/// Masks what a stage's product reads on its left, for `rows` samples.
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

/// What this party keeps of [`mask_operand`]'s opening.
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

/// Lays out the patches of an unrolled convolution, in place of the images.
fn unroll<R: Ring>(stage: &Stage, rows: usize, operand: &mut [R], scratch: &mut [R]) {
    let (Linear::Conv(conv), true) = (stage.linear, stage.unrolled) else {
        return;
    };
    let (len, out_len) = (conv.input_len(), stage.operand_len());
    let image = &mut scratch[..len];
    for step in 0..rows {
        // In the direction in which nothing is written over before it is read.
        let row = if out_len >= len {
            rows - 1 - step
        } else {
            step
        };
        image.copy_from_slice(&operand[row * len..][..len]);
        conv.unroll(image, &mut operand[row * out_len..][..out_len]);
    }
}

impl<R: Ring> StageMemory<'_, R> {
    /// The weights as operand in Z_2^L, in place: the free step down of the master weights, or the
    /// master weights as they are.
    fn step_weights_down(&mut self, role: Role, format: Format, stage: &Stage) {
        for index in 0..stage.linear.weight_len() {
            let carry = self.carry(role, format, index);
            self.weights[index] = self.weights[index].plus(carry);
        }
    }
}
