//! Which of its dealt iterations a run takes: those that neither party has begun.
//!
//! A dealt session has a position for each iteration of the session, and spare ones behind them. Each position serves once.
//! A run that goes back to a checkpoint takes the positions after the last one that a party has begun, so it leaves out
//! the samples of those that it has lost, and ends within the spare ones.

use std::path::Path;

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    dealt::Plan,
    net::Link,
    network::Network,
    num::Ring,
    session::{Ranks, RunError, Session},
};

use super::{
    dealer::{corrections, corrections_before},
    dealt_corrections::{Corrections, Given},
    dealt_files::{DealtFile, Mark},
};
use crate::{data::Images, error::Failure};

/// Says that all positions are spent: the mark of a run that does not go on after a break.
const ALL: u32 = u32::MAX;

/// The session with `spare` further iterations: what is dealt for it.
pub fn with_spare(session: &Session, spare: u32) -> Result<Session, Failure> {
    let too_many = || {
        Failure::new(
            format!("{spare} spare iterations are too many"),
            "give less with --spare",
        )
    };
    let limit = session.iterations().checked_add(spare);
    let limit = limit.ok_or_else(too_many)?;
    let epochs = limit.div_ceil(session.iterations_per_epoch());
    let epochs = epochs.max(session.epochs);
    let all = epochs.checked_mul(session.iterations_per_epoch());
    all.ok_or_else(too_many)?;
    Ok(Session {
        epochs,
        limit,
        ..session.clone()
    })
}

/// Opens the file of `role` in `dir`, as [`DealtFile::open`] does, and checks that it has the corrections of all its positions.
pub fn open(
    dir: &Path,
    role: Role,
    session: &Session,
    goes_on: bool,
) -> Result<DealtFile, Failure> {
    let file = DealtFile::open(dir, role, session, goes_on)?;
    let wanted = match role {
        Role::P0 => 0,
        Role::P1 => corrections(&with_spare(session, file.spare)?)?,
    };
    let held = file.corrections();
    let held = held.end - held.start;
    match held == wanted {
        true => Ok(file),
        false => Err(Failure::new(
            format!(
                "{} has {held} bytes of corrections, and its session takes {wanted}",
                file.path().display()
            ),
            "deal a new session with this version of the program",
        )),
    }
}

/// What a party tells its peer before it takes positions of its dealt file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// How many positions it has begun.
    pub begun: u32,
    /// The most ranks that it has.
    pub ranks: u16,
}

impl Offer {
    /// Learns the peer's offer. Returns what both can take: the first position that is free, and the number of ranks.
    pub fn agree<T: Read + Write>(self, peer: &mut Link<T>) -> Result<Offer, Failure> {
        peer.send(&self.begun.to_le_bytes())?;
        peer.send(&self.ranks.to_le_bytes())?;
        peer.flush()?;
        let (mut begun, mut ranks) = ([0; 4], [0; 2]);
        peer.receive(&mut begun)?;
        peer.receive(&mut ranks)?;
        Ok(Offer {
            begun: self.begun.max(u32::from_le_bytes(begun)),
            ranks: self.ranks.min(u16::from_le_bytes(ranks)).max(1),
        })
    }
}

/// The positions of a run's iterations in a dealt file, for one rank of a party.
pub struct Positions {
    /// The session, with the spare iterations.
    pub session: Session,
    /// The iteration that the run begins with.
    first: u32,
    /// Its position.
    position: u32,
    /// Where the first rank marks positions that are about to serve, unless all of them are marked.
    mark: Option<Mark>,
    /// Where in the file the corrections of the next position are.
    place: u64,
    /// What gives the rank its corrections, at P1.
    given: Option<Given>,
}

impl Positions {
    /// Takes the positions from `position` on for the iterations from `first` on, of a party with these images, for its first
    /// rank. If the run `goes_on` after a break, it marks positions one by one, and else all of them at once.
    ///
    /// Fails if there are not enough of them: before anything is marked or sent.
    pub fn take(
        file: &DealtFile,
        session: &Session,
        [first, position]: [u32; 2],
        images: &Images,
        goes_on: bool,
    ) -> Result<Self, Failure> {
        let dealt = with_spare(session, file.spare)?;
        let needed = session.iterations().saturating_sub(first);
        let left = dealt.iterations().saturating_sub(position);
        if left < needed {
            let short = needed - left;
            return Err(Failure::new(
                format!(
                    "the run needs {needed} more iterations and the dealt files have {left} left: {short} are missing"
                ),
                format!(
                    "deal new files for this session, for breaks with --spare {} or more, and give them to both parties",
                    short.max(file.spare)
                ),
            ));
        }
        // A run that is complete spends nothing, and may come after all positions are spent.
        let position = position.min(dealt.iterations());
        let place = file.corrections().start + corrections_before(&dealt, position)?;
        let mark = match goes_on {
            true => Some(file.consume(position, images.digest())?),
            false => {
                file.consume(ALL, images.digest())?;
                None
            }
        };
        Ok(Positions {
            session: dealt,
            first,
            position,
            mark,
            place,
            given: None,
        })
    }

    /// The same positions, for a further rank.
    pub fn further(&self) -> Self {
        Positions {
            session: self.session.clone(),
            mark: None,
            given: None,
            ..*self
        }
    }

    /// What reads the rank's corrections from the file of `role`, which has some for P1 alone.
    pub fn reader(&mut self, file: &DealtFile, role: Role) -> Corrections {
        let (reader, given) = Corrections::new(file);
        self.given = (role == Role::P1).then_some(given);
        reader
    }

