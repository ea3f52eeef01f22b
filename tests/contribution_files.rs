//! Files of contributions for the three roles, made of the built-in digits as owners make uploads of them.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ringlet::data::{
    Images, Part,
    contribution_file::{self, Entry},
    load,
};
use ringlet_core::{
    Role,
    contribution::{self, CollectionTask, Received, Upload, UploadError},
    data::Normalisation,
    net::secure::Identity,
    prg::Key,
    session::handshake::Actor,
};

/// Contributions of an upload.
pub const EACH: usize = 40;
/// Uploads of the run.
pub const UPLOADS: usize = 5;

fn identity(number: u8) -> Identity {
    Identity::new(Key::new([number; 32]))
}

fn task() -> CollectionTask {
    CollectionTask {
        input: [8, 8, 1],
        classes: 10,
        normalisation: Normalisation::NONE,
        // The usual headroom of the input takes three of twelve.
        fraction: 9,
        identities: [1, 2, 3].map(|number| identity(number).public()),
        terms: [0; 32],
    }
}

/// What an owner sends of these images.
fn upload(task: &CollectionTask, owner: usize, images: &Images) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut write = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok::<_, UploadError>(())
    };
    let secret = Key::new([100 + owner as u8; 32]);
    let mut upload = Upload::begin(task, &secret, EACH as u16, &mut write).expect("an upload");
    for image in owner * EACH..(owner + 1) * EACH {
        let label = images.labels[image];
        upload
            .sample(images.image(image), label, &mut write)
            .expect("a sample");
    }
    upload.finish(&mut write).expect("seals");
    bytes
}

/// Writes the file of a role from uploads in this order. If an owner `cheats`, two contributions have values that no image has.
fn write_file(path: &Path, holder: Actor, uploads: &[&[u8]], cheats: bool) {
    let task = task();
    let cheat = Received::read(&task, uploads[1])
        .expect("an upload")
        .header
        .id;
    let mut uploads = uploads.iter();
    contribution_file::write(path, (holder, &task, 1), |put| {
        let Some(upload) = uploads.next() else {
            return Ok(false);
        };
        let received = Received::read(&task, upload).expect("an upload");
        let seeds = match holder {
            Actor::Party(role) => {
                let identity = identity(role.index() as u8 + 1);
                let seal = received.party_seals[role.index()];
                let seed = contribution::open_party_seal(&identity, &received.hash, seal);
                vec![seed.expect("a seed")]
            }
            _ => {
                let seal = received.dealer_seal;
                let seeds = contribution::open_dealer_seal(&identity(3), &received.hash, seal);
                seeds.expect("seeds").to_vec()
            }
        };
        let masked = received.contributions.chunks_exact(task.contribution_len());
        for (number, masked) in (0..).zip(masked) {
            let keys: Vec<Key> = seeds
                .iter()
                .map(|seed| contribution::key(seed, number))
                .collect();
            let mut masked = masked.to_vec();
            if cheats && [3, 30].contains(&number) && received.header.id == cheat {
                masked[1] ^= 0x80;
            }
            if holder == Actor::Dealer {
                masked.clear();
            }
            put(Entry {
                upload: received.header.id,
                number,
                keys: &keys,
                masked: &masked,
            })?;
        }
        Ok(true)
    })
    .expect("a file");
}

/// The files of P0, P1 and the dealer, the file of another list at P1, and those of P0 and P1 when an owner cheats.
pub fn files() -> &'static [PathBuf; 6] {
    static FILES: OnceLock<(tempfile::TempDir, [PathBuf; 6])> = OnceLock::new();
    let (_, files) = FILES.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let images = load(None, Part::Train).expect("images");
        let uploads = (0..UPLOADS).map(|owner| upload(&task(), owner, &images));
        let uploads: Vec<Vec<u8>> = uploads.collect();
        let mut all: Vec<&[u8]> = uploads.iter().map(|upload| &upload[..]).collect();
        let paths = ["p0", "p1", "dealer", "other", "cheated0", "cheated1"]
            .map(|name| dir.path().join(name));
        let [p0, p1] = Role::BOTH.map(Actor::Party);
        for (path, holder) in paths.iter().zip([p0, p1, Actor::Dealer]) {
            write_file(path, holder, &all, false);
        }
        write_file(&paths[4], p0, &all, true);
        write_file(&paths[5], p1, &all, true);
        all.swap(0, 1);
        write_file(&paths[3], p1, &all, false);
        (dir, paths)
    });
    files
}
