//! A model in two parts: the layers up to one, and those after it.

use ringlet_core::{
    model::{Layer, Model},
    network::Network,
};

use crate::error::Failure;

/// A model in two parts.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The layers of the first part.
    pub front: Vec<Layer>,
    /// Layers of the first part that learn.
    pub stages: usize,
    /// The second part, whose input is what the first makes.
    pub head: Model,
}

/// Cuts a model after the convolution or dense layer called `name`, such as `conv2`, with the activation and the pooling that
/// follow it. Fails if there is none, or if nothing that learns comes after it.
pub fn cut(model: &Model, name: &str) -> Result<Cut, Failure> {
    let mut counts = [0; 2];
    let mut names = Vec::new();
    let mut found = None;
    let mut end = model.layers.len();
    for (index, layer) in model.layers.iter().enumerate() {
        let kind = match layer {
            Layer::Conv2d { .. } => 0,
            Layer::Dense { .. } => 1,
            _ => continue,
        };
        counts[kind] += 1;
        let own = format!("{}{}", layer.kind(), counts[kind]);
        if found.is_some() {
            end = end.min(index);
        }
        if own == name {
            found = Some(names.len() + 1);
        }
        names.push(own);
    }
    let Some(stages) = found else {
        return Err(Failure::new(
            format!("model {} has no layer {name} to freeze", model.name),
            format!(
                "give one of {}",
                names[..names.len().saturating_sub(1)].join(", ")
            ),
        ));
    };
    if stages == names.len() {
        return Err(Failure::new(
            format!("nothing is left to learn after {name}"),
            "freeze an earlier layer",
        ));
    }
    // What only reshapes stays with what comes after, so that features keep the shape of an image.
    if matches!(model.layers[end - 1], Layer::Flatten) {
        end -= 1;
    }
    let (front, rest) = model.layers.split_at(end);
    // Whether the layers fit together is known before their shapes are followed.
    Network::new(model).map_err(ringlet_core::session::SessionError::from)?;
    let shape = front.iter().fold(model.input, output);
    let whole = format!("{} after {name}", model.name);
    let head = Model::new(&whole, shape, rest).or_else(|| Model::new(&model.name, shape, rest));
    Ok(Cut {
        front: front.to_vec(),
        stages,
        head: head.ok_or_else(|| Failure::new("the model has too many layers", "use fewer"))?,
    })
}

/// Rows, columns and channels of what a layer makes of an input, into which its windows fit.
fn output([height, width, channels]: [u16; 3], layer: &Layer) -> [u16; 3] {
    let windows = |window: u8, stride: u8, padding: u8| {
        [height, width].map(|side| {
            let padded = u32::from(side) + 2 * u32::from(padding);
            ((padded - u32::from(window)) / u32::from(stride) + 1) as u16
        })
    };
    let ([rows, columns], channels) = match *layer {
        Layer::Conv2d {
            channels,
            kernel,
            stride,
            padding,
        } => (windows(kernel, stride, padding), channels),
        Layer::AvgPool { window } => (windows(window, window, 0), channels),
        Layer::MaxPool { window, stride: 0 } => (windows(window, window, 0), channels),
        Layer::MaxPool { window, stride } => (windows(window, stride, 0), channels),
        Layer::Dense { units } => ([1, 1], units),
        // More values than a side can count are refused where the network is built.
        Layer::Flatten => (
            [1, 1],
            height.saturating_mul(width).saturating_mul(channels),
        ),
        Layer::Relu | Layer::Polynomial(_) => ([height, width], channels),
    };
    [rows, columns, channels]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_cut_after_what_belongs_to_a_layer() {
        let model = Model::built_in("convnet2").expect("a model");
        let cut_at = |name| cut(&model, name).expect("a cut");
        let first = cut_at("conv1");
        assert_eq!((first.front.len(), first.stages), (3, 1));
        assert_eq!(first.head.input, [14, 14, 32]);
        assert_eq!(first.head.name.as_str(), "convnet2 after conv1");
        let second = cut_at("conv2");
        assert_eq!((second.front.len(), second.stages), (6, 2));
        assert_eq!(second.head.input, [7, 7, 32]);
        assert_eq!(second.head.layers[..], model.layers[6..]);
        let model = Model::built_in("securenn-c").expect("a model");
        let dense = cut(&model, "dense1").expect("a cut");
        assert_eq!((dense.stages, dense.head.input), (3, [1, 1, 500]));
        assert_eq!(dense.head.layers.len(), 1);
    }

    #[test]
    fn what_cannot_be_frozen_is_refused() {
        let model = Model::built_in("convnet2").expect("a model");
        let refused = |name| cut(&model, name).expect_err("a refusal").to_string();
        let line = refused("conv3");
        assert!(
            line.contains("no layer conv3") && line.contains("conv1, conv2"),
            "{line}"
        );
        assert!(refused("dense1").contains("nothing is left to learn"));
        assert!(refused("relu1").contains("no layer relu1"));
    }
}
