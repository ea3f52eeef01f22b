//! Uploads against what their receivers read in them.

extern crate std;
use std::{vec, vec::Vec};

use super::{task::tests::task, *};
use crate::{
    data::{Channel, Normalisation},
    net::secure::Identity,
    prg::Key,
};

fn identity(number: u8) -> Identity {
    Identity::new(Key::new([number; 32]))
}

/// An upload of these samples, from a secret of this byte.
fn upload(to: &CollectionTask, secret: u8, samples: &[(Vec<u8>, u8)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut write = |piece: &[u8]| {
        assert!(piece.len() <= 256);
        bytes.extend_from_slice(piece);
        Ok::<_, UploadError>(())
    };
    let secret = Key::new([secret; 32]);
    let mut upload = Upload::begin(to, &secret, samples.len() as u16, &mut write).unwrap();
    for (pixels, label) in samples {
        upload.sample(pixels, *label, &mut write).unwrap();
    }
    let hash = upload.finish(&mut write).unwrap();
    assert_eq!(Received::read(to, &bytes).unwrap().hash, hash);
    bytes
}

/// Samples of the task's shape.
fn samples(of: &CollectionTask, count: u8) -> Vec<(Vec<u8>, u8)> {
    let sample = |number: u8| {
        let pixels = (0..of.input_len()).map(|index| (37 * index) as u8 ^ number);
        (pixels.collect(), number % of.classes)
    };
    (0..count).map(sample).collect()
}

/// What both servers make of a contribution: its values, less the masks of both keys.
fn unmasked(of: &CollectionTask, bytes: &[u8], keys: [&Key; 2]) -> Vec<i64> {
    let width = of.value_len();
    let bits = 8 * width as u32;
    let mut words: Vec<u32> = bytes
        .chunks_exact(width)
        .map(|word| {
            let bytes = word.iter().rev();
            bytes.fold(0, |value, &byte| value << 8 | u32::from(byte))
        })
        .collect();
    let (pixels, label) = words.split_at_mut(of.input_len());
    for (part, words) in [(Part::Pixels, pixels), (Part::Label, label)] {
        let mut masks = vec![0; words.len()];
        for key in keys {
            mask(key.reveal(), part, 0, &mut masks);
            for (word, &mask) in words.iter_mut().zip(&masks) {
                *word = word.wrapping_sub(mask);
            }
        }
    }
    let signed = |word: &u32| i64::from((word << (32 - bits)) as i32 >> (32 - bits));
    words.iter().map(signed).collect()
}

fn opened_by_all(fraction: u32, normalisation: Normalisation, value_len: usize) {
    // 90 values: more than one piece, and a rest.
    let to = CollectionTask {
        fraction,
        normalisation,
        ..task([5, 6, 3])
    };
    assert_eq!(to.check(), Ok(()));
    assert_eq!(to.value_len(), value_len);
    assert_eq!(to.contribution_len(), 93 * value_len);
    let sent = samples(&to, 4);
    let bytes = upload(&to, 7, &sent);
    let received = Received::read(&to, &bytes).unwrap();
    assert_eq!(received.header.count, 4);
    let seeds = [0, 1].map(|party: u8| {
        let seal = received.party_seals[usize::from(party)];
        open_party_seal(&identity(party + 1), &received.hash, seal).unwrap()
    });
    let dealt = open_dealer_seal(&identity(3), &received.hash, received.dealer_seal).unwrap();
    for (seed, dealt) in seeds.iter().zip(&dealt) {
        assert_eq!(seed.reveal(), dealt.reveal());
        let commit = |seed| Commitment::new(received.header.id, seed);
        assert_eq!(commit(seed), commit(dealt));
    }
    assert_ne!(seeds[0].reveal(), seeds[1].reveal());
    let contributions = received.contributions.chunks_exact(to.contribution_len());
    for (number, (contribution, (pixels, label))) in contributions.zip(&sent).enumerate() {
        let [p0, p1] = [0, 1].map(|party: usize| key(&seeds[party], number as u16));
        let values = unmasked(&to, contribution, [&p0, &p1]);
        let pixels = pixels
            .iter()
            .map(|&pixel| to.normalisation.units::<u64>(0, pixel, to.fraction) as i64);
        let label = (0..to.classes).map(|class| i64::from(class == *label));
        assert_eq!(values, pixels.chain(label).collect::<Vec<i64>>());
    }
}

#[test]
fn servers_and_dealer_open_what_an_owner_masked() {
    let scaled = |scale: i64, offset: i64| {
        let channel = Channel {
            scale: scale << 24,
            offset: offset << 32,
        };
        Normalisation::new(&[channel]).unwrap()
    };
    opened_by_all(12, Normalisation::NONE, 2);
    opened_by_all(13, Normalisation::NONE, 2);
    // 255 becomes 2^14, where the ring has room for less.
    opened_by_all(14, Normalisation::NONE, 3);
    opened_by_all(24, Normalisation::NONE, 4);
    opened_by_all(12, scaled(2, -3), 2);
    // -4 fits 16 bits at 12 fraction bits, and 4 does not.
    opened_by_all(12, scaled(-4, 0), 2);
    opened_by_all(12, scaled(5, -1), 2);
    opened_by_all(12, scaled(5, 0), 3);
    opened_by_all(24, scaled(64, -64), 4);
}

#[test]
fn the_same_secret_makes_the_same_bytes() {
    let to = task([1, 2, 1]);
    let bytes = upload(&to, 7, &[(vec![0, 255], 2)]);
    assert_eq!(bytes.len(), 38 + 10 + 272);
    let hex: std::string::String = bytes
        .iter()
        .map(|byte| std::format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, include_str!("vectors/upload.hex").trim());
}

#[test]
fn contributions_share_no_mask() {
    // Four bytes a value, so that equal ones are no coincidence.
    let to = CollectionTask {
        fraction: 24,
        ..task([2, 4, 1])
    };
    let one = (vec![9; 8], 1);
    let bytes = upload(&to, 7, &[one.clone(), one.clone()]);
    let other = upload(&to, 8, &[one.clone(), one]);
    let words = |bytes: &[u8]| {
        let received = Received::read(&to, bytes).unwrap();
        let words = received.contributions.chunks_exact(4);
        words.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let mut all = words(&bytes);
    all.extend(words(&other));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn any_changed_byte_is_noticed_by_all() {
    let to = task([2, 2, 1]);
    let bytes = upload(&to, 7, &samples(&to, 2));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let Ok(received) = Received::read(&to, &changed) else {
            assert!(at < 38, "{at}");
            continue;
        };
        let opened = [
            open_party_seal(&identity(1), &received.hash, received.party_seals[0]).is_ok(),
            open_party_seal(&identity(2), &received.hash, received.party_seals[1]).is_ok(),
            open_dealer_seal(&identity(3), &received.hash, received.dealer_seal).is_ok(),
        ];
        let seals = [80, 160, 272].map(|end| bytes.len() - 272 + end);
        let of_seal = seals.iter().position(|&end| at < end).unwrap();
        match at < bytes.len() - 272 {
            true => assert_eq!(opened, [false; 3], "{at}"),
            false => assert_eq!(opened, [0, 1, 2].map(|seal| seal != of_seal), "{at}"),
        }
    }
}

#[test]
fn what_is_no_upload_to_a_collection_is_refused() {
    let to = task([2, 2, 1]);
    let bytes = upload(&to, 7, &samples(&to, 2));
    let refused = |bytes: &[u8]| Received::read(&to, bytes).unwrap_err();
    for len in 0..bytes.len() {
        let expected = match len < 38 {
            true => UploadError::Format,
            false => UploadError::Length,
        };
        assert_eq!(refused(&bytes[..len]), expected);
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(refused(&longer), UploadError::Length);
    let changed = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        refused(&changed)
    };
    assert_eq!(changed(3, b'1'), UploadError::Format);
    assert_eq!(changed(4, !bytes[4]), UploadError::OtherTask);
    assert_eq!(changed(36, 3), UploadError::Length);
    assert_eq!(changed(36, 0), UploadError::Length);
    let mut other = task([2, 2, 1]);
    other.fraction = 11;
    assert_eq!(
        Received::read(&other, &bytes).unwrap_err(),
        UploadError::OtherTask
    );
}

#[test]
fn seals_open_for_their_role_alone() {
    let to = task([2, 2, 1]);
    let bytes = upload(&to, 7, &samples(&to, 1));
    let received = Received::read(&to, &bytes).unwrap();
    for number in 1..=4 {
        let identity = identity(number);
        for (party, seal) in received.party_seals.iter().enumerate() {
            let opened = open_party_seal(&identity, &received.hash, seal);
            assert_eq!(opened.is_ok(), party + 1 == usize::from(number));
        }
        let opened = open_dealer_seal(&identity, &received.hash, received.dealer_seal);
        assert_eq!(opened.is_ok(), number == 3);
        assert!(open_party_seal(&identity, &received.hash, received.dealer_seal).is_err());
    }
}

#[test]
fn an_owner_is_told_of_samples_that_do_not_fit() {
    let to = task([2, 2, 1]);
    let secret = Key::new([7; 32]);
    let write = |_: &[u8]| Ok::<_, UploadError>(());
    assert!(Upload::begin(&to, &secret, 0, write).is_err());
    let mut upload = Upload::begin(&to, &secret, 1, write).ok().unwrap();
    let short = upload.sample(&[0; 3], 0, write);
    assert_eq!(short, Err(UploadError::Length));
    let label = upload.sample(&[0; 4], 3, write);
    assert_eq!(label, Err(UploadError::Label));
    assert_eq!(upload.sample(&[0; 4], 2, write), Ok(()));
    let second = upload.sample(&[0; 4], 2, write);
    assert_eq!(second, Err(UploadError::Length));
    assert!(upload.finish(write).is_ok());
    let unfinished = Upload::begin(&to, &secret, 1, write).ok().unwrap();
    assert_eq!(unfinished.finish(write), Err(UploadError::Length));
    let mut nobody = task([2, 2, 1]);
    nobody.identities[0].0 = [0; 32];
    let mut upload = Upload::begin(&nobody, &secret, 1, write).ok().unwrap();
    assert_eq!(upload.sample(&[0; 4], 2, write), Ok(()));
    assert_eq!(upload.finish(write), Err(UploadError::Identity));
}
