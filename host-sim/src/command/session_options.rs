//! The options that a session file gives to a command. They are put in front of those of the command line, which win.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgMatches, Command, Error,
    builder::ValueParser,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use ringlet_core::model::Model;

use super::usage::first_paragraph;
use crate::{
    config::{
        args::RoleName,
        session_file::{Entry, SessionFile, Value},
    },
    error::Failure,
};

/// The commands of roles. Their options are the keys of a session file.
const ROLES: [&str; 3] = ["party", "dealer", "assistant"];

/// Options that make no sense in a file that all roles read.
const NO_KEYS: [&str; 3] = ["session", "role", "help"];

/// Options that two roles cannot have in common. They stand in the table of one role.
const OWN: [&str; 12] = [
    "contributions",
    "evaluate",
    "identity",
    "init",
    "listen",
    "metrics",
    "model-file",
    "out",
    "peer",
    "report",
    "save",
    "transcript",
];

/// How alike a wrong key and a known one are, at least, for the latter to be meant.
const ALIKE: f64 = 0.8;

/// The arguments of `program`, with what the session file says that they name.
pub fn with_session_file(
    program: &Command,
    mut arguments: Vec<OsString>,
) -> Result<Vec<OsString>, Failure> {
    let may_name = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"--session");
    if !arguments.iter().any(may_name) {
        return Ok(arguments);
    }
    // What is wrong with the arguments is told when they are parsed in earnest.
    let lenient = program.clone().ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from(&arguments) else {
        return Ok(arguments);
    };
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(arguments);
    };
    let Ok(Some(path)) = matches.try_get_one::<PathBuf>("session_file") else {
        return Ok(arguments);
    };
    // Options can be named once the program is built.
    let mut program = program.clone();
    program.build();
    let Some(command) = program.find_subcommand(name) else {
        return Ok(arguments);
    };
    let file = SessionFile::read(path)?;
    let roles: Vec<&Command> = ROLES
        .iter()
        .filter_map(|name| program.find_subcommand(name))
        .collect();
    check_keys(&program, &roles, &file)?;
    let role = match (name, matches.try_get_one::<RoleName>("role")) {
        ("party", Ok(Some(RoleName::P0))) => "p0",
        ("party", Ok(Some(RoleName::P1))) => "p1",
        (name, _) => name,
    };
    let options = options((command, &roles), matches, &file, role)?;
    // The program's name and the command's come first.
    let after_names = arguments.len().min(2);
    arguments.splice(after_names..after_names, options);
    Ok(arguments)
}

/// Whether an option has this name, or this other name.
fn is_called(arg: &Arg, name: &str) -> bool {
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    arg.get_long() == Some(name) || aliases.contains(&name)
}

/// The option of a command that a key stands for, if the command has it.
fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let mut arguments = command.get_arguments();
    arguments.find(|arg| is_called(arg, key) && !arg.is_hide_set() && !NO_KEYS.contains(&key))
}

/// Refuses keys that no role has, or that do not stand where they belong.
fn check_keys(program: &Command, roles: &[&Command], file: &SessionFile) -> Result<(), Failure> {
    for entry in &file.shared {
        known(program, roles, file, entry)?;
        if OWN.contains(&entry.key.as_str()) {
            return Err(file.refused(
                entry,
                format!("all roles would have the same `{}`", entry.key),
                "write it in the table of a role, such as [role.p0], or on the command line",
            ));
        }
    }
    for (role, entries) in &file.own {
        let name = match role.as_str() {
            "p0" | "p1" => "party",
            helper => helper,
        };
        let commands: Vec<&Command> = program.find_subcommand(name).into_iter().collect();
        for entry in entries {
            known(program, &commands, file, entry)?;
        }
    }
    Ok(())
}

