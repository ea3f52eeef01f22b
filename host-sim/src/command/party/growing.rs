//! A party that trains on the store of a collection that goes on: each epoch is a session, on the list as it is then.
//!
//! Each party has a checkpoint of the end of an epoch before it tells the other that it is there. When both have told, a party notes
//! so beside the checkpoint, and begins the next epoch. One that was stopped before its note comes back to the epoch's end. If the
//! other has gone on, the others refuse it, and it knows then that the epoch has ended.
//!
//! Of several processes of a party the first one does all this, and the others follow it.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    session::{EarlierEpochs, Rank, RunError, Session, handshake::Parameter},
};

use super::{args::PartyArgs, inputs::Inputs, lone_party, reporters::Terminal};
use crate::{
    config::protocol::Protocol,
    console,
    data::{
        checkpoint_file, contribution_file::ContributionFile, file::write_whole,
        parameters::encode_model,
    },
    error::Failure,
    links::wait_time::WaitTime,
    output::{amounts::counted, report::Report},
    run::{
        beginning::Beginning,
        checkpoints::CheckpointPlan,
        contribution_lists::StoreLists,
        event::Event,
        lone_party::{LoneParty, Others},
        mpi_ranks::MpiRanks,
        reporter::{Made, Reporter},
    },
};

/// Pause before the roles meet again.
const PAUSE: Duration = Duration::from_millis(500);

/// A training whose contributions come and go.
struct Training<'a> {
    args: &'a PartyArgs,
    protocol: &'a Protocol,
    lists: &'a StoreLists,
    role: Role,
    rank: Rank,
    plan: CheckpointPlan,
    wait: Duration,
}

/// An epoch on a list.
struct Epoch {
    inputs: Inputs,
    file: Arc<ContributionFile>,
}

/// The epoch that a party is at.
struct Position {
    now: Epoch,
    /// Whether this run has ended an epoch.
    moved: bool,
    /// Whether the others have refused this epoch.
    refused: bool,
    /// When the party gives up.
    deadline: Instant,
}

/// Runs the party to the end of the training.
pub fn run(
    args: &PartyArgs,
    (protocol, others): (&Protocol, &Others),
    lists: &StoreLists,
    (mut processes, rank): (Option<&mut MpiRanks>, Rank),
    report: &Report,
) -> Result<(), Failure> {
    let training = Training {
        args,
        protocol,
        lists,
        role: args.role(),
        rank,
        plan: plan(args)?,
        wait: args.endpoint(rank)?.wait,
    };
    if let (Some(ranks), false) = (&mut processes, rank.is_first()) {
        return training.follow(others, ranks);
    }
    let first = training.first()?;
    if let Some(path) = &args.output.save {
        first.inputs.checked.check_save(path, &args.session)?;
    }
    let labels = first.inputs.held_out.as_ref();
    let labels = labels.map_or_else(Vec::new, |(_, images)| images.labels.clone());
    let mut terminal = Terminal::new(args, &first.inputs.checked, (&[], &labels), report);
    let outcome = training.run(first, others, processes, &mut terminal);
    terminal.end(outcome)
}

/// Where the checkpoints are. Refuses what a training in several sessions cannot do.
fn plan(args: &PartyArgs) -> Result<CheckpointPlan, Failure> {
    let refused = |what: &str, remedy: &str| {
        Failure::new(
            format!("a training on a store, whose contributions come and go, {what}"),
            remedy,
        )
    };
    let one_list = "or train on one list, in a file of `ringlet collect export`";
    if args.validation.plan().is_some_and(|plan| plan.patience > 0) {
        let remedy = format!("leave out --patience, {one_list}");
        return Err(refused("does not stop early", &remedy));
    }
    CheckpointPlan::new(&args.checkpoints).ok_or_else(|| {
        let remedy = format!("give a directory with --checkpoint, {one_list}");
        refused(
            "goes from one epoch to the next by its checkpoints",
            &remedy,
        )
    })
}

