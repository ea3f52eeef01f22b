//! The uploads that a device makes of the samples in its flash.

use super::{TaskImage, Upload, UploadError, UploadId};
use crate::{
    data::sample_image::SampleImage,
    net::secure::Prologue,
    prg::{Key, device_key::upload_secret},
};

/// The uploads of a device's samples.
///
/// The secret of each derives from the device's root secret and from a hash of the task, of the samples and of their place. So the
/// same samples always make the same bytes, and a device that lost power sends again what it sent before, without a note of
/// how far it was. Other samples, or another task, have another secret: no mask ever hides two values.
pub struct SampleUploads<'a> {
    image: &'a TaskImage,
    samples: SampleImage<'a>,
    root: &'a Key,
}

impl<'a> SampleUploads<'a> {
    /// The uploads of these samples to a task, with secrets that derive from `root`.
    ///
    /// Fails if there is no sample, if the samples do not have the task's shape and classes, or if the uploads have to be signed and
    /// this program is built without signatures.
    pub fn new(
        image: &'a TaskImage,
        samples: SampleImage<'a>,
        root: &'a Key,
    ) -> Result<Self, UploadError> {
        if image.signed && cfg!(not(feature = "signatures")) {
            return Err(UploadError::Signature);
        }
        if samples.is_empty() || samples.shape().map(u32::from) != image.task.input {
            return Err(UploadError::Length);
        }
        let uploads = SampleUploads {
            image,
            samples,
            root,
        };
        for number in 0..uploads.count() {
            let (_, labels, _) = uploads.part(number)?;
            if labels.iter().any(|&label| label >= image.task.classes) {
                return Err(UploadError::Label);
            }
        }
        Ok(uploads)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.samples.len().div_ceil(self.image.per_upload.into())
    }

    /// The samples of an upload: the number of the first, labels, and pixels.
    fn part(&self, number: u32) -> Result<(u32, &'a [u8], &'a [u8]), UploadError> {
        let per_upload = u32::from(self.image.per_upload);
        let first = number.checked_mul(per_upload).ok_or(UploadError::Length)?;
        let left = self.samples.len().saturating_sub(first);
        let part = self.samples.range(first, left.min(per_upload) as u16);
        let (labels, pixels) = part.ok_or(UploadError::Length)?;
        Ok((first, labels, pixels))
    }

