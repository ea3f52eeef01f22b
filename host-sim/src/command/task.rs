//! `ringlet task`: the task of a collection, and keys of owners.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{config::args::RingName, data::normalise::MeanAndDeviation, error::Failure};

/// Commands below `task`.
#[derive(Clone, Debug, Subcommand)]
pub enum TaskCommand {
    /// Write what owners are asked to contribute, to whom, and until when. The file is for all, owners included.
    New(Box<TaskNewArgs>),
    /// Print what a task asks for.
    Show(TaskShowArgs),
    /// Draw an owner's signing key, and print its public half for `task new --owner`.
    Owner(TaskOwnerArgs),
}

/// Options of `task new`.
#[derive(Clone, Debug, Args)]
pub struct TaskNewArgs {
    /// The model to train: shape, classes and normalisation of samples come from it.
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["input", "class_count"])]
    pub model: Option<String>,
    /// Rows, columns and channels of a sample.
    #[arg(long, value_name = "RxCxN", value_parser = shape, required_unless_present = "model", requires = "class_count")]
    pub input: Option<[u32; 3]>,
    /// The number of classes.
    #[arg(long, value_name = "N", requires = "input", value_parser = clap::value_parser!(u8).range(2..=128))]
    pub class_count: Option<u8>,
    /// The classes in the order of their numbers, as names or a file of them.
    #[arg(long, value_name = "NAMES|FILE")]
    pub classes: Option<String>,
    /// Mean and deviation of pixels, MEAN:DEVIATION, or one pair for each channel.
    #[arg(long, value_name = "M:D")]
    pub normalise: Option<MeanAndDeviation>,
    /// The ring of the training, on which the usual fraction bits depend.
    #[arg(long, value_enum)]
    pub ring: Option<RingName>,
    /// Fraction bits of the training's numbers.
    #[arg(long, value_name = "N")]
    pub fraction_bits: Option<u32>,
    /// The identities of P0, P1 and the dealer, from `ringlet init`.
    #[arg(long, value_name = "FILE")]
    pub roster: PathBuf,
    /// Where owners reach the leader (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub address: String,
    /// The leader's certificate, from `ringlet collect certificate`, or its hash.
    #[arg(long, value_name = "FILE|HASH")]
    pub certificate: String,
    /// When the last upload is taken, such as 2030-12-31T23:59:59Z.
    #[arg(long, value_name = "TIME")]
    pub deadline: String,
    /// The fewest owners of a list.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub least_owners: u32,
    /// The most contributions of an upload.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub most_contributions: u16,
    /// An owner that may contribute: its public key, or KEY:QUOTA with the most contributions that are taken from it. It can be
    /// given again.
    #[arg(long, value_name = "KEY[:QUOTA]")]
    pub owner: Vec<String>,
    /// A file with an owner on each line, as --owner gives it.
    #[arg(long, value_name = "FILE")]
    pub owners: Option<PathBuf>,
    /// Let anybody contribute.
    #[arg(long, conflicts_with_all = ["owner", "owners"])]
    pub open: bool,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `task show`.
#[derive(Clone, Debug, Args)]
pub struct TaskShowArgs {
    /// The task.
    #[arg(value_name = "FILE")]
    pub task: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `task owner`.
#[derive(Clone, Debug, Args)]
pub struct TaskOwnerArgs {
    /// The file to write, which no other user may read.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Parses a shape.
fn shape(text: &str) -> Result<[u32; 3], String> {
    let sides: Option<Vec<u32>> = text.split('x').map(|side| side.parse().ok()).collect();
    sides
        .and_then(|sides| sides.try_into().ok())
        .ok_or_else(|| "give rows, columns and channels, such as 28x28x1".to_owned())
}

/// Runs a command below `task`.
pub fn run(command: &TaskCommand) -> Result<(), Failure> {
    built::run(command)
}

#[cfg(not(feature = "collect"))]
mod built {
    use super::*;

