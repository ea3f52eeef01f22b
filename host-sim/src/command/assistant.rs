//! `ringlet assistant`: the assistant's role on its own.

use std::{io, time::Duration};

use ringlet_core::{
    Role,
    net::{Link, Remote},
};

use crate::{
    config::args::AssistantArgs,
    error::Failure,
    links::{capture::Capture, tcp::TcpEnd},
    output::{
        console,
        report::{bytes, work},
    },
    run::{
        event::Event,
        roles::{Helper, meet_parties},
        secrets::Secrets,
        securenn::run_assistant,
        supervision,
    },
};
use crate::{
    links::connect::hear,
    links::connect::{broken, listen},
};

/// Serves two parties and ends with them.
pub fn run(args: &AssistantArgs) -> Result<(), Failure> {
    let secrets = Secrets::new(args.process.secret_seed);
    let (own, keys) = (secrets.assistant_own()?, secrets.dealer_keys()?);
    let shape = args.process.shape.shape()?;
    let patience = Duration::from_secs(args.process.wait);
    let listener = listen(&args.listen)?;
    let address = listener.local_addr().map_err(broken)?.to_string();
    let quiet = args.process.supervised;
    if quiet {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::line(&format!("assistant: waiting for both parties at {address}"))?;
    }
    let end = |stream| Capture::new(TcpEnd::free(stream, shape)?, &None);
    let remote = Remote::Party(Role::P0);
    let (one, first) = hear(&listener, "the first party", remote, patience, end)?;
    let (two, second) = hear(&listener, "the second party", remote, patience, end)?;
    let heard = [first, second];
    let met = meet_parties(Helper::Assistant, [one, two], heard, &keys, &[None, None])?;
    let (session, [first, second]) = met;
    if !quiet {
        console::line(&format!(
            "assistant: serving model {}, {}",
            session.model.name,
            work(&session)
        ))?;
    }
    let bar = if quiet {
        indicatif::ProgressBar::hidden()
    } else {
        indicatif::ProgressBar::new(session.iterations().into())
    };
    let second = second.renamed(Remote::Party(Role::P1));
    for link in [&first, &second] {
        let link: &Link<_> = link;
        let idle = Duration::from_secs(args.idle);
        link.transport()
            .inner()
            .set_patience(idle)
            .map_err(broken)?;
    }
    run_assistant(&session, (own, keys), (first, second), |iteration, sent| {
        bar.set_position(u64::from(iteration) + 1);
        bar.set_message(bytes(sent));
    })?;
    bar.finish_and_clear();
    if !quiet {
        console::line("assistant: done")?;
    }
    Ok(())
}
