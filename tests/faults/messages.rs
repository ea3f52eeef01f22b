//! Each message of a short session, altered, cut short, repeated, put in another place, sent back or left out.

use std::sync::{Arc, Mutex};

use super::{
    message_faults::{Change, MessageFault},
    proxy::Direction,
    session::{Place, run},
    side_by_side,
    sweep::Clean,
    verdict::{Verdict, Wrong, account, judge},
};

/// A change of one message.
#[derive(Clone, Copy, Debug)]
struct Trial {
    session: usize,
    place: Place,
    direction: Direction,
    number: usize,
    change: Change,
}

/// Every message of the sessions with `chosen` changes each.
fn trials(sessions: &[usize], chosen: impl Fn(usize) -> Vec<Change>) -> Vec<Trial> {
    let mut all = Vec::new();
    for &session in sessions {
        for place in Place::ALL {
            for direction in Direction::BOTH {
                let lengths = &Clean::all(true)[session].lengths[place as usize];
                for number in 0..lengths[direction as usize].len() {
                    all.extend(chosen(all.len()).into_iter().map(|change| Trial {
                        session,
                        place,
                        direction,
                        number,
                        change,
                    }));
                }
            }
        }
    }
    // Nothing comes before the first message.
    all.retain(|trial| trial.number > 0 || trial.change != Change::Older);
    all
}

fn attempt(trial: &Trial) -> Result<(), String> {
    let clean = &Clean::all(true)[trial.session];
    let made = Arc::new(Mutex::new(false));
    let outcome = run(clean.kind, trial.place, trial.direction, &|| {
        let message = (trial.direction, trial.number);
        Box::new(MessageFault::new(trial.change, message, made.clone()))
    });
    let verdict = judge(clean.kind, &outcome, &clean.result);
    let lengths = &clean.lengths[trial.place as usize][trial.direction as usize];
    let ends_direction = trial.number + 1 == lengths.len();
    // A message that comes again stands where the next one should.
    let hurt = trial.number + usize::from(trial.change == Change::Replay);
    // The last message of a link goes from the role that connects.
    let is_last = trial.direction == Direction::Out && hurt + 1 >= lengths.len();
    let good = match verdict {
        Ok(Verdict::Failed) => true,
        Ok(Verdict::Unconfirmed) => is_last,
        // Nothing was done, since no message followed, or what was done came after the end.
        Ok(Verdict::Right) => {
            !*made.lock().expect("no panic") || ends_direction && trial.change == Change::Replay
        }
        Err(Wrong::Result | Wrong::Success | Wrong::Hang | Wrong::Panic | Wrong::Words) => false,
    };
    match good {
        true => Ok(()),
        false => Err(format!(
            "{verdict:?}: {:?}, {trial:?} of {}\n{}",
            clean.kind,
            lengths.len(),
            account(&outcome)
        )),
    }
}

fn check(trials: &[Trial]) {
    let wrong: Vec<String> = side_by_side(trials, attempt)
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        trials.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_change_of_any_message_leaves_no_role_with_success() {
    check(&trials(&[1], |number| {
        vec![Change::ALL[number % Change::ALL.len()]]
    }));
}

#[test]
#[ignore = "takes minutes"]
fn all_changes_of_any_message_leave_no_role_with_success() {
    for session in 0..Clean::all(true).len() {
        let trials = trials(&[session], |_| Change::ALL.to_vec());
        check(&trials);
        let kind = Clean::all(true)[session].kind;
        eprintln!("{} changes of messages of {kind:?}", trials.len());
    }
}