/// Refuses a key that none of the `commands` has.
fn known(
    program: &Command,
    commands: &[&Command],
    file: &SessionFile,
    entry: &Entry,
) -> Result<(), Failure> {
    let key = entry.key.as_str();
    if commands.iter().any(|command| find(command, key).is_some()) {
        return Ok(());
    }
    let elsewhere = program
        .get_subcommands()
        .find(|command| find(command, key).is_some());
    let names = commands.iter().flat_map(|command| command.get_arguments());
    let names = names.filter_map(|arg| arg.get_long());
    let names = names.filter(|name| commands.iter().any(|command| find(command, name).is_some()));
    let alike = names
        .map(|name| (strsim::jaro(name, key), name))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let whose = match commands {
        [command] => format!("`ringlet {}`", command.get_name()),
        _ => "any role".to_owned(),
    };
    let remedy = match (alike, elsewhere) {
        (Some((_, name)), _) => format!("write `{name}`, if that is what it means"),
        (None, Some(command)) => format!(
            "leave it out, and give --{key} to `ringlet {}`",
            command.get_name()
        ),
        (None, None) => "keys are the options that `ringlet party --help all` prints".to_owned(),
    };
    Err(file.refused(entry, format!("`{key}` is no option of {whose}"), remedy))
}

/// The options that the file gives to a `command` beside the `roles`, with these `matches` of its own, in the `role`.
fn options(
    (command, roles): (&Command, &[&Command]),
    matches: &ArgMatches,
    file: &SessionFile,
    role: &str,
) -> Result<Vec<OsString>, Failure> {
    let on_the_line = command.get_arguments().filter(|arg| {
        matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    });
    // Options that are set already, and those of them that are given. What is set first wins.
    let mut set: Vec<&Arg> = on_the_line.collect();
    let mut given = set.clone();
    let (mut options, mut displaced) = (Vec::new(), Vec::new());
    let own = file.own.iter().filter(|(name, _)| name == role);
    let layers = own.map(|(_, entries)| entries).chain([&file.shared]);
    for layer in layers {
        let (set_above, given_above) = (set.clone(), given.clone());
        for entry in layer {
            let Some(arg) = find(command, &entry.key) else {
                continue;
            };
            if contains(&set_above, arg) {
                continue;
            }
            if contains(&set, arg) {
                let why = format!("`{}` is set by another key too", entry.key);
                return Err(file.refused(entry, why, "leave out one of them"));
            }
            set.push(arg);
            let Some(option) = option(file, entry, arg)? else {
                continue;
            };
            check_value(command, &option, (file, entry))?;
            if given_above.iter().any(|other| exclude(command, arg, other)) {
                displaced.push(arg.to_string());
                continue;
            }
            given.push(arg);
            options.push(option);
        }
    }
    // An option goes with one that it needs, if that is displaced, or if the command line alone could give it.
    let absent = |arg: &&Arg| !contains(&given, arg) && !can_give((command, roles), arg);
    let absent = command.get_arguments().filter(absent);
    displaced.extend(absent.map(Arg::to_string));
    let always = missing(command, &[]);
    options.retain(|option| {
        let missing = missing(command, std::slice::from_ref(option));
        let mut needed = missing.iter().filter(|name| !always.contains(name));
        !needed.any(|name| displaced.contains(name))
    });
    match parse(command, &options) {
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
            Err(file.refused_whole(&first_paragraph(&error), "leave out one of them"))
        }
        _ => Ok(options),
    }
}

/// Whether a file can give this option to a `command` beside the `roles`.
fn can_give((command, roles): (&Command, &[&Command]), arg: &Arg) -> bool {
    let is_role = roles
        .iter()
        .any(|role| role.get_name() == command.get_name());
    let name = arg.get_long().unwrap_or_default();
    let is_key = roles.iter().any(|role| find(role, name).is_some());
    is_key && (is_role || !OWN.contains(&name))
}

fn contains(all: &[&Arg], arg: &Arg) -> bool {
    all.iter().any(|other| other.get_id() == arg.get_id())
}

/// Whether two options of a command cannot stand together.
fn exclude(command: &Command, one: &Arg, other: &Arg) -> bool {
    contains(&command.get_arg_conflicts_with(one), other)
        || contains(&command.get_arg_conflicts_with(other), one)
}

