//! Chromium without a screen: what it makes of a page.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ringlet_tests::text;
use serde_json::Value;

/// Names of the program.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Measures what a page has drawn, once it is there, and leaves it in the page as JSON. The tests add it to a copy: a report
/// has no scripts.
const MEASURE: &str = r#"<script>
addEventListener("load", () => {
  const size = (element) => { const box = element.getBoundingClientRect(); return [box.width, box.height]; };
  const style = (element) => getComputedStyle(element);
  const root = document.documentElement;
  const measured = {
    figures: [...document.querySelectorAll("figure")].map((figure) => {
      const svg = figure.querySelector("svg");
      const shapes = [...svg.querySelectorAll("rect, circle, polyline, polygon, line, path")];
      return {
        id: figure.id, svg: size(svg), shapes: shapes.filter((shape) => Math.max(...size(shape)) > 0).length,
        text: [...svg.querySelectorAll("text")].map((text) => text.textContent.trim()),
        colours: [...new Set([...svg.querySelectorAll("text")].map((text) => style(text).fill))],
      };
    }),
    pictures: [...document.images].map((image) => [image.naturalWidth, image.naturalHeight, ...size(image)]),
    tables: [...document.querySelectorAll("table")].map((table) => ({
      id: table.id, size: size(table), rows: [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent)),
    })),
    tiles: [...document.querySelectorAll(".tile")].map((tile) => [...tile.children].map((part) => part.textContent)),
    state: document.querySelector(".state").textContent,
    wide: root.scrollWidth > root.clientWidth,
    paper: style(document.body).backgroundColor,
    ink: style(document.body).color,
    scripts: document.scripts.length,
  };
  const out = document.createElement("pre");
  out.id = "measured";
  out.textContent = JSON.stringify(measured);
  document.body.append(out);
});
</script>"#;

/// How a page is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

/// The program. Panics with what to do if there is none.
fn program() -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = PROGRAMS.iter().find_map(|name| {
        let mut paths = std::env::split_paths(&paths).map(|path| path.join(name));
        paths.find(|path| path.is_file())
    });
    found.expect("Chromium; `tests/run` installs it, on Debian `apt install chromium`")
}

fn browser(dir: &Path, scheme: Scheme) -> Command {
    let mut command = Command::new(program());
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
    ]);
    command.args([
        "--no-first-run",
        "--disable-background-networking",
        "--hide-scrollbars",
    ]);
    command.args(["--enable-logging=stderr", "--window-size=1100,900"]);
    command.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    command.arg(match scheme {
        Scheme::Light => "--blink-settings=preferredColorScheme=1",
        Scheme::Dark => "--blink-settings=preferredColorScheme=0",
    });
    command
}

/// What the page in this file looks like. Panics if its console has something to tell.
pub fn measured(page: &Path, scheme: Scheme) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let html = fs::read_to_string(page).expect("a page");
    let copy = dir.path().join("copy.html");
    fs::write(&copy, html.replace("</body>", &format!("{MEASURE}</body>"))).expect("a file");
    let address = format!("file://{}", copy.display());
    let mut command = browser(dir.path(), scheme);
    let output = command.args(["--dump-dom", &address]).output();
    let output = output.expect("Chromium starts");
    let (dom, log) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{log}");
    let console: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    assert!(console.is_empty(), "{console:?}");
    let encoded = dom.split("<pre id=\"measured\">").nth(1);
    let encoded = encoded.and_then(|rest| rest.split('<').next());
    let encoded = encoded.unwrap_or_else(|| panic!("the page was not measured: {log}{dom}"));
    let json = encoded
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&nbsp;", "\u{a0}");
    serde_json::from_str(&json.replace("&amp;", "&")).expect("JSON")
}

#[test]
fn what_a_console_tells_is_heard() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("page.html");
    let look = |script: &str| {
        let html = format!("<p class=\"state\">so</p><script>{script}</script></body>");
        fs::write(&path, html).expect("a file");
        std::panic::catch_unwind(|| measured(&path, Scheme::Light)["state"].clone())
    };
    assert_eq!(look("").expect("a quiet page"), "so");
    for loud in ["console.error(1)", "nothing()", "const = 3"] {
        assert!(look(loud).is_err(), "{loud}");
    }
}