    /// The position of an iteration.
    pub fn of(&self, iteration: u32) -> u32 {
        self.position + (iteration - self.first)
    }

    /// Begins an iteration, for one of the `ranks` of the party: the first one marks its position. Returns the position.
    /// Iterations begin in order.
    pub fn begin<R: Ring>(
        &mut self,
        network: &Network,
        ranks: &mut impl Ranks,
        iteration: u32,
    ) -> Result<u32, Failure> {
        let position = self.of(iteration);
        if let Some(mark) = &mut self.mark {
            mark.set(position + 1)?;
        }
        // No rank may use the masks of a position before it is marked.
        ranks.broadcast(0, &mut [0]).map_err(RunError::from)?;
        if let Some(given) = &self.given {
            let plan = Plan::new(&self.session, network);
            let place = self.place;
            let own = plan.rank_corrections::<R>(ranks.rank(), position);
            given.give(own.map(|range| place + range.start..place + range.end));
            self.place += plan.iteration_corrections::<R>(position);
        }
        Ok(position)
    }

    /// Ends the iteration that has begun: the rank has to have used all its corrections.
    pub fn end(&self) -> Result<(), Failure> {
        match self.given.as_ref().map_or(0, Given::left) {
            0 => Ok(()),
            left => Err(Failure::new(
                format!("an iteration has left {left} bytes of its corrections"),
                "deal a new session with this version of the program",
            )),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::Classes;

    use ringlet_core::{
        data::Normalisation,
        model::Model,
        num::Format,
        prg::Key,
        session::{
            ClassList, Headroom, KnownBackbone, OneRank, Protocol, Task, handshake::DealtId,
        },
    };

    use crate::run::dealt_files::{Dealing, DealtWriter};

    pub fn session() -> Session {
        Session {
            model: Model::built_in("digits8").expect("built in"),
            format: Format::new::<u32>(12).expect("widths that fit"),
            headroom: Headroom::NONE,
            normalisation: Normalisation::NONE,
            task: Task::Train,
            protocol: Protocol::DEALT,
            samples: [40, 0],
            contributions: None,
            batch: 10,
            micro_batch: 10,
            epochs: 2,
            limit: 7,
            learning_rate: 1 << 20,
            momentum: 0,
            training: Default::default(),
            class_weights: Default::default(),
            shuffle_seed: 3,
            receiver: None,
            reveal_loss: false,
            initial_model: None,
            audit: 0,
            classes: ClassList::Unknown,
            backbone: KnownBackbone::Unknown,
        }
    }

    fn images(pixel: u8) -> Images {
        Images {
            shape: [8, 8, 1],
            pixels: vec![pixel; 64],
            labels: vec![1],
            classes: Classes::Numbered,
        }
    }

    #[test]
    fn spare_iterations_follow_in_the_same_epochs() {
        let session = session();
        let dealt = |spare| with_spare(&session, spare).expect("a session");
        assert_eq!((dealt(0).iterations(), dealt(0).epochs), (7, 2));
        assert_eq!((dealt(1).iterations(), dealt(1).epochs), (8, 2));
        assert_eq!((dealt(6).iterations(), dealt(6).epochs), (13, 4));
        assert_eq!(dealt(6).batch(6), session.batch(6));
        assert!(with_spare(&session, u32::MAX - 6).is_err());
        let before = |count| corrections_before(&dealt(2), count).expect("bytes");
        assert_eq!((before(0), before(2)), (0, 2 * before(1)));
    }

    #[test]
    fn positions_are_marked_before_they_serve_and_never_serve_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let session = session();
        let network = ringlet_core::dealt::check::<u32>(&session).expect("a session");
        let dealing = Dealing {
            identity: DealtId([4; 16]),
            session: &session,
            spare: 2,
        };
        let key = Key::new([6; 32]);
        let file = DealtWriter::create(dir.path(), Role::P0, &dealing, &key, 0);
        file.and_then(DealtWriter::finish).expect("a file");
        let open = || open(dir.path(), Role::P0, &session, true).expect("a file");

        let file = open();
        let take = |file: &DealtFile, places, pixel| {
            Positions::take(file, &session, places, &images(pixel), true)
        };
        let mut positions = take(&file, [0, 0], 1).expect("positions");
        for iteration in 0..4 {
            let position = positions.begin::<u32>(&network, &mut OneRank, iteration);
            assert_eq!(position.expect("a mark"), iteration);
        }
        drop((file, positions));

        let file = open();
        assert_eq!((file.begun, file.spare), (4, 2));
        // Masks of samples last, so other samples are refused.
        let refused = |taken: Result<Positions, Failure>| taken.err().expect("refused").to_string();
        let line = refused(take(&file, [3, 4], 2));
        assert!(line.contains("other images"), "{line}");
        // Back at iteration 1 there are six to go, and five left.
        let line = refused(take(&file, [1, 4], 1));
        assert!(line.contains("6 more") && line.contains("5 left"), "{line}");
        let mut positions = take(&file, [2, 4], 1).expect("positions");
        let position = positions.begin::<u32>(&network, &mut OneRank, 2);
        assert_eq!(position.expect("a mark"), 4);
        drop((file, positions));
        assert_eq!(open().begun, 5);
        // A run that does not go on marks all of them.
        let file = open();
        let whole = Positions::take(&file, &session, [7, 5], &images(1), false);
        assert!(whole.is_ok());
        drop((file, whole));
        assert_eq!(open().begun, ALL);
        let again = DealtFile::open(dir.path(), Role::P0, &session, false);
        assert!(again.is_err_and(|failure| failure.to_string().contains("has been used")));
    }
}
