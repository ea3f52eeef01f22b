//! Two parties and a dealer train a network over links in memory, each role in a thread of its own.
//!
//! P0 owns all images, P1 learns the model at the end. On a device the same calls stand around a serial line or a
//! network connection: anything with `embedded_io::{Read, Write}` makes a [`Link`].
//!
//! `cargo run -p ringlet-core --example train_in_memory`

use std::{
    collections::VecDeque,
    error::Error,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use embedded_io::{ErrorKind, ErrorType, Read, Write};
use ringlet_core::{
    Role,
    data::{Data, DataError, NoData, Normalisation},
    dealt::{self, Dealer, DealerContext, PartyContext, Plan, Trainer},
    model::{Layer, Model},
    net::{Link, Remote},
    network::Network,
    num::{Format, RATE_FRACTION, signed},
    prg::Key,
    session::{ClassList, Headroom, KnownBackbone, Protocol, Session, Task},
    share::NoObserver,
};

/// The ring of linear arithmetic: Z_2^32.
type Ring = u32;

const SAMPLES: u32 = 64;
const SIDE: usize = 4;

/// Images that are brighter in their left half (class 0) or in their right half (class 1).
struct Halves;

impl Data for Halves {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        let class = usize::from(self.label(sample)?);
        for (index, pixel) in out.iter_mut().enumerate() {
            let bright = index % SIDE / (SIDE / 2) == class;
            let noise = (sample as usize * 31 + index * 17) % 64;
            *pixel = noise as u8 + if bright { 150 } else { 0 };
        }
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        Ok((sample % 2) as u8)
    }
}

/// One end of a link in memory. Reading waits; what is written is never refused.
struct Pipe {
    to_other: Sender<Vec<u8>>,
    from_other: Receiver<Vec<u8>>,
    received: VecDeque<u8>,
}

fn pipes() -> [Pipe; 2] {
    let ((to_b, from_a), (to_a, from_b)) = (channel(), channel());
    [(to_b, from_b), (to_a, from_a)].map(|(to_other, from_other)| Pipe {
        to_other,
        from_other,
        received: VecDeque::new(),
    })
}

impl ErrorType for Pipe {
    type Error = ErrorKind;
}

impl Read for Pipe {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.received.is_empty() {
            // An error means that the other end is gone: the link is at its end.
            self.received
                .extend(self.from_other.recv().unwrap_or_default());
        }
        let count = bytes.len().min(self.received.len());
        for (byte, received) in bytes.iter_mut().zip(self.received.drain(..count)) {
            *byte = received;
        }
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let sent = self.to_other.send(bytes.to_vec());
        sent.map(|()| bytes.len())
            .map_err(|_| ErrorKind::BrokenPipe)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Everything that both parties and the dealer agree on. All of it is public.
fn session() -> Result<Session, Box<dyn Error>> {
    let side = SIDE as u16;
    let layers = [
        Layer::Flatten,
        Layer::Dense { units: 8 },
        Layer::Relu,
        Layer::Dense { units: 2 },
    ];
    Ok(Session {
        model: Model::new("halves", [side, side, 1], &layers).ok_or("too many layers")?,
        format: Format::new::<Ring>(12)?,
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [SAMPLES, 0],
        contributions: None,
        batch: 16,
        micro_batch: 16,
        epochs: 6,
        limit: 0,
        learning_rate: 1 << (RATE_FRACTION - 3),
        momentum: 1 << (RATE_FRACTION - 1),
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 1,
        receiver: Some(Role::P1),
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    })
}

/// A key that only its holders know. A real program asks its operating system or its hardware for these bytes.
fn key(number: u8) -> Key {
    Key::new([number; Key::LEN])
}

/// Runs a party to its end. Returns the revealed parameters of each stage, at the party that receives them.
fn party(
    role: Role,
    session: &Session,
    network: &Network,
    [peer, dealer]: [Pipe; 2],
    data: &mut impl Data,
) -> Result<Vec<Vec<f64>>, Box<dyn Error + Send + Sync>> {
    let plan = Plan::new(session, network);
    let mut memory = vec![0; plan.arena_words::<Ring>(role)];
    let mut opened_data = vec![0; plan.opened_data_words(role)];
    // Each party draws its part of the initial weights from a secret of its own.
    let secret = key(10 + role.index() as u8);
    let mut trainer = Trainer::<Ring>::new(
        session,
        network,
        role,
        &secret,
        &mut memory,
        &mut opened_data,
    )?;
    // A pipe takes everything that is sent, so a party may send ahead without end.
    let peer = Link::new(peer, Remote::Peer, usize::MAX / 2);
    let dealer = Link::new(dealer, Remote::Dealer, usize::MAX / 2);
    let mut cx = PartyContext::new(role, key(role.index() as u8), peer, dealer);
    for iteration in 0..session.iterations() {
        trainer.iterate(&mut cx, iteration, data, &mut NoObserver)?;
    }
    let [bits, fraction] = session.master();
    let mut stages = vec![Vec::new(); network.stages.len()];
    trainer.reveal(&mut cx, |stage, value| {
        let units = signed(value, bits);
        stages[stage].push(units as f64 / 2f64.powi(fraction as i32));
    })?;
    println!("{role} sent {} bytes to its peer", cx.peer_bytes()[0]);
    Ok(stages)
}

/// The dealer's part: corrections for P1, made from both parties' keys. P0 needs nothing but its key.
fn deal(
    session: &Session,
    network: &Network,
    to_p1: Pipe,
) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let mut memory = vec![0; Plan::new(session, network).dealer_arena_words::<Ring>()];
    let mut dealer = Dealer::<Ring>::new(session, network, &mut memory)?;
    let link = Link::new(to_p1, Remote::Party(Role::P1), 0);
    let mut cx = DealerContext::new([key(0), key(1)], link);
    for iteration in 0..session.iterations() {
        dealer.iterate(&mut cx, iteration)?;
    }
    Ok(cx.sent())
}

