//! Each gate against its ideal function, over every input at small widths; what it costs; and what the assistant sees.

extern crate std;

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread, vec,
    vec::Vec,
};

use super::{
    compare::{Bound, Compare},
    convert::Convert,
    modular::{P, field},
    product::Product,
    sign::{Derivative, Relu, TopBit},
    *,
};
use crate::{gate::bench::Values, prg::Key};

const AT: At = At {
    iteration: 2,
    gate: 16,
};

/// One end of a line between two roles, and the bytes that were sent and received over it.
struct End {
    to: Sender<Vec<u8>>,
    from: Receiver<Vec<u8>>,
    waiting: Vec<u8>,
    sent: u64,
    heard: Vec<u8>,
}

fn line() -> [End; 2] {
    let (here, there) = (channel(), channel());
    let end = |to, from| End {
        to,
        from,
        waiting: Vec::new(),
        sent: 0,
        heard: Vec::new(),
    };
    [end(here.0, there.1), end(there.0, here.1)]
}

impl End {
    fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.sent += bytes.len() as u64;
        self.to.send(bytes.to_vec()).expect("the other role");
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        while self.waiting.len() < bytes.len() {
            self.waiting
                .extend(self.from.recv().expect("the other role"));
        }
        let rest = self.waiting.split_off(bytes.len());
        bytes.copy_from_slice(&self.waiting);
        self.heard.append(&mut self.waiting);
        self.waiting = rest;
        Ok(())
    }
}

struct Party {
    role: Role,
    pair: Prg,
    shared: Prg,
    peer: End,
    helper: End,
}

impl Computing for Party {
    fn role(&self) -> Role {
        self.role
    }

    fn pair(&self) -> &Prg {
        &self.pair
    }

    fn assistant(&self) -> &Prg {
        &self.shared
    }

    fn exchange(&mut self, own: &[u8], other: &mut [u8]) -> Result<(), LinkError> {
        self.peer.send(own)?;
        self.peer.receive(other)
    }

    fn tell_assistant(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.helper.send(bytes)
    }

    fn hear_assistant(&mut self, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.helper.receive(bytes)
    }
}

struct Assistant {
    own: Prg,
    shared: [Prg; 2],
    parties: [End; 2],
}

impl Assisting for Assistant {
    fn own(&self) -> &Prg {
        &self.own
    }

    fn prg(&self, role: Role) -> &Prg {
        &self.shared[role.index()]
    }

    fn tell(&mut self, role: Role, bytes: &[u8]) -> Result<(), LinkError> {
        self.parties[role.index()].send(bytes)
    }

    fn hear(&mut self, role: Role, bytes: &mut [u8]) -> Result<(), LinkError> {
        self.parties[role.index()].receive(bytes)
    }
}

