//! PyTorch's layout of weights: convolutions `[out][in][row][column]`, dense layers `[out][in]`. PyTorch flattens an image
//! by channels, rows, columns; this program keeps images by rows, columns, channels.

use ringlet_core::{
    kernel::Linear,
    model::Model,
    network::{Network, Stage},
};

/// A stage's weights in PyTorch's layout.
pub struct TorchLayout {
    /// The shape of the tensor.
    pub shape: Vec<usize>,
    /// For each value of the tensor, its place among the stage's weights.
    places: Vec<usize>,
}

/// The part of a stage's name that names its linear map.
pub fn tensor_name(stage: &Stage) -> &str {
    let name = stage.name.split('+').find(|part| !part.starts_with("pool"));
    name.unwrap_or(&stage.name)
}

/// Rows, columns and channels of what leaves a stage; a vector is all channels.
fn leaving(stage: &Stage) -> [usize; 3] {
    match (stage.max_pool, stage.linear) {
        (Some(windows), _) => {
            let [rows, columns] = windows.output();
            [rows, columns, windows.channels]
        }
        (None, Linear::Conv(conv)) => {
            let [rows, columns] = conv.output();
            [rows, columns, conv.outputs]
        }
        (None, Linear::Dense(dense)) => [1, 1, dense.outputs],
    }
}

/// Rows, columns and channels of what a stage's linear map reads.
fn entering(model: &Model, network: &Network, stage: usize) -> [usize; 3] {
    let before = match stage {
        0 => model.input.map(usize::from),
        _ => leaving(&network.stages[stage - 1]),
    };
    let pool = network.stages[stage].pooled_input;
    pool.map_or(before, |pool| pool.output())
}

impl TorchLayout {
    /// The layout of the weights of a stage of this model's network.
    pub fn new(model: &Model, network: &Network, stage: usize) -> Self {
        let entered = entering(model, network, stage);
        match network.stages[stage].linear {
            Linear::Conv(conv) => {
                let [rows, columns] = conv.kernel.map(usize::from);
                let (inputs, outputs) = (conv.inputs, conv.outputs);
                let place = |[output, input, row, column]: [usize; 4]| {
                    ((row * columns + column) * inputs + input) * outputs + output
                };
                TorchLayout {
                    places: indices([outputs, inputs, rows, columns])
                        .map(place)
                        .collect(),
                    shape: vec![outputs, inputs, rows, columns],
                }
            }
            Linear::Dense(dense) => {
                let [rows, columns, channels] = entered;
                let place = |[output, channel, row, column]: [usize; 4]| {
                    ((row * columns + column) * channels + channel) * dense.outputs + output
                };
                let all = indices([dense.outputs, channels, rows, columns]);
                TorchLayout {
                    places: all.map(place).collect(),
                    shape: vec![dense.outputs, dense.inputs],
                }
            }
        }
    }

    /// A stage's weights as a tensor of PyTorch's.
    pub fn tensor(&self, weights: &[f32]) -> Vec<f32> {
        self.places.iter().map(|&place| weights[place]).collect()
    }

    /// The weights that a tensor of [`TorchLayout::shape`] holds.
    pub fn weights(&self, tensor: &[f32]) -> Vec<f32> {
        let mut weights = vec![0.0; self.places.len()];
        for (&place, &value) in self.places.iter().zip(tensor) {
            weights[place] = value;
        }
        weights
    }
}

/// All indices of a tensor of this shape, the last one fastest.
fn indices(shape: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    let count: usize = shape.iter().product();
    (0..count).map(move |mut rest| {
        let mut index = [0; 4];
        for (index, len) in index.iter_mut().zip(shape).rev() {
            *index = rest % len;
            rest /= len;
        }
        index
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlet_core::model::{Layer, Sides};

    #[test]
    fn weights_keep_their_places_there_and_back() {
        for name in ["digits8", "convnet2", "securenn-b", "securenn-d"] {
            let model = Model::built_in(name).expect("a model");
            let network = Network::new(&model).expect("a network");
            for (index, stage) in network.stages.iter().enumerate() {
                let layout = TorchLayout::new(&model, &network, index);
                let weights: Vec<f32> = (0..stage.linear.weight_len()).map(|w| w as f32).collect();
                assert_eq!(
                    layout.shape.iter().product::<usize>(),
                    weights.len(),
                    "{name}"
                );
                assert_eq!(layout.weights(&layout.tensor(&weights)), weights, "{name}");
            }
        }
    }

    /// One output of two channels by a kernel of two rows and three columns.
    #[test]
    fn rows_come_before_columns_in_kernels_of_two_sides() {
        let conv = Layer::Conv2d {
            channels: 1,
            kernel: Sides::from([2, 3]),
            stride: 1,
            padding: Sides::square(0),
        };
        let layers = [conv, Layer::Flatten, Layer::Dense { units: 2 }];
        let model = Model::new("slim", [3, 4, 2], &layers).expect("a model");
        let network = Network::new(&model).expect("a network");
        let layout = TorchLayout::new(&model, &network, 0);
        assert_eq!(layout.shape, [1, 2, 2, 3]);
        // Ours is [row][column][input][output].
        let ours: Vec<f32> = (0..12).map(|w| w as f32).collect();
        let theirs = [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0];
        assert_eq!(layout.tensor(&ours), theirs);
        assert_eq!(layout.weights(&theirs), ours);
    }

    /// Two channels of 1x2 pixels, from a 1x1 convolution; then two units.
    #[test]
    fn channels_come_before_rows_and_columns() {
        let conv = Layer::Conv2d {
            channels: 2,
            kernel: Sides::square(1),
            stride: 1,
            padding: Sides::square(0),
        };
        let layers = [conv, Layer::Relu, Layer::Flatten, Layer::Dense { units: 2 }];
        let model = Model::new("small", [1, 2, 3], &layers).expect("a model");
        let network = Network::new(&model).expect("a network");
        // Ours is [input][output].
        let layout = TorchLayout::new(&model, &network, 0);
        assert_eq!(layout.shape, [2, 3, 1, 1]);
        let tensor = layout.tensor(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(tensor, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        // Ours is [column][channel][output].
        let layout = TorchLayout::new(&model, &network, 1);
        assert_eq!(layout.shape, [2, 4]);
        let tensor = layout.tensor(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(tensor, [0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0]);
    }
}
