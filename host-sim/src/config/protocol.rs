//! The protocol of a session, with its options and its usual settings.

use ringlet_core::{
    model::{Loss, Model, TripleScheme},
    network::Network,
    num::Format,
    session::{self, Headroom},
};

use super::{
    activation::Activation,
    args::session::{ProtocolName, RingName, SessionArgs, TriplesName},
};
use crate::{data::range_bits::RangeBits, error::Failure};

/// A protocol, with the options that only it has.
#[derive(Clone, Debug, PartialEq)]
pub enum Protocol {
    /// Ringlet's own: exact ReLU, with a dealer.
    Exact,
    /// SPDZ triples with polynomials in place of ReLU, with a dealer.
    Spdz {
        /// What triples are made for.
        triples: TripleScheme,
        /// The polynomial.
        activation: Activation,
    },
    /// SecureNN: exact ReLU, with an assistant during the run.
    SecureNn {
        /// Whether products are of matrices or of whole convolutions.
        triples: TripleScheme,
        /// The loss.
        loss: Loss,
    },
}

impl Protocol {
    /// The protocol that the arguments choose. Refuses options that belong to another one.
    pub fn new(args: &SessionArgs) -> Result<Self, Failure> {
        let refuse = |given: bool, option: &str, owners: &str| match given {
            false => Ok(()),
            true => Err(Failure::new(
                format!("{option} belongs to --protocol {owners}"),
                "add that --protocol, or leave it out",
            )),
        };
        let spdz = args.protocol == ProtocolName::Spdz;
        let securenn = args.protocol == ProtocolName::Securenn;
        let (triples, activation) = (args.triples, &args.activation);
        refuse(
            triples.is_some() && !spdz && !securenn,
            "--triples",
            "spdz or securenn",
        )?;
        refuse(activation.is_some() && !spdz, "--activation", "spdz")?;
        refuse(args.loss.is_some() && !securenn, "--loss", "securenn")?;
        match args.protocol {
            ProtocolName::Exact => Ok(Protocol::Exact),
            ProtocolName::Spdz => Ok(Protocol::Spdz {
                triples: triples.map_or(TripleScheme::Fused, TripleScheme::from),
                activation: activation.clone().unwrap_or_default(),
            }),
            ProtocolName::Securenn if args.ring == Some(RingName::U32) => Err(Failure::new(
                "SecureNN's protocols need the ring of 64 bits",
                "leave out --ring",
            )),
            ProtocolName::Securenn if triples == Some(TriplesName::Fused) => Err(Failure::new(
                "SecureNN's protocols open every product's operands anew",
                "give --triples baseline (matrices, as published) or seed (whole convolutions)",
            )),
            ProtocolName::Securenn => Ok(Protocol::SecureNn {
                triples: triples.map_or(TripleScheme::Baseline, TripleScheme::from),
                loss: args.loss.map_or(Loss::Softmax, Loss::from),
            }),
        }
    }

    /// The same, for commands that know only the protocols with a dealer: refuses SecureNN.
    pub fn with_dealer(args: &SessionArgs) -> Result<Self, Failure> {
        match Protocol::new(args)? {
            Protocol::SecureNn { .. } => Err(Failure::new(
                "--protocol securenn is for train, party, assistant, predict and plan",
                "choose another --protocol",
            )),
            dealt => Ok(dealt),
        }
    }

    /// The same, for sessions with a device: refuses SecureNN.
    pub fn with_device(args: &SessionArgs) -> Result<Self, Failure> {
        match Protocol::new(args)? {
            Protocol::SecureNn { .. } => Err(Failure::new(
                "a device cannot take part in --protocol securenn",
                "choose another --protocol",
            )),
            dealt => Ok(dealt),
        }
    }

    /// The momentum when none is given. By SPDZ it is 0, so that an update opens nothing.
    pub fn usual_momentum(&self) -> f64 {
        match self {
            Protocol::Exact | Protocol::SecureNn { .. } => 0.875,
            Protocol::Spdz { .. } => 0.0,
        }
    }

    /// The widths of ring and fractions, as given or as usual.
    pub fn format(
        &self,
        ring: Option<RingName>,
        fraction_bits: Option<u32>,
        momentum: f64,
    ) -> Result<Format, Failure> {
        let usual_ring = match self {
            Protocol::Exact => RingName::U32,
            Protocol::Spdz { .. } | Protocol::SecureNn { .. } => RingName::U64,
        };
        let ring = ring.unwrap_or(usual_ring);
        let fraction = fraction_bits.unwrap_or(match (self, ring) {
            (Protocol::Exact, RingName::U64) => 20,
            (Protocol::Exact, RingName::U32) | (Protocol::Spdz { .. }, _) => 12,
            // As published.
            (Protocol::SecureNn { .. }, _) => 13,
        });
        Ok(match (self, ring) {
            // Without momentum an update opens nothing.
            (Protocol::Spdz { .. }, RingName::U64) if momentum == 0.0 => Format::direct(fraction)?,
            (_, RingName::U64) => Format::new::<u64>(fraction)?,
            (_, RingName::U32) => Format::new::<u32>(fraction)?,
        })
    }

    /// The headroom for a range that is given, or else for the one that a model's file keeps, or else for the usual one.
    /// What is not given is only taken as far as the format allows. Only exact ReLU with a dealer has headroom.
    pub fn headroom(
        &self,
        network: &Network,
        format: Format,
        [given, kept]: [Option<&RangeBits>; 2],
    ) -> Result<Headroom, Failure> {
        match (self, given) {
            (Protocol::Exact, Some(given)) => given.headroom(network, format),
            (Protocol::Exact, None) => {
                let usual = RangeBits::usual();
                Ok(kept.unwrap_or(&usual).limited(network, format))
            }
            (_, None) => Ok(Headroom::NONE),
            (_, Some(_)) => Err(Failure::new(
                "--range-bits belongs to --protocol exact",
                "leave it out: the ring of 64 bits has range enough",
            )),
        }
    }

    /// The model as this protocol runs it: SPDZ replaces ReLU by its polynomial.
    pub fn adapt(&self, model: Model) -> Result<Model, Failure> {
        match self {
            Protocol::Exact | Protocol::SecureNn { .. } => Ok(model),
            Protocol::Spdz { activation, .. } => activation.replace_relu(&model),
        }
    }

    /// The protocol in the core's terms.
    pub fn core(&self) -> session::Protocol {
        match *self {
            Protocol::Exact => session::Protocol::DEALT,
            Protocol::Spdz { triples, .. } => session::Protocol::Dealt { triples },
            Protocol::SecureNn { triples, loss } => session::Protocol::SecureNn { triples, loss },
        }
    }
}