    pub fn run(_: &TaskCommand) -> Result<(), Failure> {
        Err(Failure::new(
            "this program was built without collections",
            "build it with `cargo build --release --features collect`",
        ))
    }
}

#[cfg(feature = "collect")]
mod built {
    use std::{
        fs,
        path::Path,
        time::{SystemTime, UNIX_EPOCH},
    };

    use ringlet_core::{
        Role,
        contribution::CollectionTask,
        model::{Layer, Model},
        network::Network,
        session::SessionError,
        session::handshake::Actor,
    };
    use serde_json::json;

    use super::*;
    use crate::{
        collection::certificate,
        config::{
            model::model,
            protocol::Protocol,
            roster::Roster,
            task_file::{self, Contributors, Owner, TaskFile, Terms, deadline_text},
        },
        console,
        data::{
            Classes,
            file::{check_writable, write_whole},
            hexadecimal,
            identity_file::public_text,
            model_file::{self, Marks},
            onnx, owner_key,
            range_bits::RangeBits,
            safetensors_file,
        },
        links::connect::ephemeral,
    };

    /// What is taken from an owner whose quota is not given.
    const QUOTA: u32 = 100_000;

    pub fn run(command: &TaskCommand) -> Result<(), Failure> {
        match command {
            TaskCommand::New(args) => new(args),
            TaskCommand::Show(args) => show(args),
            TaskCommand::Owner(args) => {
                let key = owner_key::create(&args.out, &ephemeral()?)?;
                console::line(&owner_key::public_text(&key.verifying_key()))
            }
        }
    }

    /// What samples are.
    struct Samples {
        input: [u32; 3],
        classes: u8,
        names: Option<Vec<String>>,
        normalise: MeanAndDeviation,
        /// What takes them.
        network: Network,
        /// The range of its values, if a model's file keeps it.
        range: Option<RangeBits>,
    }

    impl Samples {
        fn new(args: &TaskNewArgs) -> Result<Self, Failure> {
            let given = args.classes.as_deref().map(Classes::given).transpose()?;
            let given = given.and_then(|classes| classes.names().map(<[String]>::to_vec));
            let Some(name) = &args.model else {
                let classes = args.class_count.unwrap_or_default();
                return Ok(Samples {
                    input: args.input.unwrap_or_default(),
                    classes,
                    names: given,
                    normalise: args.normalise.clone().unwrap_or_default(),
                    network: any_network(args.input.unwrap_or_default(), classes)?,
                    range: None,
                });
            };
            let model = model(Some(name), None)?;
            let marks = match is_trained(name) {
                true => model_file::load(name.as_ref(), Some(model.clone()))?.marks,
                false => Marks::default(),
            };
            if marks.backbone.is_some() {
                return Err(Failure::new(
                    format!(
                        "model {} takes features, which cannot be contributed",
                        model.name
                    ),
                    "give a model that takes images",
                ));
            }
            let network = trainable(&model)?;
            let classes = u8::try_from(network.classes).map_err(|_| {
                Failure::new(
                    format!("model {} has {} classes", model.name, network.classes),
                    "give a model with at most 255",
                )
            })?;
            Ok(Samples {
                input: model.input.map(u32::from),
                classes,
                names: given.or(marks.classes),
                normalise: args
                    .normalise
                    .clone()
                    .or(marks.normalise)
                    .unwrap_or_default(),
                network,
                range: marks.range,
            })
        }
    }

    /// Whether a model is a file with weights, which says more than a description.
    fn is_trained(name: &str) -> bool {
        let path = Path::new(name);
        let is_named = path.extension().is_some_and(|end| end == "safetensors");
        // Files that cannot be read have been refused.
        let bytes = fs::read(path).unwrap_or_default();
        is_named || safetensors_file::is_file(&bytes) || onnx::is_file(&bytes)
    }