/// An option as a command takes it, set to what the file says; none if the file leaves it out.
fn option(file: &SessionFile, entry: &Entry, arg: &Arg) -> Result<Option<OsString>, Failure> {
    let takes_value = arg.get_action().takes_values();
    let name = format!("--{}", arg.get_long().unwrap_or(&entry.key));
    let value = match (&entry.value, takes_value) {
        (Value::Flag(false), false) => return Ok(None),
        (Value::Flag(true), false) => return Ok(Some(name.into())),
        (Value::Flag(_), true) => {
            let why = format!("`{}` needs a value", entry.key);
            return Err(file.refused(entry, why, format!("write what {arg} takes")));
        }
        (_, false) => {
            let why = format!("`{}` takes no value", entry.key);
            return Err(file.refused(entry, why, "write true or false"));
        }
        (Value::Text(text), true) if is_path(file, arg, text) => file.beside(text).into(),
        (Value::Text(text), true) => OsString::from(text),
        (Value::List(texts), true) => texts.join(",").into(),
    };
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value);
    Ok(Some(option))
}

/// Whether an option takes this text for a path.
fn is_path(file: &SessionFile, arg: &Arg, text: &str) -> bool {
    if arg.get_value_parser().type_id() == ValueParser::path_buf().type_id() {
        return true;
    }
    // Some take a name or a file.
    let names = arg.get_value_names().unwrap_or_default();
    let may_be = names.iter().any(|name| name.ends_with("|FILE"));
    let is_name = Model::built_in(text).is_some() || text.contains([',', ':']);
    let beside = file.beside(text);
    may_be && !is_name && (beside.is_file() || beside.extension().is_some())
}

/// Parses options of a command alone.
fn parse(command: &Command, options: &[OsString]) -> Result<(), Error> {
    let command = command.clone().no_binary_name(true);
    command.try_get_matches_from(options).map(drop)
}

/// Refuses a value that the command does not take.
fn check_value(
    command: &Command,
    option: &OsString,
    (file, entry): (&SessionFile, &Entry),
) -> Result<(), Failure> {
    match parse(command, std::slice::from_ref(option)) {
        Ok(()) => Ok(()),
        // It may need others, and others may exclude it.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
        Err(error) => {
            let remedy = format!("write another value of `{}`", entry.key);
            Err(file.refused(entry, first_paragraph(&error), remedy))
        }
    }
}

