//! Files of NumPy arrays, for the tests to read or to damage.

use std::{fs, io::Write as _, path::Path};

/// A NumPy array.
pub fn npy(kind: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend(body);
    bytes
}

/// An archive of NumPy arrays.
pub fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).expect("a file"));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in arrays {
        let options = options.compression_method(zip::CompressionMethod::Deflated);
        archive
            .start_file(format!("{name}.npy"), options)
            .expect("a member");
        archive.write_all(bytes).expect("a member");
    }
    archive.finish().expect("an archive");
}
