//! Sessions of one epoch each, one after the other.

use super::*;
use crate::session::{Schedule, TrainingOptions, tests::small};

extern crate std;
use std::vec::Vec;

/// Sessions of one training: an epoch each, on so many contributions.
fn sessions(counts: &[u32], limit: u32) -> Vec<Session> {
    let first = Session {
        samples: [counts[0], 0],
        contributions: Some(Contributions::growing(ContributionList([1; 16]))),
        batch: 4,
        epochs: counts.len() as u32,
        limit,
        ..small()
    };
    let mut all = Vec::from([first]);
    for (number, &count) in (2..).zip(&counts[1..]) {
        match all[all.len() - 1].next_epoch(ContributionList([number; 16]), count) {
            Some(next) => all.push(next),
            None => break,
        }
    }
    all
}

#[test]
fn epochs_follow_each_other_on_as_many_contributions_as_there_are() {
    let all = sessions(&[8, 13, 5, 4], 0);
    assert_eq!(all.len(), 4);
    let mut iteration = 0;
    for (epoch, session) in (0..).zip(&all) {
        assert!(session.counts_epochs());
        assert_eq!(session.first_iteration(), iteration);
        let mut seen = 0;
        while iteration < session.iterations() {
            let batch = session.batch(iteration);
            assert_eq!((batch.epoch, batch.first), (epoch, seen));
            seen += batch.len;
            let is_last = iteration + 1 == session.iterations();
            assert_eq!(session.ends_epoch(iteration), is_last);
            iteration += 1;
        }
        assert_eq!(seen, session.samples[0]);
        assert_eq!(session.ends_training(), epoch == 3);
    }
    assert_eq!(iteration, 2 + 4 + 2 + 1);
    let planned: Vec<u32> = all.iter().map(Session::planned_iterations).collect();
    assert_eq!(planned, [8, 14, 10, 9]);
    for (before, after) in all.iter().zip(&all[1..]) {
        assert!(after.goes_on_from(before));
        assert!(!before.goes_on_from(after) && !after.goes_on_from(after));
        let other = Session {
            momentum: 1,
            ..before.clone()
        };
        assert!(!after.goes_on_from(&other));
        assert!(after.is_of_training(before) && before.is_of_training(after));
        assert!(!after.is_of_training(&other));
    }
    assert!(!all[2].goes_on_from(&all[0]));
}

#[test]
fn a_limit_ends_the_training_within_an_epoch() {
    let all = sessions(&[8, 13, 5], 5);
    assert_eq!(all.len(), 2);
    assert!(all[1].ends_training() && all[1].iterations() == 5);
    // A limit at the end of an epoch leaves no epoch after it.
    let all = sessions(&[8, 8], 2);
    assert_eq!(all.len(), 1);
    assert!(all[0].ends_training());
}

#[test]
fn schedules_see_the_whole_training() {
    let training = TrainingOptions {
        schedule: Schedule::Cosine,
        ..Default::default()
    };
    let schedule = |session: &Session| Session {
        training,
        ..session.clone()
    };
    let all = sessions(&[8, 8, 8], 0);
    let whole = schedule(&Session {
        contributions: None,
        ..all[0].clone()
    });
    for session in all.iter().map(schedule) {
        for iteration in session.first_iteration()..session.iterations() {
            let rate = session.learning_rate_at(iteration);
            assert_eq!(rate, whole.learning_rate_at(iteration));
        }
    }
}

#[test]
fn earlier_epochs_that_leave_none_are_refused() {
    let good = &sessions(&[8, 8], 0)[1];
    let refused = |change: fn(&mut Session, &mut EarlierEpochs)| {
        let mut session = good.clone();
        let mut earlier = session.earlier().expect("earlier epochs");
        change(&mut session, &mut earlier);
        session.contributions = Some(Contributions {
            list: ContributionList([2; 16]),
            earlier: Some(earlier),
        });
        assert!(!session.counts_epochs(), "{session:?}");
    };
    assert!(good.counts_epochs());
    refused(|session, _| session.epochs = 1);
    refused(|session, _| session.limit = 2);
    refused(|_, earlier| earlier.iterations = 0);
    refused(|_, earlier| earlier.epochs = 0);
    refused(|_, earlier| earlier.iterations = u32::MAX);
}
