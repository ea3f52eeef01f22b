//! Images in CSV files: a line for each, with a label and then its numbers.

use std::collections::BTreeSet;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{
    Entry, EntryName, FilePart, Source,
    element::{RANGE_REMEDY, Range, Scale, shape_of_row},
    place::Place,
};
use crate::{
    data::{
        classes::{Classes, MAX_CLASSES},
        conversion::Raw,
    },
    error::Failure,
};

/// One table, after a first reading.
struct Part {
    name: FilePart,
    place: Place,
    /// The first line names the columns.
    has_names: bool,
    /// Number of the label's column, from 0.
    label: usize,
    /// Columns, with the label's.
    columns: usize,
    /// Lines of images.
    count: usize,
}

/// Images in tables.
pub struct Tables {
    parts: Vec<Part>,
    classes: Classes,
    range: Range,
    scale: Scale,
}

/// What a first reading of all tables finds.
#[derive(Default)]
struct Survey {
    labels: BTreeSet<String>,
    range: Range,
}

impl Tables {
    /// The images of these tables. `label` names the column of the labels, or gives its number from 1; else it is the one
    /// called `label`, or the first.
    pub fn new(tables: Vec<(FilePart, Place)>, label: Option<&str>) -> Result<Self, Failure> {
        let mut survey = Survey::default();
        let read = |(name, place): (FilePart, Place)| survey.take(name, place, label);
        let parts = tables
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        let whose = parts[0].place.to_string();
        let scale = survey.range.scale(false).map_err(|why| {
            Failure::new(format!("{whose} cannot be pixels: {why}"), RANGE_REMEDY)
        })?;
        Ok(Tables {
            parts,
            classes: Classes::of(&survey.labels, &whose)?,
            range: survey.range,
            scale,
        })
    }
}

impl Survey {
    fn take(&mut self, name: FilePart, place: Place, label: Option<&str>) -> Result<Part, Failure> {
        let mut part = None::<Part>;
        each_line(&place, |_, record| {
            let known = match &mut part {
                Some(known) => known,
                None => {
                    let first = first_line(&place, record, label)?;
                    let known = part.insert(Part {
                        name,
                        place: place.clone(),
                        ..first
                    });
                    if known.has_names {
                        return Ok(());
                    }
                    known
                }
            };
            known.count += 1;
            // Lines of other lengths and with other things than numbers are told of when they are read as images.
            if record.len() == known.columns
                && let Some(numbers) = numbers(record, known.label)
            {
                numbers.for_each(|number| self.range.add(number));
                if self.labels.len() <= MAX_CLASSES {
                    self.labels.insert(record[known.label].to_owned());
                }
            }
            Ok(())
        })?;
        let part = part.filter(|part| part.count > 0);
        part.ok_or_else(|| {
            Failure::new(
                format!("{place} holds no lines of numbers"),
                "give a line for each image: a label and the numbers of its pixels, separated by commas",
            )
        })
    }
}

/// What the first line says of a table.
fn first_line(place: &Place, record: &StringRecord, label: Option<&str>) -> Result<Part, Failure> {
    let is_number = |cell: &str| cell.parse::<f64>().is_ok();
    let given = label.and_then(|label| label.parse::<usize>().ok()?.checked_sub(1));
    let named = |name: &str| {
        record
            .iter()
            .position(|cell| cell.eq_ignore_ascii_case(name))
    };
    let found = match (given, label) {
        (Some(column), _) => Some(column),
        (None, Some(name)) => named(name),
        (None, None) => Some(named("label").unwrap_or(0)),
    };
    let column = found
        .filter(|&column| column < record.len())
        .ok_or_else(|| {
            let label = label.unwrap_or_default();
            Failure::new(
                format!("{place} has no column {label}"),
                "give --label-column the name or the number of one, counted from 1",
            )
        })?;
    if record.len() < 2 {
        return Err(Failure::new(
            format!("{place} has a single column"),
            "separate a label and the pixels of its image by commas, an image on each line",
        ));
    }
    let mut others = (0..record.len()).filter(|&index| index != column);
    Ok(Part {
        name: FilePart::All,
        place: place.clone(),
        has_names: others.any(|index| !is_number(&record[index])),
        label: column,
        columns: record.len(),
        count: 0,
    })
}

/// The numbers of a line beside its label; none if some are no numbers.
fn numbers(record: &StringRecord, label: usize) -> Option<impl Iterator<Item = f64>> {
    let others = move || {
        let cells = record.iter().enumerate();
        cells
            .filter(move |&(index, _)| index != label)
            .map(|(_, cell)| cell.parse::<f64>().ok())
    };
    let sound = others().all(|number| number.is_some_and(f64::is_finite));
    sound.then(|| others().flatten())
}

