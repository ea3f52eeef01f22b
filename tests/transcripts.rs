//! The bytes on the links: they look uniform, repeat nothing, and contain no secret.

use std::collections::HashSet;

use ringlet::{
    config::{activation::Activation, session::with_polynomials},
    data::{Images, Part, load},
};
use ringlet_core::{
    Role,
    data::Normalisation,
    dealt::Plan,
    kernel::pack::{pack, packed_len},
    model::{Model, TripleScheme},
    network::Network,
    num::{Format, mask},
    prg::Key,
    session::{ClassList, Headroom, KnownBackbone, Protocol, Session, Task},
};
use ringlet_tests::{Recording, record};

fn digits() -> Images {
    load(None, Part::Train).expect("built-in digits")
}

fn session(images: &Images) -> Session {
    Session {
        model: Model::built_in("digits8").expect("built in"),
        format: Format::new::<u32>(12).expect("widths that fit"),
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [images.len() as u32 - 500, 500],
        contributions: None,
        batch: 64,
        micro_batch: 64,
        epochs: 1,
        limit: 2,
        learning_rate: 1 << 19,
        momentum: 7 << 21,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 3,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 1,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    }
}

/// The same with SPDZ triples and polynomials, in the ring of 64 bits.
fn published(images: &Images) -> Session {
    with_polynomials(&session(images), TripleScheme::Seed, &Activation::default())
        .expect("a session")
}

/// One that begins with drawn weights, one that begins with P1's model, and a published one.
fn sessions(images: &Images) -> [Session; 3] {
    let of_p1 = Session {
        initial_model: Some(Role::P1),
        ..session(images)
    };
    [session(images), of_p1, published(images)]
}

fn network(session: &Session) -> Network {
    match session.format.ring {
        32 => ringlet_core::dealt::check::<u32>(session),
        _ => ringlet_core::dealt::check::<u64>(session),
    }
    .expect("a session that runs")
}

fn keys(seed: u8) -> [Key; 2] {
    [Key::new([seed; 32]), Key::new([seed ^ 0x55; 32])]
}

/// The bytes after the handshake, which is not uniform. Its head has its length.
fn tensors(sent: &[u8]) -> &[u8] {
    assert_eq!(&sent[..4], b"RNGL");
    let body = usize::from(u16::from_le_bytes([sent[4], sent[5]]));
    &sent[6 + body..]
}

