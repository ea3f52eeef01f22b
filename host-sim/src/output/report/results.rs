//! What a model found in images: the confusion matrix, and the images that it got wrong.

use super::page::{
    Bar, Bars, Block, Cell, Colour, Drawing, Figure, Matrix, MatrixCell, MatrixRow, Picture,
    Section, Table,
};
use crate::{
    data::{Classes, Images},
    output::{amounts::counted, confusion::Confusion},
    run::classes,
};

/// The most classes of a matrix.
const MATRIX: usize = 24;
/// The most pairs of classes that are told of more.
const PAIRS: usize = 24;
/// The most pictures.
const PICTURES: usize = 48;
/// The longest side of an image that is a picture on the page, and the shortest.
const SIDES: std::ops::RangeInclusive<usize> = 4..=256;

/// The section of a confusion matrix.
pub fn confusion(confusion: &Confusion, names: &Classes) -> Section {
    let counts = confusion.counts();
    let block = match counts.len() <= MATRIX {
        true => Block::Matrix(matrix(counts, names)),
        false => Block::Table(pairs(counts, names)),
    };
    let total = confusion.total();
    let right = (0..counts.len())
        .map(|label| counts[label][label])
        .sum::<u32>();
    let text = format!(
        "{right} of {} right, which is {}. Rows are labels, columns are the classes that the model found.",
        counted(total.into(), "image"),
        percent(confusion.accuracy())
    );
    Section {
        id: "confusion",
        title: "Which classes are mistaken".to_owned(),
        blocks: vec![Block::text(text), block],
    }
}

/// A part in percent.
pub fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

fn part(count: u32, all: u32) -> f64 {
    f64::from(count) / f64::from(all.max(1))
}

fn matrix(counts: &[Vec<u32>], names: &Classes) -> Matrix {
    let row = |(label, counts): (usize, &Vec<u32>)| {
        let all: u32 = counts.iter().sum();
        let cells = counts.iter().enumerate();
        MatrixRow {
            name: names.name(label),
            cells: cells
                .map(|(class, &count)| MatrixCell {
                    count,
                    percent: (100.0 * part(count, all)).ceil() as u32,
                    right: class == label,
                })
                .collect(),
            right: match all {
                0 => "–".to_owned(),
                _ => format!("{:.1} %", 100.0 * part(counts[label], all)),
            },
        }
    };
    Matrix {
        names: (0..counts.len()).map(|class| names.name(class)).collect(),
        rows: counts.iter().enumerate().map(row).collect(),
    }
}

/// The pairs of label and class that are mistaken most.
fn pairs(counts: &[Vec<u32>], names: &Classes) -> Table {
    let mut pairs = Vec::new();
    for (label, counts) in counts.iter().enumerate() {
        let all: u32 = counts.iter().sum();
        let wrong = counts
            .iter()
            .enumerate()
            .filter(|&(class, &count)| class != label && count > 0);
        pairs.extend(wrong.map(|(class, &count)| (count, all, label, class)));
    }
    pairs.sort_by_key(|&(count, ..)| std::cmp::Reverse(count));
    let row = |(count, all, label, class)| {
        vec![
            Cell::words(names.name(label)),
            Cell::words(names.name(class)),
            Cell::number(count),
            Cell::number(format!("{:.1} %", 100.0 * part(count, all))),
        ]
    };
    Table {
        id: "table-confusion",
        heads: ["label", "mistaken for", "images", "of the label"]
            .map(str::to_owned)
            .to_vec(),
        rows: pairs.into_iter().take(PAIRS).map(row).collect(),
        total: false,
    }
}

/// Whether images can be shown as pictures: of a sensible size, in grey or in colour.
fn are_pictures(images: &Images) -> bool {
    let [rows, columns, channels] = images.shape;
    SIDES.contains(&rows) && SIDES.contains(&columns) && [1, 3].contains(&channels)
}

