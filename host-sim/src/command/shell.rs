//! `ringlet completions` and `ringlet man`: what shells and `man` know of the command line.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{console, data::file::write_whole, error::Failure};

/// Options of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the completions of a shell for the program's command line.
pub fn completions(args: &CompletionsArgs, mut program: Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "ringlet", &mut text);
    console::print(&String::from_utf8_lossy(&text))
}

/// Options of `man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Write the pages into this directory.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Writes a page of the manual for the program and for each command.
pub fn man(args: &ManArgs, mut program: Command) -> Result<(), Failure> {
    program.build();
    let mut pages = vec![("ringlet".to_owned(), program.clone())];
    for command in program.get_subcommands().filter(|c| c.get_name() != "help") {
        let name = format!("ringlet-{}", command.get_name());
        pages.push((name.clone(), command.clone().name(name)));
    }
    let count = pages.len();
    for (name, command) in pages {
        let path = args.dir.join(format!("{name}.1"));
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(|error| Failure::unwritten(path.display(), &error))?;
        write_whole(&path, &page)?;
    }
    console::line(&format!("{count} pages are in {}", args.dir.display()))
}
