//! Drawings as SVG whose colours follow those of the page.

use std::error::Error;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::page::{Bars, Colour, Curves, Drawing};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Stand-ins for the colours of the page, which plotters can write, and what they become.
const PAGE_COLOURS: [(RGBColor, &str); 7] = [
    (INK, "var(--ink)"),
    (FAINT, "var(--faint)"),
    (RULE, "var(--rule)"),
    (RGBColor(1, 2, 4), "var(--first)"),
    (RGBColor(1, 2, 5), "var(--second)"),
    (RGBColor(1, 2, 6), "var(--third)"),
    (RGBColor(1, 2, 7), "var(--bad)"),
];
const INK: RGBColor = RGBColor(1, 2, 1);
const FAINT: RGBColor = RGBColor(1, 2, 2);
const RULE: RGBColor = RGBColor(1, 2, 3);

/// Pixels of a drawing.
const WIDTH: u32 = 720;
const CURVES_HEIGHT: u32 = 300;
const BAR_HEIGHT: i32 = 24;
const TEXT: i32 = 13;
/// Columns for a letter of a bar's name, and for its label.
const LETTER_WIDTH: i32 = 8;
const LABEL_WIDTH: i32 = 130;
/// The most characters of a bar's name.
const NAME_LETTERS: usize = 26;

/// A drawing as SVG.
pub fn svg(drawing: &Drawing) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    match drawing {
        Drawing::Curves(lines) => curves(&mut svg, lines)?,
        Drawing::Bars(chart) => bars(&mut svg, chart)?,
        Drawing::Svg(drawn) => svg.push_str(&drawn.replace("\"#FFFFFF\"", "\"var(--card)\"")),
    }
    for (stand_in, colour) in PAGE_COLOURS {
        let RGBColor(red, green, blue) = stand_in;
        let written = format!("\"#{red:02X}{green:02X}{blue:02X}\"");
        svg = svg.replace(&written, &format!("\"{colour}\""));
    }
    // Within a page no name of the format is needed, and black is the colour of text.
    Ok(svg
        .replace(" xmlns=\"http://www.w3.org/2000/svg\"", "")
        .replace("\"#000000\"", "\"var(--ink)\""))
}

fn colour(colour: Colour) -> RGBColor {
    PAGE_COLOURS[match colour {
        Colour::First => 3,
        Colour::Second => 4,
        Colour::Third => 5,
        Colour::Bad => 6,
    }]
    .0
}

fn text(colour: RGBColor, horizontal: HPos) -> TextStyle<'static> {
    ("sans-serif", TEXT)
        .into_font()
        .color(&colour)
        .pos(Pos::new(horizontal, VPos::Center))
}

/// The ends of an axis on which these values lie, with room around them.
fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let known = values.filter(|value| value.is_finite());
    let (low, high) = known.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return [0.0, 1.0];
    }
    let room = ((high - low) * 0.06).max(high.abs() * 0.01).max(1e-9);
    [
        if low >= 0.0 {
            (low - room).max(0.0)
        } else {
            low - room
        },
        high + room,
    ]
}