impl Training<'_> {
    /// Trains, from the epoch `first` on.
    fn run(
        &self,
        first: Epoch,
        others: &Others,
        mut processes: Option<&mut MpiRanks>,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        let mut at = Position {
            now: first,
            moved: false,
            refused: false,
            deadline: Instant::now() + self.wait,
        };
        loop {
            self.tell(&at);
            terminal.go_on(&at.now.inputs.checked);
            let mut listing = Listing {
                terminal,
                lists: self.lists,
                number: at.now.file.number,
                wait: self.wait,
                session: at.session(),
            };
            let party = self.party(&at.now, at.moved)?;
            let failure = match party.run(others, processes.as_deref_mut(), &mut listing) {
                Ok(_) if at.session().ends_training() => break,
                Ok(_) => {
                    self.go_on(&mut at)?;
                    at.deadline = Instant::now() + self.wait;
                    continue;
                }
                Err(failure) => failure,
            };
            // The others are at another epoch, or begin with another list.
            let elsewhere = failure.differs_in() == Some(Parameter::Contributions);
            if !elsewhere || Instant::now() >= at.deadline {
                return Err(failure);
            }
            at.refused = true;
            std::thread::sleep(PAUSE);
            match self.newest()? {
                None => at.now = self.epoch(self.lists.latest()?, EarlierEpochs::NONE)?,
                Some((iteration, _)) if iteration == at.session().iterations() => {
                    self.go_on(&mut at)?;
                }
                // The other party comes.
                Some(_) => {}
            }
        }
        self.lists.forget_all();
        Ok(())
    }

    fn tell(&self, at: &Position) {
        let session = at.session();
        let epoch = session.earlier().map_or(0, |earlier| earlier.epochs) + 1;
        if !at.refused {
            console::note(&format!(
                "{}: epoch {epoch} takes list {}, of {}",
                self.role,
                at.now.file.number,
                counted(session.total_samples().into(), "contribution")
            ));
        }
    }

    /// Trains as a further process of the party, from epoch to epoch as the first one goes. That one writes the lists.
    fn follow(&self, others: &Others, ranks: &mut MpiRanks) -> Result<(), Failure> {
        loop {
            let beginning = Beginning::take(ranks)?;
            let session = &beginning.hello.session;
            let (Some(of), Some(earlier)) = (session.contributions, session.earlier()) else {
                return Err(RunError::RankLost.into());
            };
            let is_last = session.ends_training();
            let epoch = self.epoch(self.lists.named(of.list)?, earlier)?;
            let party = self.party(&epoch, false)?;
            party.run_with_dealer(beginning, others, ranks)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The party in an epoch, which it goes on with if this run has `moved` to it.
    fn party<'p>(&self, epoch: &'p Epoch, moved: bool) -> Result<LoneParty<'p>, Failure> {
        let Inputs {
            checked,
            held_out,
            contributions,
            parameters,
            ..
        } = &epoch.inputs;
        let resumes = self.plan.resumes || moved;
        Ok(LoneParty {
            contributions: contributions.clone(),
            validation: held_out.clone(),
            model: encode_model(&checked.network, &checked.session, parameters)?,
            checkpoints: Some(CheckpointPlan {
                resumes,
                ..self.plan.clone()
            }),
            ..lone_party(self.args, checked, self.rank)?
        })
    }

    fn epoch(&self, file: Arc<ContributionFile>, earlier: EarlierEpochs) -> Result<Epoch, Failure> {
        let contributions = (file.clone(), Some(earlier));
        let mut inputs = Inputs::on_contributions(self.args, self.protocol, contributions)?;
        inputs.hold_out(self.args)?;
        Ok(Epoch { inputs, file })
    }

    /// The epoch of the latest checkpoint, or the first one.
    fn first(&self) -> Result<Epoch, Failure> {
        let Some((iteration, path)) = self.newest()? else {
            return self.epoch(self.lists.latest()?, EarlierEpochs::NONE);
        };
        if !self.plan.resumes {
            return Err(self.plan.taken(self.role));
        }
        let endpoint = self.args.endpoint(self.rank)?;
        let own = endpoint.credentials.own();
        let (session, _) = checkpoint_file::open(&path, self.role, own)?;
        let (Some(of), Some(earlier)) = (session.contributions, session.earlier()) else {
            return Err(Failure::new(
                format!("{} is of a training on other samples", path.display()),
                "give another --checkpoint directory",
            ));
        };
        let is_over = iteration == session.iterations() && session.ends_training();
        let file = self.lists.named(of.list).map_err(|failure| match is_over {
            // Only the model may be left to reveal, for which the list was kept until it was.
            true => Failure::new(
                "the training has come to its end, and its last list is not there any more",
                "start another one with another --checkpoint directory",
            ),
            false => failure,
        })?;
        let epoch = self.epoch(file, earlier)?;
        if iteration == session.iterations() && !session.ends_training() {
            // The other party may have ended this epoch, and wait for the next list.
            self.lists.make_after(epoch.file.number, self.wait)?;
        }
        match self.note(iteration).exists() {
            true => self.next(&epoch),
            false => Ok(epoch),
        }
    }

    /// The epoch after one.
    fn next(&self, epoch: &Epoch) -> Result<Epoch, Failure> {
        let file = self.lists.after(epoch.file.number, self.wait)?;
        let session = &epoch.inputs.checked.session;
        let next = session.next_epoch(file.list, file.count);
        match next.and_then(|next| next.earlier()) {
            Some(earlier) => self.epoch(file, earlier),
            None => Err(Failure::new(
                "the training is over",
                "start another one with another --checkpoint directory",
            )),
        }
    }

    /// Goes on to the next epoch: this one has ended at both parties.
    fn go_on(&self, at: &mut Position) -> Result<(), Failure> {
        let (begin, end) = (at.session().first_iteration(), at.session().iterations());
        let note = self.note(end);
        write_whole(&note, b"")?;
        let _ = fs::remove_file(self.note(begin));
        let next = self.next(&at.now);
        at.now = next.map_err(|failure| failure.with_remedy(self.plan.remedy()))?;
        (at.moved, at.refused) = (true, false);
        // A party that comes back to the epoch before has its list still.
        self.lists.forget(at.now.file.number.saturating_sub(2));
        Ok(())
    }

    /// The file that says that the epoch which ends before an iteration has ended at both parties.
    fn note(&self, iteration: u32) -> PathBuf {
        let name = format!("{}-{iteration:010}.ended", self.role);
        self.plan.dir.join(name)
    }

    /// The iteration and the file of the latest checkpoint.
    fn newest(&self) -> Result<Option<(u32, PathBuf)>, Failure> {
        self.plan.make_dir()?;
        Ok(checkpoint_file::list(&self.plan.dir, self.role)?.pop())
    }
}

/// Reports an epoch, and at P0 has the next list made before the parties end the epoch: a party that has ended it waits for the
/// list, and then it must not matter what has become of the other.
struct Listing<'a, 't> {
    terminal: &'a mut Terminal<'t>,
    lists: &'a StoreLists,
    number: u32,
    wait: Duration,
    session: &'a Session,
}

impl Reporter for Listing<'_, '_> {
    fn listening(&mut self, address: String) -> Result<(), Failure> {
        self.terminal.listening(address)
    }

    fn connected(&mut self, wait_times: [WaitTime; 2], first: u32) -> Result<(), Failure> {
        self.terminal.connected(wait_times, first)
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        let is_end = matches!(event, Event::Iteration { iteration, .. }
            if iteration + 1 == self.session.iterations());
        self.terminal.event(event)?;
        match is_end && !self.session.ends_training() {
            true => self.lists.make_after(self.number, self.wait),
            false => Ok(()),
        }
    }

    fn made(&mut self, made: Made) -> Result<(), Failure> {
        self.terminal.made(made)
    }

    fn finished(&mut self) -> Result<(), Failure> {
        self.terminal.finished()
    }
}

impl Position {
    fn session(&self) -> &Session {
        &self.now.inputs.checked.session
    }
}
