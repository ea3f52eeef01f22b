//! Whether a session ended as it should after a fault.

use ringlet_tests::is_notice;

use super::session::{Ended, Kind, Outcome};

/// How a session may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All roles succeeded, with the right result.
    Right,
    /// All roles failed, and there is no result.
    Failed,
    /// P1 succeeded, and the result is right; a role that waited for the last message of a link failed.
    Unconfirmed,
}

/// How a session may not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// There is another result than without a fault.
    Result,
    /// A role succeeded though it should not have, or there is a result at a role that failed, or none at one that did
    /// not.
    Success,
    /// A role did not end.
    Hang,
    /// A role panicked.
    Panic,
    /// A role that failed did not say so in one line.
    Words,
}

/// Whether a line tells what happens, or warns of the role's options.
fn is_told(line: &str) -> bool {
    is_notice(line) || line.starts_with("warning: ")
}

/// Whether the role says what belongs to its end, and no more.
fn speaks(role: &Ended) -> bool {
    let errors: Vec<&str> = role.err.lines().filter(|line| !is_told(line)).collect();
    let says = |what| role.out.contains(what);
    let tells = says("done") || says("the model is in") || says("the classes are in");
    match role.well() {
        true => errors.is_empty() && says("done"),
        false => errors.len() == 1 && errors[0].starts_with("error: ") && !tells,
    }
}

/// Judges a session. `right` is the result without faults.
pub fn judge(kind: Kind, outcome: &Outcome, right: &[u8]) -> Result<Verdict, Wrong> {
    let Outcome { roles, result } = outcome;
    let panicked =
        |role: &Ended| role.err.contains("panicked") || [Some(101), None].contains(&role.code);
    if roles.iter().any(|role| role.hung) {
        return Err(Wrong::Hang);
    }
    if roles.iter().any(panicked) {
        return Err(Wrong::Panic);
    }
    if result.as_ref().is_some_and(|result| result != right) {
        return Err(Wrong::Result);
    }
    let well = roles.each_ref().map(Ended::well);
    if result.is_some() != well[kind.owner()] {
        return Err(Wrong::Success);
    }
    let verdict = match well {
        [true, true, true] => Verdict::Right,
        [false, false, false] => Verdict::Failed,
        // P1 sends the last message to P0, and each party to the helper.
        [_, true, _] => Verdict::Unconfirmed,
        [_, false, _] => return Err(Wrong::Success),
    };
    match roles.iter().all(speaks) {
        true => Ok(verdict),
        false => Err(Wrong::Words),
    }
}

/// What the roles said, for whoever looks for the reason.
pub fn account(outcome: &Outcome) -> String {
    let lines = outcome.roles.iter().map(|role| {
        let (code, out, err) = (role.code, role.out.trim(), role.err.trim());
        format!("{}: {code:?}\n{out}\n{err}\n", role.name)
    });
    lines.collect()
}