/// Chi-square of byte values against the uniform distribution, as a standard normal deviate.
fn deviation(bytes: &[u8]) -> f64 {
    let mut counts = [0u64; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let expected = bytes.len() as f64 / 256.0;
    let chi_square: f64 = counts
        .iter()
        .map(|&count| (count as f64 - expected).powi(2) / expected)
        .sum();
    (chi_square - 255.0) / (2.0f64 * 255.0).sqrt()
}

#[test]
fn every_wire_looks_uniform() {
    let images = digits();
    for session in sessions(&images) {
        let recording = record(&session, &images, keys(1), 9);
        let wires = [
            ("p0 to p1", tensors(&recording.peer[0])),
            ("p1 to p0", tensors(&recording.peer[1])),
            ("dealer to p1", tensors(&recording.dealer[1])),
        ];
        for (name, bytes) in wires {
            assert!(bytes.len() > 50_000, "{name}: {}", bytes.len());
            let whole = deviation(bytes);
            assert!(whole.abs() < 6.0, "{name}: {whole}");
            // Openings also in pieces, in which an unmasked one would show. Corrections are padded with zero bits to
            // whole bytes, which would show in a piece.
            if name != "dealer to p1" {
                for (index, piece) in bytes.chunks_exact(4096).enumerate() {
                    let piece = deviation(piece);
                    assert!(piece.abs() < 7.0, "{name}, piece {index}: {piece}");
                }
            }
        }
    }
}

#[test]
fn the_dealer_gives_p0_a_key_and_hears_nothing_but_the_session() {
    let images = digits();
    for session in sessions(&images) {
        let recording = record(&session, &images, keys(2), 9);
        // The answer: magic, length, and a message of one tag, 32 bytes, the first iteration and the number of ranks.
        assert_eq!(recording.dealer[0].len(), 6 + 1 + 32 + 1 + 1);
        assert_eq!(recording.dealer[0][7..39], *keys(2)[0].reveal());
        assert!(tensors(&recording.to_dealer[0]).is_empty());
        assert!(tensors(&recording.to_dealer[1]).is_empty());
        // To P1 its key and the corrections that the plan counts; the parties' traffic likewise.
        let network = network(&session);
        let plan = Plan::new(&session, &network);
        let iteration = |len| match session.format.ring {
            32 => plan.iteration::<u32>(len) + plan.audit::<u32>(len),
            _ => plan.iteration::<u64>(len) + plan.audit::<u64>(len),
        };
        // Data without a kept mask is opened in every iteration.
        let data = |own: usize| match session.keeps_data() {
            true => plan.data_bytes(own as u32),
            false => 0,
        };
        let iterations = session.iterations();
        let planned = match session.format.ring {
            32 => plan.corrections::<u32>(),
            _ => plan.corrections::<u64>(),
        };
        let key = 6 + 1 + 32 + 1 + 1;
        assert_eq!(recording.dealer[1].len() as u64, planned + key);
        for role in Role::BOTH {
            let planned: u64 = (0..iterations)
                .map(|i| {
                    let batch = session.batch(i);
                    let mut samples = vec![0; batch.len as usize];
                    session.batch_samples(batch, 0, &mut samples);
                    let own = samples
                        .iter()
                        .filter(|&&s| session.owner(s) == role)
                        .count();
                    iteration(batch.len).online_bytes + data(own)
                })
                .sum();
            assert_eq!(tensors(&recording.peer[role.index()]).len() as u64, planned);
        }
    }
}

/// All windows of eight bytes, as a set.
fn windows(bytes: &[u8]) -> HashSet<[u8; 8]> {
    bytes.windows(8).filter_map(|w| w.try_into().ok()).collect()
}

fn all_links(recording: &Recording) -> Vec<u8> {
    [&recording.peer[0], &recording.peer[1], &recording.dealer[1]]
        .into_iter()
        .flat_map(|sent| tensors(sent).to_vec())
        .collect()
}

#[test]
fn other_keys_share_no_opened_bytes() {
    let images = digits();
    let session = session(&images);
    let [one, other] = [1, 3].map(|seed| record(&session, &images, keys(seed), 9));
    for role in 0..2 {
        let (one, other) = (tensors(&one.peer[role]), tensors(&other.peer[role]));
        assert_eq!(one.len(), other.len());
        // Bytes at the same place are equal by chance only: 1 in 256.
        let equal = one.iter().zip(other).filter(|(a, b)| a == b).count();
        let expected = one.len() as f64 / 256.0;
        assert!(
            (equal as f64 - expected).abs() < 6.0 * expected.sqrt(),
            "{equal}"
        );
        // No eight bytes of one run are anywhere in the other.
        assert!(windows(one).is_disjoint(&windows(other)));
    }
    // With the same keys the run is the same to the byte.
    let again = record(&session, &images, keys(1), 9);
    assert_eq!(again.peer, one.peer);
    assert_eq!(again.dealer, one.dealer);
}

#[test]
fn no_link_carries_data_labels_weights_or_gradients() {
    let images = digits();
    for session in sessions(&images) {
        let recording = record(&session, &images, keys(4), 9);
        let sent = all_links(&recording);
        let sent = windows(&sent);
        let mut secrets: Vec<(&str, Vec<u8>)> = Vec::new();
        // Pixels as loaded, and in fixed point.
        secrets.push(("pixels", images.pixels.clone()));
        let fixed = |p: &u8| Normalisation::NONE.units::<u32>(0, *p, 12).to_le_bytes();
        secrets.push((
            "pixels at scale f",
            images.pixels.iter().flat_map(fixed).collect(),
        ));
        // Labels.
        secrets.push(("labels", images.labels.clone()));
        // Each party's shares of the weights, and the weights, both as master weights and as operands.
        let wide = |values: &[u128]| -> Vec<u8> {
            values
                .iter()
                .flat_map(|v| (*v as u64).to_le_bytes())
                .collect()
        };
        let operands = |values: &[u128]| -> Vec<u8> {
            values
                .iter()
                .flat_map(|v| ((*v as u64 >> 24) as u32).to_le_bytes())
                .collect()
        };
        let [first, second] = &recording.shares;
        let mut differences: Vec<u128> = Vec::new();
        let mut before: Option<Vec<u128>> = None;
        for (p0, p1) in first.iter().zip(second) {
            let mut model = Vec::new();
            for (p0, p1) in p0.iter().zip(p1) {
                let sums: Vec<u128> = p0.iter().zip(p1).map(|(a, b)| a.wrapping_add(*b)).collect();
                for values in [p0, p1, &sums] {
                    secrets.push(("weights", wide(values)));
                    secrets.push(("weights as operands", operands(values)));
                }
                model.extend(sums);
            }
            if let Some(before) = before.replace(model.clone()) {
                differences.extend(model.iter().zip(before).map(|(a, b)| a.wrapping_sub(b)));
            }
        }
        secrets.push(("updates", wide(&differences)));
        // Products, logits, gradients and velocities: each party's shares and the values, as words and packed for a link.
        let [p0, p1] = &recording.narrow;
        assert!(p0.len() == p1.len() && p0.len() >= 8);
        for ((row, backward, bits, p0), (_, _, _, p1)) in p0.iter().zip(p1) {
            let sums = p0
                .iter()
                .zip(p1)
                .map(|(a, b)| a.wrapping_add(*b) & mask::<u64>(*bits));
            let sums: Vec<u64> = sums.collect();
            let name = match (row, backward) {
                (2, false) => "logits",
                (1, false) => "inputs of a polynomial",
                (_, true) => "gradients",
                (_, false) => "products",
            };
            for values in [p0, p1, &sums] {
                let size = session.format.ring as usize / 8;
                let word = |v: &u64| v.to_le_bytes()[..size].to_vec();
                let words = values.iter().flat_map(word).collect();
                let mut packed = vec![0; packed_len(values.len(), *bits)];
                pack(*bits, values, &mut packed);
                secrets.push((name, words));
                secrets.push((name, packed));
            }
        }
        for (name, secret) in secrets {
            // Zeros and repeated pixels occur everywhere. Windows of varied bytes must occur nowhere.
            let varied = |window: &&[u8]| window.iter().collect::<HashSet<_>>().len() >= 6;
            for window in secret.windows(8).filter(varied) {
                let window: [u8; 8] = window.try_into().expect("eight bytes");
                assert!(!sent.contains(&window), "{name}: {window:?}");
            }
        }
    }
}
