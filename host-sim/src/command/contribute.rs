//! `ringlet contribute`: mask samples, and send them to a collection.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::args::{DataArgs, LogArgs, seconds},
    error::Failure,
};

/// Options of `contribute`.
#[derive(Clone, Debug, Args)]
pub struct ContributeArgs {
    /// The task, from whoever collects.
    #[arg(long, value_name = "FILE")]
    pub task: PathBuf,
    /// The images.
    #[command(flatten)]
    pub data: DataArgs,
    /// The owner's signing key, from `ringlet task owner`, where the task names owners.
    #[arg(long, value_name = "FILE")]
    pub owner: Option<PathBuf>,
    /// Contributions in an upload; as many as fit in 64 KB when left out.
    #[arg(long, value_name = "N")]
    pub per_upload: Option<u16>,
    /// Keep how far the run is in this file, which no other user may read. The same command goes on from it.
    ///
    /// The task's file with `.contributed` behind its name when left out.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Withdraw the upload of this name, in place of sending any. It can be given again.
    #[arg(long, value_name = "UPLOAD", conflicts_with_all = ["data", "state", "per_upload", "owner"])]
    pub withdraw: Vec<String>,
    /// Wait so many seconds for servers that do not answer or are busy.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub wait: u64,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Masks samples and sends them.
pub fn run(args: &ContributeArgs) -> Result<(), Failure> {
    built::run(args)
}

#[cfg(not(feature = "collect"))]
mod built {
    use super::*;

    pub fn run(_: &ContributeArgs) -> Result<(), Failure> {
        Err(Failure::new(
            "this program was built without collections",
            "build it with `cargo build --release --features collect`",
        ))
    }
}

#[cfg(feature = "collect")]
mod built {
    use std::time::Duration;

    use ringlet_core::contribution::UploadId;

    use super::*;
    use crate::{
        collection::sending::{Sending, withdraw},
        config::task_file::{Contributors, TaskFile},
        console,
        data::{Classes, Images, Part, hexadecimal, owner_key},
    };

    pub fn run(args: &ContributeArgs) -> Result<(), Failure> {
        let task = TaskFile::read(&args.task)?;
        if !args.withdraw.is_empty() {
            return take_back(args, &task);
        }
        let key = args.owner.as_deref().map(owner_key::read).transpose()?;
        match (&key, &task.terms.contributors) {
            (Some(_), Contributors::Anybody) => {
                return Err(Failure::new(
                    "anybody may contribute to this task, and a signature would tell who you are",
                    "leave out --owner",
                ));
            }
            (None, Contributors::Registered(_)) => {
                return Err(Failure::new(
                    "the task takes contributions of the owners that it names",
                    "give your key with --owner",
                ));
            }
            _ => {}
        }
        let images = images(args, &task)?;
        let state = args.state.clone().unwrap_or_else(|| {
            let mut path = args.task.clone().into_os_string();
            path.push(".contributed");
            path.into()
        });
        let mut sending = Sending::new(&task, &images, key.as_ref(), &state, args.per_upload)?;
        let receipt = sending.run(Duration::from_secs(args.wait))?;
        for id in &receipt.uploads {
            console::line(&hexadecimal::digits(&id.0))?;
        }
        let before = match receipt.before {
            0 => String::new(),
            before => format!(", {before} of them before"),
        };
        console::note(&format!(
            "{} samples are contributed, in {} uploads{before}; {} bytes were sent. The names of the uploads can withdraw them: keep \
             them to yourself",
            images.len(),
            receipt.uploads.len(),
            receipt.bytes,
        ));
        Ok(())
    }

    /// The samples, as the task wants them.
    fn images(args: &ContributeArgs, task: &TaskFile) -> Result<Images, Failure> {
        if args.data.backbone.is_given() {
            return Err(Failure::new(
                "features cannot be contributed",
                "leave out --freeze and --backbone",
            ));
        }
        let mut set = args.data.images();
        if let (None, Some(names)) = (&set.classes, &task.terms.classes) {
            set.classes = Some(names.join(","));
        }
        let images = set.load(Part::Train)?;
        let wanted = task.task.input.map(|side| side as usize);
        if images.shape != wanted {
            let text =
                |[rows, columns, channels]: [usize; 3]| format!("{rows}x{columns}x{channels}");
            return Err(Failure::new(
                format!(
                    "the task takes samples of {}, and these are of {}",
                    text(wanted),
                    text(images.shape)
                ),
                "bring them to that size with --resize, or give others",
            ));
        }
        if images.is_empty() {
            return Err(Failure::new(
                "there are no samples",
                "give others with --data",
            ));
        }
        match (&images.classes, &set.classes) {
            // Who else would say which name is which number?
            (Classes::Named(names), None) => {
                return Err(Failure::new(
                    format!(
                        "the task has {} classes without names, and these are {}",
                        task.task.classes,
                        names.join(", ")
                    ),
                    "give the names in the order of the task's numbers with --classes",
                ));
            }
            (Classes::Named(names), Some(_))
                if task.terms.classes.as_ref().is_some_and(|own| own != names) =>
            {
                return Err(Failure::new(
                    "--classes differs from the classes of the task",
                    "leave it out",
                ));
            }
            _ => {}
        }
        images.check_labels(task.task.classes.into())?;
        Ok(images)
    }

    fn take_back(args: &ContributeArgs, task: &TaskFile) -> Result<(), Failure> {
        let ids = args.withdraw.iter().map(|name| {
            let id = hexadecimal::bytes(name).map(UploadId);
            id.ok_or_else(|| {
                Failure::new(
                    format!("{name} is no name of an upload"),
                    "give one that `ringlet contribute` has printed",
                )
            })
        });
        let ids = ids.collect::<Result<Vec<_>, Failure>>()?;
        withdraw(task, &ids, Duration::from_secs(args.wait))?;
        console::line(&format!("{} uploads are withdrawn", ids.len()))
    }
}