/// Memory of a role, for `len` elements of `bits` bits.
fn with_scratch<O>(len: usize, bits: u32, run: impl FnOnce(&mut Scratch<'_>) -> O) -> O {
    let mut field = vec![0; len * bits as usize];
    let mut words: [Vec<u64>; 6] = core::array::from_fn(|_| vec![0; len]);
    run(&mut Scratch {
        bits: &mut field,
        words: words.each_mut().map(|words| &mut words[..]),
    })
}

/// What a run of all three roles leaves: what both parties made, what the assistant made, the bytes that all have
/// sent, and what the assistant has heard from each party.
struct Ran<O, A> {
    made: [O; 2],
    answer: A,
    bytes: u64,
    heard: [Vec<u8>; 2],
}

fn run<O: Send, A>(
    seed: u64,
    party: impl Fn(&mut Party) -> Result<O, LinkError> + Sync,
    assist: impl FnOnce(&mut Assistant) -> Result<A, LinkError>,
) -> Ran<O, A> {
    let key = |number: u8| {
        let mut bytes = [number; Key::LEN];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Prg::new(Key::new(bytes))
    };
    let [first, second] = line();
    let [helper0, assistant0] = line();
    let [helper1, assistant1] = line();
    let party = &party;
    thread::scope(|scope| {
        let sides = [(Role::P0, first, helper0), (Role::P1, second, helper1)];
        let parties = sides.map(|(role, peer, helper)| {
            let mut cx = Party {
                role,
                pair: key(1),
                shared: key(2 + role.index() as u8),
                peer,
                helper,
            };
            scope.spawn(move || {
                let made = party(&mut cx).expect("links that hold");
                (made, cx.peer.sent + cx.helper.sent)
            })
        });
        let mut cx = Assistant {
            own: key(9),
            shared: [key(2), key(3)],
            parties: [assistant0, assistant1],
        };
        let answer = assist(&mut cx).expect("links that hold");
        let [first, second] = parties.map(|party| party.join().expect("a party"));
        let bytes = first.1 + second.1 + cx.parties[0].sent + cx.parties[1].sent;
        Ran {
            made: [first.0, second.0],
            answer,
            bytes,
            heard: cx.parties.map(|end| end.heard),
        }
    })
}

/// Every way to share every element of `values` in a ring.
fn every_sharing(ring: Modulus, values: impl Iterator<Item = u64>) -> (Vec<u64>, [Vec<u64>; 2]) {
    let size = match ring {
        Modulus::Even(bits) => 1u64 << bits,
        Modulus::Odd(bits) => (1 << bits) - 1,
    };
    let (mut all, mut shares) = (Vec::new(), [Vec::new(), Vec::new()]);
    for value in values {
        for share in 0..size {
            all.push(value);
            shares[0].push(share);
            shares[1].push(ring.minus(value, share));
        }
    }
    (all, shares)
}

fn join(ring: Modulus, made: &[Vec<u64>; 2]) -> Vec<u64> {
    let pairs = made[0].iter().zip(&made[1]);
    pairs.map(|(&a, &b)| ring.plus(a, b)).collect()
}

/// Compares `numbers` with `bounds`; the answers, and what the assistant has heard.
fn compare_all(
    bits: u32,
    seed: u64,
    numbers: &[u64],
    bounds: &[Bound],
) -> (Vec<u64>, [Vec<u8>; 2]) {
    let gate = Compare { bits };
    let len = numbers.len();
    let ran = run(
        seed,
        |cx| {
            let mut shares = vec![0; len * bits as usize];
            cx.hear_assistant(&mut shares)?;
            gate.run(cx, AT, &shares, |_, place| bounds[place])
        },
        |cx| {
            for (place, &number) in numbers.iter().enumerate() {
                gate.share_bits(cx, AT, place as u64, number)?;
            }
            let mut found = vec![0; len];
            gate.assist(cx, &mut found)?;
            Ok(found)
        },
    );
    assert_eq!(
        ran.bytes,
        gate.cost(len).bytes + gate.sharing_cost(len).bytes
    );
    (ran.answer, ran.heard)
}

#[test]
fn comparisons_are_right_for_every_number_and_bound() {
    for bits in [3, 6] {
        let (mut numbers, mut bounds) = (Vec::new(), Vec::new());
        for number in 0..1 << bits {
            for hide in [0, 1] {
                for value in 0..1 << bits {
                    for below_all in [0, 1] {
                        numbers.push(number);
                        bounds.push(Bound {
                            value,
                            below_all,
                            hide,
                        });
                    }
                }
            }
        }
        let (found, _) = compare_all(bits, 1, &numbers, &bounds);
        for ((&found, &number), &bound) in found.iter().zip(&numbers).zip(&bounds) {
            let want = Compare { bits }.ideal(number, bound);
            assert_eq!(found, want, "{number} {bound:?} of {bits} bits");
        }
    }
    // And at the ends of 64 bits, and by one bit anywhere.
    let ends = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1];
    let (mut numbers, mut bounds) = (Vec::new(), Vec::new());
    for &number in &ends {
        let others = (0..64).map(|bit| number ^ 1 << bit).chain(ends);
        for value in others {
            for hide in [0, 1] {
                numbers.push(number);
                bounds.push(Bound {
                    value,
                    below_all: 0,
                    hide,
                });
            }
        }
    }
    let (found, _) = compare_all(64, 2, &numbers, &bounds);
    for ((&found, &number), &bound) in found.iter().zip(&numbers).zip(&bounds) {
        assert_eq!(
            found,
            Compare { bits: 64 }.ideal(number, bound),
            "{number} {bound:?}"
        );
    }
}

