//! The documentation holds together: links lead somewhere, chapters are listed, and the commands that it shows exist.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use ringlet_tests::success;

/// Files outside the book.
const FILES: [&str; 4] = [
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];
/// The book's chapters.
const BOOK: &str = "docs/src";
/// The book's table of contents.
const SUMMARY: &str = "docs/src/SUMMARY.md";
/// The chapter that lists every option.
const COMMAND_LINE: &str = "docs/src/cli.md";
/// Most lines of the README.
const README_LINES: usize = 150;
/// Options of other programs that the text names by themselves.
const FOREIGN: [&str; 2] = ["--bind-to", "--features"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A Markdown file, as far as the tests look at it.
#[derive(Default)]
struct Page {
    /// Targets of links and images.
    links: Vec<String>,
    /// Anchors of headings.
    anchors: HashSet<String>,
    /// Code blocks: language and text.
    blocks: Vec<(String, String)>,
    /// Code within a sentence.
    spans: Vec<String>,
}

impl Page {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let (mut page, mut times) = (Page::default(), BTreeMap::new());
        let (mut heading, mut block) = (None::<String>, None::<(String, String)>);
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().expect("a heading has begun"));
                    // A second heading of the same text gets a number.
                    let time = times.entry(slug.clone()).or_insert(0);
                    page.anchors.insert(match *time {
                        0 => slug,
                        time => format!("{slug}-{time}"),
                    });
                    *time += 1;
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    block = Some((language, String::new()));
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Text(text) => match (&mut heading, &mut block) {
                    (_, Some((_, content))) => content.push_str(&text),
                    (Some(heading), _) => heading.push_str(&text),
                    _ => {}
                },
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    page.spans.push(code.into_string());
                }
                _ => {}
            }
        }
        page
    }

    /// Lines of shell commands: of shell blocks, after a prompt elsewhere, and within sentences.
    fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        for (language, content) in &self.blocks {
            for line in content.replace("\\\n", " ").lines() {
                match language.as_str() {
                    "sh" => commands.push(line.to_owned()),
                    _ => commands.extend(line.strip_prefix("$ ").map(str::to_owned)),
                }
            }
        }
        commands.extend(self.spans.iter().cloned());
        commands
    }
}

/// The anchor that mdBook and GitHub give a heading.
fn slug(heading: &str) -> String {
    heading
        .trim()
        .chars()
        .filter_map(|c| match c {
            c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
            c if c.is_whitespace() => Some('-'),
            _ => None,
        })
        .collect()
}

/// The book's Markdown files, from the root of the checkout.
fn chapters() -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![BOOK.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("the book's folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("UTF-8");
            let path = format!("{folder}/{name}");
            if entry.path().is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.insert(path);
            }
        }
    }
    found
}

fn pages() -> BTreeMap<String, Page> {
    let files = FILES.map(str::to_owned).into_iter().chain(chapters());
    files
        .map(|path| (path.clone(), Page::read(&path)))
        .collect()
}

/// `target`, as written in `from`, from the root of the checkout; none if it leaves the checkout.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (path, page) in &pages {
        for link in &page.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => Some(path.clone()),
                file => resolve(path, file),
            };
            let Some(target) = target.filter(|target| root().join(target).exists()) else {
                wrong.push(format!("{path}: {link} does not exist"));
                continue;
            };
            // The book's HTML holds its own folder alone.
            if path.starts_with(BOOK) && !target.starts_with(BOOK) {
                wrong.push(format!("{path}: {link} leaves the book"));
            }
            if !anchor.is_empty()
                && !pages
                    .get(&target)
                    .is_some_and(|p| p.anchors.contains(anchor))
            {
                wrong.push(format!("{path}: {link} has no such heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 50, "only {checked} links were found");
}

#[test]
fn every_chapter_is_in_the_summary() {
    let listed: Vec<String> = Page::read(SUMMARY)
        .links
        .iter()
        .filter_map(|link| resolve(SUMMARY, link))
        .collect();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "a chapter is listed twice");
    let mut chapters = chapters();
    chapters.remove(SUMMARY);
    assert_eq!(once, chapters);
}

#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(root().join("README.md")).expect("the README");
    let lines = text.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
}

