//! `ringlet models`: the built-in models.

use ringlet_core::{
    model::{BUILT_IN, Layer, Model},
    network::Network,
    session::SessionError,
};

use crate::{console, error::Failure};

/// Prints the built-in models.
pub fn run() -> Result<(), Failure> {
    let mut table = format!("{:<12}{:<10}{:>10}  layers\n", "", "images", "parameters");
    for model in BUILT_IN.into_iter().filter_map(Model::built_in) {
        let network = Network::new(&model).map_err(SessionError::from)?;
        let parameters: usize = network.stages.iter().map(|stage| stage.parameters()).sum();
        let layers: Vec<String> = model.layers.iter().map(short).collect();
        let [rows, columns, channels] = model.input;
        let images = format!("{rows}x{columns}x{channels}");
        table += &format!(
            "{:<12}{images:<10}{parameters:>10}  {}\n",
            model.name,
            layers.join(", ")
        );
    }
    console::print(&table)?;
    console::line("\n`--model FILE` describes any other: see docs/src/models.md")
}

/// A layer in a word or two.
fn short(layer: &Layer) -> String {
    match *layer {
        Layer::Conv2d {
            channels, kernel, ..
        } => format!("conv {kernel} of {channels}"),
        Layer::Dense { units } => format!("dense {units}"),
        Layer::AvgPool { window } => format!("average {window}x{window}"),
        Layer::MaxPool { window, .. } => format!("maximum {window}x{window}"),
        Layer::Add { layer } => format!("add layer {layer}"),
        Layer::Dropout { percent } => format!("dropout {percent} %"),
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_told_with_their_sizes() {
        let model = Model::built_in("digits8").expect("a model");
        let layers: Vec<String> = model.layers.iter().map(short).collect();
        assert_eq!(layers, ["conv 3x3 of 8", "relu", "flatten", "dense 10"]);
    }
}
