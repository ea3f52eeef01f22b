//! A key in a message: its 32 bytes, without a length. They are read into the key itself, and no other copy is made.

use core::fmt;

use serde::{
    Deserializer, Serializer,
    de::{Error, SeqAccess, Visitor},
    ser::SerializeTuple,
};

use crate::prg::Key;

/// Writes the bytes of `key`.
pub fn serialize<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(Key::LEN)?;
    for byte in key.reveal() {
        tuple.serialize_element(byte)?;
    }
    tuple.end()
}

/// Reads the bytes of a key.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
    deserializer.deserialize_tuple(Key::LEN, IntoKey)
}

struct IntoKey;

impl<'de> Visitor<'de> for IntoKey {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a key")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Key, A::Error> {
        Key::filled(|key| {
            for (index, byte) in key.iter_mut().enumerate() {
                let next = bytes.next_element()?;
                *byte = next.ok_or_else(|| A::Error::invalid_length(index, &self))?;
            }
            Ok(())
        })
    }
}