/// Gives each line that is not empty to `take`, with its number from 1.
fn each_line(
    place: &Place,
    mut take: impl FnMut(u64, &StringRecord) -> Result<(), Failure>,
) -> Result<(), Failure> {
    place.read(|reader| {
        let mut lines = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(reader);
        let mut record = StringRecord::new();
        loop {
            match lines.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(place.damaged(&error.to_string())),
            }
            let line = record.position().map_or(0, |position| position.line());
            take(line, &record)?;
        }
    })
}

impl Source for Tables {
    fn kind(&self) -> String {
        format!("CSV of values from {}, {}", self.range, self.scale)
    }

    fn classes(&self) -> &Classes {
        &self.classes
    }

    fn parts(&self) -> Vec<(FilePart, usize)> {
        let counted = |part: &Part| (part.name, part.count);
        self.parts.iter().map(counted).collect()
    }

    fn read(
        &self,
        part: FilePart,
        wanted: &dyn Fn(usize) -> bool,
        take: &mut dyn FnMut(Entry<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(part) = self.parts.iter().find(|own| own.name == part) else {
            return Ok(());
        };
        let shape = shape_of_row(part.columns - 1);
        let (mut pixels, mut next) = (Vec::new(), 0);
        let mut skipped = !part.has_names;
        each_line(&part.place, |line, record| {
            if !std::mem::replace(&mut skipped, true) {
                return Ok(());
            }
            let number = next;
            next += 1;
            if !wanted(number) {
                return Ok(());
            }
            pixels.clear();
            let image = match numbers(record, part.label) {
                _ if record.len() != part.columns => Err(format!(
                    "has {} values, and the first line {}",
                    record.len(),
                    part.columns
                )),
                None => Err("has values that are no numbers".to_owned()),
                Some(numbers) => {
                    pixels.extend(numbers.map(|number| self.scale.byte(number)));
                    Ok(Raw {
                        shape,
                        pixels: &pixels,
                    })
                }
            };
            take(Entry {
                number,
                name: EntryName::Line(line),
                label: record
                    .get(part.label)
                    .and_then(|name| self.classes.label(name)),
                image,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = Vec<(String, Option<usize>, Result<Vec<u8>, String>)>;

    fn read(text: &'static str, label: Option<&str>) -> Result<(Tables, Lines), Failure> {
        let place = Place::BuiltIn("the table", text.as_bytes());
        let tables = Tables::new(vec![(FilePart::All, place)], label)?;
        let mut lines = Lines::new();
        tables.read(FilePart::All, &|_| true, &mut |entry| {
            let image = entry.image.map(|raw| raw.pixels.to_vec());
            lines.push((entry.name.to_string(), entry.label, image));
            Ok(())
        })?;
        Ok((tables, lines))
    }

    #[test]
    fn labels_come_from_the_first_column_or_the_one_that_is_named() {
        let (tables, lines) = read("3,0,255\n7,1,2\n", None).expect("a table");
        assert_eq!(tables.classes, Classes::Numbered);
        assert_eq!(tables.parts(), [(FilePart::All, 2)]);
        assert_eq!(lines[0], ("line 1".to_owned(), Some(3), Ok(vec![0, 255])));
        assert_eq!(lines[1], ("line 2".to_owned(), Some(7), Ok(vec![1, 2])));
        let text = "a, Label, b\n0.5,dog,1\n0,cat,0.25\n";
        let (tables, lines) = read(text, None).expect("a table");
        assert_eq!(tables.classes.to_string(), "cat, dog");
        assert_eq!(lines[0], ("line 2".to_owned(), Some(1), Ok(vec![128, 255])));
        for column in ["b", "3"] {
            let (_, lines) = read("a,x,b\n10,20,1\n30,40,0\n", Some(column)).expect("a table");
            assert_eq!(lines[0], ("line 2".to_owned(), Some(1), Ok(vec![10, 20])));
        }
        let last = read("10,20,1\n", Some("3")).expect("a table");
        assert_eq!(last.1[0].1, Some(1));
    }

    #[test]
    fn odd_lines_are_told_by_their_numbers() {
        let (_, lines) = read("1,2,3\n1,2\n1,x,3\n0,4,5\n", None).expect("a table");
        let told = |line: usize| lines[line].2.clone().expect_err("an odd line");
        assert_eq!(lines[1].0, "line 2");
        assert_eq!(told(1), "has 2 values, and the first line 3");
        assert_eq!(told(2), "has values that are no numbers");
        assert_eq!(lines[3].2, Ok(vec![4, 5]));
    }

    #[test]
    fn what_is_no_table_of_images_is_refused() {
        for (text, label, hint) in [
            ("1,2\n", Some("class"), "no column class"),
            ("1,2\n", Some("9"), "no column 9"),
            ("hello\n", None, "a single column"),
            ("a,b\n", None, "no lines"),
            ("", None, "no lines"),
            ("0,1,300\n", None, "from 1 to 300"),
        ] {
            let line = read(text, label)
                .map(drop)
                .expect_err("a failure")
                .to_string();
            assert!(line.contains(hint), "{text}: {line}");
        }
    }
}
