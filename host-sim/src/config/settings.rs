//! From the command line to a session that has been checked.

use std::{fs, path::Path};

use ringlet_core::{
    Role,
    model::{BUILT_IN, Loss, Model, TripleScheme},
    network::Network,
    num::{Format, Ring},
    session::{Protocol, RATE_FRACTION, Session, Task},
};

use crate::{
    config::{
        activation,
        args::{ProtocolName, RingName, SessionArgs, TriplesName},
    },
    data::{Images, model_file},
    error::Failure,
};

/// The momentum of exact ReLU where none is given.
pub const EXACT_MOMENTUM: f64 = 0.875;

/// Fraction bits of SecureNN as published.
pub const SECURENN_FRACTION_BITS: u32 = 13;

/// The model that the arguments name, or the one that suits images of `shape`.
pub fn model(name: Option<&str>, shape: Option<[usize; 3]>) -> Result<Model, Failure> {
    let Some(name) = name else {
        return match shape {
            Some([28, 28, 1]) => model(Some("convnet2"), shape),
            Some([8, 8, 1]) | None => model(Some("digits8"), shape),
            Some([h, w, c]) => Err(Failure::new(
                format!("no built-in model takes images of {h}x{w}x{c}"),
                "describe one in a JSON file and name it with --model",
            )),
        };
    };
    if let Some(model) = Model::built_in(name) {
        return Ok(model);
    }
    let path = Path::new(name);
    if !path.is_file() {
        return Err(Failure::new(
            format!("{name} is neither a built-in model nor a file"),
            format!("choose one of {} or give a JSON file", BUILT_IN.join(", ")),
        ));
    }
    if path.extension().is_some_and(|end| end == "safetensors") {
        return model_file::describe(path);
    }
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(
            format!("{name} cannot be read: {error}"),
            "check the file and its permissions",
        )
    })?;
    let malformed = |error: serde_json::Error| {
        Failure::new(
            format!("{name} is not a model description: {error}"),
            "see the README for an example",
        )
    };
    let mut description = serde_json::from_str(&text).map_err(malformed)?;
    activation::resolve(&mut description)?;
    serde_json::from_value(description).map_err(malformed)
}

/// Refuses images of another shape than the model takes.
pub fn check_shape(model: &Model, images: &Images) -> Result<(), Failure> {
    let wanted = model.input.map(usize::from);
    if wanted == images.shape {
        return Ok(());
    }
    let text = |shape: [usize; 3]| format!("{}x{}x{}", shape[0], shape[1], shape[2]);
    Err(Failure::new(
        format!(
            "model {} takes images of {}, but the data's are {}",
            model.name,
            text(wanted),
            text(images.shape)
        ),
        "give a model and --data that fit together",
    ))
}

/// How many of `total` images are P0's and P1's.
pub fn split(total: usize, share_of_p0: f64) -> Result<[u32; 2], Failure> {
    if !(0.0..=1.0).contains(&share_of_p0) {
        return Err(Failure::new(
            format!("the share of P0 is {share_of_p0}"),
            "give a part between 0 and 1 with --share-of-p0",
        ));
    }
    let total = u32::try_from(total)
        .map_err(|_| Failure::new("there are more images than can be numbered", "use fewer"))?;
    let first = (f64::from(total) * share_of_p0).round() as u32;
    Ok([first, total - first])
}

/// A rate in the session's units.
fn units(rate: f64, option: &str, range: &str) -> Result<u32, Failure> {
    let scaled = (rate * f64::from(1u32 << RATE_FRACTION)).round();
    if rate.is_finite() && (0.0..=f64::from(u32::MAX)).contains(&scaled) {
        Ok(scaled as u32)
    } else {
        Err(Failure::new(
            format!("{option} {rate} is out of range"),
            format!("give a number {range}"),
        ))
    }
}

/// The momentum that the arguments give, or their protocol's usual one.
pub fn momentum(args: &SessionArgs) -> f64 {
    let usual = match args.protocol {
        ProtocolName::Exact | ProtocolName::Securenn => EXACT_MOMENTUM,
        ProtocolName::Spdz => 0.0,
    };
    args.momentum.unwrap_or(usual)
}