    /// A network for samples of a shape, whatever is trained on them.
    fn any_network(input: [u32; 3], classes: u8) -> Result<Network, Failure> {
        let input = input.map(|side| u16::try_from(side).unwrap_or(0));
        let units = classes.into();
        let layers = [Layer::Flatten, Layer::Dense { units }];
        let model = Model::new("samples", input, &layers).filter(|_| !input.contains(&0));
        let model =
            model.ok_or_else(|| Failure::new("no model takes such samples", "correct --input"))?;
        Ok(Network::new(&model).map_err(SessionError::from)?)
    }

    /// The network of a model that can be trained on contributions.
    fn trainable(model: &Model) -> Result<Network, Failure> {
        let network = Network::new(model).map_err(SessionError::from)?;
        match network
            .stages
            .first()
            .is_some_and(|stage| stage.pooled_input.is_some())
        {
            true => Err(Failure::new(
                format!(
                    "model {} pools its samples first, so it cannot be trained on contributions",
                    model.name
                ),
                "let owners make smaller samples, and leave the first pooling out",
            )),
            false => Ok(network),
        }
    }

    fn new(args: &TaskNewArgs) -> Result<(), Failure> {
        check_writable(&args.out)?;
        if args.out.exists() {
            // Uploads name the task by a hash of all of it, so owners that have the old one would be turned away.
            return Err(Failure::new(
                format!("{} is there already", args.out.display()),
                "give another name, or remove the task that nobody uses",
            ));
        }
        let samples = Samples::new(args)?;
        let momentum = Protocol::Exact.usual_momentum();
        let format = Protocol::Exact.format(args.ring, args.fraction_bits, momentum)?;
        let range = [None, samples.range.as_ref()];
        let headroom = Protocol::Exact.headroom(&samples.network, format, range)?;
        let roster = Roster::read(&args.roster)?;
        let identity = |actor| {
            let member = roster.member(actor).ok_or_else(|| {
                Failure::new(
                    format!("{} has no {actor}", args.roster.display()),
                    "make a roster with `ringlet init`",
                )
            })?;
            Ok::<_, Failure>(member.identity)
        };
        let task = CollectionTask {
            input: samples.input,
            classes: samples.classes,
            normalisation: samples.normalise.normalisation(),
            fraction: format.fraction - headroom.of_stage(0)[0],
            identities: [
                identity(Actor::Party(Role::P0))?,
                identity(Actor::Party(Role::P1))?,
                identity(Actor::Dealer)?,
            ],
            terms: [0; 32],
        };
        let certificate = match hexadecimal::bytes(&args.certificate) {
            Some(hash) => hash,
            None => certificate::hash_of(args.certificate.as_ref())?,
        };
        let wrong = |option: &str, why: String| {
            Failure::new(format!("{option} is wrong: {why}"), "correct it")
        };
        let port = args.address.rsplit_once(':').map(|(_, port)| port.parse());
        if !matches!(port, Some(Ok(1u16..))) {
            let why = format!("{} has no port", args.address);
            return Err(wrong(
                "--address",
                format!("{why}, such as leader.example:17003"),
            ));
        }
        let terms = Terms {
            classes: samples.names,
            address: args.address.clone(),
            certificate,
            deadline: task_file::parse_deadline(&args.deadline)
                .map_err(|why| wrong("--deadline", why))?,
            least_owners: args.least_owners,
            most_contributions: args.most_contributions,
            contributors: contributors(args)?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        if now.is_ok_and(|now| now.as_secs() as i64 >= terms.deadline) {
            return Err(wrong("--deadline", "it is over already".to_owned()));
        }
        let task = TaskFile::new(task, samples.normalise, terms).map_err(|why| {
            Failure::new(
                format!("the task cannot be used: {why}"),
                "correct the options",
            )
        })?;
        write_whole(&args.out, task.text().as_bytes())?;
        console::line(&format!(
            "{} is the task {}, for owners and for all roles",
            args.out.display(),
            task.id_text()
        ))
    }

    fn contributors(args: &TaskNewArgs) -> Result<Contributors, Failure> {
        if args.open {
            return Ok(Contributors::Anybody);
        }
        let mut lines = args.owner.clone();
        if let Some(path) = &args.owners {
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::new(
                    format!("{} cannot be read: {error}", path.display()),
                    "give a file with an owner's key on each line",
                )
            })?;
            lines.extend(text.lines().map(str::trim).map(str::to_owned));
        }
        let lines = lines.iter().filter(|line| !line.is_empty());
        let owners = lines.map(|line| {
            let wrong = |why: String| {
                Failure::new(
                    format!("{line} is no owner: {why}"),
                    "give the key that `ringlet task owner` prints, or KEY:QUOTA",
                )
            };
            let (key, quota) = line.split_once(':').unwrap_or((line, ""));
            let quota = match quota {
                "" => QUOTA,
                quota => quota
                    .trim()
                    .parse()
                    .ok()
                    .filter(|&quota| quota > 0)
                    .ok_or_else(|| wrong("its quota is no number above 0".to_owned()))?,
            };
            let key = owner_key::parse_public(key.trim()).map_err(wrong)?;
            Ok(Owner { key, quota })
        });
        let owners = owners.collect::<Result<Vec<_>, Failure>>()?;
        Contributors::registered(owners)
            .map_err(|why| Failure::new(why, "give --owner for each, or --open"))
    }

