//! CRC-32 (IEEE), byte by byte over a table of 1 KB: small enough for a device's flash, and faster than any line.

/// The polynomial, lowest power first.
const POLYNOMIAL: u32 = 0xEDB8_8320;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = (rest >> 1) ^ (POLYNOMIAL * (rest & 1));
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};

/// The CRC-32 of these parts, one after the other.
pub(crate) fn crc32<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    !parts.into_iter().flatten().fold(!0, |rest, byte| {
        (rest >> 8) ^ TABLE[usize::from(rest as u8 ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_usual_crc() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32([&b"123456789"[..]]), 0xCBF4_3926);
        assert_eq!(crc32([&b"1234"[..], b"", b"56789"]), 0xCBF4_3926);
        assert_eq!(crc32([]), 0);
    }
}
