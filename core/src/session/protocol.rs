//! The protocol of a session.

use serde::{Deserialize, Serialize};

use crate::model::{loss::Loss, triple_scheme::TripleScheme};

/// The protocol of a session, with its own options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(from = "Encoded", into = "Encoded")]
pub enum Protocol {
    /// Two parties, and a dealer that sends correlated randomness. The loss is softmax with cross entropy.
    Dealt {
        /// The triple scheme of products.
        triples: TripleScheme,
    },
    /// SecureNN (PETS 2019): two parties, and an assistant that takes part online.
    SecureNn {
        /// Whether a convolution runs as a matrix product of its patches ([`TripleScheme::Baseline`], as published) or
        /// as a convolution (any other scheme).
        triples: TripleScheme,
        /// How logits become probabilities.
        loss: Loss,
    },
}

impl Protocol {
    /// The dealt protocol with its default triple scheme.
    pub const DEALT: Protocol = Protocol::Dealt {
        triples: TripleScheme::Fused,
    };

    /// The triple scheme of products.
    pub const fn triples(self) -> TripleScheme {
        match self {
            Protocol::Dealt { triples } | Protocol::SecureNn { triples, .. } => triples,
        }
    }

    /// How logits become probabilities.
    pub const fn loss(self) -> Loss {
        match self {
            Protocol::Dealt { .. } => Loss::Softmax,
            Protocol::SecureNn { loss, .. } => loss,
        }
    }
}

/// The serialised form: the triple scheme, then the loss if the protocol is SecureNN.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Encoded {
    triples: TripleScheme,
    securenn: Option<Loss>,
}

impl From<Encoded> for Protocol {
    fn from(Encoded { triples, securenn }: Encoded) -> Self {
        match securenn {
            None => Protocol::Dealt { triples },
            Some(loss) => Protocol::SecureNn { triples, loss },
        }
    }
}

impl From<Protocol> for Encoded {
    fn from(protocol: Protocol) -> Self {
        Encoded {
            triples: protocol.triples(),
            securenn: match protocol {
                Protocol::Dealt { .. } => None,
                Protocol::SecureNn { loss, .. } => Some(loss),
            },
        }
    }
}
