//! Polynomials that replace activations: least-squares fits and published ones, in the form that users write and in the
//! form that the core takes.

use ringlet_core::{
    model::{Layer, Model},
    num::{COEFFICIENT_FRACTION, MAX_DEGREE, Polynomial},
};
use serde::Deserialize;

use crate::error::Failure;

/// How a model description names a polynomial.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// The least-squares fit of ReLU.
    Relu {
        /// Degree, 2 to 8.
        degree: u8,
        /// Where it is fitted.
        #[serde(default = "unit")]
        interval: [f64; 2],
    },
    /// The polynomial of degree 8 that replaces ReLU in Pond, a protocol of tf-encrypted.
    PondRelu,
    /// The polynomial of degree 9 that replaces the sigmoid in Pond.
    PondSigmoid,
    /// Any polynomial.
    Coefficients {
        /// From the constant one up.
        values: Vec<f64>,
        /// Where it is used.
        #[serde(default = "unit")]
        interval: [f64; 2],
    },
}

fn unit() -> [f64; 2] {
    [-1.0, 1.0]
}

/// Points of a fit, evenly spaced over the interval, both ends included.
const POINTS: usize = 1000;

/// Where Pond's polynomials are used.
const POND_INTERVAL: [f64; 2] = [-8.0, 8.0];

const POND_RELU: [f64; 9] = [
    0.44015372,
    0.5,
    0.112175377,
    0.0,
    -0.00136608367,
    0.0,
    9.00913637e-06,
    0.0,
    -2.10974798e-08,
];

const POND_SIGMOID: [f64; 10] = [
    0.5,
    0.2159198015,
    0.0,
    -0.0082176259,
    0.0,
    0.0001825597,
    0.0,
    -0.0000018848,
    0.0,
    0.0000000072,
];

impl Default for Activation {
    /// The published replacement of ReLU: the cubic fit on [-1, 1], whose cubic coefficient is zero.
    fn default() -> Self {
        Activation::Relu {
            degree: 3,
            interval: unit(),
        }
    }
}

impl std::str::FromStr for Activation {
    type Err = String;

    /// `relu:DEGREE`, `relu:DEGREE:LOW:HIGH`, `pond-relu` or `pond-sigmoid`.
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!("{text} is none of relu:DEGREE, relu:DEGREE:LOW:HIGH, pond-relu, pond-sigmoid")
        };
        match text {
            "pond-relu" => return Ok(Activation::PondRelu),
            "pond-sigmoid" => return Ok(Activation::PondSigmoid),
            _ => {}
        }
        let mut parts = text.split(':');
        if parts.next() != Some("relu") {
            return Err(malformed());
        }
        let degree = parts.next().and_then(|part| part.parse().ok());
        let degree = degree.ok_or_else(malformed)?;
        let ends: Vec<f64> = parts
            .map(|part| part.parse().map_err(|_| malformed()))
            .collect::<Result<_, _>>()?;
        let interval = match ends[..] {
            [] => unit(),
            [low, high] => [low, high],
            _ => return Err(malformed()),
        };
        let activation = Activation::Relu { degree, interval };
        activation
            .polynomial()
            .map_err(|failure| failure.to_string())?;
        Ok(activation)
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Activation::Relu { degree, interval } => {
                write!(f, "relu:{degree}:{}:{}", interval[0], interval[1])
            }
            Activation::PondRelu => f.write_str("pond-relu"),
            Activation::PondSigmoid => f.write_str("pond-sigmoid"),
            Activation::Coefficients { values, .. } => write!(f, "degree {}", values.len() - 1),
        }
    }
}

impl Activation {
    /// The polynomial with its coefficients rounded to the core's units.
    pub fn polynomial(&self) -> Result<Polynomial, Failure> {
        match self {
            Activation::Relu { degree, interval } => {
                if !(2..=8).contains(degree) {
                    return Err(Failure::new(
                        format!("ReLU is not fitted with degree {degree}"),
                        "choose a degree from 2 to 8",
                    ));
                }
                check(*interval)?;
                let fit = least_squares(usize::from(*degree), *interval, |x| x.max(0.0));
                rounded(&fit, *interval)
            }
            Activation::PondRelu => rounded(&POND_RELU, POND_INTERVAL),
            Activation::PondSigmoid => rounded(&POND_SIGMOID, POND_INTERVAL),
            Activation::Coefficients { values, interval } => {
                check(*interval)?;
                rounded(values, *interval)
            }
        }
    }

    /// The same model with this polynomial in place of ReLU. Refuses max pooling, which needs comparisons.
    pub fn replace_relu(&self, model: &Model) -> Result<Model, Failure> {
        let polynomial = self.polynomial()?;
        let compares = |layer: &Layer| matches!(layer, Layer::MaxPool { .. });
        if model.layers.iter().any(compares) {
            return Err(Failure::new(
                "polynomials do not compare, as max pooling does",
                "give a model with avg_pool, or leave out --protocol spdz",
            ));
        }
        let mut model = model.clone();
        for layer in &mut model.layers {
            if *layer == Layer::Relu {
                *layer = Layer::Polynomial(polynomial);
            }
        }
        Ok(model)
    }
}

