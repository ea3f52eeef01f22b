//! Names of the parties, and the numbers of their samples.

use clap::ValueEnum;
use ringlet_core::Role;

/// The name of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// The party that gets only a key from the dealer.
    P0,
    /// The party that gets the dealer's corrections.
    P1,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::P0 => Role::P0,
            RoleName::P1 => Role::P1,
        }
    }
}

/// Numbers of samples of P0 and P1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleCounts(pub [u32; 2]);

impl std::str::FromStr for SampleCounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<u32> = text
            .split(',')
            .map(|number| number.trim().parse().map_err(|_| ()))
            .collect::<Result<_, _>>()
            .map_err(|()| format!("{text} is not of the form N0,N1"))?;
        let [p0, p1] = numbers[..] else {
            return Err(format!("{text} is not of the form N0,N1"));
        };
        Ok(SampleCounts([p0, p1]))
    }
}