#[test]
fn all_that_the_assistant_sees_of_a_comparison_is_its_answer() {
    let bits = 6;
    let len = 40_000;
    // Numbers that differ from their bounds at the highest bit or at the lowest alone; forced answers.
    let views = [
        (63, 31, 0, 0),
        (33, 32, 0, 0),
        (5, 5, 0, 1),
        (9, 0, 1, 0),
        (7, 63, 0, 1),
    ]
    .map(|(number, value, below_all, hide)| {
        let bound = Bound {
            value,
            below_all,
            hide,
        };
        let seed = number + 100 * value;
        let (found, heard) = compare_all(bits, seed, &vec![number; len], &vec![bound; len]);
        assert!(found.iter().all(|&found| found == 1));
        let [first, second] = heard;
        let sums: Vec<u8> = first
            .iter()
            .zip(&second)
            .map(|(&a, &b)| field::plus(a, b))
            .collect();
        let (mut places, mut entries) = (vec![0u32; bits as usize], vec![0u32; P as usize]);
        for list in sums.chunks_exact(bits as usize) {
            let zeros = list.iter().filter(|&&entry| entry == 0).count();
            assert_eq!(zeros, 1);
            let place = list.iter().position(|&entry| entry == 0);
            places[place.expect("a zero")] += 1;
            list.iter()
                .for_each(|&entry| entries[usize::from(entry)] += 1);
        }
        // Each party's own list is uniform as well.
        let mut single = vec![0u32; P as usize];
        first
            .iter()
            .for_each(|&entry| single[usize::from(entry)] += 1);
        (places, entries, single)
    });
    let chi = |counts: &[u32]| {
        let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts
            .iter()
            .map(|&count| (f64::from(count) - mean).powi(2) / mean)
            .sum::<f64>()
    };
    for (places, entries, single) in &views {
        // 5 and 65 degrees of freedom: five standard deviations.
        assert!(chi(places) < 5.0 + 5.0 * 10f64.sqrt(), "{places:?}");
        assert!(
            chi(&entries[1..]) < 65.0 + 5.0 * 130f64.sqrt(),
            "{entries:?}"
        );
        assert!(chi(single) < 66.0 + 5.0 * 132f64.sqrt(), "{single:?}");
    }
}

/// Converts shares; bytes are what the cost says.
fn convert(bits: u32, seed: u64, shares: &[Vec<u64>; 2]) -> Vec<u64> {
    let gate = Convert { bits };
    let len = shares[0].len();
    let ran = run(
        seed,
        |cx| {
            let mut own = shares[cx.role.index()].clone();
            with_scratch(len, bits, |scratch| gate.run(cx, AT, &mut own, scratch))?;
            Ok(own)
        },
        |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
    );
    assert_eq!(ran.bytes, gate.cost(len).bytes);
    join(Modulus::Odd(bits), &ran.made)
}

#[test]
fn every_sharing_of_every_value_is_converted() {
    for (bits, seeds) in [(3, 40), (6, 12)] {
        let top = (1 << bits) - 1;
        let (values, shares) = every_sharing(Modulus::Even(bits), 0..top);
        for seed in 0..seeds {
            let made = convert(bits, seed, &shares);
            assert!(made == values, "{bits} bits, seed {seed}");
        }
    }
}

fn top_bit(bits: u32, seed: u64, shares: &[Vec<u64>; 2]) -> Vec<u64> {
    let gate = TopBit { bits };
    let len = shares[0].len();
    let ran = run(
        seed,
        |cx| {
            let mut own = shares[cx.role.index()].clone();
            with_scratch(len, bits, |scratch| gate.run(cx, AT, &mut own, scratch))?;
            Ok(own)
        },
        |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
    );
    assert_eq!(ran.bytes, gate.cost(len).bytes);
    join(Modulus::Even(bits), &ran.made)
}

