//! How well the scores of an attack tell members of a training from others.

/// The rates of false alarms at which the rate of members found is told.
pub const FALSE_ALARMS: [f64; 2] = [0.001, 0.01];

/// How well scores tell members from others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Separation {
    /// The area under the ROC curve: the probability that a member has a higher score than another sample. 0.5 is chance.
    pub area: f64,
    /// The largest difference of the rate of members found and the rate of false alarms.
    pub advantage: f64,
    /// The rate of members found at each of [`FALSE_ALARMS`].
    pub found: [f64; FALSE_ALARMS.len()],
}

impl Separation {
    /// That of these scores, higher ones for members.
    pub fn of(members: &[f64], others: &[f64]) -> Self {
        let scores = members.iter().map(|&score| (score, true));
        let mut scores: Vec<_> = scores
            .chain(others.iter().map(|&score| (score, false)))
            .collect();
        scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let (all, rest) = (members.len() as f64, others.len() as f64);
        let (mut found, mut alarms) = (0.0, 0.0);
        let mut separation = Separation::default();
        // A threshold takes all of one score.
        for same in scores.chunk_by(|(a, _), (b, _)| a == b) {
            let members = same.iter().filter(|(_, is_member)| *is_member).count() as f64;
            let others = same.len() as f64 - members;
            separation.area += others / rest * (found + members / 2.0) / all;
            found += members;
            alarms += others;
            separation.advantage = separation.advantage.max(found / all - alarms / rest);
            for (rate, most) in separation.found.iter_mut().zip(FALSE_ALARMS) {
                if alarms / rest <= most {
                    *rate = found / all;
                }
            }
        }
        separation
    }

    /// The mean of several.
    pub fn mean(all: &[Separation]) -> Self {
        let mean = |value: &dyn Fn(&Separation) -> f64| {
            all.iter().map(value).sum::<f64>() / all.len() as f64
        };
        Separation {
            area: mean(&|one| one.area),
            advantage: mean(&|one| one.advantage),
            found: std::array::from_fn(|at| mean(&|one| one.found[at])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of all pairs in which the member has the higher score; of equal ones a half.
    fn pairs(members: &[f64], others: &[f64]) -> f64 {
        let pair = |a: &f64, b: &f64| match a.total_cmp(b) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        let sum: f64 = members
            .iter()
            .flat_map(|a| others.iter().map(move |b| pair(a, b)))
            .sum();
        sum / (members.len() * others.len()) as f64
    }

    #[test]
    fn the_area_is_the_part_of_pairs_in_the_right_order() {
        let members = [0.9, 0.5, 0.5, 0.2, -1.0];
        let others = [0.5, 0.1, 0.2, -2.0];
        let got = Separation::of(&members, &others);
        assert!((got.area - pairs(&members, &others)).abs() < 1e-12);
        // Above 0.5 there is a member and no other sample; above 0.2 there are three and one; above -2 all and three.
        assert_eq!(got.found, [0.2, 0.2]);
        assert!((got.advantage - 0.35).abs() < 1e-12, "{}", got.advantage);
    }

    #[test]
    fn a_hundredth_of_false_alarms_is_allowed_and_no_more() {
        let others: Vec<f64> = (0..200).map(f64::from).collect();
        let members: Vec<f64> = (0..100).map(|n| f64::from(n) + 147.5).collect();
        // The third largest of the others is 197: 49 members are above 197.5, and 51 are above 196.
        let found = Separation::of(&members, &others).found;
        assert_eq!(found[0], 0.48);
        assert_eq!(found[1], 0.50);
    }

    #[test]
    fn members_all_above_are_all_found_and_equal_scores_tell_nothing() {
        let whole = Separation::of(&[3.0, 4.0], &[1.0, 2.0]);
        assert_eq!(
            (whole.area, whole.advantage, whole.found),
            (1.0, 1.0, [1.0; 2])
        );
        let none = Separation::of(&[1.0; 3], &[1.0; 5]);
        assert_eq!(
            (none.area, none.advantage, none.found),
            (0.5, 0.0, [0.0; 2])
        );
        let mean = Separation::mean(&[whole, none]);
        assert_eq!(
            (mean.area, mean.advantage, mean.found),
            (0.75, 0.5, [0.5; 2])
        );
    }
}
