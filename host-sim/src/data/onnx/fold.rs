//! Layers that learn while they are read: what follows them in the graph and is linear becomes part of them.

use super::constants::Floats;

/// Weights and biases of a convolution or a dense layer, in PyTorch's layout.
pub struct Learned {
    /// The name of the operator.
    pub name: String,
    /// `[out][in][row][column]` or `[out][in]`.
    pub weights: Floats,
    /// One for each output.
    pub biases: Vec<f32>,
}

impl Learned {
    /// A layer without biases.
    pub fn new(name: String, weights: Floats) -> Self {
        Learned {
            biases: vec![0.0; weights.shape[0]],
            name,
            weights,
        }
    }

    /// Adds a constant, which has one value for each output.
    pub fn add(&mut self, constant: &Floats) -> Result<(), String> {
        let outputs = self.biases.len();
        // One value for each channel: [C] after a dense layer, [C, 1, 1] or [1, C, 1, 1] after a convolution.
        let trailing = self.weights.shape.len() - 2;
        let mut shape = &constant.shape[..];
        while let [1, rest @ ..] = shape
            && shape.len() > trailing + 1
        {
            shape = rest;
        }
        let fits = shape.first() == Some(&outputs)
            && shape.len() == trailing + 1
            && shape[1..].iter().all(|&side| side == 1);
        if !fits {
            return Err(format!(
                "adds a constant of shape {:?}, which is no bias of {outputs} outputs",
                constant.shape
            ));
        }
        for (bias, value) in self.biases.iter_mut().zip(&constant.values) {
            *bias += value;
        }
        Ok(())
    }

    /// Folds in a normalisation by fixed numbers of each output: scale * (x - mean) / sqrt(variance + epsilon) + shift.
    pub fn normalise(
        &mut self,
        [scale, shift, mean, variance]: &[Floats; 4],
        epsilon: f32,
    ) -> Result<(), String> {
        let outputs = self.biases.len();
        let all = [scale, shift, mean, variance];
        if all.iter().any(|floats| floats.shape != [outputs]) {
            return Err(format!("does not have {outputs} values of each kind"));
        }
        let each = self.weights.values.len() / outputs.max(1);
        let weights = self.weights.values.chunks_mut(each.max(1));
        for (output, (weights, bias)) in weights.zip(&mut self.biases).enumerate() {
            let of = |floats: &Floats| f64::from(floats.values[output]);
            let factor = of(scale) / (of(variance) + f64::from(epsilon)).sqrt();
            if !factor.is_finite() {
                return Err(format!("has no finite factor at output {output}"));
            }
            for weight in weights {
                *weight = (f64::from(*weight) * factor) as f32;
            }
            *bias = ((f64::from(*bias) - of(mean)) * factor + of(shift)) as f32;
        }
        Ok(())
    }
}
