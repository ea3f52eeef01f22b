//! Folding and drawing of whole dashboards.

use std::time::{Duration, SystemTime};

use ratatui::{Terminal, backend::TestBackend};

use super::{
    dashboard::Dashboard,
    run_state::{RunState, Status},
    screen,
};
use crate::data::line_follower::{News, SourceState};

const RUN: &str = r#"{"kind":"run","version":"1.2.3","role":"train","task":"train","model":"digits8","iterations":40,"iterations_per_epoch":20,"batch":16,"samples":[300,20],"done":0}"#;

fn iteration(iteration: u32, loss: &str) -> String {
    format!(
        r#"{{"kind":"iteration","iteration":{iteration},"seconds":0.5,"online_bytes_p0":1000,"online_bytes_p1":2000,"dealer_bytes_p0":0,"dealer_bytes_p1":5000000,"loss":{loss},"rounds":24,"opened_values":7,"layers":[]}}"#
    )
}

fn epoch(epoch: u32) -> String {
    format!(
        r#"{{"kind":"epoch","epoch":{epoch},"whole":true,"accuracy":0.9767,"twin_accuracy":0.9775,"seconds":9.0}}"#
    )
}

/// A run of two epochs of 20 iterations, of which so many are done.
fn run(name: &str, done: u32) -> RunState {
    let mut run = RunState::new(name);
    tell(&mut run, RUN);
    for number in 1..=done {
        let loss = format!("{}", 2.0 / f64::from(number));
        tell(&mut run, &iteration(number, &loss));
        if number % 20 == 0 {
            tell(&mut run, &epoch(number / 20));
        }
    }
    run.source = Some(SourceState::Open);
    run.heard = Some(SystemTime::now());
    run
}

fn tell(run: &mut RunState, line: &str) {
    run.take(&News::Line(line.as_bytes()));
}

fn dashboard(runs: Vec<RunState>) -> Dashboard {
    let mut dashboard = Dashboard::new(Vec::new());
    dashboard.runs = runs;
    dashboard
}

/// The lines of a screen of this size.
fn drawn(dashboard: &Dashboard, [width, height]: [u16; 2]) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let now = SystemTime::now();
    let frame = terminal
        .draw(|frame| screen::draw(dashboard, now, frame.area(), frame.buffer_mut()))
        .expect("a frame");
    let cells = frame.buffer.content.chunks(width.into());
    cells
        .map(|line| line.iter().map(|cell| cell.symbol()).collect())
        .collect()
}

