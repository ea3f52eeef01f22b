//! Why a model does not compile.

use crate::{model::MAX_DROPOUT, num::polynomial::MAX_DEGREE};

use super::{MAX_CLASSES, MAX_LEN, MAX_STAGES};

/// Why a model does not compile, and at which layer.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ModelError {
    /// The input has a side of zero, or more than [`MAX_LEN`] values: rows, columns, channels.
    Input([u16; 3]),
    /// The model has no dense or conv layer.
    Empty,
    /// A size or stride of the layer is zero.
    Zero(LayerPosition),
    /// A window or kernel is larger than its input. Holds the input's rows and columns.
    TooLarge(LayerPosition, [usize; 2]),
    /// A dense layer follows an image that is not flattened. Holds its rows, columns and channels.
    Unflattened(LayerPosition, [usize; 3]),
    /// A tensor of the layer has more than [`MAX_LEN`] values.
    TooManyValues(LayerPosition),
    /// The layer is a polynomial, and this build evaluates none (feature `polynomials`).
    NotInThisBuild(LayerPosition),
    /// The polynomial's degree or a coefficient is out of range.
    Polynomial(LayerPosition),
    /// The layer may not follow the one before it; the text says what it must follow.
    Misplaced(LayerPosition, &'static str),
    /// The layer adds what another layer makes, in another shape. Holds rows, columns and channels of that, and of what is added
    /// to.
    Unequal(LayerPosition, [usize; 3], [usize; 3]),
    /// The percent of a dropout is out of range.
    Dropout(LayerPosition),
    /// The model has more than [`MAX_STAGES`] dense and conv layers.
    TooManyStages,
    /// The last layer is not a dense one with 2 to [`MAX_CLASSES`] units and no activation. Holds its units.
    Classes(usize),
}

/// A layer's position in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LayerPosition {
    /// The layer's number, from 1.
    pub number: usize,
    /// The layer's kind, as model files name it.
    pub kind: &'static str,
}

impl core::fmt::Display for LayerPosition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "layer {} ({})", self.number, self.kind)
    }
}

impl core::fmt::Display for ModelError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ModelError::Input([h, w, c]) => {
                write!(f, "the input of {h}x{w}x{c} is not an image that fits")
            }
            ModelError::Empty => f.write_str("the model has no dense or conv layer"),
            ModelError::Zero(position) => {
                write!(f, "{position}: sizes and steps must be at least 1")
            }
            ModelError::TooLarge(position, [h, w]) => {
                write!(f, "{position}: it does not fit over an image of {h}x{w}")
            }
            ModelError::TooManyValues(position) => write!(
                f,
                "{position}: its weights or outputs are more than {MAX_LEN} values"
            ),
            ModelError::Unflattened(position, [h, w, c]) => write!(
                f,
                "{position}: its input is an image of {h}x{w}x{c}; put a flatten before it"
            ),
            ModelError::Polynomial(position) => write!(
                f,
                "{position}: its degree must be 2 to {MAX_DEGREE}, with no coefficient past it and none above 2^11"
            ),
            ModelError::NotInThisBuild(position) => {
                write!(f, "{position}: this program was built without polynomials")
            }
            ModelError::Unequal(position, [h, w, c], [rows, columns, channels]) => write!(
                f,
                "{position}: it adds {h}x{w}x{c} to {rows}x{columns}x{channels}; both must have one shape"
            ),
            ModelError::Dropout(position) => {
                write!(
                    f,
                    "{position}: it drops 5 to {MAX_DROPOUT} percent, in steps of 5"
                )
            }
            ModelError::Misplaced(position, rule) => write!(f, "{position}: {rule}"),
            ModelError::TooManyStages => write!(
                f,
                "more than {MAX_STAGES} dense and conv layers: the core has no room for them"
            ),
            ModelError::Classes(units) => write!(
                f,
                "the last layer must be dense with 2 to {MAX_CLASSES} units, one for each class, and no activation after it; it has {units}"
            ),
        }
    }
}

impl core::error::Error for ModelError {}
