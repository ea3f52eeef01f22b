//! The whole screen, and the same as text.

use std::time::SystemTime;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style, Stylize},
    text::Line,
    widgets::{Paragraph, Widget, Wrap},
};

use super::{dashboard::Dashboard, detail, overview};
use crate::output::amounts::counted;

/// The smallest screen.
const WIDTH: u16 = 80;
const HEIGHT: u16 = 24;

/// Lines of a run in the text.
const TEXT_HEIGHT: u16 = 18;

/// The most runs of the list that are shown at a time on the smallest screen.
const LISTED: u16 = 4;

/// Draws the dashboard, or that there is no room for it.
pub fn draw(dashboard: &Dashboard, now: SystemTime, area: Rect, buffer: &mut Buffer) {
    if area.width < WIDTH || area.height < HEIGHT {
        let text = format!(
            "{}x{} is too small: ringlet watch needs {WIDTH}x{HEIGHT}. Make the window larger, or leave with q and use --once.",
            area.width, area.height
        );
        return Paragraph::new(text)
            .wrap(Wrap { trim: true })
            .render(area, buffer);
    }
    let count = dashboard.runs.len() as u16;
    let listed = count.min(LISTED + (area.height - HEIGHT) / 2);
    let [title, list, chosen, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1 + listed),
        Constraint::Min(10),
        Constraint::Length(1),
    ])
    .areas(area);
    let more = match count > listed {
        true => format!(", {listed} of them listed"),
        false => String::new(),
    };
    let text = format!("ringlet watch: {}{more}", counted(count.into(), "run"));
    Line::from(text)
        .add_modifier(Modifier::BOLD)
        .render(title, buffer);
    overview::draw(dashboard, now, list, buffer);
    if let Some(run) = dashboard.chosen() {
        detail::draw(run, now, chosen, buffer);
    }
    let keys_text = match count {
        0 | 1 => "q leaves",
        _ => "q leaves   Tab and arrows choose a run",
    };
    Line::styled(keys_text, Style::new().add_modifier(Modifier::DIM)).render(keys, buffer);
}

/// The list and all runs, as text of 80 columns.
pub fn text(dashboard: &Dashboard, now: SystemTime) -> String {
    let runs = &dashboard.runs;
    let height = 1 + runs.len() as u16;
    let mut text = drawn(height, |area, buffer| {
        overview::draw(dashboard, now, area, buffer);
    });
    for run in runs {
        text += &drawn(TEXT_HEIGHT, |area, buffer| {
            detail::draw(run, now, area, buffer)
        });
    }
    text
}

fn drawn(height: u16, draw: impl FnOnce(Rect, &mut Buffer)) -> String {
    let area = Rect::new(0, 0, WIDTH, height);
    let mut buffer = Buffer::empty(area);
    draw(area, &mut buffer);
    lines(&buffer)
}

/// The characters of a screen, without blanks at the ends of lines.
fn lines(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for line in buffer.content.chunks(width) {
        let mut skipped = 0;
        let mut whole = String::new();
        for cell in line {
            // A wide character takes the cells behind it.
            if skipped == 0 {
                whole += cell.symbol();
                skipped = Line::from(cell.symbol()).width().max(1);
            }
            skipped -= 1;
        }
        text += whole.trim_end();
        text.push('\n');
    }
    text
}
