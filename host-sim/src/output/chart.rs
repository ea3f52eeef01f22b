//! Bar charts as SVG.

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{error::Failure, output::amounts::bytes};

/// A bar, made of parts on top of each other.
#[derive(Clone, Debug)]
pub struct Bar<'a> {
    /// The label below it.
    pub name: &'a str,
    /// Bytes of each part, from the bottom up.
    pub parts: Vec<u64>,
}

impl Bar<'_> {
    fn total(&self) -> u64 {
        self.parts.iter().sum()
    }
}

/// Bars that share their axes.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    /// The title above the bars.
    pub title: &'a str,
    /// The bars, from the left.
    pub bars: Vec<Bar<'a>>,
}

/// Pixels of the chart and of the space around the bars.
const HEIGHT: u32 = 600;
const BAR_WIDTH: u32 = 110;
const AXIS_WIDTH: u32 = 100;
const LEGEND_WIDTH: u32 = 220;
const TITLE_HEIGHT: u32 = 56;

/// Height of a line of the legend.
const LEGEND_LINE: i32 = 22;

/// Draws panels side by side. `parts` names the parts of the bars, of which the last is grey; `amount` labels the axis of
/// bytes.
pub fn draw(
    title: &str,
    amount: &str,
    panels: &[Panel<'_>],
    parts: &[&str],
) -> Result<String, Failure> {
    let mut svg = String::new();
    paint(&mut svg, title, amount, panels, parts).map_err(|error| {
        Failure::new(
            format!("the chart cannot be drawn: {error}"),
            "report this with the command",
        )
    })?;
    Ok(svg)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn paint(
    svg: &mut String,
    title: &str,
    amount: &str,
    panels: &[Panel<'_>],
    parts: &[&str],
) -> Drawn {
    let widths = panels
        .iter()
        .map(|panel| AXIS_WIDTH + BAR_WIDTH * panel.bars.len() as u32);
    let width = widths.clone().sum::<u32>() + LEGEND_WIDTH;
    let legend = (LEGEND_LINE * (parts.len() as i32 + 1)) as u32;
    let height = HEIGHT.max(2 * TITLE_HEIGHT + legend);
    let root = SVGBackend::with_string(svg, (width, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, mut rest) = root.split_vertically(TITLE_HEIGHT);
    let place = text(24, &BLACK, HPos::Center, VPos::Center);
    head.draw_text(title, &place, (width as i32 / 2, TITLE_HEIGHT as i32 / 2))?;
    for (panel, width) in panels.iter().zip(widths) {
        let (area, others) = rest.split_horizontally(width);
        bars(&area, amount, panel, parts.len())?;
        rest = others;
    }
    let (_, legend) = rest.split_vertically(TITLE_HEIGHT);
    explain(&legend, parts)?;
    root.present()?;
    Ok(())
}

/// Draws one panel with its axes.
fn bars(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    amount: &str,
    panel: &Panel<'_>,
    parts: usize,
) -> Drawn {
    let tallest = panel.bars.iter().map(Bar::total).max().unwrap_or(0).max(1) as f64;
    let (unit, unit_name) = match tallest {
        t if t >= 1e9 => (1e9, "GB"),
        t if t >= 1e6 => (1e6, "MB"),
        t if t >= 1e3 => (1e3, "kB"),
        _ => (1.0, "bytes"),
    };
    // Room for the figures on top.
    let top = 1.1 * tallest / unit;
    // A range of segments includes its end.
    let last = panel.bars.len().saturating_sub(1);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, text(17, &BLACK, HPos::Center, VPos::Top))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((0..last).into_segmented(), 0.0..top)?;
    let name = |place: &SegmentValue<usize>| match place {
        SegmentValue::CenterOf(index) => panel.bars.get(*index).map_or("", |bar| bar.name),
        _ => "",
    };
    chart
        .configure_mesh()
        // Lines would run through the figures on the bars.
        .disable_mesh()
        .x_labels(panel.bars.len())
        .x_label_formatter(&|place| name(place).to_owned())
        .y_label_formatter(&|value| format!("{}", (value * 1e3).round() / 1e3))
        .y_desc(format!("{amount}, {unit_name}"))
        .label_style(text(14, &BLACK, HPos::Left, VPos::Top))
        .axis_desc_style(text(15, &BLACK, HPos::Left, VPos::Top))
        .draw()?;
    for (index, bar) in panel.bars.iter().enumerate() {
        let mut below = 0.0;
        for (part, &size) in bar.parts.iter().enumerate().filter(|(_, size)| **size > 0) {
            let above = below + size as f64 / unit;
            let corners = [
                (SegmentValue::Exact(index), below),
                (SegmentValue::Exact(index + 1), above),
            ];
            let mut shape = Rectangle::new(corners, colour(part, parts).filled());
            shape.set_margin(0, 0, BAR_WIDTH / 5, BAR_WIDTH / 5);
            chart.draw_series([shape])?;
            below = above;
        }
        let style = text(14, &BLACK, HPos::Center, VPos::Bottom);
        let place = EmptyElement::at((SegmentValue::CenterOf(index), below));
        chart.draw_series([place + Text::new(bytes(bar.total()), (0, -5), style)])?;
    }
    Ok(())
}

/// Draws the legend, in the order of the parts in a bar.
fn explain(area: &DrawingArea<SVGBackend<'_>, Shift>, parts: &[&str]) -> Drawn {
    let style = text(15, &BLACK, HPos::Left, VPos::Center);
    for (row, (part, name)) in parts.iter().enumerate().rev().enumerate() {
        let top = LEGEND_LINE * row as i32;
        let corners = [(10, top), (24, top + 14)];
        area.draw(&Rectangle::new(corners, colour(part, parts.len()).filled()))?;
        area.draw_text(name, &style, (32, top + 7))?;
    }
    Ok(())
}

fn text(size: i32, colour: &RGBColor, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    ("sans-serif", size)
        .into_font()
        .color(colour)
        .pos(Pos::new(horizontal, vertical))
}

/// The colour of a part: one hue for a linear map and the activation after it, dark for the map; grey for the last part.
fn colour(part: usize, parts: usize) -> HSLColor {
    if part + 1 == parts {
        return HSLColor(0.0, 0.0, 0.45);
    }
    let pairs = parts.div_ceil(2).max(1);
    // Starts at blue, and stops before it comes round to blue again.
    let hue = (0.58 + (part / 2) as f64 / pairs as f64) % 1.0;
    let lightness = if part.is_multiple_of(2) { 0.38 } else { 0.66 };
    HSLColor(hue, 0.6, lightness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_on_each_other_and_reach_the_same_height_for_the_same_bytes() {
        let bar = |name, parts: &[u64]| Bar {
            name,
            parts: parts.to_vec(),
        };
        let panel = Panel {
            title: "panel",
            bars: vec![
                bar("one", &[3000, 0, 1000]),
                bar("two", &[1000, 2000, 1000]),
            ],
        };
        let svg = draw("title", "sent", &[panel], &["a", "b", "c"]).expect("a chart");
        let field = |line: &str, name: &str| -> i32 {
            let value = line.split(&format!(" {name}=\"")).nth(1);
            let value = value.and_then(|rest| rest.split('"').next());
            value
                .and_then(|value| value.parse().ok())
                .expect("a number")
        };
        let rects: Vec<[i32; 4]> = svg
            .lines()
            .filter(|line| line.starts_with("<rect"))
            .map(|line| ["x", "y", "width", "height"].map(|name| field(line, name)))
            .collect();
        // The background, five parts of some size, three entries of the legend.
        assert_eq!(rects.len(), 1 + 5 + 3);
        let [width, height] = [rects[0][2], rects[0][3]];
        for [x, y, w, h] in &rects {
            assert!(*x >= 0 && *y >= 0 && x + w <= width && y + h <= height);
        }
        let ([one, two], near) = ([&rects[1..3], &rects[3..6]], |a: i32, b: i32| {
            (a - b).abs() < 3
        });
        for bar in [one, two] {
            for pair in bar.windows(2) {
                assert!(near(pair[0][1], pair[1][1] + pair[1][3]), "{bar:?}");
            }
        }
        assert!(near(one[1][1], two[2][1]), "{rects:?}");
        assert!(near(one[0][3], 3 * two[0][3]), "{rects:?}");
        assert!(svg.contains("4.00 kB") && svg.contains("sent, kB"));
    }

    #[test]
    fn neighbours_differ_in_colour() {
        let colours: Vec<_> = (0..24).map(|part| colour(part, 24).rgb()).collect();
        for pair in colours.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        let distinct: std::collections::HashSet<_> = colours.iter().collect();
        assert_eq!(distinct.len(), colours.len());
    }
}
