//! Class weights in a program without them: it reads whether a session has any, and refuses it.

use core::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
    ser::SerializeSeq,
};

use crate::gate::softmax::WEIGHT_FRACTION;

/// Whether classes have weights, which this program cannot train with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassWeights(bool);

impl ClassWeights {
    /// Fraction bits of a weight.
    pub const FRACTION: u32 = WEIGHT_FRACTION;

    /// All classes count the same.
    pub const NONE: ClassWeights = ClassWeights(false);

    /// No weights; none of any.
    pub fn new(weights: &[u16]) -> Option<Self> {
        weights.is_empty().then_some(Self::NONE)
    }

    /// Whether there are any.
    pub fn is_given(&self) -> bool {
        self.0
    }

    /// No weights.
    pub fn weights(&self) -> &[u16] {
        &[]
    }

    /// 1.
    pub(crate) fn of(&self, _: u8) -> u64 {
        1 << Self::FRACTION
    }
}

impl Serialize for ClassWeights {
    /// As a list without weights: a session that has some is refused before it is passed on.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_seq(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Weights;

        impl<'de> Visitor<'de> for Weights {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut weights: A,
            ) -> Result<ClassWeights, A::Error> {
                let mut is_given = false;
                while weights.next_element::<u16>()?.is_some() {
                    is_given = true;
                }
                Ok(ClassWeights(is_given))
            }
        }

        deserializer.deserialize_seq(Weights)
    }
}
