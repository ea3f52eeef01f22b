//! `ringlet init`: the identities and the roster of a deployment.

use std::{fs, path::PathBuf};

use clap::Args;
use ringlet_core::{Role, session::handshake::Actor};

use crate::{
    config::roster::{Member, Roster, table},
    console,
    data::{
        file::{check_writable, write_whole},
        identity_file::{create, public_text},
        key_file::check_new,
    },
    error::Failure,
    run::secrets::Secrets,
};

/// Options of `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Make the identities of all roles and their roster in this directory.
    #[arg(
        value_name = "DIR",
        conflicts_with = "identity",
        required_unless_present = "identity"
    )]
    pub dir: Option<PathBuf>,
    /// Make one identity alone, in this file, and print its public half for the roster that somebody else writes.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["p0", "p1", "dealer", "assistant"])]
    pub identity: Option<PathBuf>,
    /// Where P0 will listen for P1 (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub p0: Option<String>,
    /// Where P1 will listen for P0, in a collection.
    #[arg(long, value_name = "ADDRESS")]
    pub p1: Option<String>,
    /// Where the dealer will listen.
    #[arg(long, value_name = "ADDRESS")]
    pub dealer: Option<String>,
    /// Where the assistant will listen.
    #[arg(long, value_name = "ADDRESS")]
    pub assistant: Option<String>,
}

/// Makes the identities.
pub fn run(args: &InitArgs) -> Result<(), Failure> {
    if let Some(path) = &args.identity {
        check_new(path)?;
        let identity = create(path, Secrets::System.identity_secret()?)?;
        return console::line(&public_text(identity.public()));
    }
    let dir = args.dir.clone().unwrap_or_default();
    fs::create_dir_all(&dir).map_err(|error| {
        Failure::new(
            format!("{} cannot be made: {error}", dir.display()),
            "give another directory",
        )
    })?;
    let roles = [
        (Actor::Party(Role::P0), &args.p0),
        (Actor::Party(Role::P1), &args.p1),
        (Actor::Dealer, &args.dealer),
        (Actor::Assistant, &args.assistant),
    ];
    let file = |actor| dir.join(format!("{}.identity", table(actor)));
    let roster = dir.join("roster.toml");
    for path in roles
        .iter()
        .map(|(actor, _)| file(*actor))
        .chain([roster.clone()])
    {
        check_new(&path)?;
    }
    check_writable(&roster)?;
    let mut members = Vec::new();
    for (actor, address) in roles {
        let identity = create(&file(actor), Secrets::System.identity_secret()?)?;
        members.push(Member {
            actor,
            identity: identity.public(),
            address: address.clone(),
        });
    }
    write_whole(&roster, Roster(members).text().as_bytes())?;
    console::line(&format!(
        "{} is for all roles; each .identity file beside it is a secret of its role alone",
        roster.display()
    ))
}
