//! `ringlet contribute`: mask samples, and send them to a collection, or pass on what a device contributes.

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
    /// Pass on what the device at this address contributes of its own samples: `serial:PATH`, `serial:PATH?baud=N` or
    /// `tcp:HOST:PORT`. They leave the device masked.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["data", "state", "per_upload", "owner", "withdraw"])]
    pub device: Option<String>,
    /// Withdraw the upload of this name, in place of sending any. It can be given again.
    #[arg(long, value_name = "UPLOAD", conflicts_with_all = ["data", "state", "per_upload", "owner"])]
    pub withdraw: Vec<String>,
    /// Wait so many seconds for servers, or a device, that do not answer or are busy.
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
        config::{
            task_file::{Contributors, TaskFile},
            task_samples,
        },
        console,
        data::{hexadecimal, owner_key},
        links::device_address::DeviceAddress,
        output::passed_on,
        run::gateway::pass_on,
    };

    pub fn run(args: &ContributeArgs) -> Result<(), Failure> {
        let task = TaskFile::read(&args.task)?;
        if !args.withdraw.is_empty() {
            return take_back(args, &task);
        }
        if let Some(device) = &args.device {
            return of_device(device, &task, Duration::from_secs(args.wait));
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
        let images = task_samples::load(&args.data, &task)?;
        let state = state_of(args);
        let mut sending = Sending::new(&task, &images, key.as_ref(), &state, args.per_upload)?;
        let receipt = sending.run(Duration::from_secs(args.wait))?;
        for id in &receipt.uploads {
            console::line(&hexadecimal::digits(&id.0))?;
        }
        let before = match receipt.before {
            0 => String::new(),
            before => format!(", {before} of them before"),
        };
        let withdrawn = match receipt.withdrawn {
            0 => String::new(),
            withdrawn => {
                format!(
                    " {withdrawn} more were withdrawn: --state with another file contributes all samples anew."
                )
            }
        };
        console::note(&format!(
            "{} samples are contributed, in {} uploads{before}; {} bytes were sent.{withdrawn} The names of the uploads can withdraw \
             them: keep them to yourself",
            receipt.contributions,
            receipt.uploads.len(),
            receipt.bytes,
        ));
        Ok(())
    }

    /// The file of the run's state.
    fn state_of(args: &ContributeArgs) -> PathBuf {
        args.state.clone().unwrap_or_else(|| {
            let mut path = args.task.clone().into_os_string();
            path.push(".contributed");
            path.into()
        })
    }

    /// Passes on what a device contributes.
    fn of_device(device: &str, task: &TaskFile, wait: Duration) -> Result<(), Failure> {
        let address = DeviceAddress::parse(device)?.ok_or_else(|| {
            Failure::new(
                format!("{device} is no address of a device"),
                "give serial:PATH or tcp:HOST:PORT",
            )
        })?;
        passed_on::print(&pass_on(&address, task, wait)?)
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
        withdraw(task, &ids, &state_of(args), Duration::from_secs(args.wait))?;
        console::line(&format!("{} uploads are withdrawn", ids.len()))
    }
}
