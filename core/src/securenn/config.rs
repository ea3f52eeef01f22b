//! Checks of SecureNN sessions.

use crate::{
    gate::softmax::Softmax,
    network::{Activation, Network, Stage},
    session::{Headroom, Protocol, Schedule, Session, SessionError, Task},
};

use super::{gates::maxpool::is_too_large, scale::Rate};

/// Checks that the parameters of a SecureNN session fit together in Z_2^64, and compiles its network.
pub fn check(session: &Session) -> Result<Network, SessionError> {
    let Protocol::SecureNn { .. } = session.protocol else {
        return Err(SessionError::Protocol);
    };
    session.format.check::<u64>()?;
    if session.task == Task::Evaluate {
        return Err(SessionError::NotInSecureNn("evaluation of a shared model"));
    }
    let network = session.network()?;
    session.check_sizes(&network)?;
    check_features(session, &network)?;
    let micro_batches = session.batch.div_ceil(session.micro_batch);
    let steps = u64::from(session.iterations()) * u64::from(micro_batches);
    if steps > u32::MAX.into() {
        return Err(SessionError::TooLong);
    }
    let softmax = Softmax {
        format: session.format,
        headroom: 0,
        classes: network.classes,
        exponent: 0,
        loss_bits: 0,
        weighted: false,
    };
    if !softmax.fits::<u64>() {
        return Err(SessionError::Gradients);
    }
    let rates = [session.learning_rate, session.batch];
    let mut stages = network.stages.iter();
    let has_rates = |stage: &Stage| Rate::steps(rates, stage).iter().all(Option::is_some);
    if session.task == Task::Train && !stages.all(has_rates) {
        return Err(SessionError::LearningRate);
    }
    if session.task == Task::Train && !Rate::momentum_is_close(session.momentum) {
        return Err(SessionError::MomentumRounds);
    }
    Ok(network)
}

/// Refuses, by name, the features that only the dealt protocols have.
fn check_features(session: &Session, network: &Network) -> Result<(), SessionError> {
    let is_polynomial =
        |stage: &Stage| matches!(stage.activation, Some(Activation::Polynomial(..)));
    let missing = [
        (session.format.is_direct(), "weights at full precision"),
        (
            session.headroom != Headroom::NONE,
            "headroom: values have range enough",
        ),
        (
            network.stages.iter().any(is_polynomial),
            "polynomials: ReLU is exact there",
        ),
        (
            session.training.schedule != Schedule::Constant || session.training.warm_up > 0,
            "schedules of the learning rate",
        ),
        (session.reveal_loss, "loss that is revealed"),
        (session.class_weights.is_given(), "class weights"),
        (session.training.nesterov, "Nesterov's momentum"),
        (session.training.clip > 0, "clipping of gradients"),
        (session.training.weight_decay > 0, "weight decay"),
        (session.training.label_smoothing > 0, "label smoothing"),
        (
            network.stages.iter().any(|stage| stage.skip.is_some()),
            "residual additions",
        ),
        (
            network.stages.iter().any(|stage| stage.dropout.is_some()),
            "dropout",
        ),
        (
            network.stages.iter().any(is_too_large),
            "max pooling over windows larger than 8x8",
        ),
        (session.training.privacy.is_some(), "private gradients"),
    ];
    match missing.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(SessionError::NotInSecureNn(what)),
        None => Ok(()),
    }
}
