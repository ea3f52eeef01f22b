//! Options of `party`, and the other roles that they name.

use std::path::PathBuf;

use clap::Args;
use ringlet_core::{
    Role,
    session::{Rank, handshake::Actor},
};

use crate::{
    config::{
        args::{
            CheckpointArgs, IdentityArgs, InitArgs, LogArgs, Membership, OutputArgs, ProcessArgs,
            RangeArgs, ReportArgs, RoleName, SampleCounts, SessionArgs, SessionFileArgs,
            ValidationArgs, seconds, threads,
        },
        protocol::Protocol,
    },
    data::file::check_writable,
    error::Failure,
    links::{connect::Endpoint, device_address::DeviceAddress, rank_address::rank_address},
    run::lone_party::{DealerPlace, Meeting, Others},
};

/// Options of `party`.
#[derive(Clone, Debug, Args)]
pub struct PartyArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// Which party this is.
    #[arg(long, value_enum)]
    pub role: RoleName,
    /// Wait for the peer at this address (host:port).
    ///
    /// With a roster, P0 waits at the roster's address when this and --peer are left out, and P1 reaches it there.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "peer")]
    pub listen: Option<String>,
    /// Reach the peer at this address (host:port), or a device that is P0.
    ///
    /// A device is at serial:PATH, serial:PATH?baud=N, pty:PATH, tcp:HOST:PORT or fifo:DIR (an emulator's).
    #[arg(long, value_name = "ADDRESS")]
    pub peer: Option<String>,
    /// Reach the dealer at this address (host:port).
    #[arg(long, value_name = "ADDRESS", conflicts_with = "dealt")]
    pub dealer: Option<String>,
    /// Reach the assistant of --protocol securenn at this address (host:port).
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["dealer", "dealt"])]
    pub assistant: Option<String>,
    /// Use the files of `ringlet deal` in this directory instead of a dealer.
    #[arg(long, value_name = "DIR")]
    pub dealt: Option<PathBuf>,
    /// Numbers of training images that P0 and P1 own, such as 240,200.
    ///
    /// Each party's --data then holds only its own.
    #[arg(long, value_name = "N0,N1", conflicts_with = "share_of_p0")]
    pub samples: Option<SampleCounts>,
    /// Train on the samples of many owners: on this party's file of contributions, as `ringlet collect export` writes it.
    ///
    /// The peer and the dealer give theirs of the same list. If it is the store of a `ringlet collect` that runs, each epoch
    /// takes what has come and not been withdrawn until then.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "samples", "share_of_p0", "infer", "evaluate", "dealt", "assistant", "normalise", "freeze", "backbone"])]
    pub contributions: Option<PathBuf>,
    /// The session.
    #[command(flatten)]
    pub session: SessionArgs,
    /// The model with which the training begins.
    #[command(flatten)]
    pub init: InitArgs,
    /// Reveal the model to this party at the end.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub reveal_to: Option<RoleName>,
    /// Classify instead of training.
    ///
    /// One party gives --data (a file of images, or a directory of which the held-out images are used), and only it
    /// learns the classes. The other gives --model-file.
    #[arg(long, conflicts_with_all = ["reveal_to", "save", "init", "init_by", "dealt", "share_of_p0", "checkpoint", "resume"])]
    pub infer: bool,
    /// The trained model, at the party that owns it, with --infer.
    ///
    /// A file that --save has written, or a state_dict of PyTorch's in safetensors, whose model --model describes.
    #[arg(long, value_name = "FILE", requires = "infer", conflicts_with = "data")]
    pub model_file: Option<PathBuf>,
    /// Write the classes to this file, as CSV.
    #[arg(
        long,
        value_name = "FILE",
        requires = "infer",
        conflicts_with = "model_file"
    )]
    pub out: Option<PathBuf>,
    /// The files that are written.
    #[command(flatten)]
    pub output: OutputArgs,
    /// The report.
    #[command(flatten)]
    pub report: ReportArgs,
    /// The evaluations during a training.
    #[command(flatten)]
    pub validation: ValidationArgs,
    /// Evaluate instead of training: the model that the parties share in the checkpoints of this directory, each in
    /// its own, on the held-out images of one party.
    ///
    /// --samples says how many of whose. Their owner gives --data, and only it learns the classes; nobody learns the
    /// model. The session is that of the checkpoints.
    #[arg(long, value_name = "DIR", requires = "samples", conflicts_with_all = ["infer", "model_file", "reveal_to", "save", "init", "init_by", "dealt", "assistant", "share_of_p0", "checkpoint", "resume", "model"])]
    pub evaluate: Option<PathBuf>,
    /// The party's checkpoints.
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Write everything that the peer sends to this file, as this party receives it.
    #[arg(long, value_name = "FILE")]
    pub transcript: Option<PathBuf>,
    /// What happens when an audit finds values outside their range.
    #[command(flatten)]
    pub range: RangeArgs,
    /// Train on so many threads.
    ///
    /// As many as the machine has processors when left out. There are no more than the other roles have, and than a batch
    /// has micro-batches: see --micro-batch. The model is the same to the bit.
    #[arg(long, value_name = "N", value_parser = threads())]
    pub threads: Option<u16>,
    /// Give up when another role has been silent for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// The identities of the roles.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Options of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

