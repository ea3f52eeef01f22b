//! Graphs as other programs write them, and what does not fit.

use std::path::Path;

use prost::Message;
use ringlet_core::{
    model::{Layer, Model, Sides},
    network::Network,
};

use super::{
    export, import,
    proto::{AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfo},
};
use crate::data::parameters::Parameters;

/// An operator. Attributes are lists of integers; those of one are numbers.
fn node(kind: &str, input: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> NodeProto {
    NodeProto {
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: format!("the_{output}"),
        op_type: kind.to_owned(),
        attribute: attributes
            .iter()
            .map(|&(name, values)| AttributeProto {
                name: name.to_owned(),
                i: values[0],
                ints: values.to_vec(),
                ..AttributeProto::default()
            })
            .collect(),
    }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: TensorProto::FLOAT,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

fn value(name: &str, sides: &[i64]) -> ValueInfo {
    let dim = sides.iter().map(|&value| Dimension {
        value,
        ..Dimension::default()
    });
    ValueInfo::floats(name, dim.collect())
}

/// A convolution of two channels by a normalisation, a pooling of everything, and two classes by MatMul and Add.
fn graph() -> GraphProto {
    GraphProto {
        name: "foreign".to_owned(),
        node: vec![
            node("Conv", &["x", "w"], "a", &[("kernel_shape", &[1, 1])]),
            node(
                "BatchNormalization",
                &["a", "scale", "shift", "mean", "variance"],
                "b",
                &[],
            ),
            node("GlobalAveragePool", &["b"], "c", &[]),
            node("Relu", &["c"], "d", &[]),
            node("Dropout", &["d"], "e", &[]),
            node("Reshape", &["e", "target"], "f", &[]),
            node("MatMul", &["f", "m"], "g", &[]),
            node("Add", &["shifts", "g"], "h", &[]),
            node("Softmax", &["h"], "y", &[]),
        ],
        initializer: vec![
            floats("w", &[2, 1, 1, 1], &[3.0, 5.0]),
            floats("scale", &[2], &[2.0, 1.0]),
            floats("shift", &[2], &[0.5, 0.25]),
            floats("mean", &[2], &[1.0, -1.0]),
            // The epsilon that is usual makes it 4 and 1.
            floats("variance", &[2], &[4.0 - 1e-5, 1.0 - 1e-5]),
            TensorProto {
                data_type: TensorProto::INT64,
                float_data: Vec::new(),
                int64_data: vec![0, -1],
                ..floats("target", &[2], &[])
            },
            floats("m", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            floats("shifts", &[3], &[7.0, 8.0, 9.0]),
        ],
        input: vec![value("x", &[0, 1, 4, 4])],
        output: vec![value("y", &[0, 3])],
    }
}

fn bytes(graph: GraphProto) -> Vec<u8> {
    let file = ModelProto {
        ir_version: 8,
        graph: Some(graph),
        ..ModelProto::default()
    };
    file.encode_to_vec()
}

/// The reason why a graph is refused, if it is changed so.
fn refusal(change: impl FnOnce(&mut GraphProto)) -> String {
    let mut graph = graph();
    change(&mut graph);
    let read = import::read(Path::new("f"), &bytes(graph));
    read.map(drop).expect_err("it does not fit").to_string()
}

#[test]
fn what_is_linear_becomes_part_of_the_layer_before() {
    let file = bytes(graph());
    assert!(super::is_file(&file));
    let read = import::read(Path::new("f"), &file).expect("a model");
    assert_eq!(read.model.input, [4, 4, 1]);
    let conv = Layer::Conv2d {
        channels: 2,
        kernel: Sides::square(1),
        stride: 1,
        padding: Sides::square(0),
    };
    let layers = [
        conv,
        Layer::AvgPool { window: 4 },
        Layer::Relu,
        Layer::Flatten,
        Layer::Dense { units: 3 },
    ];
    assert_eq!(read.model.layers, layers);
    let near = |values: &[f32], wanted: &[f32]| {
        assert_eq!(values.len(), wanted.len());
        let pairs = values.iter().zip(wanted);
        assert!(
            pairs.clone().all(|(a, b)| (a - b).abs() < 1e-4),
            "{values:?}"
        );
    };
    // 2 (3x - 1) / 2 + 0.5, and 5x + 1 + 0.25.
    near(&read.parameters[0].weights, &[3.0, 5.0]);
    near(&read.parameters[0].biases, &[-0.5, 1.25]);
    // [input][output], as MatMul has it.
    near(&read.parameters[1].weights, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    near(&read.parameters[1].biases, &[7.0, 8.0, 9.0]);
}

#[test]
fn what_does_not_fit_is_refused_by_its_name() {
    let line = refusal(|graph| graph.node[3].op_type = "Sigmoid".to_owned());
    assert!(line.contains("the_d (Sigmoid) is not known"), "{line}");
    let line = refusal(|graph| graph.node[4].op_type = "BatchNormalization".to_owned());
    assert!(
        line.contains("the_e (BatchNormalization) has no input 1"),
        "{line}"
    );
    let line = refusal(|graph| graph.node[7].input[0] = "m".to_owned());
    assert!(
        line.contains("the_h (Add) adds a constant of shape [2, 3]"),
        "{line}"
    );
    let line = refusal(|graph| graph.node.push(node("Relu", &["d"], "z", &[])));
    assert!(
        line.contains("of branches only residual additions are known"),
        "{line}"
    );
    let line = refusal(|graph| graph.node.push(node("Relu", &["scale"], "z", &[])));
    assert!(
        line.contains("beside the way from input to output"),
        "{line}"
    );
    let line = refusal(|graph| graph.initializer.push(floats("extra", &[1], &[1.0])));
    assert!(line.contains("nothing uses the constant extra"), "{line}");
    let line = refusal(|graph| graph.initializer[0].float_data[1] = f32::INFINITY);
    assert!(line.contains("w has values that are no numbers"), "{line}");
    let line = refusal(|graph| graph.initializer[0].dims = vec![2, 1, 1, 2]);
    assert!(
        line.contains("w has 2 values for shape [2, 1, 1, 2]"),
        "{line}"
    );
    let line = refusal(|graph| graph.initializer[0].data_location = 1);
    assert!(line.contains("values in another file"), "{line}");
    let line = refusal(|graph| graph.initializer[4].float_data[0] = -1.0);
    assert!(line.contains("has no finite factor at output 0"), "{line}");
    let attribute = |graph: &mut GraphProto, name: &str, values: &[i64]| {
        graph.node[0] = node("Conv", &["x", "w"], "a", &[(name, values)]);
    };
    for (name, values, reason) in [
        ("strides", &[1, 2][..], "only equal ones are known"),
        ("pads", &[1, 0, 0, 0], "only equal ones on opposite sides"),
        ("pads", &[1, 0], "only equal ones on opposite sides"),
        ("pads", &[-1, 0, -1, 0], "has pads of"),
        ("dilations", &[2, 2], "is dilated"),
        ("group", &[2], "is grouped"),
    ] {
        let line = refusal(|graph| attribute(graph, name, values));
        assert!(line.contains(reason), "{line}");
    }
    let line = refusal(|graph| graph.input[0] = value("x", &[0, 1, 0, 4]));
    assert!(
        line.contains("x has a side that the file leaves open"),
        "{line}"
    );
    let line = refusal(|graph| graph.output.push(value("h", &[])));
    assert!(line.contains("several inputs or outputs"), "{line}");
    // A circle, and an end that nobody reaches.
    let line = refusal(|graph| graph.node[3].output[0] = "c".to_owned());
    assert!(line.contains("in a circle"), "{line}");
    let line = refusal(|graph| graph.output[0].name = "nowhere".to_owned());
    assert!(line.contains("is not the last operator") || line.contains("nothing reads y"));
}

/// An image by a convolution of one place, and by another one to which what the first makes is added.
fn residual() -> GraphProto {
    GraphProto {
        node: vec![
            node("Conv", &["x", "w"], "a", &[("kernel_shape", &[1, 1])]),
            node("Relu", &["a"], "b", &[]),
            node("Conv", &["b", "v"], "c", &[("pads", &[0, 1, 0, 1])]),
            node(
                "BatchNormalization",
                &["c", "scale", "shift", "mean", "variance"],
                "d",
                &[],
            ),
            node("Add", &["d", "b"], "e", &[]),
            node("Relu", &["e"], "f", &[]),
            node("GlobalAveragePool", &["f"], "g", &[]),
            node("Flatten", &["g"], "h", &[]),
            node("MatMul", &["h", "m"], "y", &[]),
        ],
        initializer: [
            graph().initializer,
            vec![floats("v", &[2, 2, 1, 3], &[1.0; 12])],
        ]
        .concat()
        .into_iter()
        .filter(|constant| !["target", "shifts"].contains(&constant.name.as_str()))
        .collect(),
        ..graph()
    }
}

#[test]
fn residual_connections_are_known_wherever_their_addition_stands() {
    let wanted = [
        "conv", "relu", "conv", "add", "relu", "avgpool", "flatten", "dense",
    ];
    // The order of the operators in a file, and of an addition's inputs, says nothing.
    for (swap, turn) in [(false, false), (true, true)] {
        let mut graph = residual();
        if turn {
            graph.node[4].input.reverse();
        }
        if swap {
            graph.node.swap(2, 4);
        }
        let read = import::read(Path::new("f"), &bytes(graph)).expect("a model");
        let kinds: Vec<&str> = read.model.layers.iter().map(Layer::kind).collect();
        assert_eq!(kinds, wanted);
        assert_eq!(read.model.layers[3], Layer::Add { layer: 2 });
        let slim = Layer::Conv2d {
            channels: 2,
            kernel: Sides::from([1, 3]),
            stride: 1,
            padding: Sides::from([0, 1]),
        };
        assert_eq!(read.model.layers[2], slim);
    }
    let refusal = |change: &dyn Fn(&mut GraphProto)| {
        let mut graph = residual();
        change(&mut graph);
        let read = import::read(Path::new("f"), &bytes(graph));
        read.map(drop).expect_err("it does not fit").to_string()
    };
    for (other, reason) in [
        // The image; what becomes part of a layer; what an activation is made of; what nobody makes.
        ("x", "and that no image is"),
        ("c", "nothing reads d"),
        ("a", "it adds a layer's output that"),
        ("z", "nothing reads d"),
    ] {
        let line = refusal(&|graph| graph.node[4].input[1] = other.to_owned());
        assert!(line.contains(reason), "{other}: {line}");
    }
    let line = refusal(&|graph| graph.node[4].input[1] = "d".to_owned());
    assert!(line.contains("adds its input to itself"), "{line}");
    // A convolution on the other way.
    let line = refusal(&|graph| {
        graph.node.push(node("Conv", &["b", "v"], "z", &[]));
        graph.node[4].input[1] = "z".to_owned();
    });
    assert!(line.contains("of branches only residual"), "{line}");
}

#[test]
fn damaged_files_are_errors() {
    let whole = bytes(graph());
    for len in 0..whole.len() {
        let read = import::read(Path::new("f"), &whole[..len]);
        assert!(read.is_err(), "{len}");
    }
    // A changed byte is an error or another model, and no panic.
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            let _ = import::read(Path::new("f"), &changed);
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    let built_in = ["digits8", "convnet2", "securenn-b", "securenn-d"];
    let models = built_in.map(|name| Model::built_in(name).expect("a model"));
    for model in models.into_iter().chain([blocks(0)]) {
        let name = &model.name;
        let network = Network::new(&model).expect("a network");
        let parameters: Vec<Parameters> = network
            .stages
            .iter()
            .map(|stage| Parameters {
                weights: (0..stage.linear.weight_len()).map(|w| w as f32).collect(),
                biases: (0..stage.linear.channels()).map(|b| b as f32).collect(),
            })
            .collect();
        let file = export::write(&model, &network, &parameters, "it".to_owned());
        assert!(super::is_file(&file));
        let read = import::read(Path::new("f"), &file).expect("a model");
        assert_eq!(read.parameters, parameters, "{name}");
        assert_eq!(read.model.input, model.input);
        assert_eq!(read.description.as_deref(), Some("it"));
        let pools = |layer: &Layer| match *layer {
            // A stride of zero is the window's size.
            Layer::MaxPool { window, stride: 0 } => Layer::MaxPool {
                window,
                stride: window,
            },
            layer => layer,
        };
        let all: Vec<Layer> = model.layers.iter().map(pools).collect();
        assert_eq!(read.model.layers[..], all, "{name}");
    }
}

/// A model with two kinds of residual connection, and `dropouts` dropouts.
fn blocks(dropouts: usize) -> Model {
    let conv = |kernel: [u8; 2], padding: [u8; 2]| Layer::Conv2d {
        channels: 2,
        kernel: kernel.into(),
        stride: 1,
        padding: padding.into(),
    };
    let dropout = [Layer::Dropout { percent: 25 }];
    let dropout = &dropout[..dropouts.min(1)];
    let after = dropout.len() as u8;
    let layers = [
        &[conv([1, 5], [0, 2]), Layer::Relu][..],
        &[conv([3, 3], [1, 1]), Layer::Relu],
        dropout,
        &[conv([3, 1], [1, 0]), Layer::Add { layer: 2 }, Layer::Relu],
        &[Layer::Flatten, Layer::Dense { units: 3 }, Layer::Relu],
        &[Layer::Dense { units: 3 }, Layer::Add { layer: 10 + after }],
    ];
    Model::new("blocks", [4, 5, 1], &layers.concat()).expect("a model")
}

#[test]
fn dropout_is_left_out_of_what_is_written() {
    let file = |model: &Model| {
        let network = Network::new(model).expect("a network");
        let stages = network.stages.iter();
        let parameters: Vec<Parameters> = stages
            .map(|stage| Parameters {
                weights: vec![0.5; stage.linear.weight_len()],
                biases: vec![0.25; stage.linear.channels()],
            })
            .collect();
        let written = export::write(model, &network, &parameters, "it".to_owned());
        import::read(Path::new("f"), &written).expect("a model")
    };
    let [with, without] = [1, 0].map(|dropouts| file(&blocks(dropouts)));
    assert_eq!(with.model.layers, without.model.layers);
    assert_eq!(with.parameters, without.parameters);
}