fn check([low, high]: [f64; 2]) -> Result<(), Failure> {
    if low.is_finite() && high.is_finite() && low < high {
        return Ok(());
    }
    Err(Failure::new(
        format!("[{low}, {high}] is no interval"),
        "give two numbers, the smaller one first",
    ))
}

fn rounded(values: &[f64], [low, high]: [f64; 2]) -> Result<Polynomial, Failure> {
    let refused = |why: String| {
        Failure::new(
            format!("a polynomial of the model cannot be used: {why}"),
            "choose another degree, interval or coefficients",
        )
    };
    if !(3..=MAX_DEGREE + 1).contains(&values.len()) {
        return Err(refused(format!(
            "it has {} coefficients where 3 to {} serve",
            values.len(),
            MAX_DEGREE + 1
        )));
    }
    let scale = f64::from(2f32.powi(COEFFICIENT_FRACTION as i32));
    let mut coefficients = [0; MAX_DEGREE + 1];
    for (unit, value) in coefficients.iter_mut().zip(values) {
        // Out of range, the conversion saturates, and the core refuses the result.
        *unit = (value * scale).round() as i64;
    }
    let reach = low.abs().max(high.abs()).max(1.0);
    let polynomial = Polynomial {
        degree: values.len() as u8 - 1,
        reach: reach.log2().ceil().min(255.0) as u8,
        coefficients,
    };
    if values.iter().all(|value| value.is_finite()) && polynomial.is_sound() {
        Ok(polynomial)
    } else {
        Err(refused(
            "its coefficients or interval are too large".to_owned(),
        ))
    }
}

/// Coefficients of the polynomial nearest to `function` at evenly spaced points of the interval, in
/// least squares, from the constant one up.
///
/// Discrete orthogonal polynomials by Stieltjes' recurrence: q_(k+1) = (t - a_k) q_k - b_k q_(k-1), which
/// needs no linear system, in t from -1 to 1; then t is put back in terms of x. Sums and products
/// alone, so that every machine gets the same bits.
fn least_squares(degree: usize, [low, high]: [f64; 2], function: impl Fn(f64) -> f64) -> Vec<f64> {
    let points: Vec<f64> = (0..POINTS)
        .map(|i| (2.0 * i as f64 - (POINTS - 1) as f64) / (POINTS - 1) as f64)
        .collect();
    let (middle, half) = ((low + high) / 2.0, (high - low) / 2.0);
    let values: Vec<f64> = points.iter().map(|t| function(middle + half * t)).collect();
    let evaluate = |c: &[f64], t: f64| c.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let mut fit = vec![0.0; degree + 1];
    let mut before: Vec<f64> = Vec::new();
    let mut current = vec![1.0];
    let mut norm_before = 1.0;
    for k in 0..=degree {
        let at: Vec<f64> = points.iter().map(|&t| evaluate(&current, t)).collect();
        let norm: f64 = at.iter().map(|q| q * q).sum();
        let projection: f64 = at.iter().zip(&values).map(|(q, y)| q * y).sum();
        for (sum, c) in fit.iter_mut().zip(&current) {
            *sum += projection / norm * c;
        }
        let a: f64 = at.iter().zip(&points).map(|(q, t)| q * q * t).sum::<f64>() / norm;
        let b = if k == 0 { 0.0 } else { norm / norm_before };
        let mut next = vec![0.0; current.len() + 1];
        for (power, c) in current.iter().enumerate() {
            next[power + 1] += c;
            next[power] -= a * c;
        }
        for (next, c) in next.iter_mut().zip(&before) {
            *next -= b * c;
        }
        (before, current) = (current, next);
        norm_before = norm;
    }
    // t = (x - middle) / half, by Horner's rule on polynomials in x.
    let mut in_x = vec![0.0; degree + 1];
    for c in fit.iter().rev() {
        for power in (0..=degree).rev() {
            let below = if power == 0 { 0.0 } else { in_x[power - 1] };
            in_x[power] = (below - middle * in_x[power]) / half;
        }
        in_x[0] += c;
    }
    // A coefficient that symmetry makes zero comes out as a rounding error.
    let largest = in_x.iter().fold(0.0f64, |most, c| most.max(c.abs()));
    for c in &mut in_x {
        if c.abs() < largest * 1e-12 {
            *c = 0.0;
        }
    }
    in_x
}