impl PartyArgs {
    /// Which party this is.
    pub fn role(&self) -> Role {
        self.role.into()
    }

    fn membership(&self) -> Result<Membership, Failure> {
        let own = Actor::Party(self.role());
        self.identity.membership(own, self.process.supervised)
    }

    /// The party as the other roles meet it, in its process that is this `rank`. The first one alone speaks to the user.
    pub fn endpoint(&self, rank: Rank) -> Result<Endpoint, Failure> {
        let own = Actor::Party(self.role());
        let credentials = self.membership()?.credentials;
        let endpoint = self.process.endpoint(own, credentials)?;
        Ok(Endpoint {
            quiet: endpoint.quiet || !rank.is_first(),
            ..endpoint
        })
    }

    /// Checks the file of classes to write, and that the party will have something to write into them.
    pub fn check_files(&self) -> Result<(), Failure> {
        let role = self.role();
        let receives = self.reveal_to.map(Role::from) == Some(role);
        if self.output.save.is_some() && !receives {
            return Err(Failure::new(
                format!("--save needs the model, which {role} does not receive"),
                format!("start both parties with --reveal-to {role}"),
            ));
        }
        if receives && self.output.save.is_none() && !self.process.supervised {
            return Err(Failure::new(
                format!("{role} receives the model but has nowhere to put it"),
                "give a file with --save",
            ));
        }
        if self.validation.validate == Some(SampleCounts([0; 2])) {
            return Err(Failure::new(
                "--validate 0,0 leaves nothing to evaluate",
                "give the number of P0's or P1's held-out images, or leave it out",
            ));
        }
        self.out.as_deref().map_or(Ok(()), check_writable)
    }

    /// The protocol, and the other roles of the session as the process that is this `rank` meets them. Refuses roles that the
    /// protocol does not have.
    pub fn others(&self, rank: Rank) -> Result<(Protocol, Others), Failure> {
        let protocol = Protocol::new(&self.session)?;
        let securenn = matches!(protocol, Protocol::SecureNn { .. });
        if self.assistant.is_some() && !securenn {
            return Err(Failure::new(
                "--assistant belongs to --protocol securenn",
                "add that --protocol, or give --dealer or --dealt",
            ));
        }
        if securenn && (self.validation.validate.is_some() || self.evaluate.is_some()) {
            return Err(Failure::new(
                "SecureNN cannot evaluate a model that the parties share",
                "leave out --protocol securenn, or --validate and --evaluate",
            ));
        }
        let membership = self.membership()?;
        let at_rank = |address: &String| rank_address(address, rank);
        let of_roster = |actor, option| {
            let address = membership.address(None, actor, option)?;
            at_rank(&address)
        };
        let meeting = match (&self.listen, &self.peer) {
            (Some(address), _) => Meeting::Listen(at_rank(address)?),
            (None, Some(address)) => match DeviceAddress::parse(address)? {
                Some(device) => {
                    let protocol = Protocol::with_device(&self.session)?;
                    return Ok((protocol, self.with_device(device)?));
                }
                None => Meeting::Connect(at_rank(address)?),
            },
            (None, None) => {
                let p0 = of_roster(Actor::Party(Role::P0), "--listen or --peer")?;
                match self.role() {
                    Role::P0 => Meeting::Listen(p0),
                    Role::P1 => Meeting::Connect(p0),
                }
            }
        };
        let others = match (securenn, &self.assistant, &self.dealt, &self.dealer) {
            (true, Some(address), ..) => Others::SecureNn(meeting, at_rank(address)?),
            (true, None, ..) => {
                let address = of_roster(Actor::Assistant, "--assistant");
                let address = address.map_err(|_| {
                    Failure::new(
                        "SecureNN's parties need an assistant",
                        "start `ringlet assistant`, and give its address with --assistant or in the roster",
                    )
                })?;
                Others::SecureNn(meeting, address)
            }
            (false, _, Some(dir), _) => Others::Dealt(meeting, DealerPlace::Directory(dir.clone())),
            (false, _, None, Some(address)) => {
                Others::Dealt(meeting, DealerPlace::Address(at_rank(address)?))
            }
            (false, _, None, None) => {
                let address = membership.address(None, Actor::Dealer, "--dealer");
                let address = address.map_err(|_| {
                    Failure::new(
                        "there is no dealer",
                        "give --dealer, --dealt, or the dealer's address in the roster",
                    )
                })?;
                Others::Dealt(meeting, DealerPlace::Address(at_rank(&address)?))
            }
        };
        Ok((protocol, others))
    }

    fn with_device(&self, device: DeviceAddress) -> Result<Others, Failure> {
        if self.validation.validate.is_some() || self.evaluate.is_some() {
            return Err(Failure::new(
                "a device cannot evaluate the model that it shares",
                "leave out --validate and --evaluate, or let a host be P0",
            ));
        }
        match (&self.dealer, self.role()) {
            (Some(dealer), Role::P1) => Ok(Others::Device(device, dealer.clone())),
            (_, Role::P0) => Err(Failure::new("the device is P0", "give --role p1")),
            (None, Role::P1) => Err(Failure::new(
                "the device gets its key from a dealer",
                "give --dealer",
            )),
        }
    }
}
