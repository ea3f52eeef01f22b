//! How accuracy and loss went.

use super::page::{Block, Colour, Curves, Drawing, Figure, Key, Line, Section};

/// The most points of a line.
const POINTS: usize = 400;

/// What a run has reached, in the order in which it did.
#[derive(Clone, Debug, Default)]
pub struct Learning {
    /// The loss after each iteration, from 1.
    pub loss: Vec<(u32, f64)>,
    /// The mean loss of epochs that both parties revealed, by the iterations done then.
    pub epoch_loss: Vec<(u32, f64)>,
    /// The twin's loss.
    pub twin_loss: Vec<(u32, f64)>,
    /// The part of the held-out images that is right, after so many epochs or iterations.
    pub accuracy: Vec<(f64, f64)>,
    /// The twin's.
    pub twin_accuracy: Vec<(f64, f64)>,
    /// What the accuracies are counted by.
    pub by: By,
}

/// What accuracies are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Epochs.
    #[default]
    Epochs,
    /// Iterations.
    Iterations,
}

impl Learning {
    /// Forgets what came after the first `done` iterations and `epochs`.
    pub fn go_back(&mut self, done: u32, epochs: f64) {
        self.loss.retain(|&(iteration, _)| iteration <= done);
        self.epoch_loss.retain(|&(iteration, _)| iteration <= done);
        self.twin_loss.retain(|&(iteration, _)| iteration <= done);
        let end = match self.by {
            By::Epochs => epochs,
            By::Iterations => done.into(),
        };
        self.accuracy.retain(|&(place, _)| place <= end);
        self.twin_accuracy.retain(|&(place, _)| place <= end);
    }

    /// The section of the page; none if nothing was reached yet.
    pub fn section(&self) -> Option<Section> {
        let percent = |points: &[(f64, f64)]| {
            let percent = points.iter().map(|&(place, part)| (place, 100.0 * part));
            percent.collect::<Vec<_>>()
        };
        let place = match self.by {
            By::Epochs => "epoch",
            By::Iterations => "iteration",
        };
        let accuracy = [percent(&self.accuracy), percent(&self.twin_accuracy)];
        let means = [means(&self.loss), means(&self.twin_loss)];
        let revealed = self.epoch_loss.iter();
        let revealed = revealed.map(|&(iteration, loss)| (iteration.into(), loss));
        let each = self.loss.len().div_ceil(POINTS);
        let loss_caption = match each {
            0 | 1 => "Loss of each iteration's batch, before its update".to_owned(),
            each => format!("Loss, mean of {each} iterations each"),
        };
        let blocks: Vec<Block> = [
            figure(
                "figure-accuracy",
                "Held-out images that are right".to_owned(),
                [place, "percent"],
                accuracy,
            ),
            figure("figure-loss", loss_caption, ["iteration", "loss"], means),
            figure(
                "figure-epoch-loss",
                "Mean loss of each epoch, which both parties revealed".to_owned(),
                ["iteration", "loss"],
                [revealed.collect(), Vec::new()],
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!blocks.is_empty()).then(|| Section {
            id: "learning",
            title: "Accuracy and loss".to_owned(),
            blocks,
        })
    }
}

/// The means of as many neighbours as leave few points, at the last of each.
fn means(points: &[(u32, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(u32, f64)]| {
        let sum: f64 = points.iter().map(|(_, value)| value).sum();
        let last = points.last().map_or(0, |&(place, _)| place);
        (last.into(), sum / points.len() as f64)
    };
    points.chunks(each).map(mean).collect()
}

/// Lines of the private model and of its twin; none if there is nothing of the model.
fn figure(
    id: &'static str,
    caption: String,
    axes: [&str; 2],
    [model, twin]: [Vec<(f64, f64)>; 2],
) -> Option<Block> {
    if model.is_empty() {
        return None;
    }
    let (mut keys, mut lines) = (Vec::new(), Vec::new());
    let mut line = |name: &str, colour, points: Vec<(f64, f64)>| {
        if !points.is_empty() {
            keys.push(Key {
                name: name.to_owned(),
                colour,
            });
            lines.push(Line { colour, points });
        }
    };
    line("private model", Colour::First, model);
    line("plaintext twin", Colour::Second, twin);
    // The private model's line is drawn last, and lies above the other.
    lines.reverse();
    Some(Block::Figure(Figure {
        id,
        caption,
        keys,
        drawing: Drawing::Curves(Curves {
            axes: axes.map(str::to_owned),
            lines,
            limits: None,
        }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_iterations_become_few_points_with_the_same_mean() {
        let points: Vec<(u32, f64)> = (1..=4 * POINTS as u32).map(|i| (i, i.into())).collect();
        let drawn = means(&points);
        assert_eq!((drawn.len(), drawn[0]), (POINTS, (4.0, 2.5)));
        assert_eq!(means(&points[..3]), [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]);
        assert_eq!(means(&[]), []);
    }

    #[test]
    fn a_run_that_goes_back_forgets_what_it_will_do_again() {
        let mut learning = Learning {
            loss: vec![(1, 0.5), (2, 0.4), (3, 0.3)],
            accuracy: vec![(1.0, 0.8), (2.0, 0.9)],
            ..Learning::default()
        };
        learning.go_back(2, 1.0);
        assert_eq!((learning.loss.len(), learning.accuracy.len()), (2, 1));
    }
}