/// The session that the arguments describe, still unchecked.
pub fn session(
    args: &SessionArgs,
    model: Model,
    samples: [u32; 2],
    order: u64,
    receiver: Option<Role>,
) -> Result<Session, Failure> {
    let spdz = args.protocol == ProtocolName::Spdz;
    let securenn = args.protocol == ProtocolName::Securenn;
    for (given, option, belongs, names) in [
        (
            args.triples.is_some(),
            "--triples",
            spdz || securenn,
            "spdz or securenn",
        ),
        (args.activation.is_some(), "--activation", spdz, "spdz"),
        (args.loss.is_some(), "--loss", securenn, "securenn"),
    ] {
        if given && !belongs {
            return Err(Failure::new(
                format!("{option} belongs to --protocol {names}"),
                "add that --protocol, or leave it out",
            ));
        }
    }
    if securenn && args.ring == Some(RingName::U32) {
        return Err(Failure::new(
            "SecureNN's protocols need the ring of 64 bits",
            "leave out --ring",
        ));
    }
    if securenn && args.triples == Some(TriplesName::Fused) {
        return Err(Failure::new(
            "SecureNN's protocols open every product's operands anew",
            "give --triples baseline (matrices, as published) or seed (whole convolutions)",
        ));
    }
    let model = if spdz {
        let activation = args.activation.clone().unwrap_or_default();
        activation.replace_relu(&model)?
    } else {
        model
    };
    let momentum = momentum(args);
    let default_ring = if spdz || securenn {
        RingName::U64
    } else {
        RingName::U32
    };
    let bits = args.fraction_bits;
    let format = match args.ring.unwrap_or(default_ring) {
        RingName::U32 => Format::new::<u32>(bits.unwrap_or(12))?,
        // Without momentum an update needs no opening.
        RingName::U64 if spdz && momentum == 0.0 => Format::direct(bits.unwrap_or(12))?,
        RingName::U64 if spdz => Format::new::<u64>(bits.unwrap_or(12))?,
        RingName::U64 if securenn => Format::new::<u64>(bits.unwrap_or(SECURENN_FRACTION_BITS))?,
        RingName::U64 => Format::new::<u64>(bits.unwrap_or(20))?,
    };
    let triples = args.triples.map(TripleScheme::from);
    let protocol = if securenn {
        Protocol::SecureNn {
            triples: triples.unwrap_or(TripleScheme::Baseline),
            loss: args.loss.map_or(Loss::Softmax, Loss::from),
        }
    } else {
        Protocol::Dealt {
            triples: triples.unwrap_or(TripleScheme::Fused),
        }
    };
    if args.limit == Some(0) {
        return Err(Failure::new(
            "--limit 0 leaves nothing to do",
            "give at least one iteration",
        ));
    }
    Ok(Session {
        model,
        format,
        task: Task::Train,
        protocol,
        samples,
        batch: args.batch,
        micro_batch: args.micro_batch.unwrap_or(args.batch),
        epochs: args.epochs,
        limit: args.limit.unwrap_or(0),
        learning_rate: units(args.lr, "--lr", "above 0 and up to 255")?,
        momentum: units(momentum, "--momentum", "from 0 to below 1")?,
        shuffle_seed: order,
        receiver,
        audit: args.audit.unwrap_or(0),
    })
}

/// The session of inference in the place of one of training: once over samples that one party owns.
pub fn inference(session: Session) -> Result<Session, Failure> {
    if !session.samples.contains(&0) {
        return Err(Failure::new(
            "inference is on images of one party, by the model of the other",
            "let one have them all: --share-of-p0 1 or 0, or --samples N,0 or 0,N",
        ));
    }
    if session.audit != 0 {
        return Err(Failure::new(
            "inference has no range audit",
            "leave out --audit",
        ));
    }
    let batch = session.batch.min(session.total_samples()).max(1);
    Ok(Session {
        task: Task::Infer,
        batch,
        micro_batch: session.micro_batch.min(batch),
        epochs: 1,
        receiver: None,
        // Inference has no loss, so that no two can differ.
        protocol: match session.protocol {
            Protocol::SecureNn { triples, .. } => Protocol::SecureNn {
                triples,
                loss: Loss::Softmax,
            },
            dealt => dealt,
        },
        ..session
    })
}

/// Something that runs in either ring.
pub trait InRing {
    /// What comes of it.
    type Output;
    /// Runs in ring `R`.
    fn run<R: Ring>(self, network: Network) -> Result<Self::Output, Failure>;
    /// Runs with an assistant in the dealer's place.
    fn run_assisted(self, network: Network) -> Result<Self::Output, Failure>
    where
        Self: Sized,
    {
        let _ = network;
        Err(Failure::new(
            "--protocol securenn is for train, party, assistant, predict and plan",
            "choose another --protocol",
        ))
    }
}

/// Checks the session and runs `task` in its ring.
pub fn in_ring<T: InRing>(session: &Session, task: T) -> Result<T::Output, Failure> {
    if let Protocol::SecureNn { .. } = session.protocol {
        task.run_assisted(ringlet_core::securenn::check(session)?)
    } else if session.format.ring == u32::BITS {
        task.run::<u32>(ringlet_core::dealt::check::<u32>(session)?)
    } else {
        task.run::<u64>(ringlet_core::dealt::check::<u64>(session)?)
    }
}
