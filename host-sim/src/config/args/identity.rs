//! Options of a role's identity.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use ringlet_core::session::handshake::Actor;

use crate::{
    config::roster::Roster, data::identity_file, error::Failure, links::credentials::Credentials,
};

/// Options of a role's identity.
#[derive(Clone, Debug, Args)]
pub struct IdentityArgs {
    /// The identities and addresses of all roles, from `ringlet init`.
    #[arg(long, value_name = "FILE", requires = "identity")]
    pub roster: Option<PathBuf>,
    /// The file with this role's own identity, from `ringlet init`.
    #[arg(long, value_name = "FILE", requires = "roster")]
    pub identity: Option<PathBuf>,
    /// Do without identities: for roles on one machine only.
    #[arg(long, conflicts_with = "roster")]
    pub insecure: bool,
}

/// A role's identity, and the roster if there is one.
pub struct Membership {
    /// The identities of all roles.
    pub credentials: Arc<Credentials>,
    roster: Option<Roster>,
}

impl IdentityArgs {
    /// Reads the files for the role `own`. `supervised` says that a simulator on this machine has started it.
    pub fn membership(&self, own: Actor, supervised: bool) -> Result<Membership, Failure> {
        let (Some(roster), Some(file)) = (&self.roster, &self.identity) else {
            return match self.insecure || supervised {
                true => Ok(Membership {
                    credentials: Arc::new(Credentials::known_to_all(own)),
                    roster: None,
                }),
                false => Err(Failure::new(
                    "the roles do not know each other",
                    "make identities with `ringlet init` and give --roster and --identity, or --insecure if all roles are on this machine",
                )),
            };
        };
        let (path, roster) = (roster, Roster::read(roster)?);
        let identity = identity_file::read(file)?;
        let member = roster.member(own).ok_or_else(|| {
            Failure::new(
                format!("{} has no {own}", path.display()),
                "add it there, at all roles",
            )
        })?;
        if member.identity != identity.public() {
            return Err(Failure::new(
                format!(
                    "the identity in {} is not that of {own} in {}",
                    file.display(),
                    path.display()
                ),
                "give this role's own identity",
            ));
        }
        let others = roster
            .0
            .iter()
            .map(|member| (member.actor, member.identity));
        Ok(Membership {
            credentials: Arc::new(Credentials::new(identity, others)),
            roster: Some(roster),
        })
    }
}

impl Membership {
    /// Where a role listens: the address that the user gave with `option`, or the roster's.
    pub fn address(
        &self,
        given: Option<&String>,
        actor: Actor,
        option: &str,
    ) -> Result<String, Failure> {
        let of_roster = || {
            let roster = self.roster.as_ref()?;
            roster.member(actor)?.address.as_ref()
        };
        given.or_else(of_roster).cloned().ok_or_else(|| {
            Failure::new(
                format!("{actor} has no address"),
                format!("give {option}, or the address in the roster"),
            )
        })
    }
}
