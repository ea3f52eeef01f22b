//! Bytes as hexadecimal digits.

/// The digits of bytes.
pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// So many bytes from their digits; none if it is anything else.
pub fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..][..2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_as_they_are_written() {
        assert_eq!(digits(&[0, 0xa7, 0xff]), "00a7ff");
        assert_eq!(bytes("00a7FF"), Some([0, 0xa7, 0xff]));
        for wrong in ["", "00a7f", "00a7ff00", "00a7fg", "+1a7ff", "é0a7f"] {
            assert_eq!(bytes::<3>(wrong), None, "{wrong}");
        }
    }
}
