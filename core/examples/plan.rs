//! What a session will cost, before a byte is sent: bytes, rounds and memory of each role, for a built-in model.
//!
//! `cargo run -p ringlet-core --example plan -- convnet2 128 1` for batches of 128 samples, worked on one by one.

use std::{env, error::Error};

use ringlet_core::{
    Role,
    data::Normalisation,
    dealt::{self, Plan},
    model::{BUILT_IN, Model},
    num::{Format, RATE_FRACTION},
    session::{ClassList, Headroom, KnownBackbone, Protocol, Session, Task},
};

/// The ring of linear arithmetic: Z_2^32.
type Ring = u32;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or("digits8".to_owned());
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse());
    let batch: u32 = number(32)?;
    let micro_batch = number(batch)?;
    let model = Model::built_in(&name)
        .ok_or_else(|| format!("there is no model {name}: choose one of {BUILT_IN:?}"))?;
    let session = Session {
        model,
        format: Format::new::<Ring>(12)?,
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [batch, 0],
        contributions: None,
        batch,
        micro_batch,
        epochs: 1,
        limit: 0,
        learning_rate: 1 << (RATE_FRACTION - 4),
        momentum: 7 << (RATE_FRACTION - 3),
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 0,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    };
    let network = dealt::check::<Ring>(&session)?;
    let plan = Plan::new(&session, &network);
    println!(
        "{:<16}{:>16}{:>16}{:>16}",
        "sent by a party", "forward", "backward", "dealer to p1"
    );
    for row in plan.cost_rows::<Ring>(batch) {
        let dealer = row.forward.dealer_bytes + row.backward.dealer_bytes;
        let (forward, backward) = (row.forward.online_bytes, row.backward.online_bytes);
        println!(
            "{:<16}{forward:>16}{backward:>16}{dealer:>16}",
            row.name.as_str()
        );
    }
    let data = plan.data::<Ring>(batch, batch);
    println!("{:<16}{:>16}   once in a run", "data", data.online_bytes);
    let iteration = plan.iteration::<Ring>(batch);
    println!(
        "an iteration: {} bytes sent by each party in {} rounds, {} bytes of corrections",
        iteration.online_bytes, iteration.rounds, iteration.dealer_bytes
    );
    for role in Role::BOTH {
        let arena = 8 * plan.arena_words::<Ring>(role);
        let opened = size_of::<Ring>() * plan.opened_data_words(role);
        println!("{role} takes {arena} bytes, and {opened} for the other party's opened samples");
    }
    println!(
        "the dealer takes {} bytes",
        8 * plan.dealer_arena_words::<Ring>()
    );
    Ok(())
}
