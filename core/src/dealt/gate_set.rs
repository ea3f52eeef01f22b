//! The gates of a session.

use crate::{
    gate::{
        argmax::Argmax, maxpool::MaxPool, polynomial::PolynomialGate, relu::Relu, select::Select,
        softmax::Softmax, widen::Widen,
    },
    kernel::windows::Windows,
    model::triple_scheme::TripleScheme,
    network::Network,
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
                classes: network.classes,
                exponent: session.softmax_exponent(network),
            },
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
    pub fn argmax<R: Ring>(self) -> Argmax {
        Argmax::new::<R>(self.softmax.classes, self.format.narrow())
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

    /// The widening from the narrow velocity to the master weights' ring.
    pub fn velocity(self) -> Widen {
        Widen {
            from: self.format.narrow(),
            to: self.format.wide(),
        }
    }
}
