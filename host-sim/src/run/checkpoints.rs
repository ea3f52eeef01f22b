//! How a party keeps checkpoints, and how it goes on from one.
//!
//! A party writes a checkpoint before its first iteration, every so many iterations, when a link breaks, and when it is
//! told to stop. It keeps the last two, so that both parties have one in common: no party is further ahead of the other
//! than one iteration.

use std::{fs, path::PathBuf};

use ringlet_core::{
    Role,
    net::secure::Identity,
    session::{
        RunError, Session,
        handshake::{Actor, CheckpointId, Checkpoints},
    },
};
use zeroize::Zeroizing;

use super::stop_request;
use crate::{
    config::args::CheckpointArgs,
    console,
    data::checkpoint_file::{Checkpoint, list, open, path, read, write},
    error::Failure,
    links::{connect::ephemeral, credentials::Credentials},
};

/// The most checkpoints that a party keeps.
const KEPT: usize = 2;

/// Where checkpoints are, and how many.
#[derive(Clone, Debug)]
pub struct CheckpointPlan {
    /// Their directory.
    pub dir: PathBuf,
    /// Iterations from one to the next.
    pub every: u32,
    /// Whether a run may go on from those that are there.
    pub resumes: bool,
}

impl CheckpointPlan {
    /// The plan that the user's options give, if they want checkpoints.
    pub fn new(args: &CheckpointArgs) -> Option<Self> {
        let (dir, resumes) = args.dir()?;
        Some(CheckpointPlan {
            dir: dir.clone(),
            every: args.every,
            resumes,
        })
    }

    /// Makes the directory, if it is not there.
    pub fn make_dir(&self) -> Result<(), Failure> {
        fs::create_dir_all(&self.dir).map_err(|error| {
            Failure::new(
                format!("{} cannot be made: {error}", self.dir.display()),
                "give another directory with --checkpoint",
            )
        })
    }

    /// The failure of a run that is to begin where checkpoints of `role` are.
    pub fn taken(&self, role: Role) -> Failure {
        Failure::new(
            format!("{} holds checkpoints of {role} already", self.dir.display()),
            "go on from them with --resume, or give another directory with --checkpoint",
        )
    }

    /// How to go on after a failure.
    pub fn remedy(&self) -> String {
        format!(
            "then start all roles again, this one with --resume {}",
            self.dir.display()
        )
    }
}

/// Keeps the checkpoints of one party.
pub struct Keeper {
    plan: CheckpointPlan,
    role: Role,
    session: Session,
    identity: Identity,
    /// Checkpoints on the disk, the earliest first.
    kept: Vec<CheckpointId>,
    /// Checkpoints of earlier epochs, if each epoch is a session.
    earlier: Vec<PathBuf>,
    /// The run under way.
    run: [u8; 16],
    /// The state before the iteration under way.
    current: Option<Checkpoint>,
}

/// A run of both parties in one process, at its beginning or at the checkpoint that both have in common.
#[derive(Clone, Debug)]
pub struct Simulated {
    plan: CheckpointPlan,
    common: Option<CheckpointId>,
    run: [u8; 16],
}

impl Simulated {
    /// Looks for the parties' checkpoints.
    pub fn new(plan: &CheckpointPlan, session: &Session) -> Result<Self, Failure> {
        let mut run = [0; 16];
        run.copy_from_slice(&ephemeral()?.reveal()[..16]);
        let keeper = |role| Keeper::open(plan, role, session, &simulated_identity(role));
        let [p0, p1] = [keeper(Role::P0)?, keeper(Role::P1)?];
        let common = p0.checkpoints().common(&p1.checkpoints());
        Ok(Simulated {
            plan: plan.clone(),
            common,
            run,
        })
    }

    /// The iteration that comes first.
    pub fn first(&self) -> u32 {
        self.common.map_or(0, |id| id.iteration)
    }

    /// The keeper of a party.
    pub fn keeper(&self, role: Role, session: &Session) -> Result<Keeper, Failure> {
        let mut keeper = Keeper::open(&self.plan, role, session, &simulated_identity(role))?;
        keeper.begin(self.common, self.run)?;
        Ok(keeper)
    }
}

fn simulated_identity(role: Role) -> Identity {
    Credentials::known_to_all(Actor::Party(role)).own().clone()
}

/// A party whose state can be kept.
pub trait Stateful {
    /// Bytes of its state.
    fn state_len(&self) -> usize;
    /// Writes its state.
    fn save_state(&self, out: &mut [u8]) -> Result<(), RunError>;
    /// Takes back a state: iteration `iteration` comes next.
    fn restore(&mut self, iteration: u32, state: &[u8]) -> Result<(), RunError>;
}

/// Takes those of a course that is given up, which come after the checkpoint `common`, out of what is `kept`.
pub fn given_up(kept: &mut Vec<CheckpointId>, common: Option<CheckpointId>) -> Vec<CheckpointId> {
    let first = common.map_or(0, |id| id.iteration);
    kept.extract_if(.., |id| id.iteration >= first && Some(*id) != common)
        .collect()
}

impl Keeper {
    /// The keeper of a party's checkpoints. Makes their directory. Those that are there already must be of this session,
    /// and may be there only if the run goes on from them.
    pub fn open(
        plan: &CheckpointPlan,
        role: Role,
        session: &Session,
        identity: &Identity,
    ) -> Result<Self, Failure> {
        plan.make_dir()?;
        let (mut kept, mut earlier) = (Vec::new(), Vec::new());
        for (iteration, path) in list(&plan.dir, role)? {
            if iteration < session.first_iteration() {
                let (before, _) = open(&path, role, identity)?;
                if session.is_of_training(&before) {
                    earlier.push(path);
                    continue;
                }
            }
            kept.push(read(&path, role, session, identity)?.id);
        }
        if !kept.is_empty() && !plan.resumes {
            return Err(plan.taken(role));
        }
        Ok(Keeper {
            plan: plan.clone(),
            role,
            session: session.clone(),
            identity: identity.clone(),
            kept,
            earlier,
            run: [0; 16],
            current: None,
        })
    }

