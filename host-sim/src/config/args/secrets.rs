//! The hidden option with which tests make the secrets of a role reproducible.

use clap::Args;

/// Where the secrets of a role come from. A build without the feature `seeded-secrets` has no choice: the operating
/// system.
#[derive(Clone, Debug, Args)]
pub struct SecretArgs {
    /// Derive this role's secrets from a seed: for tests only.
    #[cfg(feature = "seeded-secrets")]
    #[arg(long, hide = true)]
    secret_seed: Option<u64>,
}

impl SecretArgs {
    /// The seed of the secrets, if a test gave one.
    #[cfg(feature = "seeded-secrets")]
    pub fn seed(&self) -> Option<u64> {
        self.secret_seed
    }

    /// The seed of the secrets: none in this build.
    #[cfg(not(feature = "seeded-secrets"))]
    pub fn seed(&self) -> Option<u64> {
        None
    }
}

/// The options that give a role of a simulation the secrets of `seed`. None if this build cannot.
pub fn seeded(seed: u64) -> Option<[String; 2]> {
    cfg!(feature = "seeded-secrets").then(|| ["--secret-seed".to_owned(), seed.to_string()])
}
