//! Which protocol a session runs.

use serde::{Deserialize, Serialize};

use crate::model::{loss::Loss, triple_scheme::TripleScheme};

/// The protocol of a session, with the options that it alone has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(from = "Encoded", into = "Encoded")]
pub enum Protocol {
    /// Two parties, and a dealer that works ahead of them. The loss is softmax with cross entropy.
    Dealt {
        /// What products' triples are made for.
        triples: TripleScheme,
    },
    /// SecureNN: two parties, and an assistant that takes part in the run.
    SecureNn {
        /// Whether products are of matrices ([`TripleScheme::Baseline`], as published) or of convolutions
        /// ([`TripleScheme::Seed`]).
        triples: TripleScheme,
        /// What probabilities are made of logits by.
        loss: Loss,
    },
}

impl Protocol {
    /// The dealt protocol with its usual triples.
    pub const DEALT: Protocol = Protocol::Dealt {
        triples: TripleScheme::Fused,
    };

    /// What products' triples are made for.
    pub const fn triples(self) -> TripleScheme {
        match self {
            Protocol::Dealt { triples } | Protocol::SecureNn { triples, .. } => triples,
        }
    }

    /// What probabilities are made of logits by.
    pub const fn loss(self) -> Loss {
        match self {
            Protocol::Dealt { .. } => Loss::Softmax,
            Protocol::SecureNn { loss, .. } => loss,
        }
    }
}

/// A protocol as it travels: the triples, then SecureNN's loss if it is SecureNN.
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
