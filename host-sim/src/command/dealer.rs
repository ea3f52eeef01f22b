//! `ringlet dealer`: the dealer's role on its own.

use std::{io, time::Duration};

use ringlet_core::{
    Role,
    net::{Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    session::{Session, handshake::Seal},
};

use crate::{
    command::data::read_key,
    config::{
        args::DealerArgs,
        settings::{InRing, in_ring},
    },
    error::Failure,
    links::{
        capture::Capture,
        connect::{broken, hear, listen},
        tcp::TcpEnd,
    },
    output::{
        console,
        report::{bytes, work},
    },
    run::{
        event::Event,
        roles::{Helper, meet_parties, run_dealer},
        secrets::Secrets,
        supervision,
    },
};

struct Deal<'a> {
    session: &'a Session,
    keys: [Key; 2],
    link: Link<Capture<TcpEnd>>,
    quiet: bool,
}

impl InRing for Deal<'_> {
    type Output = ();

    fn run<R: Ring>(self, _: Network) -> Result<(), Failure> {
        let bar = if self.quiet {
            indicatif::ProgressBar::hidden()
        } else {
            indicatif::ProgressBar::new(self.session.iterations().into())
        };
        run_dealer::<R, _>(self.session, self.keys, self.link, |iteration, sent| {
            bar.set_position(u64::from(iteration) + 1);
            bar.set_message(bytes(sent));
        })?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// How the keys of parties that are devices are sealed.
fn seals(args: &DealerArgs) -> Result<[Option<Seal>; 2], Failure> {
    let secrets = Secrets::new(args.process.secret_seed);
    let mut seals = [None, None];
    let files = [&args.p0_key, &args.p1_key];
    for (role, (seal, file)) in Role::BOTH.into_iter().zip(seals.iter_mut().zip(files)) {
        if let Some(file) = file {
            *seal = Some(Seal {
                shared: read_key(file)?,
                nonce: secrets.seal(role)?,
            });
        }
    }
    Ok(seals)
}

/// Serves two parties and ends with them.
pub fn run(args: &DealerArgs) -> Result<(), Failure> {
    let keys = Secrets::new(args.process.secret_seed).dealer_keys()?;
    let seals = seals(args)?;
    let shape = args.process.shape.shape()?;
    let patience = Duration::from_secs(args.process.wait);
    let listener = listen(&args.listen)?;
    let address = listener.local_addr().map_err(broken)?.to_string();
    if args.process.supervised {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::line(&format!("dealer: waiting for both parties at {address}"))?;
    }
    let end = |stream| Capture::new(TcpEnd::bounded(stream, shape)?, &None);
    let remote = Remote::Party(Role::P0);
    let (one, first) = hear(&listener, "the first party", remote, patience, end)?;
    let (two, second) = hear(&listener, "the second party", remote, patience, end)?;
    let (session, [to_p0, to_p1]) =
        meet_parties(Helper::Dealer, [one, two], [first, second], &keys, &seals)?;
    if !args.process.supervised {
        console::line(&format!(
            "dealer: serving model {}, {}",
            session.model.name,
            work(&session)
        ))?;
    }
    let to_p1 = to_p1.renamed(Remote::Party(Role::P1));
    let deal = Deal {
        session: &session,
        keys,
        link: to_p1,
        quiet: args.process.supervised,
    };
    in_ring(&session, deal)?;
    drop(to_p0);
    if !args.process.supervised {
        console::line("dealer: done")?;
    }
    Ok(())
}
