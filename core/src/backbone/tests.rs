use super::*;

extern crate std;
use std::{vec, vec::Vec};

use proptest::prelude::*;

use crate::{
    data::{Channel, Data, DataError, Normalisation},
    model::{Layer, Sides},
};

/// A random-looking number below `limit` in magnitude.
fn number(seed: &mut u64, limit: f64) -> f64 {
    *seed = seed
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    ((*seed >> 33) as f64 / f64::from(1u32 << 30) - 1.0) * limit
}

/// A backbone with weights from a seed, and what it computes in doubles.
struct Case {
    bytes: Vec<u8>,
    input: [usize; 3],
    layers: Vec<Layer>,
    /// Weights and biases of the maps in order, as doubles.
    parameters: Vec<(Vec<f64>, Vec<f64>)>,
    normalisation: Normalisation,
    range: [f64; 2],
}

const ONE: f64 = (1u32 << VALUE_FRACTION) as f64;

fn round(value: f64) -> f64 {
    libm::round(value)
}

impl Case {
    fn new(input: [u16; 3], layers: &[Layer], range: [f64; 2], mut seed: u64) -> Self {
        let channel = |scale: f64, offset: f64| Channel {
            scale: round(scale * 4294967296.0 / 255.0) as i64,
            offset: round(offset * 4294967296.0) as i64,
        };
        let normalisation = Normalisation::new(&[channel(3.0, -1.5)]).unwrap();
        let mut encoded = Vec::new();
        let mut parameters = Vec::new();
        let mut shape = input.map(usize::from);
        for layer in layers {
            let [height, width, inputs] = shape;
            let (fan_in, outputs) = match *layer {
                Layer::Conv2d {
                    channels, kernel, ..
                } => {
                    let [rows, columns] = kernel.both().map(usize::from);
                    (rows * columns * inputs, channels)
                }
                Layer::Dense { units } => (height * width * inputs, units),
                _ => {
                    shape = output(shape, layer);
                    continue;
                }
            };
            let outputs = usize::from(outputs);
            let shift = 14;
            let limit = 1.5 / libm::sqrt(fan_in as f64);
            let weights: Vec<i16> = (0..fan_in * outputs)
                .map(|_| round(number(&mut seed, limit) * f64::from(1 << shift)) as i16)
                .collect();
            let biases: Vec<i32> = (0..outputs)
                .map(|_| round(number(&mut seed, 0.25) * ONE) as i32)
                .collect();
            encoded.push(shift);
            encoded.extend(weights.iter().flat_map(|w| w.to_le_bytes()));
            encoded.extend(biases.iter().flat_map(|b| b.to_le_bytes()));
            parameters.push((
                weights
                    .iter()
                    .map(|&w| f64::from(w) / f64::from(1 << shift))
                    .collect(),
                biases.iter().map(|&b| f64::from(b) / ONE).collect(),
            ));
            shape = output(shape, layer);
        }
        let head = BackboneHead {
            input,
            normalisation: &normalisation,
            layers,
            range: range.map(|end| round(end * ONE) as i32),
        };
        let mut bytes = image::head(&head, encoded.len()).unwrap().to_vec();
        bytes.extend(encoded);
        image::enter_digest(&mut bytes, [7; 16]);
        let sum = image::check(&bytes);
        bytes.extend(sum);
        Case {
            bytes,
            input: input.map(usize::from),
            layers: layers.to_vec(),
            parameters,
            normalisation,
            range,
        }
    }

