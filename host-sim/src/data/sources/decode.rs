//! PNG, JPEG, BMP and TIFF, if the program was built to read them.

/// Whether a file that begins like this is an image of one of the formats.
pub fn is_image(start: &[u8]) -> bool {
    let magics: [&[u8]; 5] = [
        b"\x89PNG\r\n\x1a\n",
        b"\xFF\xD8\xFF",
        b"BM",
        b"II*\0",
        b"MM\0*",
    ];
    magics.iter().any(|magic| start.starts_with(magic))
}

#[cfg(feature = "images")]
mod built {
    use std::io::Cursor;

    use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

    use crate::error::Failure;

    /// Fails if the program cannot decode images.
    pub fn check(_: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether a file is of a colour image; none if it cannot be read.
    pub fn is_colour(file: &[u8]) -> Option<bool> {
        let reader = ImageReader::new(Cursor::new(file)).with_guessed_format();
        let decoder = reader.ok()?.into_decoder().ok()?;
        Some(decoder.color_type().has_color())
    }

    /// Decodes a file to `pixels`, in grey or in red, green and blue, and returns its shape. The error says why it cannot be.
    pub fn decode(file: &[u8], pixels: &mut Vec<u8>) -> Result<[usize; 3], String> {
        let reader = ImageReader::new(Cursor::new(file)).with_guessed_format();
        let reader = reader.map_err(|error| error.to_string())?;
        match reader.format() {
            None if file.is_empty() => return Err("is empty".to_owned()),
            None => return Err("is no image".to_owned()),
            Some(ImageFormat::Jpeg) if !ends(file) => return Err("is cut short".to_owned()),
            Some(_) => {}
        }
        let image = reader.decode().map_err(|error| match error {
            ImageError::Unsupported(error) => format!("is of a format that is not read ({error})"),
            ImageError::Limits(_) => "is too large".to_owned(),
            error => format!("is damaged ({error})"),
        })?;
        let (rows, columns) = (image.height() as usize, image.width() as usize);
        let (channels, bytes) = match image {
            DynamicImage::ImageLuma8(grey) => (1, grey.into_raw()),
            image if image.color().has_color() => (3, image.into_rgb8().into_raw()),
            image => (1, image.into_luma8().into_raw()),
        };
        *pixels = bytes;
        Ok([rows, columns, channels])
    }

    /// Whether the last scan of a JPEG has an end: the decoder fills in what is missing.
    fn ends(file: &[u8]) -> bool {
        let last = |marker: u8| file.windows(2).rposition(|pair| pair == [0xFF, marker]);
        match (last(0xDA), last(0xD9)) {
            (Some(scan), Some(end)) => end > scan,
            _ => false,
        }
    }
}

#[cfg(not(feature = "images"))]
mod built {
    use crate::error::Failure;

    /// Fails if the program cannot decode images.
    pub fn check(what: &str) -> Result<(), Failure> {
        Err(Failure::new(
            format!("{what} holds image files, and this program was built without their decoders"),
            "build it with them: `cargo run --release --features images -- ...`",
        ))
    }

    /// Whether a file is of a colour image; none if it cannot be read.
    pub fn is_colour(_: &[u8]) -> Option<bool> {
        None
    }

    /// Decodes a file. The error says why it cannot be.
    pub fn decode(_: &[u8], _: &mut Vec<u8>) -> Result<[usize; 3], String> {
        Err("cannot be decoded by this program".to_owned())
    }
}

pub use built::{check, decode, is_colour};
