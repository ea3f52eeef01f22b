//! A model in two parts: the layers up to one, and those after it.

use ringlet_core::{
    model::{Layer, Model, Sides},
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
    if matches!(front.last(), Some(Layer::Dropout { .. })) {
        return Err(Failure::new(
            format!("the dropout after {name} would drop features, which keep their masks"),
            "leave it out, or freeze an earlier layer",
        ));
    }
    let front: Vec<Layer> = front
        .iter()
        .copied()
        .filter(|layer| !is_dropout(layer))
        .collect();
    let rest = renumbered(rest, end).map_err(|layer| {
        Failure::new(
            format!("{name} lies within the residual connection of layer {layer}"),
            "freeze a layer before it or after it",
        )
    })?;
    // Whether the layers fit together is known before their shapes are followed.
    Network::new(model).map_err(ringlet_core::session::SessionError::from)?;
    let shape = front.iter().fold(model.input, output);
    let whole = format!("{} after {name}", model.name);
    let head = Model::new(&whole, shape, &rest).or_else(|| Model::new(&model.name, shape, &rest));
    Ok(Cut {
        front,
        stages,
        head: head.ok_or_else(|| Failure::new("the model has too many layers", "use fewer"))?,
    })
}

/// Whether a layer does nothing outside of training.
fn is_dropout(layer: &Layer) -> bool {
    matches!(layer, Layer::Dropout { .. })
}

/// Layers that came after `before` others, with the numbers that they have alone. Fails with the number of a layer that adds
/// what one of the others makes.
fn renumbered(layers: &[Layer], before: usize) -> Result<Vec<Layer>, usize> {
    let each = layers
        .iter()
        .enumerate()
        .map(|(index, layer)| match *layer {
            Layer::Add { layer } => match usize::from(layer).checked_sub(before) {
                // Layers are fewer than a byte counts.
                Some(own) if own > 0 => Ok(Layer::Add { layer: own as u8 }),
                _ => Err(before + index + 1),
            },
            layer => Ok(layer),
        });
    each.collect()
}

/// Rows, columns and channels of what a layer makes of an input, into which its windows fit.
fn output([height, width, channels]: [u16; 3], layer: &Layer) -> [u16; 3] {
    let windows = |window: Sides, stride: u8, padding: Sides| {
        let ([rows, columns], [above, left]) = (window.both(), padding.both());
        [(height, rows, above), (width, columns, left)].map(|(side, window, before)| {
            let padded = u32::from(side) + 2 * u32::from(before);
            ((padded - u32::from(window)) / u32::from(stride) + 1) as u16
        })
    };
    let pooled = |window, stride| windows(Sides::square(window), stride, Sides::square(0));
    let ([rows, columns], channels) = match *layer {
        Layer::Conv2d {
            channels,
            kernel,
            stride,
            padding,
        } => (windows(kernel, stride, padding), channels),
        Layer::AvgPool { window } => (pooled(window, window), channels),
        Layer::MaxPool { window, stride: 0 } => (pooled(window, window), channels),
        Layer::MaxPool { window, stride } => (pooled(window, stride), channels),
        Layer::Dense { units } => ([1, 1], units),
        // More values than a side can count are refused where the network is built.
        Layer::Flatten => (
            [1, 1],
            height.saturating_mul(width).saturating_mul(channels),
        ),
        Layer::Relu | Layer::Polynomial(_) | Layer::Add { .. } | Layer::Dropout { .. } => {
            ([height, width], channels)
        }
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
    fn residual_connections_stay_whole() {
        let conv = Layer::Conv2d {
            channels: 2,
            kernel: Sides::from([1, 3]),
            stride: 1,
            padding: Sides::from([0, 1]),
        };
        let dropout = Layer::Dropout { percent: 50 };
        let add = |layer| Layer::Add { layer };
        let layers = [
            conv,
            Layer::Relu,
            dropout,
            conv,
            Layer::Relu,
            conv,
            Layer::Relu,
            conv,
            add(7),
            Layer::Relu,
            conv,
            Layer::Relu,
            dropout,
            Layer::Flatten,
            Layer::Dense { units: 3 },
        ];
        let model = Model::new("blocks", [4, 6, 1], &layers).expect("a model");
        let cut_at = |name| cut(&model, name);
        let refused = |name| cut_at(name).expect_err("a refusal").to_string();
        // What is frozen drops nothing.
        let second = cut_at("conv2").expect("a cut");
        assert_eq!(second.front, [conv, Layer::Relu, conv, Layer::Relu]);
        assert_eq!(second.head.layers[..4], [conv, Layer::Relu, conv, add(2)]);
        assert_eq!(second.head.input, [4, 6, 2]);
        let line = refused("conv3");
        assert!(
            line.contains("conv3 lies within the residual connection of layer 9"),
            "{line}"
        );
        assert!(refused("conv1").contains("the dropout after conv1 would drop features"));
        assert!(refused("conv5").contains("the dropout after conv5"));
        let fourth = cut_at("conv4").expect("a cut");
        assert!(fourth.head.layers.iter().all(|layer| layer.kind() != "add"));
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
