//! An upload of one sample of 28 x 28 values and ten classes, as a board makes it.

use ringlet_core::{
    contribution::{CollectionTask, Upload, UploadError, sign},
    data::Normalisation,
    net::secure::Identity,
    prg::Key,
};

use crate::scripted::Failure;

/// Values of the sample.
const VALUES: usize = 28 * 28;

/// Makes the upload. `before` and `after` are called around each part: its begin, the sample, the seals, the signature. Returns the bytes, and the FNV-1a digest of them.
pub fn upload(
    mut before: impl FnMut(),
    mut after: impl FnMut(usize),
) -> Result<(u32, u32), Failure> {
    let task = CollectionTask {
        input: [28, 28, 1],
        classes: 10,
        normalisation: Normalisation::NONE,
        fraction: 9,
        identities: [1, 2, 3].map(|byte| Identity::new(Key::new([byte; 32])).public()),
        terms: [0; 32],
    };
    let (mut bytes, mut digest) = (0, 0x811C_9DC5u32);
    let mut send = |piece: &[u8]| {
        bytes += piece.len() as u32;
        for &byte in piece {
            digest = (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        Ok::<_, UploadError>(())
    };
    let refused = |_: UploadError| "the upload";
    let mut pixels = [0u8; VALUES];
    for (at, pixel) in pixels.iter_mut().enumerate() {
        *pixel = (at * 7) as u8;
    }
    before();
    let upload = Upload::begin(&task, &Key::new([7; 32]), 1, &mut send);
    after(0);
    let mut upload = upload.map_err(refused)?;
    before();
    let sampled = upload.sample(&pixels, 3, &mut send);
    after(1);
    sampled.map_err(refused)?;
    before();
    let sealed = upload.finish(&mut send);
    after(2);
    let hash = sealed.map_err(refused)?;
    before();
    let signed = sign(&Key::new([8; 32]), task.id(), &hash);
    after(3);
    send(&signed).map_err(refused)?;
    Ok((bytes, digest))
}
