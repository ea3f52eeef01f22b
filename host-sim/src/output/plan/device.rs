//! The boards that can be P0, and the time of an iteration on their links.

use ringlet_core::{
    Role,
    dealt::Plan,
    network::{Activation, Network, Stage},
    num::Ring,
    session::Session,
};

use crate::{
    board::BOARDS,
    error::Failure,
    links::{sealed_bytes::framed, traffic_shaper::TrafficShape},
    output::amounts::bytes,
    run::dry_run::sent,
};

/// Both tables.
pub fn tables<R: Ring>(session: &Session, network: &Network) -> Result<String, Failure> {
    Ok(device_table(session, network) + &link_table::<R>(session, network)?)
}

/// The memory that P0 needs, and the boards that have it.
fn device_table(session: &Session, network: &Network) -> String {
    let needed = |micro_batch| {
        let session = Session {
            micro_batch,
            ..session.clone()
        };
        let plan = Plan::new(&session, network);
        let opened = size_of::<u32>() * plan.opened_data_words(Role::P0);
        (8 * plan.arena_words::<u32>(Role::P0) + opened.next_multiple_of(8)) as u64
    };
    let needed_here = needed(session.micro_batch);
    let polynomial = |stage: &Stage| matches!(stage.activation, Some(Activation::Polynomial(..)));
    let polynomials = network.stages.iter().any(polynomial);
    let private = session.privacy().is_some();
    let mut table = format!(
        "{} with micro-batches of {} takes {} of a device that is p0\n\n",
        session.model.name,
        session.micro_batch,
        bytes(needed_here)
    );
    table += &format!(
        "{:<16} {:>12} {:>12} {:>12} {:>12} {:>10}\n",
        "board", "for a party", "in all", "its stack", "its flash", "fits"
    );
    for board in BOARDS {
        let budget = board.budget;
        let given = u64::from(budget.party);
        // More samples at a time never need less.
        let most = (1..=session.micro_batch)
            .take_while(|&rows| needed(rows) <= given)
            .last();
        let fits = match most {
            _ if polynomials && !board.polynomials => "no".to_owned(),
            _ if private && !board.private_training => "no".to_owned(),
            Some(rows) if rows == session.micro_batch => "yes".to_owned(),
            Some(rows) => format!("up to {rows}"),
            None => "no".to_owned(),
        };
        let all = budget.party + budget.statics + budget.stack[0];
        table += &format!(
            "{:<16} {:>12} {:>12} {:>12} {:>12} {:>10}\n",
            board.name,
            bytes(given),
            bytes(all.into()),
            bytes(budget.stack[0].into()),
            bytes(budget.flash[0].into()),
            fits
        );
    }
    table += "\nAll is static RAM and the stack that was used. Up to: samples of a --micro-batch that fit.\n";
    if polynomials {
        table += "A board on which polynomials do not fit leaves them out of its firmware: their stack is too large.\n";
    }
    if private {
        table += "A board on which private gradients do not fit leaves them out of its firmware: they take flash.\n";
    }
    table
}

/// The time that an iteration takes on each kind of link, without the device's own time.
fn link_table<R: Ring>(session: &Session, network: &Network) -> Result<String, Failure> {
    let plan = Plan::new(session, network);
    let cost = plan.iteration::<R>(session.batch_rows())
        + plan.data::<R>(session.batch_rows(), session.batch_rows());
    let one = Session {
        limit: 1,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        ..session.clone()
    };
    let sealed = framed(sent::<R>(&one, network, Role::P0, 0)?);
    let mut table = format!(
        "\nAn iteration of {} samples sends {} each way in {} rounds, {} with its seals\n\n{:<22} {:>11} {:>14}\n",
        session.batch_rows(),
        bytes(cost.online_bytes),
        cost.rounds,
        bytes(sealed),
        "link",
        "a second",
        "an iteration"
    );
    for (name, shape) in TrafficShape::OF_DEVICES {
        let rate = shape.rate.map_or(0, |rate| rate as u64);
        let seconds = shape.seconds(cost.rounds, sealed);
        table += &format!("{name:<22} {:>11} {seconds:>12.1} s\n", bytes(rate));
    }
    Ok(table)
}