fn curves(svg: &mut String, chart: &Curves) -> Drawn {
    let root = SVGBackend::with_string(svg, (WIDTH, CURVES_HEIGHT)).into_drawing_area();
    let points = || chart.lines.iter().flat_map(|line| line.points.iter());
    let [left, right] = {
        let places = points().map(|&(x, _)| x);
        let (low, high) = places.fold((f64::MAX, f64::MIN), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        // A single point gets room on both sides.
        match low < high {
            true => [low, high],
            false => [low - 1.0, low + 1.0],
        }
    };
    let [low, high] = chart
        .limits
        .unwrap_or_else(|| ends(points().map(|&(_, y)| y)));
    let mut builder = ChartBuilder::on(&root);
    builder
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(62);
    let mut area = builder.build_cartesian_2d(left..right, low..high)?;
    let number = |value: &f64| format!("{}", (value * 1e3).round() / 1e3);
    // Epochs and iterations are counted in whole numbers.
    let whole = |value: &f64| match (value - value.round()).abs() < 1e-6 {
        true => number(value),
        false => String::new(),
    };
    area.configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(RULE)
        .axis_style(FAINT)
        .x_labels(10)
        .y_labels(6)
        .x_label_formatter(&whole)
        .y_label_formatter(&number)
        .x_desc(&chart.axes[0])
        .y_desc(&chart.axes[1])
        .label_style(text(FAINT, HPos::Left))
        .axis_desc_style(text(INK, HPos::Left))
        .draw()?;
    for line in &chart.lines {
        // What the subject is compared with lies below it, and is wide enough to be seen there.
        let (width, strength) = match line.colour {
            Colour::Second => (6, 0.55),
            _ => (2, 1.0),
        };
        let style = colour(line.colour).mix(strength).stroke_width(width);
        let known = line.points.iter().filter(|(_, y)| y.is_finite()).copied();
        let known: Vec<(f64, f64)> = known.collect();
        let few = known.len() <= 40;
        area.draw_series([PathElement::new(known.clone(), style)])?;
        if few {
            let dots = known.iter();
            area.draw_series(
                dots.map(|&point| Circle::new(point, 2 + width / 2, style.color.filled())),
            )?;
        }
    }
    root.present()?;
    Ok(())
}

fn bars(svg: &mut String, chart: &Bars) -> Drawn {
    let height = BAR_HEIGHT * chart.bars.len() as i32 + 8;
    let root = SVGBackend::with_string(svg, (WIDTH, height as u32)).into_drawing_area();
    let sizes = chart
        .bars
        .iter()
        .map(|bar| bar.parts.iter().map(|(_, size)| size).sum());
    let longest = sizes
        .chain(chart.mark)
        .filter(|size: &f64| size.is_finite())
        .fold(0.0, f64::max);
    let letters = chart.bars.iter().map(|bar| bar.name.chars().count());
    let letters = letters.max().unwrap_or(0).min(NAME_LETTERS) as i32;
    let [from, to] = [LETTER_WIDTH * letters + 24, WIDTH as i32 - LABEL_WIDTH];
    let place = |size: f64| match longest > 0.0 {
        true => from + (f64::from(to - from) * (size / longest).clamp(0.0, 1.0)).round() as i32,
        false => from,
    };
    for (row, bar) in chart.bars.iter().enumerate() {
        let top = 4 + BAR_HEIGHT * row as i32;
        one_bar(&root, bar, top, &place)?;
    }
    if let Some(mark) = chart.mark {
        let line = [(place(mark), 2), (place(mark), height - 2)];
        root.draw(&PathElement::new(line, FAINT.stroke_width(1)))?;
    }
    root.present()?;
    Ok(())
}

fn one_bar(root: &Area<'_>, bar: &super::page::Bar, top: i32, place: &dyn Fn(f64) -> i32) -> Drawn {
    let middle = top + BAR_HEIGHT / 2;
    let name = match bar.name.chars().count() > NAME_LETTERS {
        true => bar
            .name
            .chars()
            .take(NAME_LETTERS - 1)
            .chain(['…'])
            .collect(),
        false => bar.name.clone(),
    };
    root.draw_text(&name, &text(INK, HPos::Right), (place(0.0) - 10, middle))?;
    let mut size = 0.0;
    for &(part, length) in &bar.parts {
        let corners = [
            (place(size), top + 4),
            (place(size + length), top + BAR_HEIGHT - 4),
        ];
        if corners[0].0 < corners[1].0 {
            root.draw(&Rectangle::new(corners, colour(part).filled()))?;
        }
        size += length;
    }
    let after = (place(size) + 8, middle);
    root.draw_text(&bar.label, &text(FAINT, HPos::Left), after)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::page::{Bar, Line};
    use super::*;

    #[test]
    fn drawings_have_the_colours_of_the_page_alone() {
        let line = |colour, points: &[(f64, f64)]| Line {
            colour,
            points: points.to_vec(),
        };
        let curves = Drawing::Curves(Curves {
            axes: ["<script>".to_owned(), "y & z".to_owned()],
            lines: vec![
                line(Colour::First, &[(1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0)]),
                line(Colour::Second, &[]),
            ],
            limits: None,
        });
        let bars = Drawing::Bars(Bars {
            bars: vec![Bar {
                name: "<script>alert(1)</script> and more".to_owned(),
                parts: vec![(Colour::Third, 2.0), (Colour::Bad, 1.0)],
                label: "3".to_owned(),
            }],
            mark: Some(6.0),
        });
        for drawing in [curves, bars] {
            let svg = svg(&drawing).expect("a drawing");
            assert!(
                svg.starts_with("<svg") && svg.contains("var(--ink)"),
                "{svg}"
            );
            assert!(!svg.contains("\"#") && !svg.contains("http:"), "{svg}");
            assert!(
                !svg.contains("<script") && svg.contains("&lt;script"),
                "{svg}"
            );
            assert!(!svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn one_point_and_none_can_be_drawn() {
        for points in [vec![], vec![(1.0, 0.5)], vec![(1.0, f64::NAN)]] {
            let line = Line {
                colour: Colour::First,
                points,
            };
            let curves = Curves {
                axes: Default::default(),
                lines: vec![line],
                limits: None,
            };
            svg(&Drawing::Curves(curves)).expect("a drawing");
        }
        let none = Bars {
            bars: Vec::new(),
            mark: None,
        };
        svg(&Drawing::Bars(none)).expect("a drawing");
    }
}
