//! From shares of (probabilities - labels) to gradients, stage by stage from the last.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    desk::Desk,
    gate::{
        Online,
        bilinear::{Bilinear, RowMask, Rows, Span, Whole, mask_rows},
    },
    kernel::pool,
    link::Segment,
    place::{self, Use},
    plan::{activation_line, map_line},
    ring::{Ring, step_down},
    sharing::{Public, Share},
};

use super::{Micro, Party, RunError, Watch};

impl<R: Ring> Party<'_, R> {
    /// Runs all stages backwards, starting from the front gradient buffer, and adds to the gradients
    /// by weights and biases.
    pub(super) fn backward<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        watch: &mut impl Watch<R>,
    ) -> Result<(), RunError> {
        for index in (0..self.network.stages.len()).rev() {
            self.bias_gradient(micro, index);
            self.open_gradient(desk, micro, index)?;
            self.weight_gradient(desk, micro, index);
            if index > 0 {
                self.input_gradient(desk, micro, index, watch)?;
                self.activate_back(desk, micro, index - 1)?;
            }
        }
        Ok(())
    }

    fn gradient_mask(micro: Micro, index: usize) -> RowMask<'static> {
        RowMask::Fresh {
            address: place::address(micro.batch.iteration, index, Use::Gradient),
            first: micro.first.into(),
        }
    }

    /// Adds the shares of the gradient to the biases', raised to scale 2f.
    fn bias_gradient(&mut self, micro: Micro, index: usize) {
        let linear = &self.network.stages[index].linear;
        let fraction = self.session.format.fraction;
        let sums = Share::peel_slice_mut(&mut *self.stages[index].velocity);
        let sums = &mut sums[linear.weight_len()..];
        let gradient = &self.front[..micro.rows * linear.output_len()];
        for gradient in gradient.chunks_exact(sums.len()) {
            for (sum, gradient) in sums.iter_mut().zip(gradient) {
                *sum = sum.plus(gradient.left(fraction));
            }
        }
    }

    fn open_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let len = self.network.stages[index].linear.output_len();
        let gradient = Share::wrap_slice_mut(&mut self.front[..micro.rows * len]);
        desk.book(map_line(index), true);
        let mask = Self::gradient_mask(micro, index);
        let masked = mask_rows(desk, mask, micro.rows, len, gradient);
        desk.open(&mut [Segment::words(masked, self.session.format.ring)])?;
        Ok(())
    }

    fn weight_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &Desk<P, D>,
        micro: Micro,
        index: usize,
    ) {
        let linear = self.network.stages[index].linear;
        let mask = Self::operand_mask(self.session, self.samples, micro, index);
        let memory = &mut self.stages[index];
        Bilinear(linear).weight_gradient(
            desk,
            micro.rows,
            Rows {
                opened: Public::wrap_slice(&memory.operand[..micro.rows * linear.input_len()]),
                mask,
            },
            Rows {
                opened: Public::wrap_slice(&self.front[..micro.rows * linear.output_len()]),
                mask: Self::gradient_mask(micro, index),
            },
            &mut memory.velocity[..linear.weight_len()],
            bytemuck::cast_slice_mut(&mut *self.scratch),
        );
    }

    /// Replaces the opened gradient in the front buffer by shares of the gradient by the stage's
    /// input, before its pooling, in the ring that the bits given up leave.
    fn input_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        index: usize,
        watch: &mut impl Watch<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let format = self.session.format;
        let (rows, len) = (micro.rows, stage.linear.input_len());
        let memory = &mut self.stages[index];
        let product = place::address(micro.batch.iteration, index, Use::InputGradient);
        let out = &mut self.back[..rows * len];
        Bilinear(stage.linear).input_gradient(
            desk,
            Span {
                product,
                first: micro.first.into(),
                rows,
            },
            Rows {
                opened: Public::wrap_slice(&self.front[..rows * stage.linear.output_len()]),
                mask: Self::gradient_mask(micro, index),
            },
            Whole {
                opened: memory.weights,
                mask: place::address(micro.batch.iteration, index, Use::Weights),
            },
            Share::wrap_slice_mut(&mut *out),
            bytemuck::cast_slice_mut(&mut *self.scratch),
        )?;
        let drop = self.session.gradient_drop(self.network, index - 1);
        for value in out.iter_mut() {
            *value = step_down(self.role, *value, format.ring, format.fraction + drop);
        }
        let bits = format.narrow() - drop;
        watch.narrow(map_line(index), true, bits, Share::wrap_slice(out));
        match stage.pooled_input {
            None => core::mem::swap(&mut self.front, &mut self.back),
            Some((shape, window)) => {
                let entering = stage.entering_len();
                for row in 0..rows {
                    let from = &self.back[row * len..][..len];
                    let to = &mut self.front[row * entering..][..entering];
                    pool::spread(shape, window, from, to);
                }
            }
        }
        Ok(())
    }

    /// The way back through what follows the map of stage `index`, in the front buffer.
    fn activate_back<P: Read + Write, D: Read + Write>(
        &mut self,
        desk: &mut Desk<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let shape = [micro.rows, stage.linear.output_len()];
        let iteration = micro.batch.iteration;
        let at = place::at(iteration, index, Use::ActivationBack, micro.first);
        desk.book(activation_line(index), true);
        let drop = self.session.gradient_drop(self.network, index);
        let gradient = Share::wrap_slice_mut(&mut self.front[..shape[0] * shape[1]]);
        if stage.relu {
            let forward = place::at(iteration, index, Use::Activation, micro.first);
            let relu = (self.gates.relu::<R>(), forward);
            let sign = &self.stages[index].sign;
            self.gates
                .select(drop)
                .run(desk, at, relu, shape, gradient, sign)?;
        } else {
            self.gates
                .widen_back(drop)
                .run(desk, at, shape[0], shape[1], gradient)?;
        }
        Ok(())
    }
}