    fn backbone(&self) -> Backbone<'_> {
        Backbone::new(&self.bytes).unwrap()
    }

    /// The features before they become bytes, layer by layer.
    fn ideal(&self, pixels: &[u8]) -> Vec<f64> {
        let mut shape = self.input;
        let mut values: Vec<f64> = pixels
            .iter()
            .map(|&pixel| {
                let units = self.normalisation.units::<u32>(0, pixel, VALUE_FRACTION) as i32;
                f64::from(units) / ONE
            })
            .collect();
        let mut parameters = self.parameters.iter();
        for layer in &self.layers {
            let next = output(shape, layer);
            let [height, width, inputs] = shape;
            let at = |y: usize, x: usize, c: usize| (y * width + x) * inputs + c;
            let mut out = vec![0.0; next.iter().product()];
            for (index, out) in out.iter_mut().enumerate() {
                let (y, x, c) = (
                    index / next[2] / next[1],
                    index / next[2] % next[1],
                    index % next[2],
                );
                let places = |[rows, columns]: [usize; 2], stride: usize| {
                    (0..rows * columns).map(move |place| {
                        (y * stride + place / columns, x * stride + place % columns)
                    })
                };
                let cells = |window: usize, stride| places([window; 2], stride);
                *out = match *layer {
                    Layer::Conv2d {
                        kernel,
                        stride,
                        padding,
                        ..
                    } => {
                        let (weights, biases) = parameters.clone().next().unwrap();
                        let [kernel, [above, left]] =
                            [kernel, padding].map(|sides| sides.both().map(usize::from));
                        let mut sum = biases[c];
                        for (place, (row, column)) in places(kernel, stride.into()).enumerate() {
                            let inside = (above..height + above).contains(&row)
                                && (left..width + left).contains(&column);
                            for i in 0..inputs {
                                if inside {
                                    let weight = weights[(place * inputs + i) * next[2] + c];
                                    sum += weight * values[at(row - above, column - left, i)];
                                }
                            }
                        }
                        sum
                    }
                    Layer::Dense { .. } => {
                        let (weights, biases) = parameters.clone().next().unwrap();
                        let products = values.iter().enumerate();
                        biases[c]
                            + products
                                .map(|(i, x)| x * weights[i * next[2] + c])
                                .sum::<f64>()
                    }
                    Layer::AvgPool { window } => {
                        let window = usize::from(window);
                        let sum: f64 = cells(window, window)
                            .map(|(y, x)| values[at(y, x, c)])
                            .sum();
                        sum / (window * window) as f64
                    }
                    Layer::MaxPool { window, stride } => {
                        let stride = if stride == 0 { window } else { stride };
                        cells(window.into(), stride.into())
                            .map(|(y, x)| values[at(y, x, c)])
                            .fold(f64::MIN, f64::max)
                    }
                    Layer::Relu => values[index].max(0.0),
                    _ => values[index],
                };
            }
            if matches!(layer, Layer::Conv2d { .. } | Layer::Dense { .. }) {
                parameters.next();
            }
            (values, shape) = (out, next);
        }
        values
    }
}

fn output(shape: [usize; 3], layer: &Layer) -> [usize; 3] {
    let [height, width, channels] = shape;
    let windows = |window: u8, stride: u8| {
        [height, width].map(|side| (side - usize::from(window)) / usize::from(stride) + 1)
    };
    match *layer {
        Layer::Conv2d {
            channels,
            kernel,
            stride,
            padding,
        } => {
            let [kernel, padding] = [kernel, padding].map(|sides| sides.both().map(usize::from));
            let side = |side: usize, axis: usize| {
                (side + 2 * padding[axis] - kernel[axis]) / usize::from(stride) + 1
            };
            [side(height, 0), side(width, 1), channels.into()]
        }
        Layer::Dense { units } => [1, 1, units.into()],
        Layer::AvgPool { window } => {
            let [rows, columns] = windows(window, window);
            [rows, columns, channels]
        }
        Layer::MaxPool { window, stride } => {
            let [rows, columns] = windows(window, if stride == 0 { window } else { stride });
            [rows, columns, channels]
        }
        Layer::Flatten => [1, 1, shape.iter().product()],
        _ => shape,
    }
}

fn conv(channels: u16, kernel: u8, stride: u8, padding: u8) -> Layer {
    Layer::Conv2d {
        channels,
        kernel: Sides::square(kernel),
        stride,
        padding: Sides::square(padding),
    }
}

fn max_pool(window: u8, stride: u8) -> Layer {
    Layer::MaxPool { window, stride }
}

/// Backbones with every kind of layer, in the orders that models have them.
fn cases() -> Vec<Case> {
    use Layer::{AvgPool, Dense, Flatten, Relu};
    let average = AvgPool { window: 2 };
    let of = |input, layers: &[Layer], range| Case::new(input, layers, range, 5);
    vec![
        of([6, 5, 1], &[conv(3, 3, 1, 1), Relu], [0.0, 2.0]),
        of([7, 8, 2], &[conv(9, 3, 1, 0), average, Relu], [0.0, 1.0]),
        of([8, 8, 3], &[conv(17, 5, 2, 2), Relu, average], [0.0, 1.5]),
        of(
            [9, 9, 1],
            &[conv(8, 3, 1, 1), max_pool(3, 2), Relu, conv(5, 1, 1, 0)],
            [-3.0, 3.0],
        ),
        of(
            [9, 9, 2],
            &[
                conv(4, 3, 2, 0),
                Relu,
                max_pool(2, 0),
                Flatten,
                Dense { units: 11 },
                Relu,
            ],
            [0.0, 2.0],
        ),
        of([4, 4, 1], &[Flatten, Dense { units: 6 }], [-1.0, 1.0]),
        of([6, 6, 2], &[average, Relu, conv(2, 2, 1, 0)], [-0.5, 0.75]),
    ]
}

