//! The confusion matrix of images whose classes are known: how many of each label the model took for each class.

use std::fmt::Write as _;

use crate::data::Classes;

/// The most classes of a table with all counts.
const MOST: usize = 10;

/// The most pairs that are printed of more classes.
const PAIRS: usize = 10;

/// Columns that a name may take at the beginning of a row.
const NAME: usize = 16;

/// How many images of each label the model took for each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// By label, then by class.
    counts: Vec<Vec<u32>>,
}

impl Confusion {
    /// Counts pairs of a label and the class that the model found, of so many classes.
    pub fn new(classes: usize, pairs: impl IntoIterator<Item = (u8, u8)>) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (label, class) in pairs {
            let row = counts.get_mut(usize::from(label));
            if let Some(count) = row.and_then(|row| row.get_mut(usize::from(class))) {
                *count += 1;
            }
        }
        Confusion { counts }
    }

    /// The counts, by label and then by class.
    pub fn counts(&self) -> &[Vec<u32>] {
        &self.counts
    }

    /// Number of images.
    pub fn total(&self) -> u32 {
        self.counts.iter().flatten().sum()
    }

    /// The part of the images whose class is their label.
    pub fn accuracy(&self) -> f64 {
        f64::from(
            (0..self.counts.len())
                .map(|label| self.counts[label][label])
                .sum::<u32>(),
        ) / f64::from(self.total().max(1))
    }

    /// The counts as a table with the part of each label that is right, or of many classes the pairs that are mistaken most.
    pub fn table(&self, names: &Classes) -> String {
        match self.counts.len() <= MOST {
            true => self.matrix(names),
            false => self.pairs(names),
        }
    }

    fn matrix(&self, names: &Classes) -> String {
        let classes = self.counts.len();
        let labels: Vec<String> = (0..classes).map(|label| names.name(label)).collect();
        let largest = self.counts.iter().flatten().max().copied().unwrap_or(0);
        let width = largest.to_string().len().clamp(4, 6);
        // Names that do not fit above a column are numbered.
        let fits = labels.iter().all(|name| name.chars().count() <= width);
        let heads = (0..classes).map(|class| match fits {
            true => labels[class].clone(),
            false => class.to_string(),
        });
        let mut text = format!("{:NAME$}", "label \\ class");
        for head in heads {
            let _ = write!(text, " {head:>width$}");
        }
        text += "   right\n";
        for (label, counts) in self.counts.iter().enumerate() {
            let name = match fits {
                true => labels[label].clone(),
                false => format!("{label} {}", labels[label]),
            };
            let name: String = name.chars().take(NAME).collect();
            let _ = write!(text, "{name:NAME$}");
            for count in counts {
                let _ = write!(text, " {count:>width$}");
            }
            let all: u32 = counts.iter().sum();
            let _ = match all {
                0 => writeln!(text, "       -"),
                _ => writeln!(
                    text,
                    " {:>5.1} %",
                    100.0 * f64::from(counts[label]) / f64::from(all)
                ),
            };
        }
        text
    }

    fn pairs(&self, names: &Classes) -> String {
        let mut pairs = Vec::new();
        for (label, counts) in self.counts.iter().enumerate() {
            let all: u32 = counts.iter().sum();
            let wrong = counts
                .iter()
                .enumerate()
                .filter(|&(class, _)| class != label);
            pairs.extend(wrong.map(|(class, &count)| (count, all, label, class)));
        }
        pairs.retain(|&(count, ..)| count > 0);
        if pairs.is_empty() {
            return "no image was taken for another class\n".to_owned();
        }
        pairs.sort_by_key(|&(count, ..)| std::cmp::Reverse(count));
        let mut text = String::from("mistaken most:\n");
        for (count, all, label, class) in pairs.into_iter().take(PAIRS) {
            let [label, class] = [label, class].map(|class| names.name(class));
            let _ = writeln!(text, "  {count} of {all} of {label} for {class}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_by_label_and_class() {
        let confusion = Confusion::new(3, [(0, 0), (0, 1), (2, 2), (2, 2)]);
        assert_eq!(confusion.counts()[0], [1, 1, 0]);
        assert_eq!((confusion.total(), confusion.accuracy()), (4, 0.75));
        let names = Classes::given("cat,dog,cow").expect("classes");
        let table = confusion.table(&names);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "label \\ class     cat  dog  cow   right");
        assert_eq!(lines[1], "cat                 1    1    0  50.0 %");
        assert_eq!(lines[2], "dog                 0    0    0       -");
        assert_eq!(lines[3], "cow                 0    0    2 100.0 %");
        assert_eq!(Confusion::new(3, []).accuracy(), 0.0);
    }

    #[test]
    fn ten_classes_with_long_names_fit_into_80_columns() {
        let names = (0..10).map(|class| format!("a kind of class {class}"));
        let names = Classes::given(&names.collect::<Vec<_>>().join(",")).expect("classes");
        let pairs = (0..10).flat_map(|label| std::iter::repeat_n((label, 9 - label), 5000));
        let table = Confusion::new(10, pairs).table(&names);
        assert_eq!(table.lines().count(), 11);
        assert!(table.lines().all(|line| line.len() <= 80), "{table}");
        assert!(table.contains("\n3 a kind of clas "), "{table}");
    }

    #[test]
    fn of_many_classes_the_worst_pairs_are_told() {
        let mut pairs = vec![(11, 11); 9];
        assert!(
            Confusion::new(12, pairs.clone())
                .table(&Classes::Numbered)
                .contains("no image")
        );
        pairs.extend([(11, 3); 4]);
        pairs.extend((0..11).map(|label| (label, 11)));
        let table = Confusion::new(12, pairs).table(&Classes::Numbered);
        assert!(
            table.starts_with("mistaken most:\n  4 of 13 of 11 for 3\n"),
            "{table}"
        );
        assert_eq!(table.lines().count(), 1 + PAIRS);
    }
}
