//! What a report's page holds, whatever it looks like: sections of figures, tables, matrices and pictures.

use serde::Serialize;

/// The page of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// What ran.
    pub heading: String,
    /// Its model and its images, once they are known.
    pub subject: String,
    /// How far it got.
    pub state: State,
    /// What the user is to know of it.
    pub state_text: String,
    /// Seconds until a browser loads the page again, while the run goes on.
    pub refresh: Option<u64>,
    /// The figures that come first.
    pub tiles: Vec<Tile>,
    /// What is not to be overlooked.
    pub warnings: Vec<String>,
    /// All else.
    pub sections: Vec<Section>,
}

/// How far a run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It goes on.
    Running,
    /// It ended as it should.
    Finished,
    /// It ended without its result.
    Failed,
}

/// A figure that comes first.
#[derive(Clone, Debug, Serialize)]
pub struct Tile {
    /// What it is.
    pub name: String,
    /// The figure.
    pub value: String,
    /// What it is to be compared with.
    pub note: String,
}

/// A part of the page with a heading.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading.
    pub title: String,
    /// What it holds.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Block {
    /// A paragraph.
    Text {
        /// Its text.
        text: String,
        /// Whether it tells of a fault.
        bad: bool,
    },
    /// Text as it is, such as a command.
    Code {
        /// The text.
        text: String,
    },
    /// A drawing.
    Figure(Figure),
    /// A table.
    Table(Table),
    /// A confusion matrix.
    Matrix(Matrix),
    /// Pictures side by side.
    Pictures {
        /// The pictures.
        pictures: Vec<Picture>,
    },
}

impl Block {
    /// A paragraph.
    pub fn text(text: impl Into<String>) -> Self {
        Block::Text {
            text: text.into(),
            bad: false,
        }
    }
}

/// A drawing with its caption.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Its anchor.
    pub id: &'static str,
    /// What it shows.
    pub caption: String,
    /// What its colours stand for.
    pub keys: Vec<Key>,
    /// The drawing.
    #[serde(skip)]
    pub drawing: Drawing,
}

/// What a colour stands for.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// What it stands for.
    pub name: String,
    /// The colour.
    pub colour: Colour,
}

/// The colours of drawings. Each has a tone for light pages and one for dark pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// The subject.
    First,
    /// What the subject is compared with.
    Second,
    /// A further part.
    Third,
    /// A fault.
    Bad,
}

/// A drawing.
#[derive(Clone, Debug)]
pub enum Drawing {
    /// Lines through points.
    Curves(Curves),
    /// Horizontal bars.
    Bars(Bars),
    /// A drawing that is there already, as SVG.
    Svg(String),
}

/// Lines through points.
#[derive(Clone, Debug)]
pub struct Curves {
    /// What the axes measure.
    pub axes: [String; 2],
    /// The lines, the most important last.
    pub lines: Vec<Line>,
    /// The ends of the upright axis, if they are given.
    pub limits: Option<[f64; 2]>,
}

/// A line through points.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its colour.
    pub colour: Colour,
    /// Its points, from the left.
    pub points: Vec<(f64, f64)>,
}

/// Horizontal bars, from the top.
#[derive(Clone, Debug)]
pub struct Bars {
    /// The bars.
    pub bars: Vec<Bar>,
    /// The size at which all have a mark, such as a limit.
    pub mark: Option<f64>,
}

/// A horizontal bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Its name, to the left.
    pub name: String,
    /// Its parts, from the left.
    pub parts: Vec<(Colour, f64)>,
    /// Its size in words, to the right.
    pub label: String,
}

/// A table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// Its anchor.
    pub id: &'static str,
    /// The heads of its columns. There may be none.
    pub heads: Vec<String>,
    /// Its rows. The first cell of each is its name.
    pub rows: Vec<Vec<Cell>>,
    /// Whether the last row is the sum of the others.
    pub total: bool,
}

/// A cell of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Its text.
    pub text: String,
    /// How it looks.
    pub look: Look,
}

/// How a cell of a table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Look {
    /// As words.
    Words,
    /// As a number.
    Number,
    /// As what is right.
    Good,
    /// As a fault.
    Bad,
}

impl Cell {
    /// A cell of words.
    pub fn words(text: impl Into<String>) -> Self {
        Cell {
            text: text.into(),
            look: Look::Words,
        }
    }

    /// A cell with a number.
    pub fn number(text: impl ToString) -> Self {
        Cell {
            text: text.to_string(),
            look: Look::Number,
        }
    }

    /// A cell with a count.
    pub fn count(count: u64) -> Self {
        Cell::number(grouped(count))
    }

    /// A cell with a verdict.
    pub fn verdict(text: impl Into<String>, good: bool) -> Self {
        Cell {
            text: text.into(),
            look: if good { Look::Good } else { Look::Bad },
        }
    }
}

/// A count with narrow spaces between its thousands.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A confusion matrix.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// The classes.
    pub names: Vec<String>,
    /// A row for each label.
    pub rows: Vec<MatrixRow>,
}

/// The row of a label.
#[derive(Clone, Debug, Serialize)]
pub struct MatrixRow {
    /// The label.
    pub name: String,
    /// A cell for each class.
    pub cells: Vec<MatrixCell>,
    /// The part of the label's images that is right.
    pub right: String,
}

/// How many images of a label were taken for a class.
#[derive(Clone, Debug, Serialize)]
pub struct MatrixCell {
    /// How many.
    pub count: u32,
    /// Percent of the label's images.
    pub percent: u32,
    /// Whether the class is the label.
    pub right: bool,
}

/// An image with what was found in it.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// Its number.
    pub number: usize,
    /// Rows, columns and channels.
    #[serde(skip)]
    pub shape: [usize; 3],
    /// Its pixels.
    #[serde(skip)]
    pub pixels: Vec<u8>,
    /// What it is, if that is known.
    pub label: Option<String>,
    /// What was found in it.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_kept_apart() {
        let texts = [0, 999, 1000, 1234567].map(grouped);
        assert_eq!(
            texts,
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
    }
}
