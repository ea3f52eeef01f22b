//! Delay and rate of links.

use clap::{Args, ValueEnum};

use crate::{error::Failure, links::traffic_shaper::TrafficShape};

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// 0.2 ms, 625 MB/s.
    Lan,
    /// 40 ms, 40 MB/s.
    Wan,
}

impl std::fmt::Display for ProfileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProfileName::Lan => "lan",
            ProfileName::Wan => "wan",
        })
    }
}

impl From<ProfileName> for TrafficShape {
    fn from(name: ProfileName) -> TrafficShape {
        match name {
            ProfileName::Lan => TrafficShape::LAN,
            ProfileName::Wan => TrafficShape::WAN,
        }
    }
}

/// Delay and rate of links.
#[derive(Clone, Debug, Args)]
pub struct LinkArgs {
    /// Delay what this process sends by so many milliseconds.
    #[arg(long, value_name = "MS")]
    pub delay: Option<f64>,
    /// Send no faster than so many megabytes a second.
    #[arg(long, value_name = "MB/S")]
    pub rate: Option<f64>,
    /// Delay and rate of a kind of network: lan (0.2 ms, 625 MB/s) or wan (40 ms, 40 MB/s).
    #[arg(long, value_enum, conflicts_with_all = ["delay", "rate"])]
    pub profile: Option<ProfileName>,
}

impl LinkArgs {
    /// The shape of the links.
    pub fn shape(&self) -> Result<TrafficShape, Failure> {
        match self.profile {
            Some(profile) => Ok(profile.into()),
            None => TrafficShape::new(self.delay, self.rate),
        }
    }

    /// The same options, for the command line of another process.
    pub fn to_options(&self) -> Vec<String> {
        let values = [
            ("--delay", self.delay.map(|delay| delay.to_string())),
            ("--rate", self.rate.map(|rate| rate.to_string())),
            ("--profile", self.profile.map(|profile| profile.to_string())),
        ];
        let given = values
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        given
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }
}
