//! The private gradients that the arguments ask for.

use ringlet_core::{
    network::Network,
    session::{NOISE_FRACTION, Privacy, RATE_FRACTION, Session},
};

use super::args::{PrivacyArgs, SessionArgs};
use crate::{data::trained_model::PrivacyMark, error::Failure, privacy::Protection};

/// What printed figures are rounded to: epsilon up, and a bound.
const EPSILON_STEPS: f64 = 1e3;
const BOUND_STEPS: f64 = 1e6;

/// The most bytes of the gradients of a micro-batch's samples that a party keeps, if nothing says how many samples that are.
const MEMORY: usize = 1 << 28;

/// The parameters that `args` ask for in a session that is complete otherwise, whose class weights are smaller by a factor.
pub fn privacy(
    args: &PrivacyArgs,
    session: &Session,
    network: &Network,
    largest_weight: f64,
) -> Result<Option<Privacy>, Failure> {
    if args.dp_epsilon.is_none() && args.dp_noise.is_none() {
        return match args.is_given() {
            false => Ok(None),
            true => Err(Failure::new(
                "--dp-clip and --dp-delta do nothing alone",
                "add --dp-epsilon, or the noise with --dp-noise",
            )),
        };
    }
    let out_of_range = |option: &str, value: f64, range: &str| {
        Failure::new(
            format!("{option} {value} is out of range"),
            format!("give a number {range}"),
        )
    };
    let (clip, delta) = (args.clip(), args.delta());
    if !(delta > 0.0 && delta < 1.0) {
        return Err(out_of_range(
            "--dp-delta",
            delta,
            "between 0 and 1, such as 1e-5",
        ));
    }
    let units = (clip / largest_weight * f64::from(1u32 << RATE_FRACTION)).round();
    if !(1.0..f64::from(u32::MAX)).contains(&units) {
        let least = largest_weight / f64::from(1u32 << RATE_FRACTION);
        let range = format!("from {least:e} to 255");
        return Err(out_of_range("--dp-clip", clip, &range));
    }
    let iterations = u64::from(session.iterations());
    let protection = Protection::new(session, network.parameters());
    let rows = protection.rows(iterations, delta);
    let multiplier = match (args.dp_epsilon, args.dp_noise) {
        (Some(epsilon), _) => protection.noise(rows, (iterations, delta), epsilon)?,
        (None, noise) => noise.unwrap_or(0.0),
    };
    let noise = (multiplier * f64::from(1u32 << NOISE_FRACTION)).ceil();
    if !(0.0..=f64::from(u32::MAX)).contains(&noise) {
        return Err(match args.dp_epsilon {
            Some(epsilon) => out_of_range("--dp-epsilon", epsilon, "that takes less noise"),
            None => out_of_range("--dp-noise", multiplier, "from 0 to 65535"),
        });
    }
    Ok(Some(Privacy {
        clip: units as u32,
        noise: noise as u32,
        rows,
    }))
}

/// The session with the private gradients that the arguments ask for. `check` checks a session; class weights are smaller by a
/// factor.
pub fn with_privacy(
    args: &SessionArgs,
    mut session: Session,
    network: &Network,
    largest_weight: f64,
    check: impl Fn(&Session) -> Result<(), Failure>,
) -> Result<Session, Failure> {
    if args.privacy.is_given() {
        // What the accountant divides by. Micro-batches are of other rows later.
        check(&Session {
            micro_batch: 1,
            ..session.clone()
        })?;
    }
    session.training.privacy = privacy(&args.privacy, &session, network, largest_weight)?;
    if session.privacy().is_some() {
        let usual = || micro_batch(&session, network);
        session.micro_batch = args.micro_batch.unwrap_or_else(usual);
    }
    Ok(session)
}

/// Rows of a micro-batch of a session with private gradients, if nothing says how many: all, as far as memory reaches.
pub fn micro_batch(session: &Session, network: &Network) -> u32 {
    let largest = network.stages.iter().map(|stage| stage.parameters()).max();
    let row = 2 * (session.format.ring / 8) as usize * largest.unwrap_or(1).max(1);
    let rows = u32::try_from(MEMORY / row).unwrap_or(u32::MAX);
    session.batch_rows().min(rows.max(1))
}

/// What a file says of how a session protects its samples, at this delta; none if it does not.
pub fn privacy_mark(
    session: &Session,
    network: &Network,
    delta: f64,
) -> Result<Option<PrivacyMark>, Failure> {
    let Some(privacy) = session.privacy() else {
        return Ok(None);
    };
    let protection = Protection::new(session, network.parameters());
    let iterations = session.iterations();
    let guarantee = protection.guarantee(&privacy, iterations.into(), delta)?;
    Ok(guarantee.map(|guarantee| PrivacyMark {
        epsilon: (guarantee.epsilon * EPSILON_STEPS).ceil() / EPSILON_STEPS,
        delta,
        noise: privacy.multiplier(),
        clip: privacy.bound(),
        iterations,
    }))
}

/// A sentence for people on what a training protects; none if its gradients are not private.
pub fn told(session: &Session, network: &Network, delta: f64) -> Result<Option<String>, Failure> {
    let Some(privacy) = session.privacy() else {
        return Ok(None);
    };
    let [of_p0, of_p1] = privacy.rows;
    let gives = match privacy_mark(session, network, delta)? {
        Some(PrivacyMark { epsilon, noise, .. }) => {
            format!("noise {noise:.4} by each party gives epsilon {epsilon} at delta {delta:e}")
        }
        None => "there is no noise, so nothing is protected".to_owned(),
    };
    let all = f64::from(session.total_samples());
    let careless = match delta * all < 1.0 {
        true => "",
        false => " (not below 1 / images: that allows to publish one as it is)",
    };
    Ok(Some(format!(
        "training with private gradients of at most {}: {gives}{careless}; rows for {of_p0} images of p0 and {of_p1} of p1",
        (privacy.bound() * BOUND_STEPS).round() / BOUND_STEPS
    )))
}
