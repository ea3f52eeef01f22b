//! All that is known of one run.

use std::time::SystemTime;

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, Borders, Gauge, Paragraph, Widget, Wrap},
};

use super::{
    chart,
    overview::percent,
    run_state::{RunState, Status},
};
use crate::output::amounts::{bytes, counted, span};

/// Columns of the accuracies, beside the curve.
const ACCURACIES: u16 = 32;

/// Draws a run: what it is, how far it is, its curve, accuracies, traffic, audits and damage.
pub fn draw(run: &RunState, now: SystemTime, area: Rect, buffer: &mut Buffer) {
    let head = Block::new()
        .borders(Borders::TOP)
        .title(format!(" {} ", run.name));
    let inner = head.inner(area);
    head.render(area, buffer);
    let told = state_lines(run, now);
    let notes = notes(run);
    let [what, bar, state, middle, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(told.1),
        Constraint::Min(6),
        Constraint::Length(notes.len() as u16),
    ])
    .areas(inner);
    Paragraph::new(facts(run)).render(what, buffer);
    gauge(run, bar, buffer);
    let told = Paragraph::new(told.0).wrap(Wrap { trim: true });
    told.render(state, buffer);
    let [left, right] =
        Layout::horizontal([Constraint::Min(20), Constraint::Length(ACCURACIES)]).areas(middle);
    chart::draw(run, left, buffer);
    accuracies(run, right, buffer);
    Paragraph::new(notes).render(below, buffer);
}

/// What the run is.
fn facts(run: &RunState) -> String {
    let Some(facts) = &run.facts else {
        return "the file does not say what the run is".to_owned();
    };
    let [p0, p1] = facts.samples;
    let task = match facts.task.as_str() {
        "train" => "training",
        "predict" => "classifying by",
        _ => "evaluating",
    };
    format!(
        "{task} {}, batch {}, {p0} images of p0 and {p1} of p1, version {}",
        facts.model, facts.batch, facts.version
    )
}

fn gauge(run: &RunState, area: Rect, buffer: &mut Buffer) {
    let (done, step) = (run.done(), run.step());
    let Some(total) = run.total().filter(|total| *total > 0) else {
        return Line::from(format!("{step} {done}")).render(area, buffer);
    };
    let part = (f64::from(done) / f64::from(total)).clamp(0.0, 1.0);
    let per_epoch = run
        .facts
        .as_ref()
        .map_or(0, |facts| facts.iterations_per_epoch);
    let epoch = match step {
        "iteration" if per_epoch > 0 => format!(", epoch {}", done.div_ceil(per_epoch).max(1)),
        _ => String::new(),
    };
    Gauge::default()
        .gauge_style(Style::new().fg(Color::Blue))
        .ratio(part)
        .label(format!(
            "{step} {done} of {total}{epoch} ({:.0} %)",
            100.0 * part
        ))
        .render(area, buffer);
}

/// Whether the run goes on, how fast and how long; and how many lines that takes.
fn state_lines(run: &RunState, now: SystemTime) -> (Line<'static>, u16) {
    let red = |text: String| Line::from(text).fg(Color::Red).add_modifier(Modifier::BOLD);
    let seconds = run.iteration_seconds();
    match run.status(now) {
        Status::Running => {
            let rate = seconds.map(|s| match s < 1.0 {
                true => format!("{:.1} {}s a second", 1.0 / s, run.step()),
                false => format!("{s:.1} s a {}", run.step()),
            });
            let left = run.seconds_left(now);
            let left = left.map(|left| format!("about {} left", span(left)));
            let told: Vec<String> = rate.into_iter().chain(left).collect();
            match told.is_empty() {
                true => (Line::from("it has begun").fg(Color::Green), 1),
                false => (Line::from(told.join(", ")).fg(Color::Green), 1),
            }
        }
        Status::Waiting(why) => (Line::from(format!("waiting: {why}")).fg(Color::Yellow), 1),
        Status::Silent(time) => {
            let time = span(time.as_secs_f64());
            (
                red(format!("no line for {time}: it is stuck, or was killed")),
                1,
            )
        }
        Status::Done => {
            let seconds = run.end.as_ref().map_or(0.0, |end| end.seconds);
            (
                Line::from(format!("done after {}", span(seconds))).fg(Color::Cyan),
                1,
            )
        }
        Status::Failed(why) => (red(format!("FAILED: {why}")), 2),
        Status::CutOff => (
            red("the pipe is closed, and the run told no end: it may go on elsewhere".to_owned()),
            1,
        ),
        Status::Gone => (
            red("the file is gone; what follows is what it told".to_owned()),
            1,
        ),
        Status::Unreadable(why) => (red(format!("it cannot be read: {why}")), 2),
    }
}