/// The program's commands, `data pack` as one, and their options.
fn options() -> BTreeMap<String, BTreeSet<String>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![String::new()]);
    while let Some(command) = open.pop() {
        let arguments: Vec<&str> = command
            .split_whitespace()
            .chain(["--help", "all"])
            .collect();
        let help = success(&arguments);
        let mut options = BTreeSet::new();
        let mut in_commands = false;
        for line in help.lines() {
            if !line.starts_with(' ') {
                in_commands = line == "Commands:";
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            // What an option means is indented by ten.
            let is_alias = words.first().is_some_and(|word| word.starts_with("[alias"));
            let is_meaning = line.starts_with("          ") && !is_alias;
            match words[..] {
                _ if is_meaning => {}
                // A command is indented by two, and what follows of its description by more.
                [name, ..]
                    if in_commands
                        && line.starts_with("  ")
                        && !line.starts_with("   ")
                        && name != "help" =>
                {
                    open.push(format!("{command} {name}").trim().to_owned());
                }
                // A short form may stand first, and an alias by itself.
                [first, second, ..] if first.starts_with('-') && first.ends_with(',') => {
                    options.insert(second.to_owned());
                }
                [first, ..] if first.starts_with("--") => {
                    options.insert(first.to_owned());
                }
                ["[alias:" | "[aliases:", ref names @ ..] => {
                    let names = names.iter().map(|name| name.trim_end_matches([',', ']']));
                    options.extend(names.map(str::to_owned));
                }
                _ => {}
            }
        }
        found.insert(command, options);
    }
    found
}

/// The arguments of each call of the program in a line of shell.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" # ").next().unwrap_or(line);
    line.replace("cargo run --release --", "ringlet")
        .split(['|', ';', '&'])
        .filter_map(|call| {
            let mut words = call.split_whitespace().map(|word| word.trim_matches('"'));
            (words.next()? == "ringlet").then(|| words.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn every_command_that_is_shown_exists() {
    let options = options();
    let any: BTreeSet<&String> = options.values().flatten().collect();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (path, page) in pages() {
        for line in page.commands() {
            for call in calls(&line) {
                // `data` has commands of its own.
                let name = |words: usize| call.get(..words).map(|words| words.join(" "));
                let command = [name(2), name(1)].into_iter().flatten();
                let command = command.into_iter().find(|name| options.contains_key(name));
                let first = call.first().filter(|word| !word.starts_with('-'));
                // A placeholder in capitals stands for any of them.
                let named = first.filter(|word| !word.chars().all(|c| c.is_ascii_uppercase()));
                if named.is_some() && command.is_none() {
                    wrong.push(format!("{path}: no command in `{line}`"));
                    continue;
                }
                checked += 1;
                for word in call.iter().filter(|word| word.starts_with("--")) {
                    let known = match &command {
                        Some(command) => options[command].contains(word),
                        None => any.contains(word),
                    };
                    if !known {
                        wrong.push(format!("{path}: no {word} in `{line}`"));
                    }
                }
            }
        }
        for span in page.spans.iter().filter(|span| span.starts_with("--")) {
            for word in span
                .split_whitespace()
                .filter(|word| word.starts_with("--"))
            {
                if !any.contains(&word.to_owned()) && !FOREIGN.contains(&word) {
                    wrong.push(format!("{path}: no command has {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 30, "only {checked} commands were found");
}

#[test]
fn every_option_is_in_the_command_line_chapter() {
    let text = Page::read(COMMAND_LINE).spans.join(" ");
    let words: HashSet<&str> = text.split_whitespace().collect();
    for (command, options) in options() {
        assert!(
            command.is_empty() || command.split(' ').all(|word| words.contains(word)),
            "{COMMAND_LINE} does not name {command}"
        );
        for option in options {
            let common = ["--help", "--version"].contains(&option.as_str());
            assert!(
                common || words.contains(option.as_str()),
                "{COMMAND_LINE} does not have {option} of {command}"
            );
        }
    }
}
