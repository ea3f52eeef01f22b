//! Uploads as owners make them, and what they hold.

use std::path::Path;

use hpke::{
    Deserializable, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::{Kem, X25519HkdfSha256},
    single_shot_seal_inout_detached_with_rng,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use ringlet::{
    collection::signature::sign,
    config::task_file::TaskFile,
    data::{contribution_file::ContributionFile, owner_key},
};
use ringlet_core::{
    contribution::{Part, Upload, UploadError, UploadId, mask},
    prg::Key,
    session::handshake::Actor,
};
use ringlet_tests::Role;

use crate::servers::Servers;

/// Samples of the task's shape that differ by `number`.
pub fn samples(task: &TaskFile, number: u32, count: u16) -> Vec<(Vec<u8>, u8)> {
    let sample = |index: u16| {
        let base = number.wrapping_mul(31) as usize + usize::from(index);
        let pixels = (0..task.task.input_len()).map(|pixel| (pixel * 7 + base) as u8);
        (pixels.collect(), base as u8 % task.task.classes)
    };
    (0..count).map(sample).collect()
}

/// An upload of samples, from a secret of this number: its name, its bytes and their hash.
pub fn made(
    task: &TaskFile,
    secret: u32,
    samples: &[(Vec<u8>, u8)],
) -> (UploadId, Vec<u8>, [u8; 32]) {
    let mut bytes = Vec::new();
    let mut write = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok::<_, UploadError>(())
    };
    let mut key = [7; 32];
    key[..4].copy_from_slice(&secret.to_le_bytes());
    let count = samples.len() as u16;
    let mut upload =
        Upload::begin(&task.task, &Key::new(key), count, &mut write).expect("an upload");
    let id = upload.id();
    for (pixels, label) in samples {
        upload.sample(pixels, *label, &mut write).expect("a sample");
    }
    let hash = upload.finish(&mut write).expect("seals");
    (id, bytes, hash)
}

/// An upload of `count` samples that differ by `number`, from a secret of the same number.
pub fn upload(task: &TaskFile, number: u32, count: u16) -> Vec<u8> {
    made(task, number, &samples(task, number, count)).1
}

/// An upload whose seal to P1 opens, but holds another seed than the dealer's.
pub fn with_another_seed(task: &TaskFile, number: u32) -> Vec<u8> {
    let (_, mut bytes, hash) = made(task, number, &samples(task, number, 1));
    let to = task.task.identities[1].0;
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to).expect("an identity");
    let mut seed = [9; 32];
    let (key, tag) =
        single_shot_seal_inout_detached_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &to,
            b"ringlet contribution 1",
            (&mut seed[..]).into(),
            &hash,
            &mut ChaCha8Rng::seed_from_u64(1),
        )
        .expect("a seal");
    let at = bytes.len() - 192;
    let seal = [&key.to_bytes()[..], &seed, &tag.to_bytes()].concat();
    bytes[at..at + 80].copy_from_slice(&seal);
    bytes
}

/// The same, signed by the owner whose key is in a file.
pub fn signed(task: &TaskFile, number: u32, count: u16, key: &str) -> Vec<u8> {
    let (_, bytes, hash) = made(task, number, &samples(task, number, count));
    let key = owner_key::read(Path::new(key)).expect("a key");
    [&bytes[..], &sign(&key, task.id, &hash)].concat()
}

/// The values of masked samples, of two bytes each.
fn values(masked: &[u8]) -> Vec<u16> {
    let values = masked.chunks_exact(2);
    values
        .map(|value| u16::from_le_bytes(value.try_into().expect("2 bytes")))
        .collect()
}

/// A contribution of a file.
struct Entry {
    name: Vec<u8>,
    keys: Vec<[u8; 32]>,
    masked: Vec<u8>,
}

/// The contributions of a role's file: its header, which the program checks, and its form are those of the data folder.
fn entries(task: &TaskFile, holder: Actor, path: &Path) -> Vec<Entry> {
    let file = ContributionFile::open(path, holder).expect("a file");
    assert_eq!(file.task, task.task);
    let (keys, masked) = match holder {
        Actor::Dealer => (2, 0),
        _ => (1, task.task.contribution_len()),
    };
    let size = 18 + 32 * keys + masked + 4;
    let bytes = std::fs::read(path).expect("a file");
    let start = bytes.len() - size * file.count as usize;
    let entry = |bytes: &[u8]| Entry {
        name: bytes[..18].to_vec(),
        keys: bytes[18..][..32 * keys]
            .chunks(32)
            .map(|key| key.try_into().expect("32 bytes"))
            .collect(),
        masked: bytes[18 + 32 * keys..size - 4].to_vec(),
    };
    bytes[start..].chunks(size).map(entry).collect()
}

/// The contributions of a list, as the files of the three roles together have them: numbers of pixels and labels without masks.
/// Checks that the roles agree, and that each has no more than it should.
pub fn opened(servers: &Servers, list: u32) -> Vec<Vec<u16>> {
    let task = &servers.task;
    assert_eq!(task.task.value_len(), 2);
    let holders = [
        Actor::Party(Role::P0),
        Actor::Party(Role::P1),
        Actor::Dealer,
    ];
    let [p0, p1, dealer] = [0, 1, 2].map(|role| {
        let out = servers.file(&format!("list-{list}-{role}"));
        servers.command(
            role,
            &["export", "--list", &list.to_string(), "--out", &out],
        );
        entries(task, holders[role], Path::new(&out))
    });
    assert!(p0.len() == p1.len() && p1.len() == dealer.len());
    let all = p0.iter().zip(&p1).zip(&dealer);
    all.map(|((p0, p1), dealer)| {
        assert!(p0.name == p1.name && p0.name == dealer.name);
        assert_eq!([&p0.keys[..], &p1.keys[..]].concat(), dealer.keys);
        assert!(p0.masked == p1.masked && dealer.masked.is_empty());
        let mut values = values(&p0.masked);
        let (pixels, label) = values.split_at_mut(task.task.input_len());
        for (part, values) in [(Part::Pixels, pixels), (Part::Label, label)] {
            let mut masks = vec![0u32; values.len()];
            for key in &dealer.keys {
                mask(key, part, 0, &mut masks);
                values
                    .iter_mut()
                    .zip(&masks)
                    .for_each(|(value, mask)| *value = value.wrapping_sub(*mask as u16));
            }
        }
        values
    })
    .collect()
}

/// What a sample is without masks.
pub fn plain(task: &TaskFile, pixels: &[u8], label: u8) -> Vec<u16> {
    let core = &task.task;
    let pixels = pixels.iter().enumerate().map(|(index, &pixel)| {
        let channel = index % core.input[2] as usize;
        core.normalisation
            .units::<u32>(channel, pixel, core.fraction) as u16
    });
    pixels
        .chain((0..core.classes).map(|class| u16::from(class == label)))
        .collect()
}