/// The section of the labelled images whose class is not their label; none if there are none, or if they are no pictures.
pub fn wrong(images: &Images, found: &[u8], names: &Classes) -> Option<Section> {
    let pairs = images.labels.iter().zip(found).enumerate();
    let wrong = pairs.filter(|(_, (label, class))| label != class);
    let wrong: Vec<(usize, u8, u8)> = wrong
        .map(|(index, (&label, &class))| (index, label, class))
        .collect();
    if wrong.is_empty() || !are_pictures(images) {
        return None;
    }
    // Files often have one class after the other, so the pictures come from all parts of them.
    let shown = wrong.len().min(PICTURES);
    let places = (0..shown).map(|picture| picture * wrong.len() / shown);
    let pictures = places.map(|place| {
        let (index, label, class) = wrong[place];
        Picture {
            shape: images.shape,
            pixels: images.image(index).to_vec(),
            number: index,
            label: Some(names.name(label.into())),
            found: names.name(class.into()),
        }
    });
    let pictures: Vec<Picture> = pictures.collect();
    let all = counted(wrong.len() as u64, "image");
    let text = match pictures.len() < wrong.len() {
        true => format!("{shown} of {all}, from all parts of the set."),
        false => format!("{all}."),
    };
    Some(Section {
        id: "wrong",
        title: "Images that the model got wrong".to_owned(),
        blocks: vec![Block::text(text), Block::Pictures { pictures }],
    })
}

/// The section of how many images were taken for each class, of images without labels.
pub fn counts(found: &classes::Classes, classes: usize, names: &Classes) -> Section {
    let mut counts = vec![0u32; classes];
    for &(_, class) in found {
        if let Some(count) = counts.get_mut(usize::from(class)) {
            *count += 1;
        }
    }
    let bar = |(class, &count): (usize, &u32)| Bar {
        name: names.name(class),
        parts: vec![(Colour::First, count.into())],
        label: count.to_string(),
    };
    Section {
        id: "classes",
        title: "Classes".to_owned(),
        blocks: vec![Block::Figure(Figure {
            id: "figure-classes",
            caption: "Images by the class that the model found".to_owned(),
            keys: Vec::new(),
            drawing: Drawing::Bars(Bars {
                bars: counts.iter().enumerate().map(bar).collect(),
                mark: None,
            }),
        })],
    }
}

/// The section of images without labels, with the classes that the model found; none if they are no pictures.
pub fn classified(
    images: &Images,
    found: &[u8],
    (first, names): (usize, &Classes),
) -> Option<Section> {
    if !are_pictures(images) {
        return None;
    }
    let pictures = found
        .iter()
        .take(PICTURES)
        .enumerate()
        .map(|(index, &class)| Picture {
            shape: images.shape,
            pixels: images.image(index).to_vec(),
            number: first + index,
            label: None,
            found: names.name(class.into()),
        });
    let pictures: Vec<Picture> = pictures.collect();
    let text = match pictures.len() < found.len() {
        true => format!(
            "The first {} of {} images, and their classes.",
            pictures.len(),
            found.len()
        ),
        false => "All images and their classes.".to_owned(),
    };
    Some(Section {
        id: "images",
        title: "Images".to_owned(),
        blocks: vec![Block::text(text), Block::Pictures { pictures }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_images_are_shown_with_what_they_are_and_were_taken_for() {
        let images = Images {
            shape: [4, 4, 1],
            pixels: (0..48).collect(),
            labels: vec![0, 1, 1],
            classes: Classes::Numbered,
        };
        let names = Classes::given("cat,dog").expect("classes");
        let section = wrong(&images, &[0, 0, 1], &names).expect("a section");
        let Block::Pictures { pictures } = &section.blocks[1] else {
            panic!("{section:?}");
        };
        assert_eq!((pictures.len(), pictures[0].number), (1, 1));
        assert_eq!(
            (pictures[0].found.as_str(), pictures[0].pixels[0]),
            ("cat", 16)
        );
        assert_eq!(pictures[0].label.as_deref(), Some("dog"));
        let many = Images {
            pixels: vec![0; 16 * 2 * PICTURES],
            labels: vec![0; 2 * PICTURES],
            ..images.clone()
        };
        let section = wrong(&many, &[1; 2 * PICTURES], &names).expect("a section");
        let Block::Pictures { pictures } = &section.blocks[1] else {
            panic!("{section:?}");
        };
        assert_eq!(pictures.len(), PICTURES);
        assert_eq!(pictures[PICTURES - 1].number, 2 * PICTURES - 2);
        assert!(wrong(&images, &[0, 1, 1], &names).is_none());
        let features = Images {
            shape: [1, 16, 1],
            ..images
        };
        assert!(wrong(&features, &[1, 1, 1], &names).is_none());
    }
}