    fn show(args: &TaskShowArgs) -> Result<(), Failure> {
        let file = TaskFile::read(&args.task)?;
        let TaskFile { task, terms, .. } = &file;
        let [p0, p1, dealer] = task.identities.map(public_text);
        let owners = match &terms.contributors {
            Contributors::Anybody => None,
            Contributors::Registered(owners) => Some(owners),
        };
        if args.json {
            let entry = |owner: &Owner| json!({ "key": owner_key::public_text(&owner.key), "quota": owner.quota });
            let told = json!({
                "id": file.id_text(),
                "input": task.input,
                "classes": task.classes,
                "class_names": terms.classes,
                "normalise": file.normalise.to_string(),
                "fraction_bits": task.fraction,
                "value_bytes": task.value_len(),
                "identities": { "p0": p0, "p1": p1, "dealer": dealer },
                "address": terms.address,
                "certificate": hexadecimal::digits(&terms.certificate),
                "deadline": deadline_text(terms.deadline),
                "least_owners": terms.least_owners,
                "most_contributions": terms.most_contributions,
                "most_bytes": file.most_bytes(),
                "contribution_bytes": task.contribution_len(),
                "open": owners.is_none(),
                "owners": owners.map(|owners| owners.values().map(entry).collect::<Vec<_>>()),
            });
            return console::line(&told.to_string());
        }
        let [rows, columns, channels] = task.input;
        let names = terms
            .classes
            .as_ref()
            .map_or(String::new(), |names| format!(": {}", names.join(", ")));
        let who = match owners {
            None => "anybody".to_owned(),
            Some(owners) => format!(
                "{} owners, of whom a list has at least {}",
                owners.len(),
                terms.least_owners
            ),
        };
        console::print(&format!(
            "task          {}\n\
             samples       {rows}x{columns}x{channels}, normalised by {}, of {} classes{names}\n\
             numbers       {} bits behind the binary point, masked in {} bits\n\
             contribution  {} bytes; up to {} in an upload of at most {} bytes\n\
             who           {who}\n\
             until         {}\n\
             where         {}, certificate {}\n\
             p0            {p0}\n\
             p1            {p1}\n\
             dealer        {dealer}\n",
            file.id_text(),
            file.normalise,
            task.classes,
            task.fraction,
            8 * task.value_len(),
            task.contribution_len(),
            terms.most_contributions,
            file.most_bytes(),
            deadline_text(terms.deadline),
            terms.address,
            hexadecimal::digits(&terms.certificate),
        ))
    }
}
