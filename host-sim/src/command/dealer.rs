//! `ringlet dealer`: the dealer's role on its own.

use std::{io, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use ringlet_core::{Role, net::Remote, session::handshake::Seal};

use crate::{
    config::args::ProcessArgs,
    console,
    data::key_file,
    error::Failure,
    links::{
        connect::{broken, hear_parties, listen},
        tcp::TcpEnd,
    },
    output::amounts::{bytes, work},
    run::{
        actors::Helper, dealer::deal, event::Event, handshakes::meet_parties, secrets::Secrets,
        supervision,
    },
};

/// Options of `dealer`.
#[derive(Clone, Debug, Args)]
pub struct DealerArgs {
    /// P0 is a device: the file with the key that it shares with this dealer (from `ringlet data secret`).
    #[arg(long, value_name = "FILE")]
    pub p0_key: Option<PathBuf>,
    /// The same for P1.
    #[arg(long, value_name = "FILE")]
    pub p1_key: Option<PathBuf>,
    /// Wait for the parties at this address (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub listen: String,
    /// Options of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// How the keys of parties that are devices are sealed.
fn seals(args: &DealerArgs) -> Result<[Option<Seal>; 2], Failure> {
    let secrets = Secrets::new(args.process.secrets.seed());
    let mut seals = [None, None];
    let files = [&args.p0_key, &args.p1_key];
    for (role, (seal, file)) in Role::BOTH.into_iter().zip(seals.iter_mut().zip(files)) {
        if let Some(file) = file {
            *seal = Some(Seal {
                shared: key_file::read(file)?,
                nonce: secrets.seal(role)?,
            });
        }
    }
    Ok(seals)
}

/// Serves two parties, and ends with them.
pub fn run(args: &DealerArgs) -> Result<(), Failure> {
    let keys = Secrets::new(args.process.secrets.seed()).dealer_keys()?;
    let seals = seals(args)?;
    let shape = args.process.shape.shape()?;
    let patience = Duration::from_secs(args.process.wait);
    let quiet = args.process.supervised;
    let listener = listen(&args.listen)?;
    let address = listener.local_addr().map_err(broken)?.to_string();
    if quiet {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::line(&format!("dealer: waiting for both parties at {address}"))?;
    }
    let end = |stream| TcpEnd::bounded(stream, shape);
    let (links, heard) = hear_parties(&listener, patience, end)?;
    let (session, [to_p0, to_p1]) = meet_parties(Helper::Dealer, links, heard, &keys, &seals)?;
    if !quiet {
        console::line(&format!(
            "dealer: serving model {}, {}",
            session.model.name,
            work(&session)
        ))?;
    }
    let bar = match quiet {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(session.iterations().into()),
    };
    let to_p1 = to_p1.with_remote(Remote::Party(Role::P1));
    let to_p1 = deal(&session, keys, to_p1, |iteration, sent| {
        bar.set_position(u64::from(iteration) + 1);
        bar.set_message(bytes(sent));
    })?;
    bar.finish_and_clear();
    drop((to_p1, to_p0));
    if !quiet {
        console::line("dealer: done")?;
    }
    Ok(())
}
