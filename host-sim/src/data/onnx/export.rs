//! Writing a model as ONNX, with the operators that every runtime has.

use std::path::Path;

use prost::Message;
use ringlet_core::{
    model::{Layer, Model, Sides},
    network::Network,
};

use super::proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetId, StringEntry,
    TensorProto, ValueInfo,
};
use crate::{
    data::{
        model_description::KEY,
        parameters::Parameters,
        torch_layout::{TorchLayout, tensor_name},
    },
    error::Failure,
};

/// Version of the messages, and of the operators.
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 13;

/// The dimension that varies.
const BATCH: &str = "batch";

/// Fails if the model has a layer that no ONNX operator computes.
pub fn check(path: &Path, model: &Model) -> Result<(), Failure> {
    let is_polynomial = |layer: &Layer| matches!(layer, Layer::Polynomial(_));
    match model.layers.iter().any(is_polynomial) {
        false => Ok(()),
        true => Err(Failure::new(
            format!(
                "{} cannot hold a model with polynomials, which are no operators of ONNX",
                path.display()
            ),
            "save it as safetensors",
        )),
    }
}

/// The file of a model.
pub fn write(
    model: &Model,
    network: &Network,
    parameters: &[Parameters],
    description: String,
) -> Vec<u8> {
    let [rows, columns, channels] = model.input.map(i64::from);
    let mut graph = GraphProto {
        name: model.name.to_string(),
        input: vec![value("images", &[channels, rows, columns])],
        output: vec![value("logits", &[network.classes as i64])],
        ..GraphProto::default()
    };
    let mut stages = network.stages.iter().zip(parameters).enumerate();
    let mut current = String::from("images");
    let mut flat = false;
    // The name of what each layer makes.
    let mut made: Vec<String> = Vec::new();
    for (number, layer) in model.layers.iter().enumerate() {
        let last = number + 1 == model.layers.len();
        let next = match last {
            true => "logits".to_owned(),
            false => format!("{}{number}", layer.kind()),
        };
        if matches!(layer, Layer::Dense { .. }) && !flat {
            // An image of one pixel is a vector here, and not in ONNX.
            let (op_type, attribute) = operator(&Layer::Flatten);
            let output = format!("vector{number}");
            graph.node.push(NodeProto {
                input: vec![current],
                output: vec![output.clone()],
                name: output.clone(),
                op_type: op_type.to_owned(),
                attribute,
            });
            current = output;
            if let Some(before) = made.last_mut() {
                before.clone_from(&current);
            }
        }
        if matches!(layer, Layer::Dropout { .. }) {
            made.push(current.clone());
            continue;
        }
        flat |= matches!(layer, Layer::Flatten | Layer::Dense { .. });
        let mut input = vec![current];
        if matches!(layer, Layer::Conv2d { .. } | Layer::Dense { .. })
            && let Some((index, (stage, parameters))) = stages.next()
        {
            let layout = TorchLayout::new(model, network, index);
            let name = tensor_name(stage);
            let weights = layout.tensor(&parameters.weights);
            let biases = parameters.biases.clone();
            for (part, shape, values) in [
                ("weight", &layout.shape[..], weights),
                ("bias", &[biases.len()], biases),
            ] {
                let name = format!("{name}.{part}");
                graph.initializer.push(tensor(&name, shape, &values));
                input.push(name);
            }
        }
        if let Layer::Add { layer } = layer {
            input.push(made[usize::from(*layer) - 1].clone());
        }
        let (op_type, attribute) = operator(layer);
        graph.node.push(NodeProto {
            input,
            output: vec![next.clone()],
            name: format!("{}_{number}", layer.kind()),
            op_type: op_type.to_owned(),
            attribute,
        });
        made.push(next.clone());
        current = next;
    }
    let entry = |key: &str, value| StringEntry {
        key: key.to_owned(),
        value,
    };
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "ringlet".to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: OPERATORS,
        }],
        metadata_props: vec![entry(KEY, description)],
    };
    file.encode_to_vec()
}

/// The operator of a layer, and its attributes. [`check`] refuses those without one.
fn operator(layer: &Layer) -> (&'static str, Vec<AttributeProto>) {
    let twice = |value: u8| [i64::from(value); 2];
    let both = |sides: Sides| sides.both().map(i64::from);
    match *layer {
        Layer::Conv2d {
            kernel,
            stride,
            padding,
            ..
        } => (
            "Conv",
            vec![
                integers("kernel_shape", &both(kernel)),
                integers("strides", &twice(stride)),
                integers("pads", &[both(padding), both(padding)].concat()),
            ],
        ),
        Layer::Dense { .. } => ("Gemm", vec![integer("transB", 1)]),
        Layer::AvgPool { window } => (
            "AveragePool",
            vec![
                integers("kernel_shape", &twice(window)),
                integers("strides", &twice(window)),
            ],
        ),
        Layer::MaxPool { window, stride } => {
            let stride = if stride == 0 { window } else { stride };
            (
                "MaxPool",
                vec![
                    integers("kernel_shape", &twice(window)),
                    integers("strides", &twice(stride)),
                ],
            )
        }
        Layer::Relu => ("Relu", Vec::new()),
        Layer::Polynomial(_) | Layer::Dropout { .. } => ("Identity", Vec::new()),
        Layer::Add { .. } => ("Add", Vec::new()),
        Layer::Flatten => ("Flatten", vec![integer("axis", 1)]),
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: value,
        kind: AttributeProto::INT,
        ..AttributeProto::default()
    }
}

fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        kind: AttributeProto::INTS,
        ..AttributeProto::default()
    }
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|&side| side as i64).collect(),
        data_type: TensorProto::FLOAT,
        raw_data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        ..TensorProto::default()
    }
}

/// An input or output of float32: a batch of tensors of this shape.
fn value(name: &str, shape: &[i64]) -> ValueInfo {
    let batch = Dimension {
        parameter: BATCH.to_owned(),
        ..Dimension::default()
    };
    let sides = shape.iter().map(|&value| Dimension {
        value,
        ..Dimension::default()
    });
    ValueInfo::floats(name, std::iter::once(batch).chain(sides).collect())
}
