//! What right guesses prove about epsilon: Steinke, Nasr and Jagielski, "Privacy Auditing with One (1) Training Run" (NeurIPS 2023).
//!
//! Each of m samples is in the training or not, by a fair coin of its own. An attacker sees the result and guesses some of the
//! coins. If the training has epsilon and delta, the probability of v or more right ones among r guesses is at most
//!
//! ```text
//! f(v) + 2 m delta max over i from 1 to m of (f(v - i) - f(v)) / i,   f(v) = P[B >= v]
//! ```
//!
//! with B binomial of r trials with probability e^epsilon / (1 + e^epsilon): their theorem 5.2. An epsilon for which that is small is
//! refuted. The coins may belong to several trainings, each of which sees its own: together these are one training in which a
//! coin counts once.

/// No guesses prove more.
const MOST: f64 = 64.0;
/// Halvings of the interval in which epsilon is searched.
const HALVINGS: usize = 50;
/// The parts of all coins that are guessed. The attacker is free to leave out those that it knows little of. The best one counts,
/// so each has but its part of the error.
const PARTS: [f64; 5] = [1.0, 0.5, 0.25, 0.1, 0.04];

/// Guesses of coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guesses {
    /// Coins.
    pub coins: usize,
    /// Those that were guessed.
    pub made: usize,
    /// Those that were guessed right.
    pub right: usize,
}

impl Guesses {
    /// The largest epsilon that the guesses refute at this delta, but for a probability of `error`: if the training has it, so many
    /// right guesses have at most that probability. 0 if they refute none.
    pub fn refuted_epsilon(self, delta: f64, error: f64) -> f64 {
        let logarithms = log_factorials(self.made);
        let is_refuted = |epsilon| self.probability(&logarithms, epsilon, delta) < error;
        if !is_refuted(0.0) {
            return 0.0;
        }
        let (mut refuted, mut possible) = (0.0, MOST);
        for _ in 0..HALVINGS {
            let middle = (refuted + possible) / 2.0;
            match is_refuted(middle) {
                true => refuted = middle,
                false => possible = middle,
            }
        }
        refuted
    }

    /// The bound on the probability of at least so many right guesses.
    fn probability(self, log_factorials: &[f64], epsilon: f64, delta: f64) -> f64 {
        let log_right = -(-epsilon).exp().ln_1p();
        let log_wrong = log_right - epsilon;
        let of = |right: usize| {
            let wrong = self.made - right;
            let ways = log_factorials[self.made] - log_factorials[right] - log_factorials[wrong];
            (ways + right as f64 * log_right + wrong as f64 * log_wrong).exp()
        };
        let tail: f64 = (self.right..=self.made).map(of).sum();
        let (mut most, mut sum) = (0f64, 0.0);
        for less in 1..=self.right {
            sum += of(self.right - less);
            most = most.max(sum / less as f64);
        }
        (tail + 2.0 * self.coins as f64 * delta * most).min(1.0)
    }
}

/// The logarithms of the factorials of 0 to `last`.
fn log_factorials(last: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let next = |number: usize| {
        sum += (number.max(1) as f64).ln();
        sum
    };
    (0..=last).map(next).collect()
}

