//! The gates of a session, with their widths.

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

/// The gates that a session's stages are made of, with their widths.
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

    pub fn relu<R: Ring>(self) -> Relu {
        Relu::new::<R>(self.format.narrow(), self.format.ring)
    }

    /// Max pooling both ways, for a gradient that gave up `drop` bits.
    pub fn max_pool<R: Ring>(self, windows: Windows, drop: u32) -> MaxPool {
        let narrow = self.format.narrow();
        MaxPool::new::<R>(windows, narrow, narrow - drop, self.format.ring)
    }

    /// From logits to classes.
    pub fn argmax<R: Ring>(self) -> Argmax {
        Argmax::new::<R>(self.softmax.classes, self.format.narrow())
    }

    /// A polynomial both ways, for a gradient that gave up `drop` bits.
    pub fn polynomial(self, polynomial: Polynomial, drop: u32) -> PolynomialGate {
        PolynomialGate::new(polynomial, self.format, self.triples, drop)
    }

    /// From the product of a map without activation to the operand of the next.
    pub fn widen(self) -> Widen {
        Widen {
            from: self.format.narrow(),
            to: self.format.ring,
        }
    }

    /// The gate on the way back, for a gradient that gave up `drop` bits.
    pub fn select(self, drop: u32) -> Select {
        Select {
            from: self.format.narrow() - drop,
            to: self.format.ring,
        }
    }

    /// As [`GateSet::select`], where there is no ReLU.
    pub fn widen_back(self, drop: u32) -> Widen {
        Widen {
            from: self.format.narrow() - drop,
            to: self.format.ring,
        }
    }

    /// From the narrow velocity to the master weights' ring.
    pub fn velocity(self) -> Widen {
        Widen {
            from: self.format.narrow(),
            to: self.format.wide(),
        }
    }
}
