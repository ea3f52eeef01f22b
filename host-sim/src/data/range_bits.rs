//! The range of the values between layers: as a user gives it, as a model's file keeps it, and as it usually is.

use std::{fmt, str::FromStr};

use ringlet_core::{
    network::{Activation, Network},
    num::{Format, MIN_FRACTION_BITS},
    session::{Headroom, Session},
};
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// The usual range: values stay below 2 to this power.
const USUAL: u8 = 9;

/// The most bits that an option or a file can have.
const MOST: u8 = 64;

/// The range contract, |x| < 2^bits: one number for all places, or one for the images and one for each layer that learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RangeBits(Vec<u8>);

impl FromStr for RangeBits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bits: Result<Vec<u8>, _> = text.split(',').map(|bits| bits.trim().parse()).collect();
        match bits {
            Ok(bits) if Headroom::new(&bits).is_some() && bits.iter().all(|&b| b <= MOST) => {
                Ok(RangeBits(bits))
            }
            _ => Err("give a number of bits, such as 9, or one for each place: 7,9,8".to_owned()),
        }
    }
}

impl TryFrom<String> for RangeBits {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RangeBits> for String {
    fn from(value: RangeBits) -> Self {
        value.to_string()
    }
}

impl fmt::Display for RangeBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits: Vec<String> = self.0.iter().map(u8::to_string).collect();
        f.write_str(&bits.join(","))
    }
}

impl RangeBits {
    /// The usual range.
    pub fn usual() -> Self {
        RangeBits(vec![USUAL])
    }

    /// These bits, at least one, for the images and for each layer that learns.
    pub fn new(bits: Vec<u8>) -> Self {
        RangeBits(bits)
    }

    /// The bits as given to [`RangeBits::new`], or as parsed.
    pub fn bits(&self) -> &[u8] {
        &self.0
    }

    /// At each place the larger of both.
    pub fn max(&self, other: &RangeBits) -> Self {
        let at = |bits: &[u8], place: usize| *bits.get(place).unwrap_or(&bits[0]);
        let places = self.0.len().max(other.0.len());
        RangeBits(
            (0..places)
                .map(|place| at(&self.0, place).max(at(&other.0, place)))
                .collect(),
        )
    }

    /// The range of what comes after so many layers that learn.
    pub fn after(&self, layers: usize) -> Self {
        match self.0.get(layers..) {
            Some(rest) if self.0.len() > 1 && !rest.is_empty() => RangeBits(rest.to_vec()),
            _ => self.clone(),
        }
    }

    /// The range of a model of `all` layers that learn, of which this is that of what comes after the first `layers`, and
    /// `front` that of the whole, if it was known before.
    pub fn behind(&self, front: Option<&RangeBits>, layers: usize, all: usize) -> Self {
        let at = |bits: &RangeBits, place: usize| *bits.0.get(place).unwrap_or(&bits.0[0]);
        let usual = RangeBits::usual();
        let front = front.unwrap_or(&usual);
        let place = |place: usize| match place.checked_sub(layers) {
            Some(own) => at(self, own),
            None => at(front, place),
        };
        RangeBits((0..=all).map(place).collect())
    }

    /// The range of a session.
    pub fn of(session: &Session, network: &Network) -> Self {
        let least = least(session.format);
        let first = session.headroom.of_stage(0)[0];
        let outputs = (0..network.stages.len()).map(|stage| session.headroom.of_stage(stage)[1]);
        let headroom = std::iter::once(first).chain(outputs);
        RangeBits(headroom.map(|bits| (least + bits) as u8).collect())
    }

    /// The headroom that gives this range at the places of a network in a format. Where the format alone has more, there
    /// is none, and at the outputs of polynomials, which their intervals bound, neither. Fails if there are not enough
    /// fraction bits, or numbers for other than the network's places.
    pub fn headroom(&self, network: &Network, format: Format) -> Result<Headroom, Failure> {
        let (least, most) = (least(format), most(format));
        let places = network.stages.len() + 1;
        let all = match self.0[..] {
            [bits] => vec![bits; places],
            _ => self.0.clone(),
        };
        if all.len() != places {
            return Err(Failure::new(
                format!("{} numbers of range bits for {places} places", all.len()),
                "give one for the images and one for each layer that learns, or one for all",
            ));
        }
        if let Some(bits) = all.iter().find(|&&bits| u32::from(bits) > most) {
            return Err(Failure::new(
                format!(
                    "values have {least} to {most} range bits at these fraction bits, not {bits}"
                ),
                "give fewer --range-bits, or --ring u64",
            ));
        }
        Ok(self.limited(network, format))
    }

    /// The same, with as much range as the format can give where it cannot give all.
    pub fn limited(&self, network: &Network, format: Format) -> Headroom {
        let (least, most) = (least(format), most(format));
        let at = |place: usize| u32::from(*self.0.get(place).unwrap_or(&self.0[0]));
        let bits: Vec<u8> = (0..=network.stages.len())
            .map(|place| {
                let before = place
                    .checked_sub(1)
                    .map(|stage| network.stages[stage].activation);
                match before {
                    Some(Some(Activation::Polynomial(..))) => 0,
                    _ => (at(place).min(most).saturating_sub(least)) as u8,
                }
            })
            .collect();
        match bits.iter().all(|&bits| bits == 0) {
            true => Headroom::NONE,
            false => Headroom::new(&bits).unwrap_or_default(),
        }
    }
}

/// The range bits of a format without headroom.
pub fn least(format: Format) -> u32 {
    format.narrow() - 2 - format.fraction
}

/// The range bits of a format with the most headroom.
pub fn most(format: Format) -> u32 {
    least(format) + (format.fraction - MIN_FRACTION_BITS)
}