/// The options that a command needs beside these.
fn missing(command: &Command, options: &[OsString]) -> Vec<String> {
    let error = parse(command, options).err();
    let error = error.filter(|error| error.kind() == ErrorKind::MissingRequiredArgument);
    match error
        .as_ref()
        .and_then(|error| error.get(ContextKind::InvalidArg))
    {
        Some(ContextValue::Strings(names)) => names.clone(),
        Some(ContextValue::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::command::Cli;

    /// What some option takes.
    const VALUES: [&str; 10] = [
        "true", "3", "0.5", "'x'", "'p0'", "[1, 2]", "'8x8'", "'exact'", "'0:1'", "'relu:3'",
    ];
    /// What the others take.
    const NAMES: [&str; 8] = [
        "'fused'",
        "'softmax'",
        "'u64'",
        "'warn'",
        "'lan'",
        "'json'",
        "'cosine'",
        "'he'",
    ];

    /// The arguments of a command with this session file.
    fn with_file(command: &[&str], text: &str) -> Result<Vec<OsString>, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s.toml");
        fs::write(&path, text).expect("a file");
        let arguments = [&["ringlet"], command, &["--session"]].concat();
        let arguments = arguments.into_iter().map(OsString::from);
        with_session_file(&Cli::program(), arguments.chain([path.into()]).collect())
    }

    /// The arguments of a party with this session file.
    fn party(text: &str) -> Result<Vec<OsString>, Failure> {
        with_file(&["party", "--role", "p0"], text)
    }

    /// What a command gets of a key, which has one of the values above.
    fn added(command: &[&str], place: &str, name: &str) -> Option<String> {
        let mut values = VALUES.iter().chain(&NAMES);
        let added = values.find_map(|value| {
            let arguments = with_file(command, &format!("{place}{name} = {value}\n")).ok()?;
            (arguments.len() == command.len() + 4).then(|| arguments[2].clone())
        });
        added.map(|added| added.into_string().expect("UTF-8"))
    }

    #[test]
    fn every_option_of_a_party_has_its_place() {
        let program = Cli::program();
        let command = program.find_subcommand("party").expect("a command");
        let mut keys = 0;
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let name = arg.get_long().expect("a long name");
            if NO_KEYS.contains(&name) {
                continue;
            }
            keys += 1;
            let place = match OWN.contains(&name) {
                true => "[role.p0]\n",
                false => "",
            };
            let added = added(&["party", "--role", "p0"], place, name);
            let added = added.unwrap_or_else(|| panic!("{name} has no place"));
            let of_name = added.split('=').next().expect("a name");
            assert_eq!(of_name, format!("--{name}"));
        }
        assert!(keys > 50, "{keys}");
    }

    #[test]
    fn every_command_with_a_file_takes_the_options_that_it_shares_with_roles() {
        let mut program = Cli::program();
        program.build();
        let roles = ROLES.map(|name| program.find_subcommand(name).expect("a command"));
        let mut commands = Vec::new();
        for command in program.get_subcommands() {
            let name = command.get_name();
            if !command.get_arguments().any(|arg| is_called(arg, "session")) || name == "party" {
                continue;
            }
            commands.push(name);
            let mut taken = 0;
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let key = arg.get_long().expect("a long name");
                // What a file cannot give to this command is an option of no role, or of one role alone.
                if !can_give((command, &roles), arg) {
                    let of_none = roles.iter().all(|role| find(role, key).is_none());
                    assert!(of_none || OWN.contains(&key), "{name} {key}");
                    assert_eq!(added(&[name], "", key), None, "{name} {key}");
                    continue;
                }
                let place = match OWN.contains(&key) {
                    true => format!("[role.{name}]\n"),
                    false => String::new(),
                };
                let line: &[&str] = match (name, key) {
                    ("compare", "data" | "profile") => &["compare", "--measure", "1"],
                    (_, "report-every") => &[name, "--report", "report.html"],
                    _ => &[name],
                };
                let added = added(line, &place, key);
                let added = added.unwrap_or_else(|| panic!("{name} {key} has no place"));
                assert!(added.starts_with(&format!("--{key}")), "{name}: {added}");
                taken += 1;
            }
            assert!(taken > 5, "{name} takes {taken}");
        }
        let wanted = [
            "train",
            "predict",
            "evaluate",
            "dealer",
            "assistant",
            "hub",
            "deal",
            "qemu",
            "plan",
            "bench",
            "calibrate",
            "compare",
        ];
        assert_eq!(commands, wanted);
    }

    #[test]
    fn what_needs_an_option_of_the_command_line_alone_goes_without_it() {
        let text = "data = 'images'\nprofile = 'wan'\nbatch = 8\nreport-every = 5\n";
        let added = with_file(&["compare"], text).expect("a session");
        assert_eq!(added[2..4], ["--batch=8", "--session"]);
        let added = with_file(&["compare", "--measure", "2"], text).expect("a session");
        let names = added[2..5].iter().map(|option| option.to_string_lossy());
        let names: Vec<String> = names
            .map(|option| option.split('=').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names, ["--batch", "--data", "--profile"]);
        assert_eq!(added[5], "--measure");
        let added = with_file(&["compare", "--report", "r.html"], text).expect("a session");
        assert_eq!(added[2..5], ["--batch=8", "--report-every=5", "--report"]);
    }

    #[test]
    fn a_role_has_what_its_table_says() {
        let added = party("threads = 2\nlr = 0.5\n[role.p0]\nthreads = 3\n[role.p1]\nlr = 1\n");
        let added = added.expect("a session");
        assert_eq!(added[2..4], ["--threads=3", "--lr=0.5"]);
        assert_eq!(added[4..6], ["--role", "p0"]);
    }

    #[test]
    fn an_option_goes_with_one_that_it_needs() {
        let added =
            party("validate = [5, 0]\nvalidate-every = 2\nbatch = 8\n[role.p0]\ninfer = true\n");
        let added = added.expect("a session");
        assert_eq!(added[2..4], ["--infer", "--batch=8"]);
    }
}