fn pixels(len: usize, mut seed: u64) -> Vec<u8> {
    (0..len)
        .map(|_| (number(&mut seed, 128.0) + 128.0) as u8)
        .collect()
}

#[test]
fn features_are_those_of_the_layers_in_doubles() {
    for (number, case) in cases().iter().enumerate() {
        let backbone = case.backbone();
        let shape = case.layers.iter().fold(case.input, output);
        assert_eq!(
            backbone.output().iter().product::<usize>(),
            shape.iter().product()
        );
        let mut scratch = vec![-1; backbone.scratch_len()];
        let [low, high] = case.range;
        for seed in 0..4 {
            let pixels = pixels(case.input.iter().product(), seed);
            let mut out = vec![0; shape.iter().product()];
            let outside = backbone.features(&pixels, &mut scratch, &mut out);
            let ideal = case.ideal(&pixels);
            let beyond = ideal.iter().filter(|x| !(low..=high).contains(*x)).count();
            assert!(
                beyond.abs_diff(outside as usize) <= 1,
                "{number}: {beyond} {outside}"
            );
            for (&feature, &ideal) in out.iter().zip(&ideal) {
                let exact = (ideal.clamp(low, high) - low) / (high - low) * 255.0;
                let off = (f64::from(feature) - exact).abs();
                assert!(off < 0.52, "{number}: {feature} for {exact}");
            }
        }
    }
}

#[test]
fn the_first_layer_is_read_like_any_pixel() {
    // One pixel through one weight of 1: features are the pixels themselves, on the whole range of bytes.
    let plain = Normalisation::NONE;
    let head = BackboneHead {
        input: [1, 1, 1],
        normalisation: &plain,
        layers: &[conv(1, 1, 1, 0)],
        range: [0, 1 << VALUE_FRACTION],
    };
    let parameters = [14, 0, 0x40, 0, 0, 0, 0];
    let mut bytes = image::head(&head, parameters.len()).unwrap().to_vec();
    bytes.extend(parameters);
    let sum = image::check(&bytes);
    bytes.extend(sum);
    let backbone = Backbone::new(&bytes).unwrap();
    for pixel in 0..=255 {
        let mut out = [0];
        assert_eq!(backbone.features(&[pixel], &mut [0; 2], &mut out), 0);
        assert_eq!(out, [pixel]);
    }
    // The format is stable.
    let start = b"RNGB\x02\0\0\x01\x3F\0\0\0\x01\0\x01\0\x01\0\0\0\0\0\0\0\0\0\x01\0";
    assert_eq!(bytes[..28], *start);
    assert_eq!(bytes[28..44], [0; 16]);
    assert_eq!(
        bytes[44..59],
        [0, 1, 1, 1, 0, 0, 1, 0, 14, 0, 0x40, 0, 0, 0, 0]
    );
    assert_eq!(bytes.len(), 0x3F);
}

#[test]
fn values_are_limited_and_sums_do_not_overflow() {
    let white = Normalisation::new(&[Channel {
        scale: (63i64 << 32) / 255,
        offset: 0,
    }])
    .unwrap();
    let head = BackboneHead {
        input: [64, 64, 4],
        normalisation: &white,
        layers: &[
            Layer::Flatten,
            Layer::Dense { units: 2 },
            Layer::Dense { units: 2 },
        ],
        range: [-60 << 16, 60 << 16],
    };
    let mut parameters = Vec::new();
    for inputs in [64 * 64 * 4, 2usize] {
        parameters.push(0);
        for _ in 0..inputs {
            parameters.extend(i16::MAX.to_le_bytes());
            parameters.extend(i16::MIN.to_le_bytes());
        }
        parameters.extend([0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0x80]);
    }
    let mut bytes = image::head(&head, parameters.len()).unwrap().to_vec();
    bytes.extend(parameters);
    let sum = image::check(&bytes);
    bytes.extend(sum);
    let backbone = Backbone::new(&bytes).unwrap();
    let mut scratch = vec![0; backbone.scratch_len()];
    let mut out = [0; 2];
    assert_eq!(
        backbone.features(&[255; 64 * 64 * 4], &mut scratch, &mut out),
        2
    );
    // The second layer adds up a value and its negation, each of the largest magnitude, and the biases.
    assert_eq!(out, [255, 0]);
}

