//! The help of commands: options in groups, the usual ones on one screen, and all of them after `--help all`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// A command with more options than this shows the usual ones alone.
const SHOWN: usize = 16;

/// The flag that `--help all` stands for.
const ALL: &str = "help-all";

/// Options of one kind.
struct Group {
    heading: &'static str,
    /// Those that a long list is shortened to.
    usual: &'static [&'static str],
    /// The others.
    further: &'static [&'static str],
}

/// The options that several commands have, and those of commands with many.
const GROUPS: [Group; 8] = [
    Group {
        heading: "Roles",
        usual: &[
            "session",
            "role",
            "listen",
            "peer",
            "dealer",
            "assistant",
            "dealt",
            "roster",
            "identity",
            "insecure",
        ],
        further: &["p0", "p1"],
    },
    Group {
        heading: "Collection",
        usual: &[
            "task",
            "owner",
            "owners",
            "open",
            "address",
            "certificate",
            "deadline",
            "withdraw",
        ],
        further: &["least-owners", "most-contributions", "per-upload", "state"],
    },
    Group {
        heading: "Model and data",
        usual: &[
            "model",
            "model-file",
            "input",
            "class-count",
            "data",
            "samples",
            "classes",
        ],
        further: &[
            "contributions",
            "share-of-p0",
            "resize",
            "greyscale",
            "test-part",
            "skip-bad",
            "label-column",
            "freeze",
            "backbone",
            "feature-range",
        ],
    },
    Group {
        heading: "Training",
        usual: &["epochs", "batch", "micro-batch", "lr", "protocol"],
        further: &[
            "limit",
            "momentum",
            "schedule",
            "warm-up",
            "weight-decay",
            "label-smoothing",
            "class-weights",
            "nesterov",
            "clip-value",
            "dp-epsilon",
            "dp-delta",
            "dp-noise",
            "dp-clip",
            "initial-weights",
            "seed",
            "init",
            "init-by",
            "triples",
            "activation",
            "loss",
        ],
    },
    Group {
        heading: "Results",
        usual: &[
            "reveal-to",
            "save",
            "metrics",
            "report",
            "validate",
            "infer",
            "out",
            "checkpoint",
            "resume",
        ],
        further: &[
            "evaluate",
            "validate-every",
            "patience",
            "every",
            "report-every",
            "transcript",
        ],
    },
    Group {
        heading: "Numbers and their range",
        usual: &[],
        further: &[
            "ring",
            "fraction-bits",
            "range-bits",
            "normalise",
            "audit",
            "reveal-loss",
            "on-range",
        ],
    },
    Group {
        heading: "Links and threads",
        usual: &["threads"],
        further: &["wait", "idle", "profile", "delay", "rate"],
    },
    Group {
        heading: "Messages",
        usual: &["quiet", "log-format", "help", "version"],
        further: &["verbose"],
    },
];

/// The program, with the options of all commands in groups.
pub fn grouped(program: Command) -> Command {
    decorated(program.disable_help_flag(true))
}

fn decorated(command: Command) -> Command {
    let is_long = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .count()
        > SHOWN;
    let help = Arg::new("help").short('h').long("help");
    let help = help.action(ArgAction::HelpShort).help(match is_long {
        true => "Print this; `--help all` prints all options",
        false => "Print this; `--help all` prints more about each option",
    });
    let all = Arg::new(ALL)
        .long(ALL)
        .hide(true)
        .action(ArgAction::HelpLong);
    command
        .arg(help)
        .arg(all)
        .mut_args(|arg| in_group(arg, is_long))
        .mut_subcommands(decorated)
}

/// An option with the heading of its group.
fn in_group(arg: Arg, is_long: bool) -> Arg {
    let name = arg.get_long().unwrap_or_default().to_owned();
    let has = |names: &[&str]| names.contains(&name.as_str());
    let mut groups = GROUPS.iter();
    match groups.find(|group| has(group.usual) || has(group.further)) {
        Some(group) => arg
            .help_heading(group.heading)
            .hide_short_help(is_long && has(group.further)),
        None => arg,
    }
}

/// The arguments, with `--help all` as the flag that it stands for.
pub fn with_flag(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut flagged: Vec<OsString> = Vec::new();
    for argument in arguments {
        match flagged.last_mut() {
            Some(last) if argument == "all" && (*last == "--help" || *last == "-h") => {
                *last = format!("--{ALL}").into();
            }
            _ => flagged.push(argument),
        }
    }
    flagged
}
