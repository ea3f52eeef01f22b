//! `ringlet watch`: a dashboard over the metrics of runs, here or on other machines.

use std::path::PathBuf;

use clap::Args;

use crate::error::Failure;

/// Options of `watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Files that `--metrics` writes, pipes of such lines, or `-` for standard input.
    #[arg(value_name = "METRICS", required = true)]
    pub metrics: Vec<PathBuf>,
    /// Print what the files hold now, as text of 80 columns, and end.
    ///
    /// Pipes are read until they are closed.
    #[arg(long)]
    pub once: bool,
}

/// Shows the dashboard until the user leaves it.
pub fn run(args: &WatchArgs) -> Result<(), Failure> {
    built::run(args)
}

#[cfg(not(feature = "watch"))]
mod built {
    use super::*;

    pub fn run(_: &WatchArgs) -> Result<(), Failure> {
        Err(Failure::new(
            "this program was built without the dashboard",
            "build it with `cargo build --release --features watch`",
        ))
    }
}

#[cfg(feature = "watch")]
mod built {
    use std::{
        io::{self, IsTerminal},
        sync::atomic::{AtomicBool, Ordering},
        time::{Duration, SystemTime},
    };

    use ratatui::{
        DefaultTerminal,
        crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    };

    use super::*;
    use crate::{
        console,
        data::line_follower::LineFollower,
        output::watch::{dashboard::Dashboard, screen},
    };

    /// The time between two looks at the files.
    const LOOK: Duration = Duration::from_millis(250);

    /// The name of standard input.
    const STDIN: &str = "-";

    /// Somebody asks the program to end.
    static ENDS: AtomicBool = AtomicBool::new(false);

    pub fn run(args: &WatchArgs) -> Result<(), Failure> {
        let mut dashboard = Dashboard::new(sources(&args.metrics)?);
        if args.once {
            return print(&mut dashboard);
        }
        if !io::stdout().is_terminal() {
            return Err(Failure::new(
                "standard output is no terminal",
                "start it in a terminal, or give --once for one screen as text",
            ));
        }
        // The terminal would stay as it is now.
        ctrlc::set_handler(|| ENDS.store(true, Ordering::SeqCst)).map_err(|error| {
            Failure::new(format!("signals cannot be watched: {error}"), "give --once")
        })?;
        let mut screen = Screen::new().map_err(failed)?;
        show(&mut dashboard, &mut screen.0).map_err(failed)
    }

    fn sources(paths: &[PathBuf]) -> Result<Vec<(String, LineFollower)>, Failure> {
        let is_stdin = |path: &&PathBuf| path.as_os_str() == STDIN;
        if paths.iter().filter(is_stdin).count() > 1 {
            return Err(Failure::new(
                "standard input is named twice",
                "name it once, and give each other run a file or a named pipe",
            ));
        }
        if paths.iter().any(|path| is_stdin(&path)) && io::stdin().is_terminal() {
            return Err(Failure::new(
                "standard input is a terminal",
                "send lines to it: ssh HOST tail -n +1 -F METRICS | ringlet watch -",
            ));
        }
        if let Some(dir) = paths.iter().find(|path| path.is_dir()) {
            return Err(Failure::new(
                format!("{} is a directory", dir.display()),
                "give the files that --metrics writes",
            ));
        }
        let source = |path: &PathBuf| match is_stdin(&path) {
            true => LineFollower::of_pipe(|| Ok(io::stdin())),
            false => LineFollower::of_path(path.clone()),
        };
        let name = |path: &PathBuf| match is_stdin(&path) {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        Ok(paths
            .iter()
            .map(|path| (name(path), source(path)))
            .collect())
    }

    /// Prints what is known now.
    fn print(dashboard: &mut Dashboard) -> Result<(), Failure> {
        dashboard.read_to_end();
        let now = SystemTime::now();
        if let Some((name, why)) = dashboard.missing(now) {
            return Err(Failure::new(
                format!("{name} cannot be read: {why}"),
                "give the files that --metrics writes, or leave out --once to wait for them",
            ));
        }
        console::print(&screen::text(dashboard, now))
    }

    fn failed(error: io::Error) -> Failure {
        Failure::new(
            format!("the terminal cannot be used: {error}"),
            "give --once for one screen as text",
        )
    }

    /// A terminal that shows the dashboard. Dropped, it is what it was before, and after a panic too.
    struct Screen(DefaultTerminal);

    impl Screen {
        fn new() -> io::Result<Self> {
            let screen = ratatui::try_init().map(Screen);
            if screen.is_err() {
                // Half of it may be done.
                let _ = ratatui::try_restore();
            }
            screen
        }
    }

    impl Drop for Screen {
        fn drop(&mut self) {
            // A terminal that is gone needs no care.
            let _ = ratatui::try_restore();
        }
    }

    fn show(dashboard: &mut Dashboard, terminal: &mut DefaultTerminal) -> io::Result<()> {
        while !ENDS.load(Ordering::SeqCst) {
            dashboard.look();
            let now = SystemTime::now();
            terminal.draw(|frame| {
                screen::draw(dashboard, now, frame.area(), frame.buffer_mut());
            })?;
            let mut wait = LOOK;
            while event::poll(wait)? {
                match event::read()? {
                    Event::Key(key) if leaves(key) => return Ok(()),
                    Event::Key(key) => dashboard.choose(step(key)),
                    // The next drawing takes the new size.
                    _ => {}
                }
                wait = Duration::ZERO;
            }
        }
        Ok(())
    }

    fn leaves(key: KeyEvent) -> bool {
        let is_interrupt =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        key.kind == KeyEventKind::Press
            && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
    }

    /// How many runs further down the next one is that a key chooses.
    fn step(key: KeyEvent) -> isize {
        match key.code {
            _ if key.kind == KeyEventKind::Release => 0,
            KeyCode::Down | KeyCode::Right | KeyCode::Tab => 1,
            KeyCode::Up | KeyCode::Left | KeyCode::BackTab => -1,
            _ => 0,
        }
    }
}

#[cfg(all(test, not(feature = "watch")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_the_dashboard_says_how_to_get_it() {
        let args = WatchArgs {
            metrics: vec!["metrics".into()],
            once: true,
        };
        let line = run(&args).map_err(|failure| failure.to_string());
        assert!(line.is_err_and(|line| line.contains("--features watch")));
    }
}
