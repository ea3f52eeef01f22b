//! The gates of a session.

use crate::{
    gate::{
        Contract, argmax::Argmax, maxpool::MaxPool, polynomial::PolynomialGate, relu::Relu,
        select::Select, softmax::Softmax, widen::Widen,
    },
    kernel::windows::Windows,
    model::triple_scheme::TripleScheme,
    network::{Activation, Network, Stage},
    num::{fixed_point::Format, polynomial::Polynomial, ring::Ring},
    session::Session,
};

/// Makes the gates of a session's stages with the right ring widths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateSet {
    pub format: Format,
    pub triples: TripleScheme,
    pub softmax: Softmax,
}

impl GateSet {
    pub fn new(session: &Session, network: &Network) -> Self {
        GateSet {
            format: session.format,
            triples: session.protocol.triples(),
            softmax: Softmax {
                format: session.format,
                headroom: network.logit_headroom(),
                classes: network.classes,
                exponent: session.softmax_exponent(network),
                loss_bits: session.loss_bits(network),
                weighted: session.has_class_weights(),
            },
        }
    }

    /// The contract of a stage's output: that of the first gate after its map. A polynomial reads only the low bits of
    /// its input, which as an output of the map has to keep the contract of a widening, and in the polynomial's own ring
    /// that of the polynomial.
    pub fn output_contract<R: Ring>(self, stage: &Stage, is_last: bool) -> Contract {
        match (stage.max_pool, stage.activation) {
            _ if is_last => self.softmax.contract(),
            (Some(windows), _) => self.max_pool::<R>(windows, 0).contract(),
            (None, Some(Activation::Relu)) => self.relu::<R>().contract(),
            (None, None | Some(Activation::Polynomial(..))) => self.widen().contract(),
        }
    }

    /// The contract of the gradient by a stage's output, which drops `drop` bits: that of the first gate of its backward
    /// pass.
    pub fn gradient_contract(self, stage: &Stage, drop: u32) -> Contract {
        match stage.activation {
            Some(_) => self.select(drop).contract(),
            None => self.widen_backward(drop).contract(),
        }
    }

    /// ReLU, from Z_2^n to Z_2^L.
    pub fn relu<R: Ring>(self) -> Relu {
        Relu::new::<R>(self.format.narrow(), self.format.ring)
    }

    /// Max pooling, forward and backward, for a gradient that drops `drop` bits.
    pub fn max_pool<R: Ring>(self, windows: Windows, drop: u32) -> MaxPool {
        let narrow = self.format.narrow();
        MaxPool::new::<R>(windows, narrow, narrow - drop, self.format.ring)
    }

    /// Argmax of the logits.
    pub fn argmax(self) -> Argmax {
        Argmax::new(self.softmax.classes, self.format.narrow())
    }

    /// A polynomial, forward and backward, for a gradient that drops `drop` bits.
    pub fn polynomial(self, polynomial: Polynomial, drop: u32) -> PolynomialGate {
        PolynomialGate::new(polynomial, self.format, self.triples, drop)
    }

    /// The widening from the output of a map without activation to the next stage's operand.
    pub fn widen(self) -> Widen {
        Widen {
            from: self.format.narrow(),
            to: self.format.ring,
        }
    }

    /// The backward pass of ReLU, for a gradient that drops `drop` bits.
    pub fn select(self, drop: u32) -> Select {
        Select {
            from: self.format.narrow() - drop,
            to: self.format.ring,
        }
    }

    /// The backward pass of [`GateSet::widen`], for a gradient that drops `drop` bits.
    pub fn widen_backward(self, drop: u32) -> Widen {
        Widen {
            from: self.format.narrow() - drop,
            to: self.format.ring,
        }
    }

    /// The comparison of gradients with their bounds, in the velocity's ring: of differences of two values under its contract.
    pub fn clip<R: Ring>(self) -> Relu {
        let bits = self.format.velocity();
        Relu::of_differences::<R>(bits, bits)
    }

    /// The widening from the velocity's ring to the master weights' ring.
    pub fn velocity(self) -> Widen {
        Widen {
            from: self.format.velocity(),
            to: self.format.wide(),
        }
    }
}
