//! Laws of received bits that the protocols explain.

use std::ops::RangeInclusive;

use crate::affine::{Allowed, Law};

/// Bits that fill up the last byte of a list of words.
pub fn padding(counts: RangeInclusive<usize>) -> Allowed {
    Allowed {
        reason: "bits after the last word of a list are 0",
        counts,
        is: Box::new(|finding, _| finding.bit.bit > 0 && finding.law == Law::Constant(false)),
    }
}

/// Bits that hold no value: those of unused lanes of planes, and shares of counts of an audit that finds nothing. A law
/// between corrections alone is not one of them, because a repeated mask shows there.
pub fn no_value(counts: RangeInclusive<usize>) -> Allowed {
    Allowed {
        reason: "bits that are the same for other inputs tell nothing about inputs",
        counts,
        is: Box::new(|finding, same| {
            let with_peer = match &finding.law {
                Law::Function { of, .. } => of.iter().any(|bit| bit.link == 0),
                _ => false,
            };
            same && (finding.bit.link == 0 || with_peer)
        }),
    }
}

/// Corrections that come twice.
pub fn dealt_again(count: usize) -> Allowed {
    Allowed {
        reason: "a backward pass that reads openings of the forward pass gets its shares of their masks again",
        counts: count..=count,
        is: Box::new(|finding, _| match &finding.law {
            Law::Function { of, inverted } => {
                finding.bit.link == 1 && of.len() == 1 && of[0].link == 1 && !inverted
            }
            _ => false,
        }),
    }
}

/// The last bytes from the other party, from `first` on: its shares of a result that this party is to learn.
pub fn result(first: usize) -> Allowed {
    Allowed {
        reason: "shares of a result follow from the result and from the receiver's own view",
        counts: 0..=usize::MAX,
        is: Box::new(move |finding, _| finding.bit.link == 0 && finding.bit.byte >= first),
    }
}

/// Bytes with `elements` elements of the field of 67 elements, and other bits that are 0 as [`padding`].
pub fn field_elements(elements: usize, padding: RangeInclusive<usize>) -> [Allowed; 2] {
    [
        Allowed {
            reason: "a field element is below 67, so bit 7 of its byte is 0; bits after the last word of a list are 0",
            counts: elements + padding.start()..=elements + padding.end(),
            is: Box::new(|finding, _| finding.bit.bit > 0 && finding.law == Law::Constant(false)),
        },
        Allowed {
            reason: "a field element is below 67, so bit 6 of its byte is 1 for 3 of 67 elements",
            counts: elements..=elements,
            is: Box::new(|finding, _| match finding.law {
                Law::Biased { ones, runs } => finding.bit.bit == 6 && ones < runs / 9,
                _ => false,
            }),
        },
    ]
}
