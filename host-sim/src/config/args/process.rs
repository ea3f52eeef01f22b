//! Options of every role that runs in a process of its own.

use std::{sync::Arc, time::Duration};

use clap::Args;
use ringlet_core::session::{MAX_RANKS, handshake::Actor};

use super::{links::LinkArgs, secrets::SecretArgs};
use crate::{
    error::Failure,
    links::{connect::Endpoint, credentials::Credentials, traffic_shaper::Lines},
};

/// Options of every role that runs in a process of its own.
#[derive(Clone, Debug, Args)]
pub struct ProcessArgs {
    /// Seconds to wait for the other roles.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub wait: u64,
    /// Delay and rate of the links.
    #[command(flatten)]
    pub shape: LinkArgs,
    /// Send events to the simulator that started this process; a party sends its shares too.
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Where this role's secrets come from.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

impl ProcessArgs {
    /// The role `own` as the other roles meet it.
    pub fn endpoint(&self, own: Actor, credentials: Arc<Credentials>) -> Result<Endpoint, Failure> {
        Ok(Endpoint {
            own,
            credentials,
            lines: Lines::new(self.shape.shape()?),
            wait: Duration::from_secs(self.wait),
            quiet: self.supervised,
        })
    }
}

/// Parses a number of threads.
pub fn threads() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=i64::from(MAX_RANKS))
}

/// Parses a number of seconds, up to a day.
pub fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=86_400)
}
