//! The curve of a run: its loss, or the seconds of its iterations if it knows no loss.

use ratatui::{
    buffer::Buffer,
    layout::{Alignment, Rect},
    style::{Color, Style},
    symbols::Marker,
    text::{Line, Span},
    widgets::{Axis, Chart, Dataset, GraphType, Paragraph, Widget},
};

use super::run_state::{Point, RunState};

/// Dots of a curve beside each other in a column of characters.
const DOTS: usize = 2;

/// Draws the curve of a run.
pub fn draw(run: &RunState, area: Rect, buffer: &mut Buffer) {
    let losses = curve(&run.points, area, |point| point.loss);
    let (title, curve) = match losses.is_empty() {
        false => ("loss", losses),
        true => (
            "seconds",
            curve(&run.points, area, |point| Some(point.seconds)),
        ),
    };
    if curve.len() < 2 {
        let text = Line::from("no curve yet").alignment(Alignment::Center);
        return Paragraph::new(text).render(area, buffer);
    }
    let first = run
        .points
        .first()
        .map_or(0.0, |point| f64::from(point.iteration));
    let last = curve.last().map_or(first, |point| point.0);
    let highest = curve.iter().map(|point| point.1).fold(0.0, f64::max);
    let top = if highest > 0.0 { highest } else { 1.0 };
    let label = |value: f64| Span::from(figure(value));
    let dataset = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::new().fg(Color::Cyan))
        .data(&curve);
    let along = Axis::default()
        .bounds([first, last])
        .labels([format!("{first:.0}"), format!("{last:.0}")]);
    let up = Axis::default().title(title).bounds([0.0, top]).labels([
        label(0.0),
        label(top / 2.0),
        label(top),
    ]);
    Chart::new(vec![dataset])
        .x_axis(along)
        .y_axis(up)
        .legend_position(None)
        .render(area, buffer);
}

/// A value in few characters.
fn figure(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v < 0.01 => format!("{v:.0e}"),
        v if v < 10.0 => format!("{v:.2}"),
        v => format!("{v:.0}"),
    }
}

/// The means of neighbouring iterations, as many as the area has dots.
fn curve(points: &[Point], area: Rect, of: impl Fn(&Point) -> Option<f32>) -> Vec<(f64, f64)> {
    let values: Vec<(f64, f64)> = points
        .iter()
        .filter_map(|point| Some((f64::from(point.iteration), f64::from(of(point)?))))
        .filter(|(_, value)| value.is_finite())
        .collect();
    let dots = (DOTS * usize::from(area.width)).max(1);
    let means = values
        .chunks(values.len().div_ceil(dots).max(1))
        .map(|chunk| {
            let sum: f64 = chunk.iter().map(|(_, value)| value).sum();
            (chunk[chunk.len() - 1].0, sum / chunk.len() as f64)
        });
    means.collect()
}