/// The last accuracies, as many as there is room for.
fn accuracies(run: &RunState, area: Rect, buffer: &mut Buffer) {
    let known: Vec<_> = run
        .accuracies
        .iter()
        .filter(|accuracy| accuracy.model.is_some() || accuracy.twin.is_some())
        .collect();
    let dim = Style::new().add_modifier(Modifier::DIM);
    let mut lines = Vec::new();
    if known.is_empty() {
        lines.push(Line::styled(" no accuracy so far", dim));
    } else {
        lines.push(Line::styled(
            format!(" {:<13}{:>8}{:>9}", "accuracy", "model", "twin"),
            dim,
        ));
    }
    let room = usize::from(area.height).saturating_sub(lines.len() + 1);
    for accuracy in &known[known.len().saturating_sub(room)..] {
        let [model, twin] =
            [accuracy.model, accuracy.twin].map(|part| part.map_or("-".to_owned(), percent));
        lines.push(Line::from(format!(
            " {:<13}{model:>8} {twin:>8}",
            accuracy.label
        )));
    }
    if run.epochs > 0 {
        let plural = if run.epochs == 1 { " is" } else { "s are" };
        lines.push(Line::styled(
            format!(" {} epoch{plural} over", run.epochs),
            dim,
        ));
    }
    Paragraph::new(lines).render(area, buffer);
}

/// Traffic, audits and damage.
fn notes(run: &RunState) -> Vec<Line<'static>> {
    let mut lines = traffic(run);
    let audits = &run.audits;
    lines.push(match (audits.unsound.last(), audits.audited.len()) {
        (Some(last), _) => Line::from(format!(
            "OUT OF RANGE in {}; last: {} in {} {}, {}",
            counted(audits.unsound.len() as u64, run.step()),
            counted(last.values, "value"),
            run.step(),
            last.iteration,
            last.place,
        ))
        .fg(Color::Red)
        .add_modifier(Modifier::BOLD),
        (None, 0) => Line::from("no audits").add_modifier(Modifier::DIM),
        (None, 1) => Line::from("1 audit found no value out of range"),
        (None, count) => Line::from(format!("{count} audits found no value out of range")),
    });
    let damage = &run.damage;
    if let Some((line, why)) = &damage.last {
        let plural = if damage.count == 1 { "" } else { "s" };
        let text = format!(
            "{} damaged line{plural}; the last is line {line}: {why}",
            damage.count
        );
        lines.push(Line::from(text).fg(Color::Yellow));
    }
    lines
}

fn traffic(run: &RunState) -> Vec<Line<'static>> {
    let Some(last) = &run.last else {
        return Vec::new();
    };
    let pairs = [
        ("p0 sends", last.online_bytes_p0, run.sent[0]),
        ("p1 sends", last.online_bytes_p1, run.sent[1]),
        ("p0 is dealt", last.dealer_bytes_p0, run.dealt[0]),
        ("p1 is dealt", last.dealer_bytes_p1, run.dealt[1]),
    ];
    let told: Vec<String> = pairs
        .into_iter()
        .filter_map(|(who, now, all)| Some(format!("{who} {} ({})", bytes(now?), bytes(all))))
        .collect();
    let mut lines: Vec<Line<'static>> = told.chunks(2).map(|two| two.join(", ").into()).collect();
    let what = format!(
        "{} rounds; bytes are of this {} (of all)",
        last.rounds,
        run.step()
    );
    lines.push(Line::from(Span::styled(
        what,
        Style::new().add_modifier(Modifier::DIM),
    )));
    lines
}
