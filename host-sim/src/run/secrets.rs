//! Secrets: from the operating system, or from a seed in simulations that must be reproducible.

use ringlet_core::{
    Role,
    prg::{Address, Key, Prg},
    session::handshake::Actor,
};

use crate::error::Failure;

/// Where the secrets of a run come from.
#[derive(Clone, Copy, Debug)]
pub enum Secrets {
    /// The operating system. For every run that protects data.
    System,
    /// A seed. For simulations only: anyone can compute these secrets.
    Seed(u64),
}

impl Secrets {
    /// Secrets from `seed` if there is one.
    pub fn new(seed: Option<u64>) -> Self {
        seed.map_or(Secrets::System, Secrets::Seed)
    }

    /// The secrets of a further attempt at a run. Those of the operating system are new in any case.
    pub fn attempt(self, attempt: u64) -> Self {
        match self {
            Secrets::System => Secrets::System,
            Secrets::Seed(seed) => Secrets::Seed(seed.wrapping_add(attempt << 32)),
        }
    }

    fn key(self, purpose: u32) -> Result<Key, Failure> {
        Key::filled(|bytes| match self {
            Secrets::System => getrandom::fill(bytes).map_err(|error| {
                Failure::new(
                    format!("the operating system gives no random numbers: {error}"),
                    "check that its random device is there",
                )
            }),
            Secrets::Seed(seed) => {
                let mut root = [0; Key::LEN];
                root[..8].copy_from_slice(&seed.to_le_bytes());
                let address = Address {
                    iteration: 0,
                    gate: purpose,
                    wire: 0,
                };
                Prg::new(Key::new(root)).fill(address, 0, bytes);
                Ok(())
            }
        })
    }

    /// The keys that the dealer shares with P0 and with P1.
    pub fn dealer_keys(self) -> Result<[Key; 2], Failure> {
        Ok([self.key(0)?, self.key(1)?])
    }

    /// The secret from which a party draws its part of the initial weights.
    pub fn initial_weights(self, role: Role) -> Result<Key, Failure> {
        self.key(2 + role.index() as u32)
    }

    /// The identity of a dealt session.
    pub fn identity(self) -> Result<[u8; 16], Failure> {
        let mut identity = [0; 16];
        identity.copy_from_slice(&self.key(4)?.reveal()[..16]);
        Ok(identity)
    }

    /// A root secret for a new device.
    pub fn device_root(self) -> Result<Key, Failure> {
        self.key(6)
    }

    /// The secret of a new identity.
    pub fn identity_secret(self) -> Result<Key, Failure> {
        self.key(12)
    }

    /// The secret of the identity that a role has in a session with an emulated board.
    pub fn beside_board(self, actor: Actor) -> Result<Key, Failure> {
        self.key(match actor {
            Actor::Party(role) => 13 + role.index() as u32,
            Actor::Dealer => 15,
            Actor::Assistant => 16,
        })
    }

    /// The key of the assistant that nobody else has.
    pub fn assistant_key(self) -> Result<Key, Failure> {
        self.key(9)
    }

    /// A party's part of the key that both parties share without the assistant.
    pub fn pair_part(self, role: Role) -> Result<Key, Failure> {
        self.key(10 + role.index() as u32)
    }

    /// The seed of the public order of samples.
    pub fn shuffle_seed(self) -> Result<u64, Failure> {
        match self {
            Secrets::Seed(seed) => Ok(seed),
            Secrets::System => {
                let key = self.key(0)?;
                let (head, _) = key.reveal().split_at(8);
                Ok(head
                    .iter()
                    .fold(0, |seed, &byte| seed << 8 | u64::from(byte)))
            }
        }
    }
}