fn contains(lines: &[String], wanted: &[&str]) {
    for text in wanted {
        assert!(
            lines.iter().any(|line| line.contains(text)),
            "no `{text}`:\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn a_run_tells_how_far_it_is() {
    let run = run("a", 30);
    let now = SystemTime::now();
    assert_eq!((run.done(), run.total()), (30, Some(40)));
    assert_eq!(run.status(now), Status::Running);
    assert_eq!(run.iteration_seconds(), Some(0.5));
    assert_eq!(run.seconds_left(now), Some(5.0));
    assert_eq!((run.sent, run.dealt), ([30_000, 60_000], [0, 150_000_000]));
    assert_eq!(run.accuracies.len(), 1);
}

#[test]
fn a_run_that_goes_back_forgets_what_it_gave_up() {
    let mut run = run("a", 40);
    tell(
        &mut run,
        r#"{"kind":"audit","iteration":35,"layers":[{"name":"conv1","outside_forward":3,"outside_backward":0}]}"#,
    );
    tell(
        &mut run,
        r#"{"kind":"end","well":false,"message":"cut","seconds":20.0}"#,
    );
    let now = SystemTime::now();
    assert_eq!(run.status(now), Status::Failed("cut".to_owned()));
    assert_eq!((run.epochs, run.audits.unsound.len()), (2, 1));
    // It goes on after 30 iterations, from checkpoints.
    tell(&mut run, &RUN.replace("\"done\":0", "\"done\":30"));
    assert_eq!(
        (run.done(), run.epochs, run.audits.unsound.len()),
        (30, 1, 0)
    );
    assert_eq!(run.sent, [30_000, 60_000]);
    assert_eq!(run.status(now), Status::Running);
    // A pipe brings iterations again.
    tell(&mut run, &iteration(11, "1.0"));
    assert_eq!((run.done(), run.points.len(), run.epochs), (11, 11, 0));
    run.take(&News::Again);
    assert_eq!(
        (run.done(), run.facts.is_none(), run.name.as_str()),
        (0, true, "a")
    );
}

#[test]
fn a_run_that_stopped_does_not_look_like_one_that_goes_on() {
    let mut stopped = run("a", 30);
    let now = SystemTime::now();
    let after = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(stopped.status(after(8)), Status::Running);
    assert!(matches!(stopped.status(after(40)), Status::Silent(_)));
    assert_eq!(stopped.seconds_left(after(40)), None);
    stopped.source = Some(SourceState::Closed);
    assert_eq!(stopped.status(now), Status::CutOff);
    stopped.source = Some(SourceState::Absent);
    assert_eq!(stopped.status(now), Status::Gone);
    tell(
        &mut stopped,
        r#"{"kind":"end","well":true,"message":null,"seconds":20.0}"#,
    );
    assert_eq!(stopped.status(after(4000)), Status::Done);
    let mut absent = RunState::new("b");
    absent.source = Some(SourceState::Absent);
    assert_eq!(absent.status(now), Status::Waiting("no file yet"));
    // Slow iterations may be silent for longer.
    let mut slow = run("c", 1);
    tell(
        &mut slow,
        &iteration(2, "1.0").replace("\"seconds\":0.5", "\"seconds\":60"),
    );
    assert_eq!(slow.status(after(200)), Status::Running);
}

#[test]
fn damaged_lines_are_counted_and_named() {
    let mut run = run("a", 3);
    tell(&mut run, "{\"kind\":\"iteration\",\"itera");
    run.take(&News::Damaged("it is too long"));
    assert_eq!((run.damage.count, run.done()), (2, 3));
    assert_eq!(run.damage.last, Some((6, "it is too long".to_owned())));
    let lines = drawn(&dashboard(vec![run]), [80, 24]);
    contains(
        &lines,
        &["2 damaged lines; the last is line 6: it is too long"],
    );
}

#[test]
fn screens_show_all_runs_and_the_chosen_one() {
    let mut failed = run("/a/directory/with/a/long/name/of/p1.jsonl", 7);
    tell(
        &mut failed,
        r#"{"kind":"end","well":false,"message":"p0 has gone: look there","seconds":9}"#,
    );
    let mut shown = dashboard(vec![run("here.jsonl", 30), failed]);
    for size in [[80, 24], [100, 40]] {
        shown.chosen = 0;
        let lines = drawn(&shown, size);
        contains(
            &lines,
            &[
                "ringlet watch: 2 runs",
                "> here.jsonl",
                "30/40",
                "97.67 %",
                "97.75 %",
                "iteration 30 of 40, epoch 2 (75 %)",
                "2.0 iterations a second, about 5.0 s left",
                "training digits8, batch 16, 300 images of p0 and 20 of p1, version 1.2.3",
                "p0 sends 1.00 kB (30.00 kB), p1 sends 2.00 kB (60.00 kB)",
                "p1 is dealt 5.00 MB (150.00 MB)",
                "24 rounds",
                "no audits",
                "loss",
                "…",
                "FAILED",
                "q leaves",
            ],
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains(|c| ('⠁'..='⣿').contains(&c)))
        );
        shown.choose(1);
        contains(
            &drawn(&shown, size),
            &["FAILED: p0 has gone: look there", "p1.jsonl"],
        );
    }
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    let lines = drawn(&dashboard(vec![run("a", 3)]), [60, 15]);
    contains(&lines, &["60x15 is too small: ringlet watch needs 80x24"]);
    drawn(&dashboard(vec![run("a", 3)]), [1, 1]);
    drawn(&dashboard(Vec::new()), [80, 24]);
}

#[test]
fn values_out_of_range_stand_out() {
    let mut run = run("a", 30);
    let audit = r#"{"kind":"audit","iteration":1,"layers":[{"name":"conv1","outside_forward":0,"outside_backward":0}]}"#;
    tell(&mut run, audit);
    let sound = drawn(&dashboard(vec![run]), [80, 24]);
    contains(&sound, &["1 audit found no value out of range"]);
    let mut run = self::run("a", 30);
    for kind in ["range", "audit"] {
        let line = audit.replace("\"audit\"", &format!("\"{kind}\""));
        tell(&mut run, &line.replace("forward\":0,", "forward\":12,"));
    }
    assert_eq!(run.audits.unsound.len(), 1);
    let lines = drawn(&dashboard(vec![run]), [80, 24]);
    contains(
        &lines,
        &[
            "runs, RANGE",
            "last: 12 values in iteration 1, conv1 forward",
        ],
    );
}

#[test]
fn many_runs_leave_room_for_the_chosen_one() {
    let runs = (0..30)
        .map(|number| run(&format!("run{number}"), 3))
        .collect();
    let mut shown = dashboard(runs);
    shown.choose(-1);
    let lines = drawn(&shown, [80, 24]);
    contains(
        &lines,
        &[
            "30 runs, 4 of them listed",
            "> run29",
            "  run26",
            "iteration 3 of 40",
        ],
    );
    assert!(!lines.iter().any(|line| line.contains("run25")));
    shown.choose(1);
    contains(&drawn(&shown, [80, 24]), &["> run0", "  run3"]);
}

#[test]
fn text_has_all_runs_in_80_columns() {
    let text = screen::text(
        &dashboard(vec![run("one", 30), run("two", 0)]),
        SystemTime::now(),
    );
    let wide = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
    for wanted in [
        "> one",
        "  two",
        "iteration 30 of 40",
        "iteration 0 of 40",
        "no curve yet",
    ] {
        assert!(text.contains(wanted), "no `{wanted}`:\n{text}");
    }
}
