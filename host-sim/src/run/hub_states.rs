//! The states of two devices, as the hub between them keeps them. It can read neither.

use ringlet_core::{
    Role,
    dealt::Plan,
    device::{NAME_LEN, name_of, sealed_len},
    session::{
        Session,
        handshake::{CheckpointId, Checkpoints, HandshakeError, Mismatch},
    },
};

use super::{checkpoints::CheckpointPlan, device_states::DeviceStates};
use crate::error::Failure;

/// The states of two devices in a directory.
pub struct HubStates {
    plan: CheckpointPlan,
    /// Iterations of the session.
    iterations: u32,
    /// Those of P0, then of P1.
    states: [DeviceStates; 2],
    /// Bytes of a sealed state.
    sealed_len: usize,
}

impl HubStates {
    /// The states in the plan's directory, which is made. Those that are there already must be of this session, and may be
    /// there only if the run goes on from them.
    pub fn open(plan: &CheckpointPlan, session: &Session) -> Result<Self, Failure> {
        plan.make_dir()?;
        let of = |role| DeviceStates::open(plan.dir.clone(), role, session);
        let states = [of(Role::P0)?, of(Role::P1)?];
        for (role, states) in Role::BOTH.into_iter().zip(&states) {
            if !plan.resumes && !states.is_empty() {
                return Err(plan.taken(role));
            }
        }
        let network = ringlet_core::dealt::check::<u32>(session)?;
        Ok(HubStates {
            plan: plan.clone(),
            iterations: session.iterations(),
            states,
            sealed_len: sealed_len(Plan::new(session, &network).state_len()),
        })
    }

    /// The latest checkpoint of which both devices' states are there.
    pub fn common(&self) -> Option<CheckpointId> {
        let [p0, p1] = &self.states;
        p0.common(&p1.checkpoints())
    }

    /// The iteration that comes first when the run goes on.
    pub fn first(&self) -> u32 {
        self.common().map_or(0, |id| id.iteration)
    }

    /// What both devices' hellos say: the checkpoint that both take back, if there is one.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints {
            kept: self.common().into_iter().collect(),
            durable: true,
        }
    }

    /// Where the states are, and how many.
    pub fn plan(&self) -> &CheckpointPlan {
        &self.plan
    }

    /// The sealed states with which the run begins; none if it begins anew. Later ones belong to a course that is given up,
    /// and are removed.
    pub fn begin(&mut self) -> Result<Option<[Vec<u8>; 2]>, Failure> {
        let common = self.common();
        let [p0, p1] = &self.states;
        if common.is_none() && (p0.has_begun() || p1.has_begun()) {
            return Err(Failure::new(
                format!(
                    "{} has states of the devices, and no state of one belongs to a state of the other",
                    self.plan.dir.display()
                ),
                "give the directory of one run of these two devices, or an empty one",
            ));
        }
        // Nothing goes before what the run goes on from has been read.
        let given = common.map(|id| Ok::<_, Failure>([p0.read(id)?, p1.read(id)?]));
        let given = given.transpose()?;
        for states in &mut self.states {
            states.give_up(common);
        }
        Ok(given)
    }

    /// Bytes that a device sends at a checkpoint: its name and the sealed state.
    pub fn saved_len(&self) -> usize {
        NAME_LEN + self.sealed_len
    }

    /// Writes what the device of `role` has sent at a checkpoint. The last two are kept.
    pub fn keep(&mut self, role: Role, saved: &[u8]) -> Result<(), Failure> {
        let named = saved.split_first_chunk::<NAME_LEN>();
        let (id, sealed) = match named.map(|(name, sealed)| (name_of(name), sealed)) {
            Some((id, sealed)) if id.iteration <= self.iterations => (id, sealed),
            _ => return Err(HandshakeError::from(Mismatch::Foreign).into()),
        };
        self.states[role.index()].write(id, sealed)
    }

    /// The failure of a run that the user has stopped.
    pub fn stopped(&self) -> Failure {
        Failure::new(
            format!(
                "the hub stopped; the last checkpoint of both devices is the one after {} iterations",
                self.first()
            ),
            format!("go on with --resume {}", self.plan.dir.display()),
        )
    }
}
