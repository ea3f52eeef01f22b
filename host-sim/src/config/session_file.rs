//! Session files: what the roles of a run have in common, and what each has of its own, as TOML.

use std::{
    fs,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::error::Failure;

/// The roles that a session file can have tables for: `[role.p0]` and so on.
pub const ROLES: [&str; 4] = ["p0", "p1", "dealer", "assistant"];

/// A session file.
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    /// The keys that all roles have in common.
    pub shared: Vec<Entry>,
    /// The keys that one role has of its own, by the name of the role.
    pub own: Vec<(String, Vec<Entry>)>,
}

/// A key of a session file.
#[derive(Debug)]
pub struct Entry {
    /// Its name, which is that of an option.
    pub key: String,
    /// What it is set to.
    pub value: Value,
    /// The line of the file in which it stands.
    line: usize,
}

/// What a key is set to.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// Whether a flag is given.
    Flag(bool),
    /// A number or a text, as an option takes it.
    Text(String),
    /// Several of them.
    List(Vec<String>),
}

impl SessionFile {
    /// Reads a session file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(
                format!(
                    "the session file {} cannot be read: {error}",
                    path.display()
                ),
                "give a TOML file with --session",
            )
        })?;
        let mut file = SessionFile {
            path: path.to_owned(),
            shared: Vec::new(),
            own: Vec::new(),
        };
        let root = DeTable::parse(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line(&text, span.start));
            let why = error.message().replace('\n', ", ");
            file.wrong(line, why, "write it as TOML: key = value")
        })?;
        for (key, value) in root.get_ref() {
            match key.get_ref().as_ref() {
                "role" => file.own = file.tables(&text, value)?,
                _ => file.shared.push(file.entry(&text, key, value)?),
            }
        }
        Ok(file)
    }

    /// The keys of each role.
    fn tables(
        &self,
        text: &str,
        roles: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<(String, Vec<Entry>)>, Failure> {
        let at = line(text, roles.span().start);
        let DeValue::Table(roles) = roles.get_ref() else {
            return Err(self.wrong(
                at,
                "all roles read this file, so it cannot say which one runs",
                "give --role on the command line; what a role has of its own stands in a table, such as [role.p0]",
            ));
        };
        let mut tables = Vec::new();
        for (name, table) in roles {
            let at = line(text, name.span().start);
            let (true, DeValue::Table(table)) =
                (ROLES.contains(&name.get_ref().as_ref()), table.get_ref())
            else {
                return Err(self.wrong(
                    at,
                    format!("`role.{}` is no table of a role", name.get_ref()),
                    format!(
                        "there are {}",
                        ROLES.map(|role| format!("[role.{role}]")).join(", ")
                    ),
                ));
            };
            let entries = table
                .iter()
                .map(|(key, value)| self.entry(text, key, value))
                .collect::<Result<_, _>>()?;
            tables.push((name.get_ref().to_string(), entries));
        }
        Ok(tables)
    }

    fn entry(
        &self,
        text: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, Failure> {
        let line = line(text, key.span().start);
        let key = key.get_ref().to_string();
        let unfit = |what: &str| {
            self.wrong(
                line,
                format!("`{key}` is {what}"),
                "write true, false, a number, a text, or a list of numbers or texts",
            )
        };
        let value = match value.get_ref() {
            DeValue::Boolean(given) => Value::Flag(*given),
            DeValue::Array(items) => {
                let items = items.iter().map(|item| {
                    let text = scalar(item.get_ref());
                    text.filter(|text| !text.contains(','))
                });
                let items: Option<Vec<String>> = items.collect();
                Value::List(items.ok_or_else(|| unfit("a list of what an option does not take"))?)
            }
            DeValue::Table(_) => {
                return Err(self.wrong(
                    line,
                    format!("`{key}` is a table"),
                    "write keys at the top of the file, or in the table of a role, such as [role.p0]",
                ));
            }
            other => Value::Text(scalar(other).ok_or_else(|| unfit("a date or a time"))?),
        };
        Ok(Entry { key, value, line })
    }

    /// What is wrong in a line of the file.
    fn wrong(&self, line: usize, why: impl AsRef<str>, remedy: impl Into<String>) -> Failure {
        let path = self.path.display();
        Failure::new(format!("{path}, line {line}: {}", why.as_ref()), remedy)
    }

    /// What is wrong with a key of the file.
    pub fn refused(
        &self,
        entry: &Entry,
        why: impl AsRef<str>,
        remedy: impl Into<String>,
    ) -> Failure {
        self.wrong(entry.line, why, remedy)
    }

    /// What is wrong with the file as a whole.
    pub fn refused_whole(&self, why: &str, remedy: &str) -> Failure {
        Failure::new(format!("{}: {why}", self.path.display()), remedy)
    }

    /// A path that stands in the file, which begins at the file's own directory.
    pub fn beside(&self, path: &str) -> PathBuf {
        match self.path.parent() {
            Some(dir) => dir.join(path),
            None => PathBuf::from(path),
        }
    }
}

/// A number or a text, as an option takes it.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The line of `text` at a byte, counted from 1.
fn line(text: &str, byte: usize) -> usize {
    1 + text
        .bytes()
        .take(byte)
        .filter(|&byte| byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SessionFile, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s.toml");
        fs::write(&path, text).expect("a file");
        let name = path.display().to_string();
        SessionFile::read(&path).map_err(|failure| failure.to_string().replace(&name, "s.toml"))
    }

    #[test]
    fn values_are_those_that_options_take() {
        let text = "batch = 1_000\nlr = 0.0625\nsamples = [3, 4]\ngreyscale = true\nseed = 0x10\n\
                    [role.p1]\nsave = 'm'\n";
        let file = read(text).expect("a session file");
        let value = |key: &str| {
            let entry = file.shared.iter().find(|entry| entry.key == key);
            &entry.expect("a key").value
        };
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(value("batch"), &text("1000"));
        assert_eq!(value("lr"), &text("0.0625"));
        assert_eq!(value("samples"), &Value::List(vec!["3".into(), "4".into()]));
        assert_eq!(value("greyscale"), &Value::Flag(true));
        let [(role, own)] = &file.own[..] else {
            panic!("{file:?}");
        };
        assert_eq!(
            (role.as_str(), own[0].key.as_str(), own[0].line),
            ("p1", "save", 7)
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, wanted) in [
            ("batch = 3\nlr = \n", "s.toml, line 2: "),
            ("role = 'p0'", "s.toml, line 1: all roles read this file"),
            (
                "\n[role.p2]\nsave = 'm'",
                "s.toml, line 2: `role.p2` is no table of a role",
            ),
            ("[links]\nrate = 3", "s.toml, line 1: `links` is a table"),
            ("seed = 1979-05-27", "s.toml, line 1: `seed` is a date"),
            (
                "classes = ['a,b', 'c']",
                "s.toml, line 1: `classes` is a list of",
            ),
            ("batch = 3\nbatch = 4", "s.toml, line 2: duplicate key"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(wanted), "{text}: {error}");
        }
    }
}