/// Converts the polynomials of a model description from the form that users write to the form that the core takes.
pub fn resolve(description: &mut serde_json::Value) -> Result<(), Failure> {
    let layers = description.get_mut("layers").and_then(|l| l.as_array_mut());
    for layer in layers.into_iter().flatten() {
        let Some(given) = layer.get_mut("polynomial") else {
            continue;
        };
        let activation: Activation = serde_json::from_value(given.take()).map_err(|error| {
            Failure::new(
                format!("a polynomial of the model is not described rightly: {error}"),
                "see docs/src/models.md for an example",
            )
        })?;
        let polynomial = activation.polynomial()?;
        *given = serde_json::to_value(polynomial).map_err(|error| {
            Failure::new(
                format!("a polynomial cannot be passed on: {error}"),
                "report this",
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(values: &[f64]) -> Vec<i64> {
        let scale = 2f64.powi(COEFFICIENT_FRACTION as i32);
        values.iter().map(|v| (v * scale).round() as i64).collect()
    }

    #[test]
    fn the_cubic_fit_of_relu_is_the_published_one() {
        let fit = least_squares(3, [-1.0, 1.0], |x| x.max(0.0));
        for (made, published) in fit.iter().zip([0.093843844, 0.5, 0.468281718, 0.0]) {
            assert!((made - published).abs() < 1e-9, "{made} {published}");
        }
        // By symmetry the cube buys nothing, to the last bit.
        let cubic = Activation::default().polynomial().unwrap();
        let square = "relu:2"
            .parse::<Activation>()
            .unwrap()
            .polynomial()
            .unwrap();
        assert_eq!((cubic.degree, square.degree), (3, 2));
        assert_eq!(cubic.coefficients[3], 0);
        for (a, b) in cubic.coefficients.iter().zip(square.coefficients) {
            assert!((a - b).abs() <= 1 << 8, "{a} {b}");
        }
    }

    #[test]
    fn fits_are_the_best_of_their_degree() {
        for (degree, interval) in [
            (2, [-1.0, 1.0]),
            (4, [-3.0, 5.0]),
            (5, [-2.0, 0.5]),
            (7, [-8.0, 8.0]),
            (8, [-4.0, 4.0]),
        ] {
            let error = |c: &[f64]| -> f64 {
                (0..POINTS)
                    .map(|i| {
                        let [low, high] = interval;
                        let x = low + (high - low) * i as f64 / (POINTS - 1) as f64;
                        let y = c.iter().rev().fold(0.0, |sum, c| sum * x + c);
                        (y - x.max(0.0)).powi(2)
                    })
                    .sum()
            };
            let fit = least_squares(degree, interval, |x| x.max(0.0));
            let best = error(&fit);
            for power in 0..=degree {
                for change in [-1e-6, 1e-6] {
                    let mut other = fit.clone();
                    other[power] += change;
                    assert!(error(&other) > best, "{degree} {interval:?} {power}");
                }
            }
        }
        // What is a polynomial already comes back.
        let same = least_squares(4, [-2.0, 3.0], |x| 1.0 - x + 0.5 * x * x * x);
        for (made, want) in same.iter().zip([1.0, -1.0, 0.0, 0.5, 0.0]) {
            assert!((made - want).abs() < 1e-10);
        }
    }

    #[test]
    fn ponds_polynomials_are_taken_as_published() {
        let relu = Activation::PondRelu.polynomial().unwrap();
        assert_eq!((relu.degree, relu.reach), (8, 3));
        assert_eq!(relu.terms(), units(&POND_RELU));
        let sigmoid = Activation::PondSigmoid.polynomial().unwrap();
        assert_eq!(sigmoid.terms(), units(&POND_SIGMOID));
        let at = |c: &[f64], x: f64| c.iter().rev().fold(0.0, |sum, c| sum * x + c);
        for x in [-4.0f64, -1.0, 0.0, 2.0, 5.0] {
            assert!((at(&POND_RELU, x) - x.max(0.0)).abs() < 0.5);
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            assert!((at(&POND_SIGMOID, x) - sigmoid).abs() < 0.03);
        }
    }

    #[test]
    fn descriptions_are_read_and_faults_named() {
        let resolved = |text: &str| {
            let mut model: serde_json::Value = serde_json::from_str(&format!(
                r#"{{"name":"m","input":[1,1,4],"layers":[{{"dense":{{"units":3}}}},{{"polynomial":{text}}},{{"dense":{{"units":3}}}}]}}"#
            ))
            .unwrap();
            resolve(&mut model).map_err(|failure| failure.to_string())?;
            serde_json::from_value::<Model>(model).map_err(|error| error.to_string())
        };
        let cubic = Activation::default().polynomial().unwrap();
        for text in [
            r#"{"relu":{"degree":3}}"#,
            r#"{"relu":{"degree":3,"interval":[-1,1]}}"#,
        ] {
            assert_eq!(resolved(text).unwrap().layers[1], Layer::Polynomial(cubic));
        }
        assert!(resolved(r#""pond_relu""#).is_ok());
        assert!(resolved(r#"{"coefficients":{"values":[0,1,0.5],"interval":[-2,2]}}"#).is_ok());
        for text in [
            r#"{"relu":{"degree":1}}"#,
            r#"{"relu":{"degree":9}}"#,
            r#"{"relu":{"degree":3,"interval":[1,-1]}}"#,
            r#"{"relu":{"degree":3,"interva":[-1,1]}}"#,
            r#""pond_tanh""#,
            r#"{"coefficients":{"values":[0,1]}}"#,
            r#"{"coefficients":{"values":[0,1,1e9]}}"#,
            r#"{"coefficients":{"values":[0,1,1],"interval":[0,1e30]}}"#,
        ] {
            assert!(resolved(text).is_err(), "{text}");
        }
    }
}
