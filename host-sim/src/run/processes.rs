//! A training session with all its roles as processes of this machine.

use std::{
    io,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use ringlet_core::{Role, session::Protocol};

use super::{
    actors::{Actor, ActorEvent, Helper, Take, follow},
    event::Event,
    supervision,
};
use crate::{error::Failure, resources::spawn};

/// Trains by `protocol` with all roles as processes; `take` gets the parties' events. Every role gets the options
/// `common`, the parties also those of the `session` and their `own`.
pub fn train(
    protocol: Protocol,
    (common, session, own): (&[String], &[String], &[Vec<String>; 2]),
    take: Take<'_>,
) -> Result<(), Failure> {
    let helper = Helper::of(protocol);
    let (events, reported) = channel();
    let mut processes = Processes::default();
    let listen = [helper.name(), "--listen", "127.0.0.1:0", "--supervised"].map(str::to_owned);
    let arguments = [&listen, common].concat();
    let address = processes.start(Actor::Helper(helper), arguments, &events)?;
    let address = address
        .recv()
        .map_err(|_| processes.first_failure(&reported))?;
    let party = |role: Role, option: &str, peer: &str| {
        let own = &own[role.index()][..];
        let [role, helper] = [role.to_string(), format!("--{}", helper.name())];
        let arguments = [
            "party",
            "--supervised",
            "--role",
            &role,
            &helper,
            &address,
            option,
            peer,
        ];
        [&arguments.map(str::to_owned), session, own, common].concat()
    };
    let arguments = party(Role::P0, "--listen", "127.0.0.1:0");
    let p0 = processes.start(Actor::Party(Role::P0), arguments, &events)?;
    let p0 = p0.recv().map_err(|_| processes.first_failure(&reported))?;
    processes.start(
        Actor::Party(Role::P1),
        party(Role::P1, "--peer", &p0),
        &events,
    )?;
    drop(events);
    let outcome = follow(reported, take);
    processes.end(outcome)
}

/// The processes of a simulation. They end with this value.
#[derive(Default)]
struct Processes(Vec<(Actor, Child)>);

impl Processes {
    /// Starts a process. If it listens, its address comes over the returned channel.
    fn start(
        &mut self,
        actor: Actor,
        arguments: Vec<String>,
        events: &Sender<ActorEvent>,
    ) -> Result<Receiver<String>, Failure> {
        let cannot = |error: io::Error| {
            Failure::new(
                format!("{actor} cannot be started: {error}"),
                "use --link memory",
            )
        };
        let program = std::env::current_exe().map_err(cannot)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (listening, address) = channel();
        let (events, output) = (events.clone(), child.stdout.take());
        self.0.push((actor, child));
        spawn(move || {
            let Some(mut output) = output else { return };
            while let Ok(Some(event)) = supervision::receive(&mut output) {
                match event {
                    Event::Listening(address) => drop(listening.send(address)),
                    // If nobody listens any more, the process must meet a closed pipe, and end.
                    event => {
                        if events.send((actor, event)).is_err() {
                            return;
                        }
                    }
                }
            }
        })?;
        Ok(address)
    }

    /// Why a process ended before it listened.
    fn first_failure(&mut self, reported: &Receiver<ActorEvent>) -> Failure {
        while let Ok((actor, event)) = reported.recv_timeout(Duration::from_secs(1)) {
            if let Event::Failed {
                message,
                consequence,
            } = event
            {
                return Failure::reported(message, consequence).of(&actor.to_string());
            }
        }
        Failure::new("a role ended before it began", "use --link memory")
    }

    /// Waits for all processes. If one was killed, the failures of the others are its consequences.
    fn end(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let mut killed = None;
        for (actor, child) in &mut self.0 {
            let status = child.wait().ok();
            if status.and_then(|status| status.code()).is_none() {
                killed = Some((*actor, status));
            }
        }
        match (outcome, killed) {
            (Err(failure), Some((actor, status))) if failure.is_consequence() => {
                let status =
                    status.map_or(String::new(), |status: ExitStatus| format!(" ({status})"));
                Err(Failure::new(
                    format!("the process of {actor} was killed{status}"),
                    "start the training again",
                ))
            }
            (outcome, _) => outcome,
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
