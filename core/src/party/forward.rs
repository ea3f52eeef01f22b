//! From pixels to shares of (probabilities - labels).

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use heapless::Vec;

use crate::{
    Role,
    data::{Data, pixel_units},
    desk::Desk,
    gate::{
        Online,
        bilinear::{Bilinear, RowMask, Rows, Span, Whole, mask_rows, mask_whole},
    },
    kernel::pool,
    link::Segment,
    network::{MAX_STAGES, Stage},
    place::{self, Use},
    plan::{activation_line, map_line},
    ring::{Ring, Word, step_down},
    session::Session,
    sharing::{Masked, Public, Share},
};

use super::{Micro, Party, RunError, StageMemory, Watch};

impl<R: Ring> Party<'_, R> {
    /// The mask of what enters a stage.
    pub(super) fn operand_mask<'s>(
        session: &Session,
        samples: &'s [u32],
        micro: Micro,
        stage: usize,
    ) -> RowMask<'s> {
        if stage == 0 {
            RowMask::Kept {
                gate: place::DATA,
                samples: &samples[..micro.rows],
                boundary: session.samples[0],
            }
        } else {
            RowMask::Fresh {
                address: place::address(micro.batch.iteration, stage, Use::Operand),
                first: micro.first.into(),
            }
        }
    }

    /// Reads this party's own samples into the first operand, and the openings of the other's from
    /// where they were kept.
    pub(super) fn load(&mut self, micro: Micro, data: &mut impl Data) -> Result<(), RunError> {
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
            } else if micro.batch.epoch > 0 {
                let kept = &self.opened_data[number as usize * len..][..len];
                operand.copy_from_slice(Public::peel_slice(kept));
            } else {
                operand.fill(R::ZERO);
            }
        }
        Ok(())
    }

    /// Opens what is new: the weights once in an iteration, data once in a run.
    pub(super) fn open_weights_and_data<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
    ) -> Result<(), RunError> {
        desk.book(map_line(0), false);
        let (network, session, role) = (self.network, self.session, self.role);
        let bits = session.format.ring;
        let len = network.stages[0].linear.input_len();
        let samples = &self.samples[..micro.rows];
        let owned_by_p0 = samples.partition_point(|&s| session.owner(s) == Role::P0);
        let mut segments: Vec<Segment<'_, R>, { MAX_STAGES + 2 }> = Vec::new();
        let mut data: &mut [R] = &mut [];
        for (index, (stage, memory)) in network.stages.iter().zip(&mut self.stages).enumerate() {
            if micro.first == 0 {
                memory.step_weights_down(role, session, stage);
                let mask = place::address(micro.batch.iteration, index, Use::Weights);
                let w = Share::wrap_slice_mut(Public::peel_slice_mut(&mut *memory.weights));
                let _ = segments.push(Segment::words(mask_whole(desk, mask, w), bits));
            }
            if index == 0 {
                data = &mut memory.operand[..micro.rows * len];
            }
        }
        let weights = segments.len();
        for owner in Role::BOTH {
            let (piece, range) = match owner {
                Role::P0 => {
                    let (piece, rest) = core::mem::take(&mut data).split_at_mut(owned_by_p0 * len);
                    data = rest;
                    (piece, 0..owned_by_p0)
                }
                Role::P1 => (core::mem::take(&mut data), owned_by_p0..micro.rows),
            };
            let rows = range.len();
            let piece = if owner == role {
                // A sample's own opening is computed anew each time; only the first time is it sent.
                let mask = RowMask::Kept {
                    gate: place::DATA,
                    samples: &samples[range],
                    boundary: session.samples[0],
                };
                mask_rows(desk, mask, rows, len, Share::wrap_slice_mut(piece))
            } else {
                Masked::wrap_slice_mut(piece)
            };
            if micro.batch.epoch == 0 && rows > 0 {
                let _ = segments.push(Segment::owned(piece, bits, owner == role));
            }
        }
        if segments.is_empty() {
            return Ok(());
        }
        desk.open_lines(&mut segments, |index| {
            map_line(if index < weights { index } else { 0 })
        })?;
        core::mem::drop(segments);
        if micro.batch.epoch == 0 {
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

    /// Runs all stages and the softmax. Leaves shares of the probabilities, scaled, in the front
    /// gradient buffer.
    pub(super) fn forward<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        watch: &mut impl Watch<R>,
    ) -> Result<(), RunError> {
        let stages = self.network.stages.len();
        for index in 0..stages {
            if index > 0 {
                self.open_operand(desk, micro, index)?;
            }
            self.map(desk, micro, index, watch)?;
            if index + 1 < stages {
                self.activate(desk, micro, index)?;
            }
        }
        desk.book(activation_line(stages - 1), false);
        let logits = Share::wrap_slice_mut(&mut self.front[..micro.rows * self.network.classes]);
        let at = place::softmax(micro.batch.iteration, micro.first);
        self.gates
            .softmax
            .run(desk, at, micro.rows, logits, self.scratch)?;
        Ok(())
    }

    /// Pools what enters a stage, if the stage says so, and opens it.
    fn open_operand<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let len = stage.linear.input_len();
        let operand = &mut *self.stages[index].operand;
        if let Some((shape, window)) = stage.pooled_input {
            let entering = stage.entering_len();
            let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
            let image = &mut scratch[..entering];
            for row in 0..micro.rows {
                image.copy_from_slice(&operand[row * entering..][..entering]);
                // The sums move forward in the buffer and never over what is still to be read.
                let out = &mut operand[row * len..][..len];
                out.fill(R::ZERO);
                pool::sum(shape, window, image, out);
            }
        }
        desk.book(map_line(index), false);
        let operand = &mut operand[..micro.rows * len];
        let mask = Self::operand_mask(self.session, self.samples, micro, index);
        let masked = mask_rows(desk, mask, micro.rows, len, Share::wrap_slice_mut(operand));
        desk.open(&mut [Segment::words(masked, self.session.format.ring)])?;
        Ok(())
    }

    /// The bilinear map of a stage with its bias, stepped down to narrow shares in the next stage's
    /// operand, or in the front gradient buffer after the last.
    fn map<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        index: usize,
        watch: &mut impl Watch<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let format = self.session.format;
        let (rows, out_len) = (micro.rows, stage.linear.output_len());
        let iteration = micro.batch.iteration;
        desk.book(map_line(index), false);
        let (before, after) = self.stages.split_at_mut(index + 1);
        let memory = &mut before[index];
        let out = match after.first_mut() {
            Some(next) => &mut next.operand[..rows * out_len],
            None => &mut self.front[..rows * out_len],
        };
        let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
        let product = place::address(iteration, index, Use::Forward);
        Bilinear(stage.linear).forward(
            desk,
            Span {
                product,
                first: micro.first.into(),
                rows,
            },
            Rows {
                opened: Public::wrap_slice(&memory.operand[..rows * stage.linear.input_len()]),
                mask: Self::operand_mask(self.session, self.samples, micro, index),
            },
            Whole {
                opened: memory.weights,
                mask: place::address(iteration, index, Use::Weights),
            },
            Share::wrap_slice_mut(&mut *out),
            scratch,
        )?;

        let channels = stage.linear.channels();
        let biases = &mut scratch[..channels];
        let (from, by) = (format.wide(), format.master() - 2 * format.fraction);
        for (channel, bias) in biases.iter_mut().enumerate() {
            let master = memory.master(stage.linear.weight_len() + channel);
            *bias = step_down(self.role, master, from, by).cast();
        }
        for out in out.chunks_exact_mut(channels) {
            for (out, &bias) in out.iter_mut().zip(biases.iter()) {
                let sum = out.plus(bias);
                *out = step_down(self.role, sum, format.ring, format.fraction);
            }
        }
        watch.narrow(
            map_line(index),
            false,
            format.narrow(),
            Share::wrap_slice(out),
        );
        Ok(())
    }

    /// ReLU, or the step up where there is none, from narrow shares to shares in Z_2^L in place.
    fn activate<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let shape = [micro.rows, stage.linear.output_len()];
        let at = place::at(micro.batch.iteration, index, Use::Activation, micro.first);
        desk.book(activation_line(index), false);
        let (before, after) = self.stages.split_at_mut(index + 1);
        let values = &mut after[0].operand[..shape[0] * shape[1]];
        let values = Share::wrap_slice_mut(values);
        if stage.relu {
            let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
            let sign = &mut before[index].sign;
            self.gates
                .relu::<R>()
                .run(desk, at, shape, values, sign, scratch)?;
        } else {
            self.gates
                .widen()
                .run(desk, at, shape[0], shape[1], values)?;
        }
        Ok(())
    }

    /// Takes the labels off the probabilities. The owner of a sample does it alone.
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

