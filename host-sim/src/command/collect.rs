//! `ringlet collect`: a role of a collection, and commands for it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::{config::args::LogArgs, error::Failure};

/// A role of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CollectRole {
    /// The leader, which takes uploads.
    P0,
    /// The helper, which keeps them too.
    P1,
    /// The dealer, which gets no masked value.
    Dealer,
}

/// Options of `collect`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct CollectArgs {
    /// What to do; to run a role when left out.
    #[command(subcommand)]
    pub command: Option<CollectCommand>,
    /// The role.
    #[arg(long, value_enum, required = true)]
    pub role: Option<CollectRole>,
    /// The task.
    #[arg(long, value_name = "FILE", required = true)]
    pub task: Option<PathBuf>,
    /// The file with this role's own identity, from `ringlet init`.
    #[arg(long, value_name = "FILE", required = true)]
    pub identity: Option<PathBuf>,
    /// The identities and addresses of all roles, from `ringlet init`.
    #[arg(long, value_name = "FILE", required = true)]
    pub roster: Option<PathBuf>,
    /// Keep uploads in this file, which no other user may read.
    #[arg(long, value_name = "FILE", required = true)]
    pub store: Option<PathBuf>,
    /// At P0: the certificate with its key, from `ringlet collect certificate`.
    #[arg(long, value_name = "FILE", required_if_eq("role", "p0"))]
    pub certificate: Option<PathBuf>,
    /// Listen here (host:port): for owners at P0, whose address the task has, and for P0 at the others, whose addresses the roster
    /// has.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Commands below `collect`.
#[derive(Clone, Debug, Subcommand)]
pub enum CollectCommand {
    /// Make the leader's certificate with its key, and print the hash that the task has.
    Certificate {
        /// The file to write, which no other user may read.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print what a role keeps, and the lists, as JSON.
    Status(StoreArgs),
    /// At P0: make a list of all contributions that there are, for a training. The others confirm that they have them.
    List(StoreArgs),
    /// Write what a training reads of a list to a file.
    Export {
        /// The store.
        #[command(flatten)]
        store: StoreArgs,
        /// The number of the list.
        #[arg(long, value_name = "N")]
        list: u32,
        /// The file to write, which no other user may read.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// At P0: remove an upload at all roles.
    Withdraw {
        /// The store.
        #[command(flatten)]
        store: StoreArgs,
        /// The upload's name.
        #[arg(value_name = "UPLOAD")]
        upload: String,
    },
}

/// Whose store a command is about.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// The store of the role.
    #[arg(long, value_name = "FILE")]
    pub store: PathBuf,
}

/// Runs a role, or a command.
pub fn run(args: &CollectArgs) -> Result<(), Failure> {
    built::run(args)
}

#[cfg(not(feature = "collect"))]
mod built {
    use super::*;

    pub fn run(_: &CollectArgs) -> Result<(), Failure> {
        Err(Failure::new(
            "this program was built without collections",
            "build it with `cargo build --release --features collect`",
        ))
    }
}

#[cfg(feature = "collect")]
mod built {
    use std::{path::absolute, sync::Arc, time::Duration};

    use ringlet_core::{Role, session::handshake::Actor};

    use super::*;
    use crate::{
        collection::{
            certificate,
            control::{self, Ask},
            serving::{self, Serving},
        },
        config::{
            args::{IdentityArgs, Membership},
            task_file::TaskFile,
        },
        console,
        data::{hexadecimal, identity_file::public_text},
        links::{connect::Endpoint, traffic_shaper::Lines},
    };

    impl From<CollectRole> for Actor {
        fn from(role: CollectRole) -> Self {
            match role {
                CollectRole::P0 => Actor::Party(Role::P0),
                CollectRole::P1 => Actor::Party(Role::P1),
                CollectRole::Dealer => Actor::Dealer,
            }
        }
    }

    pub fn run(args: &CollectArgs) -> Result<(), Failure> {
        match &args.command {
            None => role(args),
            Some(CollectCommand::Certificate { out }) => {
                console::line(&hexadecimal::digits(&certificate::create(out)?))
            }
            Some(CollectCommand::Status(store)) => ask(store, &Ask::Status),
            Some(CollectCommand::List(store)) => ask(store, &Ask::List),
            Some(CollectCommand::Export { store, list, out }) => {
                let out = absolute(out).unwrap_or_else(|_| out.clone());
                ask(store, &Ask::Export(*list, out))
            }
            Some(CollectCommand::Withdraw { store, upload }) => {
                ask(store, &Ask::Withdraw(upload.clone()))
            }
        }
    }

    /// Asks the role that runs with a store, and prints its answer.
    fn ask(args: &StoreArgs, question: &Ask) -> Result<(), Failure> {
        match control::ask(&args.store, question)? {
            Some(answer) => console::line(&answer.to_string()),
            None => Err(Failure::new(
                format!("no role runs with the store {}", args.store.display()),
                "start `ringlet collect` with it, or correct --store",
            )),
        }
    }

    fn role(args: &CollectArgs) -> Result<(), Failure> {
        let (Some(role), Some(task), Some(store)) = (args.role, &args.task, &args.store) else {
            return Err(Failure::new(
                "a role needs options",
                "see `ringlet collect --help`",
            ));
        };
        let own = Actor::from(role);
        let task = Arc::new(TaskFile::read(task)?);
        let identities = IdentityArgs {
            roster: args.roster.clone(),
            identity: args.identity.clone(),
            insecure: false,
        };
        let membership = identities.membership(own, false)?;
        check_identities(&task, &membership)?;
        let endpoint = Endpoint {
            own,
            credentials: membership.credentials.clone(),
            lines: Lines::default(),
            wait: Duration::ZERO,
            quiet: args.log.quiet,
        };
        let listen = match (&args.listen, role) {
            (None, CollectRole::P0) => task.terms.address.clone(),
            (given, _) => membership.address(given.as_ref(), own, "--listen")?,
        };
        let listener = endpoint.listen(&listen)?;
        let serving = Serving {
            endpoint,
            task,
            store: store.clone(),
            listener,
            listens_at: listen,
        };
        let (CollectRole::P0, Some(certificate)) = (role, &args.certificate) else {
            return serving::follow(serving);
        };
        let remedy = "the address in the roster";
        let helper = membership.address(None, Actor::Party(Role::P1), remedy)?;
        let dealer = membership.address(None, Actor::Dealer, remedy)?;
        serving::lead(serving, certificate, [helper, dealer])
    }

    /// Seals of uploads are for the identities of the task.
    fn check_identities(task: &TaskFile, membership: &Membership) -> Result<(), Failure> {
        let actors = [
            Actor::Party(Role::P0),
            Actor::Party(Role::P1),
            Actor::Dealer,
        ];
        for (actor, wanted) in actors.into_iter().zip(&task.task.identities) {
            if membership.credentials.of(actor) != Some(*wanted) {
                return Err(Failure::new(
                    format!(
                        "the identity of {actor} in the roster is not {}, which the task has",
                        public_text(*wanted)
                    ),
                    "give the roster for which the task was made",
                ));
            }
        }
        Ok(())
    }
}