#[test]
fn wrong_lengths_compute_nothing() {
    let case = &cases()[0];
    let backbone = case.backbone();
    let mut scratch = vec![0; backbone.scratch_len()];
    let len = backbone.output().iter().product();
    let mut out = vec![9; len];
    let short = scratch.len() - 1;
    assert_eq!(
        backbone.features(&[0; 29], &mut scratch, &mut out),
        len as u32
    );
    assert_eq!(
        backbone.features(&[0; 30], &mut scratch[..short], &mut out),
        len as u32
    );
    assert_eq!(
        backbone.features(&[0; 30], &mut scratch, &mut out[1..]),
        len as u32 - 1
    );
    assert!(out.iter().all(|&feature| feature == 9));
}

#[test]
fn each_fault_has_its_error() {
    let whole = cases().remove(4).bytes;
    let error = |bytes: &[u8]| Backbone::new(bytes).err();
    let mut longer = whole.clone();
    longer.extend([0xFF; 9]);
    assert_eq!(error(&longer), None);
    assert_eq!(error(&[0xFF; 64]), Some(BackboneError::Missing));
    assert_eq!(error(&[]), Some(BackboneError::Missing));
    for len in 44..whole.len() {
        assert_eq!(
            error(&whole[..len]),
            Some(BackboneError::Truncated),
            "{len}"
        );
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert!(error(&damaged).is_some(), "{at}");
    }
    let mut newer = whole;
    newer[4] = 3;
    assert_eq!(error(&newer), Some(BackboneError::Version(3)));
}

#[test]
fn a_party_reads_features_as_its_samples() {
    struct Two([Vec<u8>; 2]);
    impl Data for Two {
        fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
            let image = self
                .0
                .get(sample as usize)
                .ok_or(DataError::Missing(sample))?;
            out.copy_from_slice(image);
            Ok(())
        }
        fn label(&mut self, sample: u32) -> Result<u8, DataError> {
            Ok(sample as u8 + 3)
        }
    }
    let case = &cases()[2];
    let backbone = case.backbone();
    let images = [pixels(192, 1), pixels(192, 2)];
    let mut memory = vec![0; Features::<Two>::words(&backbone)];
    assert_eq!(memory.len(), backbone.scratch_len() + 48);
    assert!(Features::new(backbone, Two(images.clone()), &mut memory[1..]).is_none());
    let mut samples = Features::new(backbone, Two(images.clone()), &mut memory).unwrap();
    let len = backbone.output().iter().product();
    let mut scratch = vec![0; backbone.scratch_len()];
    for (sample, image) in images.iter().enumerate() {
        let (mut wanted, mut found) = (vec![0; len], vec![0; len]);
        let _ = backbone.features(image, &mut scratch, &mut wanted);
        samples.pixels(sample as u32, &mut found).unwrap();
        assert_eq!(wanted, found);
        assert_eq!(samples.label(sample as u32), Ok(sample as u8 + 3));
    }
    let mut out = vec![0; len];
    assert_eq!(samples.pixels(2, &mut out), Err(DataError::Missing(2)));
    assert_eq!(samples.pixels(0, &mut out[1..]), Err(DataError::Missing(0)));
}

proptest! {
    /// Bytes that describe other layers are refused, or describe a backbone that computes within its memory.
    #[test]
    fn any_bytes_with_a_sound_checksum_are_safe(
        case in 0usize..7,
        at in 6usize..120,
        value: u8,
        second in 6usize..120,
        other: u8,
    ) {
        let mut bytes = cases().remove(case).bytes;
        let end = bytes.len() - 4;
        for (at, value) in [(at, value), (second, other)] {
            if at < end && !(8..12).contains(&at) {
                bytes[at] = value;
            }
        }
        let sum = image::check(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum);
        if let Ok(backbone) = Backbone::new(&bytes) {
            let [input, output] = [backbone.input(), backbone.output()]
                .map(|shape| shape.iter().product::<usize>());
            prop_assume!(input < 1 << 16 && output < 1 << 16 && backbone.scratch_len() < 1 << 18);
            let mut scratch = vec![0; backbone.scratch_len()];
            let mut out = vec![0; output];
            let _ = backbone.features(&vec![200; input], &mut scratch, &mut out);
        }
    }
}
