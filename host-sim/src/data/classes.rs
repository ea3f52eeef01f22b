//! The classes that labels stand for, by name.

use std::{collections::BTreeSet, fmt, fs, path::Path};

use ring::digest::{Context, SHA256};
use ringlet_core::session::ClassList;

use crate::error::Failure;

/// The most classes: a label is a byte.
pub const MAX_CLASSES: usize = 256;

/// The classes that labels stand for, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// There are no labels.
    #[default]
    Unknown,
    /// Labels are numbers without names.
    Numbered,
    /// Label `i` stands for the name `i`.
    Named(Vec<String>),
}

/// The number that a name is, written as programs write it.
fn number(name: &str) -> Option<usize> {
    let number: usize = name.parse().ok()?;
    (number < MAX_CLASSES && number.to_string() == name).then_some(number)
}

impl Classes {
    /// The classes of these names, in the order of the alphabet, or numbers if all names are numbers. Fails if there are too
    /// many.
    pub fn of(names: &BTreeSet<String>, whose: &str) -> Result<Self, Failure> {
        if names.len() > MAX_CLASSES {
            return Err(Failure::new(
                format!(
                    "{whose} has {} classes, and there can be {MAX_CLASSES}",
                    names.len()
                ),
                "see whether these are the classes, and leave some out",
            ));
        }
        Ok(match names.iter().all(|name| number(name).is_some()) {
            true => Classes::Numbered,
            false => Classes::Named(names.iter().cloned().collect()),
        })
    }

    /// The classes that `--classes` gives: names separated by commas, or a file with a name on each line.
    pub fn given(text: &str) -> Result<Self, Failure> {
        let refused = |why: String| Failure::new(format!("--classes {text}: {why}"), REMEDY);
        let content = match Path::new(text).is_file() {
            true => fs::read_to_string(text).map_err(|error| refused(error.to_string()))?,
            false => text.replace(',', "\n"),
        };
        let names = content.lines().map(str::trim);
        let names: Vec<String> = names
            .filter(|name| !name.is_empty())
            .map(Into::into)
            .collect();
        let distinct: BTreeSet<&String> = names.iter().collect();
        if names.is_empty() || names.len() > MAX_CLASSES {
            return Err(refused(format!("{} names", names.len())));
        }
        if distinct.len() < names.len() {
            return Err(refused("a name comes twice".to_owned()));
        }
        Ok(Classes::Named(names))
    }

    /// The label of the class with this name, if it is one.
    pub fn label(&self, name: &str) -> Option<usize> {
        match self {
            Classes::Unknown => None,
            Classes::Numbered => number(name),
            Classes::Named(names) => names.iter().position(|own| own == name),
        }
    }

    /// The name of a label, or its number if it has none.
    pub fn name(&self, label: usize) -> String {
        match self {
            Classes::Named(names) if label < names.len() => names[label].clone(),
            _ => label.to_string(),
        }
    }

    /// The names, if there are any.
    pub fn names(&self) -> Option<&[String]> {
        match self {
            Classes::Named(names) => Some(names),
            _ => None,
        }
    }

    /// The label in this list of what `other` calls `label`. A number without a name is the place in this list, unless the
    /// names of this list are numbers.
    pub fn translate(&self, other: &Classes, label: usize) -> Option<usize> {
        let Classes::Named(names) = self else {
            return Some(label);
        };
        match other {
            Classes::Named(_) => self.label(&other.name(label)),
            _ if names.iter().all(|name| number(name).is_some()) => self.label(&label.to_string()),
            _ => (label < names.len()).then_some(label),
        }
    }

    /// What the other roles learn of it.
    pub fn list(&self) -> ClassList {
        let Classes::Named(names) = self else {
            return match self {
                Classes::Unknown => ClassList::Unknown,
                _ => ClassList::Numbered,
            };
        };
        let mut places = names.iter().enumerate();
        if places.all(|(place, name)| number(name) == Some(place)) {
            return ClassList::Numbered;
        }
        let mut context = Context::new(&SHA256);
        for name in names {
            context.update(&(name.len() as u64).to_le_bytes());
            context.update(name.as_bytes());
        }
        let digest = context.finish();
        ClassList::Named(std::array::from_fn(|index| digest.as_ref()[index]))
    }
}

const REMEDY: &str = "give each name once, separated by commas or each on a line of a file";

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Classes::Unknown => f.write_str("none"),
            Classes::Numbered => f.write_str("numbers"),
            Classes::Named(names) => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Classes {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Classes::of(&names, "the folder").expect("classes")
    }

    #[test]
    fn names_are_in_the_order_of_the_alphabet_and_numbers_are_themselves() {
        let named = of(&["dog", "cat", "10"]);
        assert_eq!(named.to_string(), "10, cat, dog");
        assert_eq!((named.label("dog"), named.label("cow")), (Some(2), None));
        let numbered = of(&["0", "10", "2"]);
        assert_eq!(numbered, Classes::Numbered);
        assert_eq!(
            (numbered.label("10"), numbered.label("010")),
            (Some(10), None)
        );
        let many: BTreeSet<String> = (0..257).map(|number| format!("c{number}")).collect();
        assert!(Classes::of(&many, "the folder").is_err());
    }

    #[test]
    fn a_given_list_translates_names_and_numbers() {
        let given = Classes::given("dog, cat").expect("classes");
        assert_eq!(given.translate(&of(&["cat", "dog"]), 0), Some(1));
        assert_eq!(given.translate(&of(&["cow"]), 0), None);
        assert_eq!(given.translate(&Classes::Numbered, 1), Some(1));
        assert_eq!(given.translate(&Classes::Numbered, 2), None);
        let numbers = Classes::given("1,2,3").expect("classes");
        assert_eq!(numbers.translate(&Classes::Numbered, 3), Some(2));
        assert_eq!(numbers.translate(&Classes::Numbered, 0), None);
        for wrong in ["", ",", "a,b,a"] {
            assert!(Classes::given(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_agree_if_names_and_order_do() {
        let list = |text: &str| Classes::given(text).expect("classes").list();
        assert_eq!(list("cat,dog"), of(&["dog", "cat"]).list());
        assert_ne!(list("cat,dog"), list("dog,cat"));
        assert_ne!(list("ab,c"), list("a,bc"));
        assert_eq!(list("0,1,2"), Classes::Numbered.list());
        assert!(list("cat,dog").agrees(&Classes::Unknown.list()));
        assert!(!list("cat,dog").agrees(&Classes::Numbered.list()));
    }
}
