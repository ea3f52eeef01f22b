//! `ringlet data secret`: the record of a device, with its secret and its policy.

use std::path::PathBuf;

use clap::Args;
use ringlet_core::{
    Role,
    device::{MAX_MODELS, MAX_PEERS, ModelId, Peer, Peers, Policy, Record},
    net::secure::{Identity, PublicIdentity},
    prg::{Key, device_key::identity_secret},
};

use crate::{
    config::{args::RoleName, model::model},
    console,
    data::{
        flash_image::record_image,
        identity_file::{parse_public, public_text},
        key_file,
    },
    error::Failure,
    run::secrets::Secrets,
};

/// Options of `data secret`.
#[derive(Clone, Debug, Args)]
pub struct SecretArgs {
    /// The file for the device, to program into its flash with its samples.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The device contributes its samples to collections. It knows no roles, and is a party in no session. Print its public key as an
    /// owner, for the task.
    #[arg(long, conflicts_with_all = ["dealer", "peers", "reveal_to", "least_batch", "least_audited_batch", "most_sessions", "models"])]
    pub contribute: bool,
    /// The dealer's public identity, from the roster. The device takes keys from no other.
    #[arg(long, value_name = "IDENTITY", value_parser = parse_public, required_unless_present = "contribute")]
    pub dealer: Option<PublicIdentity>,
    /// A party that the device may train with: its role and its public identity. Up to four.
    #[arg(long = "peer", value_name = "ROLE=IDENTITY", value_parser = peer, required_unless_present = "contribute")]
    pub peers: Vec<Peer>,
    /// A party to which a trained model may be revealed; both, if it is given twice; none, if it is left out.
    #[arg(long, value_name = "ROLE", value_enum)]
    pub reveal_to: Vec<RoleName>,
    /// The fewest images of an iteration, the last of an epoch included. The model after one iteration tells the sum of
    /// so many images' gradients.
    #[arg(long, value_name = "N", default_value_t = Policy::default().least_batch)]
    pub least_batch: u32,
    /// The same in sessions with audits, which tell how many values of a batch left their range.
    #[arg(long, value_name = "N", default_value_t = Policy::default().least_audited_batch)]
    pub least_audited_batch: u32,
    /// The most sessions that the device begins with this record, refused ones included; 0 for no limit. It takes a
    /// board that counts its sessions.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub most_sessions: u32,
    /// A model that the device may train: a built-in name or a JSON file, as for --model. Up to four; any if it is left
    /// out.
    #[arg(long = "permit-model", value_name = "NAME|FILE")]
    pub models: Vec<String>,
}

/// Parses a permitted party.
fn peer(text: &str) -> Result<Peer, String> {
    let (role, identity) = text
        .split_once('=')
        .ok_or("give p0=IDENTITY or p1=IDENTITY")?;
    let role = match role {
        "p0" => Role::P0,
        "p1" => Role::P1,
        _ => return Err(format!("{role} is neither p0 nor p1")),
    };
    let identity = parse_public(identity)?;
    Ok(Peer { role, identity })
}

/// Draws the secret of a device and writes its record.
pub fn run(args: &SecretArgs) -> Result<(), Failure> {
    key_file::check_new(&args.out)?;
    let too_many = |what: &str, most: usize| {
        Failure::new(
            format!("a device's record has room for {most} {what}"),
            "leave some out",
        )
    };
    let mut peers = Peers::new();
    for &peer in &args.peers {
        let pushed = peers.push(peer);
        pushed.map_err(|_| too_many("parties", MAX_PEERS))?;
    }
    let mut policy = Policy {
        least_batch: args.least_batch,
        least_audited_batch: args.least_audited_batch,
        most_sessions: args.most_sessions,
        ..Policy::default()
    };
    for &role in &args.reveal_to {
        policy.reveal_to[Role::from(role).index()] = true;
    }
    for name in &args.models {
        let pushed = policy.models.push(ModelId::of(&model(Some(name), None)?));
        pushed.map_err(|_| too_many("models", MAX_MODELS))?;
    }
    let root = Secrets::System.device_root()?;
    let public = match args.contribute {
        true => owner_text(&root)?,
        false => public_text(Identity::new(identity_secret(&root)).public()),
    };
    let record = match args.dealer {
        Some(dealer) => Record {
            root,
            dealer,
            peers,
            policy,
        },
        None => Record::of_contributor(root),
    };
    key_file::write_new(&args.out, &record_image(&record))?;
    console::line(&public)
}

/// The public key of the device with this root secret as an owner.
#[cfg(feature = "collect")]
fn owner_text(root: &Key) -> Result<String, Failure> {
    use crate::data::owner_key::{of_device, public_text};

    Ok(public_text(&of_device(root).verifying_key()))
}

#[cfg(not(feature = "collect"))]
fn owner_text(_: &Key) -> Result<String, Failure> {
    Err(Failure::new(
        "this program was built without collections",
        "build it with `cargo build --release --features collect`",
    ))
}
