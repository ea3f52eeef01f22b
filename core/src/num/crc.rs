//! CRC-32 (IEEE 802.3) with a 1 KB table, which fits a device's flash and outruns a serial line.

use crc::{CRC_32_ISO_HDLC, Crc, Table};

static CRC32: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// The CRC-32 of the concatenation of `parts`.
pub(crate) fn crc32<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut digest = CRC32.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_gives_the_published_check_value() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32([&b"123456789"[..]]), 0xCBF4_3926);
        assert_eq!(crc32([&b"1234"[..], b"", b"56789"]), 0xCBF4_3926);
        assert_eq!(crc32([]), 0);
    }
}
