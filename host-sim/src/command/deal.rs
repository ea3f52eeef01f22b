//! `ringlet deal`: the dealer's work ahead of time, into files.

use std::fs;

use ringlet_core::{
    Role,
    dealt::Plan,
    net::{Link, Remote},
    network::Network,
    num::Ring,
    session::{Session, handshake::Dealt},
};

use super::party::samples;
use crate::links::connect::UNBOUNDED;
use crate::{
    config::{
        args::DealArgs,
        settings::{self, InRing, in_ring},
    },
    data::{Part, load},
    error::Failure,
    output::{console, report::bytes},
    run::{dealt_files::DealtWriter, roles::run_dealer, secrets::Secrets},
};

struct Deal<'a> {
    args: &'a DealArgs,
    session: &'a Session,
}

impl InRing for Deal<'_> {
    type Output = ();

    fn run<R: Ring>(self, network: Network) -> Result<(), Failure> {
        let (args, session) = (self.args, self.session);
        let plan = Plan::new(session, &network);
        let corrections = plan.corrections::<R>();
        let secrets = Secrets::new(args.secret_seed);
        let keys = secrets.dealer_keys()?;
        let identity = Dealt(secrets.identity()?);
        fs::create_dir_all(&args.out).map_err(|error| {
            Failure::new(
                format!("{} cannot be made: {error}", args.out.display()),
                "give another directory with --out",
            )
        })?;
        let [key_p0, key_p1] = &keys;
        let start = |role, key, corrections| {
            DealtWriter::create(&args.out, role, identity, session, key, corrections)
        };
        let p0 = start(Role::P0, key_p0, 0)?;
        let p1 = start(Role::P1, key_p1, corrections)?;
        console::line(&format!(
            "dealing {} iterations of {} images for {}: {} for p1",
            session.iterations(),
            session.batch,
            session.model.name,
            bytes(corrections)
        ))?;
        let bar = indicatif::ProgressBar::new(session.iterations().into());
        let link = Link::new(p1, Remote::Party(Role::P1), UNBOUNDED);
        let link = run_dealer::<R, _>(session, keys.clone(), link, |iteration, _| {
            bar.set_position(u64::from(iteration) + 1);
        })?;
        bar.finish_and_clear();
        // P0's file appears last, so that a pair is there only when both are whole.
        let p1 = link.into_inner().finish()?;
        let p0 = p0.finish()?;
        console::line(&format!(
            "{}: p0.key of {} for p0, p1.dealt of {} for p1; each serves one run",
            args.out.display(),
            bytes(p0),
            bytes(p1)
        ))
    }
}

/// Deals a session into files.
pub fn run(args: &DealArgs) -> Result<(), Failure> {
    let images = match args.samples {
        Some(_) if args.session.data.is_none() => None,
        _ => Some(load(args.session.data.as_deref(), Part::Train)?),
    };
    let shape = images.as_ref().map(|images| images.shape);
    let model = settings::model(args.session.model.as_deref(), shape)?;
    let total = images.map_or(0, |images| images.len());
    let samples = samples(args.samples, total, args.session.share_of_p0)?;
    let order = args.session.seed.unwrap_or(0);
    let receiver = args.reveal_to.map(Role::from);
    let session = settings::session(&args.session, model, samples, order, receiver)?;
    in_ring(
        &session,
        Deal {
            args,
            session: &session,
        },
    )
}
