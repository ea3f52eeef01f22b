//! Evaluations of the shared model on held-out images, between two iterations of its training.
//!
//! Both parties and the dealer run each as a session of its own over the links of the training, under keys that are derived
//! for it. The owner of the images alone learns their classes; the model stays shared, and the training goes on as if there
//! had been no evaluation.

use std::time::Instant;

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    cost::Traffic,
    data::Data,
    dealt::{self, Classifier, Dealer, DealerContext, PartyContext, Plan, Trainer},
    network::Network,
    num::Ring,
    session::{RunError, Session, Validation},
    share::NoObserver,
};

use super::{early_stopping::EarlyStopping, event::Evaluated};
use crate::{
    data::{Images, OwnImages},
    error::Failure,
    resources::filled,
};

/// What a party brings to the evaluations.
pub struct PartyValidation<'a> {
    /// When, and on how many images of whom.
    pub plan: Validation,
    /// The party's own held-out images.
    pub data: OwnImages<'a>,
    /// When the party wishes to stop early.
    stopping: EarlyStopping,
}

impl<'a> PartyValidation<'a> {
    /// Of a party with these held-out images, whose labels lie below `classes`.
    pub fn new(plan: Validation, images: &'a Images, classes: usize) -> Self {
        let data = OwnImages::new(images, 0..images.len(), classes);
        PartyValidation {
            plan,
            data,
            stopping: EarlyStopping::new(plan.patience),
        }
    }

    /// Whether the party wishes that the training stops after evaluations. Fails if a label is missing.
    pub fn wishes_to_stop(
        &mut self,
        role: Role,
        evaluated: &[Evaluated],
    ) -> Result<bool, RunError> {
        let own = evaluated.iter().find(|evaluated| evaluated.owner == role);
        let mut right = None;
        for &(image, class) in own.iter().flat_map(|own| &own.classes) {
            let is_right = self.data.label(image)? == class;
            *right.get_or_insert(0) += usize::from(is_right);
        }
        Ok(self.stopping.wishes(right))
    }
}

/// An evaluation: its session and network.
pub struct Evaluation {
    /// The session, whose samples are the held-out images of one party.
    pub session: Session,
    /// The network of the model.
    pub network: Network,
}

impl Evaluation {
    /// The evaluation of a session in the ring `R`.
    pub fn new<R: Ring>(session: Session) -> Result<Self, Failure> {
        let network = dealt::check::<R>(&session)?;
        Ok(Evaluation { session, network })
    }

    /// The evaluations that come after an iteration of `training`.
    pub fn due<R: Ring>(
        validation: &Validation,
        training: &Session,
        iteration: u32,
    ) -> Result<Vec<Evaluation>, Failure> {
        if !validation.is_due(training, iteration) {
            return Ok(Vec::new());
        }
        let sessions = validation
            .owners()
            .map(|owner| validation.session(training, owner));
        sessions.map(Evaluation::new::<R>).collect()
    }

    /// Memory for the shares of `role`.
    pub fn memory<R: Ring>(&self, role: Role) -> Result<Vec<u64>, Failure> {
        let words = Plan::new(&self.session, &self.network).arena_words::<R>(role);
        filled(0, words, "the shares")
    }

    /// Classifies all images by a party that has its shares of the model, after `done` iterations of the training.
    pub fn classify<R: Ring, P: Read + Write, D: Read + Write>(
        &self,
        mut party: Classifier<'_, R>,
        cx: &mut PartyContext<P, D>,
        data: &mut OwnImages<'_>,
        done: u32,
    ) -> Result<Evaluated, RunError> {
        let start = Instant::now();
        let (mut classes, mut traffic, mut audit) = (Vec::new(), Traffic::default(), None);
        for batch in 0..self.session.iterations() {
            let sink = |sample, class| classes.push((sample, class));
            party.classify(cx, batch, data, &mut NoObserver, sink)?;
            traffic.add(&cx.take_traffic());
            add_counts(&mut audit, party.audit_counts());
        }
        classes.sort_unstable();
        Ok(Evaluated {
            done,
            owner: self.session.samples_owner(),
            images: self.session.total_samples(),
            classes,
            seconds: start.elapsed().as_secs_f64(),
            traffic,
            audit,
            stops: false,
        })
    }
}

/// Adds the counts of an audited batch to those of the others.
fn add_counts(sums: &mut Option<Vec<[u32; 2]>>, counts: Option<&[[u32; 2]]>) {
    let Some(counts) = counts else { return };
    let sums = sums.get_or_insert_with(|| vec![[0; 2]; counts.len()]);
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum = [0, 1].map(|pass| sum[pass].saturating_add(count[pass]));
    }
}

/// Evaluates the model that a party trains.
pub fn evaluate<R: Ring, P: Read + Write, D: Read + Write>(
    evaluation: &Evaluation,
    trainer: &Trainer<'_, R>,
    cx: &mut PartyContext<P, D>,
    (data, memory): (&mut OwnImages<'_>, &mut [u64]),
    done: u32,
) -> Result<Evaluated, RunError> {
    let Evaluation { session, network } = evaluation;
    let mut party = Classifier::<R>::new(session, network, trainer.role(), memory)?;
    for stage in 0..network.stages.len() {
        party.load_shares(stage, trainer.parameters(stage))?;
    }
    cx.evaluation(|cx| evaluation.classify(party, cx, data, done))
}

/// Deals an evaluation.
pub fn deal<R: Ring, T: Read + Write>(
    evaluation: &Evaluation,
    cx: &mut DealerContext<T>,
) -> Result<(), Failure> {
    let Evaluation { session, network } = evaluation;
    let words = Plan::new(session, network).dealer_arena_words::<R>();
    let mut memory = filled(0, words, "the masks")?;
    let mut dealer = Dealer::<R>::new(session, network, &mut memory).map_err(RunError::from)?;
    cx.evaluation(|cx| {
        (0..session.iterations()).try_for_each(|batch| Ok(dealer.iterate(cx, batch)?))
    })
}
