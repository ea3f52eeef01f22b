//! Private inference by SecureNN, from the links of a party to its end.

use ringlet_core::{
    Role,
    data::Data,
    net::Remote,
    network::Network,
    prg::Key,
    securenn::{Classifier, PartyContext, party_words},
    session::{Ranks, Session},
    share::Observer,
};

use super::{
    classes::{Classes, every_batch, gathered},
    event::StageValues,
    monotonic_clock,
    party::{Emit, PartySetup},
    party_ranks::{Observers, PartyLinks, RankNeeds, end_links, links, sum_traffic},
    ranks,
    role_ranks::RoleRanks,
};
use crate::{error::Failure, resources::filled};

/// Classifies to the end, with all ranks of the party; `pair` is the key that only the parties have. The owner of the model
/// passes it as `model`, the other party an empty one. Returns the classes to the owner of the images.
pub fn run_party(
    mut setup: PartySetup<'_>,
    (pair, model): (Key, &[StageValues]),
    party_links: PartyLinks<'_>,
    data: &mut dyn Data,
    observers: Observers<'_, u64>,
    emit: Emit<'_>,
) -> Result<Classes, Failure> {
    let further = std::mem::take(&mut setup.further);
    let rank = InferenceRank {
        session: setup.session,
        network: setup.network,
        role: setup.role,
        keys: [pair, setup.key],
    };
    if let Some(processes) = further.processes {
        let ranks = &mut RoleRanks::Processes(processes);
        let seen = (data, observers.first);
        let classes = rank.run(ranks, model, party_links, seen, emit)?;
        processes.meet();
        return Ok(classes);
    }
    let (observer, needs) = observers.with(further.needs);
    ranks::run(
        (needs, &further.closer),
        |ranks| {
            let ranks = &mut RoleRanks::Threads(ranks);
            rank.run(ranks, model, party_links, (data, observer), emit)
        },
        |ranks, (needs, mut observer)| {
            rank.run_further(&mut RoleRanks::Threads(ranks), needs, &mut *observer)
        },
    )
}

/// A rank of a party of an inference.
pub struct InferenceRank<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// Which party.
    pub role: Role,
    /// The keys that all ranks of the party share with the peer and with the assistant.
    pub keys: [Key; 2],
}

impl InferenceRank<'_> {
    /// Classifies to the end as a further rank, and ends the links.
    pub fn run_further(
        &self,
        ranks: &mut RoleRanks<'_>,
        mut needs: RankNeeds<'_>,
        observer: &mut dyn Observer<u64>,
    ) -> Result<(), Failure> {
        let assistant = (needs.helper.as_mut(), Remote::Assistant);
        let party_links = links(&mut needs.peer, assistant);
        let seen = (&mut *needs.data as &mut dyn Data, observer);
        self.run(ranks, &[], party_links, seen, &mut |_| Ok(()))?;
        end_links(self.role, needs.peer, (needs.helper, Remote::Assistant))
    }

    /// Classifies to the end. Only the first rank has the `model`, and gets the classes.
    fn run(
        &self,
        ranks: &mut RoleRanks<'_>,
        model: &[StageValues],
        (peer, assistant): PartyLinks<'_>,
        (mut data, mut observer): (&mut dyn Data, &mut dyn Observer<u64>),
        emit: Emit<'_>,
    ) -> Result<Classes, Failure> {
        let (session, network, role) = (self.session, self.network, self.role);
        let mut memory = filled(0, party_words(session, network), "the shares")?;
        let mut party = Classifier::new(session, network, role, &mut memory)?;
        for (stage, values) in model.iter().enumerate() {
            party.load_parameters(stage, values.iter().map(|&value| value as u64));
        }
        let mut cx = PartyContext::new(role, self.keys.clone(), peer, assistant);
        cx.set_clock(monotonic_clock::nanoseconds);
        let step = |iteration, classes: &mut Classes| {
            // No rank begins a batch before the first one has told what was seen of the batch before.
            ranks.broadcast(0, &mut [0])?;
            let sink = |sample, class| classes.push((sample, class));
            let seen = (&mut data, &mut observer);
            let batch = party.classify_in_ranks(&mut cx, ranks, iteration, seen, sink)?;
            let audit = party.audit_counts().map(<[_]>::to_vec);
            let mut traffic = cx.take_traffic();
            sum_traffic(ranks, &mut traffic)?;
            Ok((batch, traffic, audit))
        };
        let classes = every_batch(session, emit, step)?;
        gathered(session, role, ranks, classes)
    }
}
