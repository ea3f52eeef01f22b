//! What the parser of the command line refuses, as one line with its remedy.

use std::ffi::OsString;

use clap::{Command, Error, error::ErrorKind};

use crate::{
    console::{self, Log},
    error::Failure,
};

/// Exit code of a program whose arguments cannot be parsed.
const USAGE: i32 = 2;

/// Ends the program with what the parser says: help, or why it refuses the arguments.
pub fn exit(error: &Error, program: &Command, arguments: &[OsString]) -> ! {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_help {
        error.exit();
    }
    configure(arguments);
    console::note(&format!("error: {}", failure(error, program, arguments)));
    std::process::exit(USAGE)
}

/// Decides the form of an error in arguments that are not parsed.
pub fn configure(arguments: &[OsString]) {
    console::configure(Log {
        json: wants_json(arguments),
        ..Log::default()
    });
}

/// Whether the arguments ask for lines of JSON, as far as they can be read.
fn wants_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.windows(2);
    let mut pairs = pairs.map(|pair| [&pair[0], &pair[1]]);
    arguments
        .iter()
        .any(|argument| argument == "--log-format=json")
        || pairs.any(|[option, form]| option == "--log-format" && form == "json")
}

/// Why the arguments are refused, and what to write instead.
fn failure(error: &Error, program: &Command, arguments: &[OsString]) -> Failure {
    let text = error.to_string();
    let tips: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("tip: "))
        .collect();
    let remedy = match tips.is_empty() {
        false => tips.join("; "),
        true => format!("see `{} --help`", called(program, arguments)),
    };
    Failure::new(first_paragraph(error), remedy)
}

/// The program and the command that the arguments begin with.
fn called(program: &Command, arguments: &[OsString]) -> String {
    let (mut command, mut name) = (program, "ringlet".to_owned());
    for argument in arguments.iter().skip(1) {
        let Some(next) = argument
            .to_str()
            .and_then(|name| command.find_subcommand(name))
        else {
            break;
        };
        command = next;
        name += &format!(" {}", next.get_name());
    }
    name
}

/// What an error of the parser says, as one line.
pub fn first_paragraph(error: &Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty());
    let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cli;

    fn refused(arguments: &[&str]) -> String {
        let program = Cli::program();
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let error = program.clone().try_get_matches_from(&arguments);
        failure(&error.expect_err("an error"), &program, &arguments).to_string()
    }

    #[test]
    fn what_is_refused_is_one_line_with_the_parser_s_tip() {
        for (arguments, wanted) in [
            (
                &["ringlet", "train", "--epoch", "3"][..],
                "unexpected argument '--epoch' found: a similar argument exists: '--epochs'",
            ),
            (
                &["ringlet", "trian"],
                "unrecognized subcommand 'trian': a similar subcommand exists: 'train'",
            ),
            (
                &["ringlet", "party"],
                "the following required arguments were not provided: --role <ROLE>: see `ringlet party --help`",
            ),
            (
                &["ringlet", "data", "inspect", "a", "b"],
                "unexpected argument 'b' found: see `ringlet data inspect --help`",
            ),
            (
                &["ringlet", "fly"],
                "unrecognized subcommand 'fly': see `ringlet --help`",
            ),
        ] {
            assert_eq!(refused(arguments), wanted);
        }
        let values = refused(&["ringlet", "train", "--ring", "u23"]);
        assert!(values.contains("[possible values: u32, u64]"), "{values}");
        assert!(!values.contains('\n'), "{values}");
    }

    #[test]
    fn json_is_wanted_in_both_ways_to_write_it() {
        let wants = |arguments: &[&str]| {
            wants_json(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
        };
        assert!(wants(&["train", "--log-format", "json", "--x"]));
        assert!(wants(&["train", "--x", "--log-format=json"]));
        assert!(!wants(&["train", "json", "--log-format"]));
        assert!(!wants(&["train", "--log-format", "text"]));
    }
}