/// The guesses that prove most, and the epsilon that they refute but for a probability of `error`. Each coin has a score and what
/// it was; the attacker guesses that those of the highest scores were in the training and those of the lowest were not.
pub fn best_guesses(scores: &[(f64, bool)], delta: f64, error: f64) -> (Guesses, f64) {
    let mut sorted = scores.to_vec();
    // Equal scores stay in an order that has nothing to do with the coins.
    sorted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let guess = |part: f64| {
        let each = ((sorted.len() as f64 * part / 2.0).ceil() as usize).min(sorted.len() / 2);
        let right_in = sorted[..each].iter().filter(|(_, was_in)| *was_in);
        let right_out = sorted[sorted.len() - each..].iter();
        let right_out = right_out.filter(|(_, was_in)| !was_in);
        let guesses = Guesses {
            coins: sorted.len(),
            made: 2 * each,
            right: right_in.count() + right_out.count(),
        };
        let error = error / PARTS.len() as f64;
        (guesses, guesses.refuted_epsilon(delta, error))
    };
    let first = guess(PARTS[0]);
    PARTS[1..]
        .iter()
        .map(|&part| guess(part))
        .fold(
            first,
            |best, next| if next.1 > best.1 { next } else { best },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn guesses(coins: usize, made: usize, right: usize) -> Guesses {
        Guesses { coins, made, right }
    }

    /// The probability of at least `right` of `made`, term by term.
    fn binomial_tail(made: u32, right: u32, p: f64) -> f64 {
        let mut ways = 1.0;
        let mut sum = 0.0;
        for count in 0..=made {
            if count >= right {
                sum += ways * p.powi(count as i32) * (1.0 - p).powi((made - count) as i32);
            }
            ways *= f64::from(made - count) / f64::from(count + 1);
        }
        sum
    }

    #[test]
    fn without_delta_the_refuted_epsilon_is_that_of_the_binomial_distribution() {
        for (made, right) in [(10, 10), (10, 9), (100, 80), (40, 31), (400, 399)] {
            let epsilon = guesses(2 * made, made, right).refuted_epsilon(0.0, 0.05);
            let p = 1.0 / (1.0 + (-epsilon).exp());
            let tail = binomial_tail(made as u32, right as u32, p);
            assert!((tail / 0.05 - 1.0).abs() < 1e-9, "{made}, {right}: {tail}");
        }
        // All right: p^10 = 0.05.
        let p = 0.05f64.powf(0.1);
        let epsilon = guesses(10, 10, 10).refuted_epsilon(0.0, 0.05);
        assert!((epsilon - (p / (1.0 - p)).ln()).abs() < 1e-9);
    }

    /// Coins, guesses, right ones, epsilon, delta, and the bound as exact fractions give it.
    const EXACT: [(usize, usize, usize, f64, f64, f64); 4] = [
        (100, 100, 80, 1.0, 1e-05, 7.17015337192708e-02),
        (1000, 200, 190, 2.0, 0.0001, 1.00748687038747e-02),
        (50, 20, 20, 0.5, 0.01, 9.12163251312887e-02),
        (2000, 400, 250, 0.25, 1e-05, 7.24799115075936e-03),
    ];

    #[test]
    fn the_probability_is_that_of_exact_fractions() {
        for (coins, made, right, epsilon, delta, exact) in EXACT {
            let got =
                guesses(coins, made, right).probability(&log_factorials(made), epsilon, delta);
            assert!((got / exact - 1.0).abs() < 1e-10, "{got} for {exact}");
        }
    }

    #[test]
    fn guesses_that_are_half_right_refute_nothing_and_delta_takes_from_the_rest() {
        assert_eq!(guesses(100, 100, 50).refuted_epsilon(1e-5, 0.05), 0.0);
        assert_eq!(guesses(100, 0, 0).refuted_epsilon(1e-5, 0.05), 0.0);
        let refuted = |delta| guesses(1000, 1000, 900).refuted_epsilon(delta, 0.05);
        assert!(refuted(0.0) > refuted(1e-5) && refuted(1e-5) > refuted(1e-3));
        assert!(refuted(1e-5) > 0.99 * refuted(0.0));
    }

    #[test]
    fn the_best_part_of_the_coins_is_guessed() {
        // Scores tell the first and the last tenth, and nothing of the others.
        let coin = |place: usize| match place {
            0..100 => true,
            900.. => false,
            _ => place.is_multiple_of(2),
        };
        let scores: Vec<_> = (0..1000)
            .map(|place| (-(place as f64), coin(place)))
            .collect();
        let (best, epsilon) = best_guesses(&scores, 0.0, 0.05);
        assert_eq!(best, guesses(1000, 100, 100));
        assert_eq!(epsilon, best.refuted_epsilon(0.0, 0.01));
        let (none, epsilon) = best_guesses(&[], 1e-5, 0.05);
        assert_eq!((none, epsilon), (guesses(0, 0, 0), 0.0));
    }

    /// Randomised response has exactly its epsilon: guesses are right as often as it is honest.
    #[test]
    fn randomised_response_is_not_refuted_more_often_than_the_error_says() {
        let (epsilon, coins) = (1f64, 200);
        let honest = 1.0 / (1.0 + (-epsilon).exp());
        // The least number of right guesses that refutes epsilon.
        let first = (0..=coins)
            .find(|&right| guesses(coins, coins, right).refuted_epsilon(0.0, 0.05) > epsilon);
        let first = first.expect("all right refutes it");
        let wrongly = binomial_tail(coins as u32, first as u32, honest);
        assert!((0.02..0.05).contains(&wrongly), "{first}: {wrongly}");
    }
}
