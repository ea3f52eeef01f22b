//! Lines with faults: what arrives, what is sent again, and what is counted.

use super::*;

use std::collections::BTreeMap;

#[test]
fn bytes_arrive_despite_faults_of_the_line() {
    for (seed, faults) in [
        Faults { lost: 60, ..NONE },
        Faults {
            repeated: 60,
            ..NONE
        },
        Faults {
            changed: 60,
            ..NONE
        },
        Faults {
            delayed: 60,
            ..NONE
        },
        Faults {
            lost: 40,
            repeated: 40,
            changed: 40,
            delayed: 40,
        },
    ]
    .into_iter()
    .enumerate()
    {
        for capacity in [4096, 64] {
            exchange(capacity, faults, 2000, seed as u64);
        }
    }
}

/// Bytes that were sent twice as parts of frames with the same place in the stream are the same bytes.
#[test]
fn repeated_bytes_are_identical() {
    let faults = Faults { lost: 100, ..NONE };
    for sent in exchange(4096, faults, 2000, 9) {
        let mut decoder = Decoder::default();
        let mut seen: BTreeMap<(u8, u16), u8> = BTreeMap::new();
        let mut repeated = 0;
        for byte in sent {
            let Some((head, payload)) = decoder.push(byte) else {
                continue;
            };
            if head.kind != Kind::Data {
                continue;
            }
            for (at, &byte) in payload.iter().enumerate() {
                let place = head.sequence.wrapping_add(at as u16);
                let first = *seen.entry((head.channel, place)).or_insert(byte);
                assert_eq!(first, byte);
                repeated += usize::from(first == byte);
            }
        }
        repeated -= seen.len();
        assert!(
            repeated > 0 && seen.len() > 2000,
            "{repeated} {}",
            seen.len()
        );
    }
}

/// A byte in a hundred, or three in a hundred, in units of 2^-16, split among three kinds of faults.
fn share_of_faults(percent: u64) -> Faults {
    let each = percent * 65_536 / 300;
    Faults {
        lost: each,
        repeated: each,
        changed: each,
        ..NONE
    }
}

#[test]
fn a_line_that_faults_one_byte_in_a_hundred_carries_all_bytes() {
    for seed in 0..4 {
        for capacity in [4096, 64] {
            exchange(capacity, share_of_faults(1), 4000, seed + 50);
        }
    }
}

#[test]
fn a_line_that_faults_three_bytes_in_a_hundred_carries_all_bytes() {
    for seed in 0..3 {
        exchange(4096, share_of_faults(3), 2000, seed + 60);
    }
}

#[test]
fn a_clean_line_keeps_its_longest_frames_and_counts_no_faults() {
    // No end is so busy that the other sends again.
    let patient = Timeouts {
        resend: 1000,
        ..TIMEOUTS
    };
    let (sender, receiver) = one_way(line(4096, NONE, 70), patient, 20_000);
    // 84 frames, and an acknowledgement of each at most; the start and its answer.
    let frames = 20_000usize.div_ceil(MAX_PAYLOAD);
    assert_eq!(sender.line.sent.len(), 20_000 + 11 * (frames + 1));
    assert!(receiver.line.sent.len() <= 11 * (frames + 1));
    let counts = sender.counts();
    assert_eq!((counts.damaged, counts.repeated), (0, 0));
    assert_eq!(counts.sent as usize, frames);
    assert!(counts.arrived > 1 && counts.damaged_permille() == 0);
    // The start came before the session.
    assert_eq!(receiver.counts().arrived as usize, frames);
}

#[test]
fn a_line_says_that_it_is_bad() {
    for (percent, least, most) in [(1, 100, 600), (3, 150, 800)] {
        let ends = line(4096, share_of_faults(percent), 80);
        let (sender, receiver) = one_way(ends, TIMEOUTS, 6000);
        // The sender knows of lost frames by the acknowledgements, and the receiver sees them.
        for mux in [&sender, &receiver] {
            let counts = mux.counts();
            assert!(counts.damaged > 0, "{counts:?}");
            let permille = counts.damaged_permille();
            assert!((least..most).contains(&permille), "{counts:?}");
        }
        assert!(sender.counts().repeated > 10);
        // A new session counts anew.
        let mut again = sender;
        again.reset(5);
        assert_eq!(again.counts(), LineCounts::default());
    }
}

/// Sends `count` bytes in one direction. Returns both multiplexers, with a session that is over.
fn one_way(
    [one, two]: [End; 2],
    timeouts: Timeouts,
    count: usize,
) -> (Mux<End, Real>, Mux<End, Real>) {
    let bytes: Vec<u8> = (0..count).map(|at| (at * 7 + at / 251) as u8).collect();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut mux = new_mux(two, timeouts);
            mux.accept().unwrap();
            let mut got = Vec::new();
            while got.len() < count {
                let mut piece = [0; 300];
                let len = mux.read(0, &mut piece).unwrap();
                got.extend_from_slice(&piece[..len]);
            }
            assert!(got == bytes);
            mux.finish().unwrap();
            mux
        });
        // The start has to pass as well.
        let mut mux = new_mux(one, timeouts);
        mux.start(0x77).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let len = mux.write(0, rest).unwrap();
            rest = &rest[len..];
        }
        mux.finish().unwrap();
        (mux, receiver.join().unwrap())
    })
}