/// The class that the revealed model gives a sample, in the clear.
fn classify(stages: &[Vec<f64>], pixels: &[u8]) -> usize {
    let dense = |parameters: &[f64], input: &[f64], outputs: usize| -> Vec<f64> {
        let (weights, biases) = parameters.split_at(input.len() * outputs);
        let sum = |output: usize| -> f64 {
            let terms = input.iter().enumerate();
            terms
                .map(|(row, x)| x * weights[row * outputs + output])
                .sum()
        };
        (0..outputs)
            .map(|output| sum(output) + biases[output])
            .collect()
    };
    let pixels: Vec<f64> = pixels
        .iter()
        .map(|&pixel| f64::from(pixel) / 255.0)
        .collect();
    let hidden: Vec<f64> = dense(&stages[0], &pixels, 8)
        .iter()
        .map(|x| x.max(0.0))
        .collect();
    let logits = dense(&stages[1], &hidden, 2);
    usize::from(logits[1] > logits[0])
}

fn main() -> Result<(), Box<dyn Error>> {
    let session = session()?;
    let network = dealt::check::<Ring>(&session)?;
    let ([p0_to_p1, p1_to_p0], [dealer_to_p1, p1_to_dealer]) = (pipes(), pipes());
    let [unused, _] = pipes();
    let stages = thread::scope(|scope| {
        let dealer = scope.spawn(|| deal(&session, &network, dealer_to_p1));
        let p0 = scope.spawn(|| {
            party(
                Role::P0,
                &session,
                &network,
                [p0_to_p1, unused],
                &mut Halves,
            )
        });
        let stages = party(
            Role::P1,
            &session,
            &network,
            [p1_to_p0, p1_to_dealer],
            &mut NoData,
        );
        p0.join().expect("P0 does not panic")?;
        let sent = dealer.join().expect("the dealer does not panic")?;
        println!("the dealer sent {sent} bytes to p1");
        stages
    })
    .map_err(|error| error.to_string())?;

    let right = (0..SAMPLES).filter(|&sample| {
        let mut pixels = [0; SIDE * SIDE];
        Halves.pixels(sample, &mut pixels).is_ok()
            && classify(&stages, &pixels) == (sample % 2) as usize
    });
    let right = right.count();
    println!("the revealed model gets {right} of {SAMPLES} samples right");
    if right < SAMPLES as usize * 9 / 10 {
        return Err("the model has not learnt".into());
    }
    Ok(())
}