    /// Makes an upload, and passes its bytes to `write` in pieces of at most 512. Returns its name.
    ///
    /// Fails if there is no upload of this number, if nothing can be sealed to an identity of the task, and as `write` does.
    pub fn write<E: From<UploadError>>(
        &self,
        number: u32,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<UploadId, E> {
        let task = &self.image.task;
        let (first, labels, pixels) = self.part(number)?;
        let mut of_part = Prologue::new("ringlet upload of a device");
        of_part.add(&task.id().0);
        of_part.add(&first.to_le_bytes());
        of_part.add(labels);
        of_part.add(pixels);
        let secret = upload_secret(self.root, &of_part.hash());
        let mut upload = Upload::begin(task, &secret, labels.len() as u16, &mut write)?;
        drop(secret);
        let samples = labels.iter().zip(pixels.chunks_exact(task.input_len()));
        for (&label, pixels) in samples {
            upload.sample::<E>(pixels, label, &mut write)?;
        }
        let id = upload.id();
        let hash = upload.finish(&mut write)?;
        if self.image.signed {
            self.sign(&hash, write)?;
        }
        Ok(id)
    }

    /// Signs the upload with this hash.
    #[cfg(feature = "signatures")]
    fn sign<E>(
        &self,
        hash: &[u8; 32],
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let secret = crate::prg::device_key::owner_secret(self.root);
        write(&super::sign(&secret, self.image.task.id(), hash))
    }

    #[cfg(not(feature = "signatures"))]
    fn sign<E: From<UploadError>>(
        &self,
        _: &[u8; 32],
        _: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        Err(UploadError::Signature.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contribution::{Received, task::tests::task},
        data::sample_image::{check, head},
    };

    extern crate std;
    use std::vec::Vec;

    /// An image of samples of 2 x 1 values with these labels.
    fn samples(labels: &[u8]) -> Vec<u8> {
        let mut image = head(labels.len() as u32, [2, 1, 1]).to_vec();
        image.extend(labels);
        image.extend((0..2 * labels.len()).map(|pixel| 7 * pixel as u8));
        let sum = check([&image[..]]);
        image.extend(sum);
        image
    }

    fn image(per_upload: u16) -> TaskImage {
        TaskImage {
            task: task([2, 1, 1]),
            per_upload,
            signed: false,
        }
    }

    fn made(image: &TaskImage, labels: &[u8], root: u8) -> Result<Vec<Vec<u8>>, UploadError> {
        let (bytes, root) = (samples(labels), Key::new([root; 32]));
        let uploads = SampleUploads::new(image, SampleImage::new(&bytes).unwrap(), &root)?;
        let upload = |number| {
            let mut bytes = Vec::new();
            uploads.write(number, |piece| {
                bytes.extend(piece);
                Ok::<_, UploadError>(())
            })?;
            Ok(bytes)
        };
        (0..uploads.count()).map(upload).collect()
    }

    #[test]
    fn samples_fill_uploads_in_their_order() {
        for fraction in [12, 20] {
            let mut image = image(2);
            image.task.fraction = fraction;
            let all = made(&image, &[0, 1, 2, 1, 0], 3).unwrap();
            let received = all
                .iter()
                .map(|bytes| Received::read(&image.task, bytes).unwrap());
            let counts: Vec<u16> = received.map(|received| received.header.count).collect();
            assert_eq!(counts, [2, 2, 1]);
        }
    }

    #[test]
    fn the_same_samples_make_the_same_bytes_and_others_share_nothing() {
        let base = image(2);
        let first = made(&base, &[0, 1, 2], 3).unwrap();
        assert_eq!(made(&base, &[0, 1, 2], 3).unwrap(), first);
        // More samples behind them leave the uploads before as they are.
        let more = made(&base, &[0, 1, 2, 2], 3).unwrap();
        assert_eq!(more[0], first[0]);
        let mut other = base.clone();
        other.task.terms[0] ^= 1;
        let changed = [
            more[1].clone(),
            made(&base, &[0, 2, 2], 3).unwrap()[0].clone(),
            made(&base, &[0, 1, 2], 4).unwrap()[0].clone(),
            made(&other, &[0, 1, 2], 3).unwrap()[0].clone(),
            made(&image(3), &[0, 1, 2], 3).unwrap()[0].clone(),
            // The same samples at another place.
            made(&image(1), &[1, 1], 3).unwrap()[0].clone(),
            made(&image(1), &[1, 1], 3).unwrap()[1].clone(),
        ];
        let names = |uploads: &[Vec<u8>]| -> Vec<Vec<u8>> {
            uploads.iter().map(|bytes| bytes[20..36].to_vec()).collect()
        };
        let mut all = [names(&first), names(&changed)].concat();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[cfg(feature = "signatures")]
    #[test]
    fn uploads_are_signed_where_the_task_names_owners() {
        use crate::{
            contribution::{OWNER_NAME_LEN, SIGNED_LEN, owner_key, signed_message},
            prg::device_key::owner_secret,
        };
        use ed25519_dalek::{Signature, VerifyingKey};

        let mut image = image(2);
        let open = made(&image, &[0, 1], 3).unwrap();
        image.signed = true;
        let signed = made(&image, &[0, 1], 3).unwrap();
        let (upload, rest) = signed[0].split_at(open[0].len());
        assert_eq!((upload, rest.len()), (&open[0][..], SIGNED_LEN));
        let public = owner_key(&owner_secret(&Key::new([3; 32])));
        let (name, signature) = rest.split_at(OWNER_NAME_LEN);
        assert_eq!(name, &public[..OWNER_NAME_LEN]);
        let received = Received::read(&image.task, upload).unwrap();
        let message = signed_message(image.task.id(), &received.hash);
        let signature = Signature::from_slice(signature).unwrap();
        let public = VerifyingKey::from_bytes(&public).unwrap();
        assert!(public.verify_strict(&message, &signature).is_ok());
    }

    #[cfg(not(feature = "signatures"))]
    #[test]
    fn a_program_without_signatures_refuses_a_task_that_names_owners() {
        let mut image = image(2);
        image.signed = true;
        assert_eq!(made(&image, &[0], 3).err(), Some(UploadError::Signature));
    }

    #[test]
    fn samples_that_do_not_fit_are_refused() {
        let base = image(2);
        assert_eq!(made(&base, &[], 3).err(), Some(UploadError::Length));
        assert_eq!(made(&base, &[0, 1, 3], 3).err(), Some(UploadError::Label));
        let mut wide = base;
        wide.task.input = [1, 2, 1];
        assert_eq!(made(&wide, &[0], 3).err(), Some(UploadError::Length));
    }
}
