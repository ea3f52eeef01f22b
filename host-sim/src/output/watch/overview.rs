//! The list of all runs.

use std::time::SystemTime;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Cell, Row, Table, Widget},
};

use super::{
    dashboard::Dashboard,
    run_state::{RunState, Status},
};
use crate::output::amounts::span;

/// The columns: their names and widths. The first takes what is left.
const COLUMNS: [(&str, u16); 7] = [
    ("run", 14),
    ("role", 6),
    ("iteration", 13),
    ("left", 7),
    ("loss", 6),
    ("right", 7),
    ("state", 14),
];

/// Draws a line for each run, as many as there is room for, the chosen one among them.
pub fn draw(dashboard: &Dashboard, now: SystemTime, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.height.saturating_sub(1)).max(1);
    let first = (dashboard.chosen + 1).saturating_sub(room);
    let rows = dashboard.runs.iter().enumerate().skip(first).take(room);
    let others: u16 = COLUMNS[1..].iter().map(|(_, width)| 1 + width).sum();
    let room = usize::from(area.width.saturating_sub(others));
    let rows = rows.map(|(place, run)| row(run, now, (place == dashboard.chosen, room)));
    let widths = COLUMNS.map(|(name, width)| match name {
        "run" => Constraint::Min(width),
        _ => Constraint::Length(width),
    });
    let names = COLUMNS.map(|(name, _)| match name {
        "run" => "  run".to_owned(),
        name => name.to_owned(),
    });
    let head = Row::new(names).style(Style::new().add_modifier(Modifier::DIM));
    let table = Table::new(rows, widths).header(head).column_spacing(1);
    Widget::render(table, area, buffer);
}

/// The row of a run, whose mark and name have so much `room`.
fn row(run: &RunState, now: SystemTime, (is_chosen, room): (bool, usize)) -> Row<'_> {
    let mark = if is_chosen { "> " } else { "  " };
    let role = run.facts.as_ref().map_or("", |facts| facts.role.as_str());
    let steps = match run.total() {
        Some(total) => format!("{}/{total}", run.done()),
        None => run.done().to_string(),
    };
    let left = run.seconds_left(now).map_or(String::new(), span);
    let loss = run.last.as_ref().and_then(|last| last.loss);
    let loss = loss.map_or(String::new(), |loss| format!("{loss:.3}"));
    let right = run
        .accuracies
        .iter()
        .rev()
        .find_map(|accuracy| accuracy.model);
    let (state, colour) = state(&run.status(now));
    let (state, colour) = match (colour, run.audits.unsound.is_empty()) {
        (Some(Color::Red), _) | (_, true) => (state, colour),
        (_, false) => (format!("{state}, RANGE"), Some(Color::Red)),
    };
    let state = Line::styled(
        state,
        colour.map_or(Style::new(), |colour| Style::new().fg(colour)),
    );
    let weight = match is_chosen {
        true => Modifier::BOLD,
        false => Modifier::empty(),
    };
    let cells: [Cell<'_>; 7] = [
        format!("{mark}{}", tail(&run.name, room.saturating_sub(mark.len()))).into(),
        role.into(),
        steps.into(),
        left.into(),
        loss.into(),
        right.map_or(String::new(), percent).into(),
        state.into(),
    ];
    Row::new(cells).style(Style::new().add_modifier(weight))
}

/// The state of a run in few words, and its colour.
fn state(status: &Status) -> (String, Option<Color>) {
    match status {
        Status::Waiting(why) => ((*why).to_owned(), Some(Color::Yellow)),
        Status::Running => ("runs".to_owned(), Some(Color::Green)),
        Status::Silent(time) => (
            format!("silent {}", span(time.as_secs_f64())),
            Some(Color::Red),
        ),
        Status::Done => ("done".to_owned(), Some(Color::Cyan)),
        Status::Failed(_) => ("FAILED".to_owned(), Some(Color::Red)),
        Status::CutOff => ("cut off".to_owned(), Some(Color::Red)),
        Status::Gone => ("gone".to_owned(), Some(Color::Red)),
        Status::Unreadable(_) => ("unreadable".to_owned(), Some(Color::Red)),
    }
}

/// A part of all, in percent.
pub fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

/// The end of a name that is too long, which tells runs apart.
fn tail(name: &str, most: usize) -> String {
    let count = name.chars().count();
    match count > most {
        true => {
            let end: String = name
                .chars()
                .skip((count + 1).saturating_sub(most))
                .collect();
            format!("…{end}")
        }
        false => name.to_owned(),
    }
}
