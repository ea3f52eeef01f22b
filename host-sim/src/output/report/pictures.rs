//! Images within the page, as PNG.

use base64::{Engine, engine::general_purpose::STANDARD};
use png::{BitDepth, ColorType, Encoder, EncodingError};

use super::page::Picture;

/// The address that holds the whole image.
pub fn data_uri(picture: &Picture) -> Result<String, EncodingError> {
    let [rows, columns, channels] = picture.shape;
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, columns as u32, rows as u32);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_color(match channels {
        3 => ColorType::Rgb,
        _ => ColorType::Grayscale,
    });
    encoder.write_header()?.write_image_data(&picture.pixels)?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(&file)))
}