#[test]
fn the_top_bit_of_every_sharing_of_every_value() {
    for (bits, seeds) in [(3, 40), (6, 12)] {
        let (values, shares) = every_sharing(Modulus::Odd(bits), 0..(1 << bits) - 1);
        for seed in 0..seeds {
            let made = top_bit(bits, seed, &shares);
            let wanted = values.iter().map(|value| value >> (bits - 1));
            assert!(made.iter().copied().eq(wanted), "{bits} bits, seed {seed}");
        }
    }
}

/// ReLU and its derivative; bytes are what the cost says.
fn relu(bits: u32, seed: u64, shares: &[Vec<u64>; 2]) -> [Vec<u64>; 2] {
    let gate = Relu { bits };
    let len = shares[0].len();
    let ran = run(
        seed,
        |cx| {
            let mut own = shares[cx.role.index()].clone();
            let mut derivative = vec![0; len];
            with_scratch(len, bits, |scratch| {
                gate.run(cx, AT, &mut own, &mut derivative, scratch)
            })?;
            Ok((own, derivative))
        },
        |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
    );
    assert_eq!(ran.bytes, gate.cost(len).bytes);
    let [(y0, d0), (y1, d1)] = ran.made;
    [[y0, y1], [d0, d1]].map(|made| join(Modulus::Even(bits), &made))
}

#[test]
fn relu_of_every_sharing_of_every_number() {
    for (bits, seeds) in [(4, 20), (6, 6)] {
        let (ring, quarter) = (Modulus::Even(bits), 1 << (bits - 2));
        let numbers = (0..quarter).chain((1..=quarter).map(|number| ring.minus(0, number)));
        let (values, shares) = every_sharing(ring, numbers);
        for seed in 0..seeds {
            let [made, derivatives] = relu(bits, seed, &shares);
            for ((&value, &made), &derivative) in values.iter().zip(&made).zip(&derivatives) {
                assert_eq!(made, Relu { bits }.ideal(value), "{value} of {bits} bits");
                assert_eq!(derivative, Derivative { bits }.ideal(value), "{value}");
            }
        }
    }
}

#[test]
fn relu_of_random_numbers_and_of_the_ends_of_their_range() {
    let (ring, mut random) = (Modulus::Even(64), Values::new(5));
    let end = 1u64 << 62;
    let ends = [
        0,
        1,
        1u64.wrapping_neg(),
        end - 1,
        end.wrapping_neg(),
        (end - 1).wrapping_neg(),
    ];
    let mut values: Vec<u64> = (0..2000)
        .map(|_| ((random.word::<u64>() as i64) >> (2 + random.word::<u64>() % 60)) as u64)
        .collect();
    values.extend(ends);
    let first: Vec<u64> = values.iter().map(|_| random.word()).collect();
    let pairs = values.iter().zip(&first);
    let second = pairs
        .map(|(&value, &share)| ring.minus(value, share))
        .collect();
    let [made, derivatives] = relu(64, 3, &[first, second]);
    for ((&value, &made), &derivative) in values.iter().zip(&made).zip(&derivatives) {
        assert_eq!(made, Relu { bits: 64 }.ideal(value));
        assert_eq!(derivative, Derivative { bits: 64 }.ideal(value));
    }
}

#[test]
fn costs_are_the_published_ones() {
    // Bits for each element, of 64-bit words and field elements of a byte; and rounds.
    let bits = 64;
    let l = 64;
    for (cost, want, rounds) in [
        (Compare { bits }.cost(1), 2 * l * 8, 1),
        (Convert { bits }.cost(1), 4 * l * 8 + 6 * l, 4),
        (TopBit { bits }.cost(1), 4 * l * 8 + 13 * l, 5),
        (Derivative { bits }.cost(1), 8 * l * 8 + 19 * l, 8),
        (Product { bits }.cost(1), 5 * l, 2),
        (Relu { bits }.cost(1), 8 * l * 8 + 24 * l, 10),
    ] {
        assert_eq!((8 * cost.bytes, cost.rounds), (want, rounds));
    }
}
