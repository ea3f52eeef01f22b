//! A terminal that the program writes to: its screen as it looks, and its keys.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    num::NonZero,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use ringlet_tests::{program, wait_until};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

/// Columns of what looks at the screen. What a program writes beyond its own columns shows there.
const WIDE: u16 = 200;

const LIMIT: Duration = Duration::from_secs(30);

/// A program on a pseudo terminal.
pub struct OnTerminal {
    pub child: Child,
    keys: File,
    line: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl OnTerminal {
    /// Starts the program on a terminal of some columns and lines, with this standard input or the terminal's.
    pub fn start(arguments: &[&str], [columns, lines]: [u16; 2], stdin: Option<Stdio>) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&master).expect("a pseudo terminal");
        unlockpt(&master).expect("a pseudo terminal");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let name = name.into_string().expect("UTF-8");
        let open = || {
            let line = OpenOptions::new().read(true).write(true).open(&name);
            line.expect("the terminal")
        };
        let keys = File::from(master);
        resize(&keys, [columns, lines]);
        let mut command = Command::new(program());
        command
            .args(arguments)
            .stdin(stdin.unwrap_or_else(|| open().into()))
            .stdout(open())
            .stderr(open());
        let become_session = || {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(io::stdout())?;
            Ok(())
        };
        // SAFETY: between fork and exec it makes two system calls, and allocates nothing.
        unsafe { command.pre_exec(become_session) };
        let child = command.spawn().expect("the program starts");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(lines), cells(WIDE), 0)));
        let mut output = keys.try_clone().expect("a descriptor");
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The line ends with the last process that has it open.
            while let Ok(count) = output.read(&mut bytes) {
                shown.lock().expect("no panic").process(&bytes[..count]);
            }
        });
        OnTerminal {
            child,
            keys,
            line: open(),
            screen,
        }
    }

    /// The lines of the screen.
    pub fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().expect("no panic");
        let lines = screen.screen().rows(0, WIDE);
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits until the screen has all these texts.
    pub fn wait_for(&self, wanted: &[&str]) {
        let start = std::time::Instant::now();
        loop {
            let lines = self.lines();
            let text = lines.join("\n");
            if wanted.iter().all(|wanted| text.contains(wanted)) {
                return;
            }
            assert!(start.elapsed() < LIMIT, "no {wanted:?}:\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Changes the terminal's size.
    pub fn resize(&self, size: [u16; 2]) {
        let mut screen = self.screen.lock().expect("no panic");
        screen.screen_mut().set_size(cells(size[1]), cells(WIDE));
        resize(&self.keys, size);
    }

    /// Waits for the end, and checks that the terminal is what it was before.
    pub fn end(mut self) -> ExitStatus {
        wait_until("the end", LIMIT, || {
            self.child.try_wait().expect("a child").is_some()
        });
        wait_until("what it wrote last", LIMIT, || {
            let screen = self.screen.lock().expect("no panic");
            !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
        });
        let modes = tcgetattr(&self.line).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        self.child.wait().expect("a child")
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a size")
}

fn resize(terminal: &File, [columns, lines]: [u16; 2]) {
    let size = Winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("a terminal");
}