impl<R: Ring> StageMemory<'_, R> {
    /// The weights as operand at scale f in Z_2^L: the free step down of the master weights.
    fn step_weights_down(&mut self, role: Role, session: &Session, stage: &Stage) {
        let format = session.format;
        let by = format.master() - format.fraction;
        for index in 0..stage.linear.weight_len() {
            let weight = step_down(role, self.master(index), format.wide(), by);
            Public::peel_slice_mut(&mut *self.weights)[index] = weight.cast();
        }
    }
}

/// Pixels at scale f, summed over the windows if the stage pools its input.
fn read_pixels<R: Ring>(stage: &Stage, fraction: u32, pixels: &[u8], operand: &mut [R]) {
    let Some(([height, width, channels], window)) = stage.pooled_input else {
        for (to, &pixel) in operand.iter_mut().zip(pixels) {
            *to = pixel_units(pixel, fraction);
        }
        return;
    };
    operand.fill(R::ZERO);
    for y in 0..height / window * window {
        for x in 0..width / window * window {
            let from = (y * width + x) * channels;
            let to = (y / window * (width / window) + x / window) * channels;
            for channel in 0..channels {
                let units = pixel_units(pixels[from + channel], fraction);
                operand[to + channel] = operand[to + channel].plus(units);
            }
        }
    }
}