    /// The iteration that has come furthest, if one has begun.
    pub fn furthest(&self) -> Option<u32> {
        self.current.as_ref().map(|last| last.id.iteration)
    }

    /// Where the checkpoints are, and how many.
    pub fn plan(&self) -> &CheckpointPlan {
        &self.plan
    }

    /// The checkpoints from which this party can go on.
    pub fn checkpoints(&self) -> Checkpoints {
        let latest = self.kept.len().saturating_sub(KEPT);
        Checkpoints {
            kept: self.kept[latest..].iter().copied().collect(),
            durable: true,
        }
    }

    /// Begins the run `run` at the checkpoint that both parties have in common, or at the beginning if there is none.
    /// Returns the iteration that comes first. Later checkpoints belong to a course that is given up, and are removed.
    pub fn begin(&mut self, common: Option<CheckpointId>, run: [u8; 16]) -> Result<u32, Failure> {
        self.run = run;
        let first = common.map_or(0, |id| id.iteration);
        if common.is_none() && self.kept.iter().any(|id| id.iteration > 0) {
            return Err(Failure::new(
                format!(
                    "{} has checkpoints in {}, and none of them is one of the other party's",
                    self.role,
                    self.plan.dir.display()
                ),
                "give both parties the directories of one run, or empty ones",
            ));
        }
        if common.is_none() && self.session.first_iteration() > 0 {
            return Err(Failure::new(
                format!(
                    "{} has no checkpoint of the end of the epoch before in {}",
                    self.role,
                    self.plan.dir.display()
                ),
                "give both parties the directories of one run",
            ));
        }
        // Nothing goes before what the run goes on from has been read.
        self.current = match common {
            None => None,
            Some(id) => Some(read(
                &self.file(id),
                self.role,
                &self.session,
                &self.identity,
            )?),
        };
        for id in given_up(&mut self.kept, common) {
            let _ = fs::remove_file(self.file(id));
        }
        // Both parties have the end of the epoch before.
        for path in self.earlier.drain(..) {
            let _ = fs::remove_file(path);
        }
        Ok(first)
    }

    /// Gives a party the state with which the run begins.
    pub fn restore(&self, party: &mut dyn Stateful) -> Result<(), Failure> {
        match &self.current {
            Some(checkpoint) => Ok(party.restore(checkpoint.id.iteration, &checkpoint.state)?),
            None => Ok(()),
        }
    }

    fn file(&self, id: CheckpointId) -> PathBuf {
        path(&self.plan.dir, self.role, id.iteration)
    }

    /// Notes the state before an iteration, and writes a checkpoint if it is time for one, or if the run is over. Returns
    /// the name of what it has written.
    pub fn before(
        &mut self,
        iteration: u32,
        party: &dyn Stateful,
    ) -> Result<Option<CheckpointId>, Failure> {
        let mut state = match self.current.take() {
            Some(last) => last.state,
            None => Zeroizing::new(Vec::new()),
        };
        state.resize(party.state_len(), 0);
        party.save_state(&mut state)?;
        let id = CheckpointId {
            iteration,
            run: self.run,
        };
        self.current = Some(Checkpoint { id, state });
        let over = iteration == self.session.iterations();
        let due = iteration.is_multiple_of(self.plan.every) || over;
        let restored = self.kept.iter().any(|kept| kept.iteration == iteration);
        match due && !restored {
            true => self.write().map(|()| Some(id)),
            false => Ok(None),
        }
    }

    /// Writes the state before the iteration that has failed, or that does not begin any more.
    pub fn write(&mut self) -> Result<(), Failure> {
        let Some(checkpoint) = &self.current else {
            return Ok(());
        };
        let id = checkpoint.id;
        if self.kept.iter().any(|kept| kept.iteration == id.iteration) {
            return Ok(());
        }
        write(
            &self.plan.dir,
            self.role,
            &self.session,
            checkpoint,
            &self.identity,
        )?;
        self.kept.push(id);
        while self.kept.len() > KEPT {
            let oldest = self.kept.remove(0);
            let _ = fs::remove_file(self.file(oldest));
        }
        Ok(())
    }

    /// After a failure: keeps the last state, so that little is lost. Returns the failure.
    pub fn broke(&mut self, failure: Failure) -> Failure {
        if let Err(error) = self.write() {
            console::note(&format!("warning: {error}"));
        }
        failure
    }

    /// If the user wants the program to stop, writes a checkpoint and says how to go on. To be called before an iteration
    /// whose state is noted. A device gives its state only at checkpoints, so a party beside one (`beside_device`) goes on
    /// to the next of them.
    pub fn stop(&mut self, beside_device: bool) -> Result<(), Failure> {
        let Some(last) = self.current.as_ref().filter(|_| stop_request::is_made()) else {
            return Ok(());
        };
        let iteration = last.id.iteration;
        if beside_device && !self.kept.contains(&last.id) {
            let next = iteration.next_multiple_of(self.plan.every);
            stop_request::note_once(&format!(
                "{} stops at the next checkpoint, after {} iterations",
                self.role,
                next.min(self.session.iterations())
            ));
            return Ok(());
        }
        self.write()?;
        Err(Failure::new(
            format!("{} stopped after {iteration} iterations", self.role),
            format!("go on with --resume {}", self.plan.dir.display()),
        ))
    }
}
