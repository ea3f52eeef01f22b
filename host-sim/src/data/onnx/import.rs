//! Reading a model from ONNX: one chain of operators from one input to one output.

use std::{collections::HashMap, path::Path};

use prost::Message;
use ringlet_core::{
    model::{Layer, Model, Sides},
    network::Network,
};

use super::{
    Imported,
    constants::{Constants, Floats},
    fold::Learned,
    proto::{GraphProto, ModelProto, NodeProto, ValueInfo},
};
use crate::{
    data::{model_description::KEY, parameters::Parameters, torch_layout::TorchLayout},
    error::Failure,
};

/// Reads a file. Fails by the operator's name if one is not known, if the graph is no chain, and if a constant is left over.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Imported, Failure> {
    let unfit = |what: String| {
        Failure::new(
            format!("{} cannot be read as a model: {what}", path.display()),
            "see the operators in docs/src/models.md",
        )
    };
    let file = ModelProto::decode(bytes).map_err(|error| unfit(error.to_string()))?;
    let graph = file.graph.as_ref();
    let graph = graph.ok_or_else(|| unfit("it has no graph".to_owned()))?;
    let chain = Chain::read(graph).map_err(unfit)?;
    let name = name_of(graph);
    let model = Model::new(&name, chain.input, &chain.layers)
        .ok_or_else(|| unfit("it has too many layers".to_owned()))?;
    let network = Network::new(&model).map_err(|error| unfit(error.to_string()))?;
    let parameters = parameters(&model, &network, &chain.learned).map_err(unfit)?;
    let metadata = file.metadata_props.into_iter();
    let mut descriptions = metadata.filter(|entry| entry.key == KEY);
    Ok(Imported {
        model,
        network,
        parameters,
        description: descriptions.next().map(|entry| entry.value),
    })
}

/// A short name for the model.
fn name_of(graph: &GraphProto) -> String {
    let letters = graph.name.chars();
    let name: String = letters.filter(char::is_ascii_graphic).take(32).collect();
    match name.is_empty() {
        true => "onnx".to_owned(),
        false => name,
    }
}

/// The parameters in this program's layout.
fn parameters(
    model: &Model,
    network: &Network,
    learned: &[Learned],
) -> Result<Vec<Parameters>, String> {
    let layers = learned.iter().enumerate();
    layers
        .map(|(index, layer)| {
            let layout = TorchLayout::new(model, network, index);
            match layer.weights.shape == layout.shape {
                true => Ok(Parameters {
                    weights: layout.weights(&layer.weights.values),
                    biases: layer.biases.clone(),
                }),
                false => Err(format!(
                    "{} has weights of {:?}, and takes {:?}",
                    layer.name, layer.weights.shape, layout.shape
                )),
            }
        })
        .collect()
}

/// What a chain of operators says.
struct Chain {
    /// Rows, columns and channels of an image.
    input: [u16; 3],
    layers: Vec<Layer>,
    learned: Vec<Learned>,
}

/// What an operator passes on: channels, rows and columns of an image, or so many values.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Image([usize; 3]),
    Vector(usize),
}

impl Shape {
    fn len(self) -> usize {
        match self {
            Shape::Image(sides) => sides.iter().product(),
            Shape::Vector(len) => len,
        }
    }
}

/// A chain while it is read.
struct Reader<'g> {
    constants: Constants<'g>,
    shape: Shape,
    layers: Vec<Layer>,
    learned: Vec<Learned>,
    /// Whether the last layer still takes what is linear after it.
    open: bool,
    /// For each tensor so far the number of the layer that makes it, from 1.
    made: HashMap<String, usize>,
}

impl Chain {
    fn read(graph: &GraphProto) -> Result<Self, String> {
        let constants = Constants::of(graph);
        let inputs = graph.input.iter();
        let inputs: Vec<&ValueInfo> = inputs.filter(|input| !constants.has(&input.name)).collect();
        let ([input], [output]) = (&inputs[..], &graph.output[..]) else {
            return Err("it has several inputs or outputs".to_owned());
        };
        let shape = image_of(input)?;
        let mut reader = Reader {
            constants,
            shape,
            // A vector comes from an image of one row.
            layers: match shape {
                Shape::Image(_) => Vec::new(),
                Shape::Vector(_) => vec![Layer::Flatten],
            },
            learned: Vec::new(),
            open: false,
            made: HashMap::from([(input.name.clone(), 0)]),
        };
        let working = || graph.node.iter().filter(|node| node.op_type != "Constant");
        let (mut current, mut done) = (input.name.as_str(), 0);
        while current != output.name {
            let readers = working().filter(|node| node.input.iter().any(|i| i == current));
            // A residual addition waits for its other input.
            let mut readers = readers.filter(|node| !reader.waits(node, current));
            let node = readers
                .next()
                .ok_or_else(|| format!("nothing reads {current}"))?;
            if let Some(other) = readers.next() {
                return Err(format!(
                    "{} and {} read the same values, and of branches only residual additions are known",
                    named(node),
                    named(other)
                ));
            }
            done += 1;
            if done > graph.node.len() {
                return Err("its operators are in a circle".to_owned());
            }
            let last = node.output.first().is_some_and(|name| *name == output.name);
            reader
                .take(node, current, last)
                .map_err(|what| format!("{} {what}", named(node)))?;
            current = node.output.first().map_or("", String::as_str);
            reader.made.insert(current.to_owned(), reader.layers.len());
        }
        if working().count() != done {
            return Err("it has operators beside the way from input to output".to_owned());
        }
        if let Some(name) = reader.constants.unread() {
            return Err(format!("nothing uses the constant {name}"));
        }
        let side =
            |value: usize| u16::try_from(value).map_err(|_| "its images are too large".to_owned());
        let input = match shape {
            Shape::Image([channels, rows, columns]) => {
                [side(rows)?, side(columns)?, side(channels)?]
            }
            Shape::Vector(len) => [1, side(len)?, 1],
        };
        Ok(Chain {
            input,
            layers: reader.layers,
            learned: reader.learned,
        })
    }
}

/// The name of an operator and its kind, for messages.
fn named(node: &NodeProto) -> String {
    match node.name.is_empty() {
        true => format!("an operator {}", node.op_type),
        false => format!("{} ({})", node.name, node.op_type),
    }
}

/// The shape of one sample of an input.
fn image_of(input: &ValueInfo) -> Result<Shape, String> {
    let tensor = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let sides = shape.map_or(&[][..], |shape| &shape.dim[..]);
    let side = |index: usize| {
        let value = sides[index].value;
        usize::try_from(value)
            .ok()
            .filter(|&side| side > 0)
            .ok_or_else(|| format!("{} has a side that the file leaves open", input.name))
    };
    match sides.len() {
        4 => Ok(Shape::Image([side(1)?, side(2)?, side(3)?])),
        2 => Ok(Shape::Vector(side(1)?)),
        _ => Err(format!(
            "{} is no batch of images [batch, channels, rows, columns]",
            input.name
        )),
    }
}

impl Reader<'_> {
    /// Takes the operator that reads `current`. The error goes on from its name.
    fn take(&mut self, node: &NodeProto, current: &str, last: bool) -> Result<(), String> {
        let first = node.input.first().is_some_and(|name| name == current);
        if node.output.iter().filter(|name| !name.is_empty()).count() != 1
            && node.op_type != "Dropout"
        {
            return Err("has several outputs".to_owned());
        }
        match node.op_type.as_str() {
            "Add" => return self.add(node, current),
            "MatMul" if !first => return Err("multiplies from the left".to_owned()),
            _ if !first => return Err("does not read the values as its first input".to_owned()),
            "Conv" => self.convolve(node),
            "Gemm" | "MatMul" => self.multiply(node),
            "BatchNormalization" => return self.normalise(node),
            "Relu" => {
                self.layers.push(Layer::Relu);
                Ok(())
            }
            "MaxPool" | "AveragePool" | "GlobalAveragePool" => self.pool(node),
            "Flatten" | "Reshape" => self.flatten(node),
            // In inference dropout passes everything on.
            "Identity" | "Dropout" => return Ok(()),
            // They leave the order of the classes as it is.
            "Softmax" | "LogSoftmax" if last => Ok(()),
            "Softmax" | "LogSoftmax" => Err("is not the last operator".to_owned()),
            _ => Err("is not known".to_owned()),
        }?;
        self.open = matches!(node.op_type.as_str(), "Conv" | "Gemm" | "MatMul");
        Ok(())
    }

    fn image(&self) -> Result<[usize; 3], String> {
        match self.shape {
            Shape::Image(sides) => Ok(sides),
            Shape::Vector(_) => Err("reads a vector, and needs an image".to_owned()),
        }
    }

    fn convolve(&mut self, node: &NodeProto) -> Result<(), String> {
        let [channels, rows, columns] = self.image()?;
        let weights = self.constants.floats(input(node, 1)?)?;
        let [outputs, inputs, height, width] = weights.shape[..] else {
            return Err(format!("has weights of shape {:?}", weights.shape));
        };
        if number(node, "group", 1) != 1 || inputs != channels {
            return Err(format!(
                "is grouped, or reads {inputs} channels where there are {channels}"
            ));
        }
        if list(node, "dilations").iter().any(|&step| step != 1) {
            return Err("is dilated".to_owned());
        }
        let stride = same(node, "strides", 1)?;
        let padding = match text(node, "auto_pad").as_str() {
            "" | "NOTSET" => both_sides(node)?,
            "VALID" => [0; 2],
            "SAME_UPPER" | "SAME_LOWER" if stride == 1 && height % 2 == 1 && width % 2 == 1 => {
                [height / 2, width / 2]
            }
            other => return Err(format!("is padded by {other}")),
        };
        self.shape = Shape::Image([
            outputs,
            after(rows + 2 * padding[0], height, stride)?,
            after(columns + 2 * padding[1], width, stride)?,
        ]);
        self.layers.push(Layer::Conv2d {
            channels: small(outputs)?,
            kernel: sides([height, width])?,
            stride: small(stride)?,
            padding: sides(padding)?,
        });
        self.learn(node, weights)
    }

    /// A layer that learns, with the bias that is its third input, if there is one.
    fn learn(&mut self, node: &NodeProto, weights: Floats) -> Result<(), String> {
        let mut learned = Learned::new(named(node), weights);
        if let Some(name) = node.input.get(2).filter(|name| !name.is_empty()) {
            let mut bias = self.constants.floats(name)?;
            // Gemm adds one value to all, or one row.
            if bias.values.len() == 1 && learned.biases.len() > 1 {
                bias.values = vec![bias.values[0]; learned.biases.len()];
            }
            let shape = [bias.values.len()];
            if !(bias.shape.is_empty() || bias.shape == shape || bias.shape == [1, shape[0]])
                || shape != [learned.biases.len()]
            {
                return Err(format!("has a bias of shape {:?}", bias.shape));
            }
            learned.biases = bias.values;
        }
        self.learned.push(learned);
        Ok(())
    }

    fn multiply(&mut self, node: &NodeProto) -> Result<(), String> {
        let Shape::Vector(len) = self.shape else {
            return Err("reads an image, and needs a vector: put Flatten before it".to_owned());
        };
        let factor = |name| float(node, name, 1.0);
        if number(node, "transA", 0) != 0 || factor("alpha") != 1.0 || factor("beta") != 1.0 {
            return Err("transposes or scales its input".to_owned());
        }
        let mut weights = self.constants.floats(input(node, 1)?)?;
        let [rows, columns] = weights.shape[..] else {
            return Err(format!("has weights of shape {:?}", weights.shape));
        };
        if number(node, "transB", 0) == 0 {
            let transposed = (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c)));
            let values = &weights.values;
            weights.values = transposed.map(|(r, c)| values[r * columns + c]).collect();
            weights.shape = vec![columns, rows];
        }
        if weights.shape[1] != len {
            return Err(format!(
                "takes {} values, and there are {len}",
                weights.shape[1]
            ));
        }
        let units = weights.shape[0];
        self.shape = Shape::Vector(units);
        self.layers.push(Layer::Dense {
            units: small(units)?,
        });
        self.learn(node, weights)
    }

    /// The layer that an operator is to become part of.
    fn last(&mut self) -> Result<&mut Learned, String> {
        let last = self.learned.last_mut().filter(|_| self.open);
        last.ok_or_else(|| "does not follow a convolution or a dense layer directly".to_owned())
    }

    fn add(&mut self, node: &NodeProto, current: &str) -> Result<(), String> {
        let other = node.input.iter().find(|name| *name != current);
        let other = other.ok_or("adds its input to itself")?;
        if self.constants.has(other) {
            let constant = self.constants.floats(other)?;
            self.last()?.add(&constant)?;
            self.fold();
            return Ok(());
        }
        let layer = self.made.get(other).ok_or_else(|| {
            format!("adds {other}, which is neither a constant nor what an earlier layer makes")
        })?;
        self.layers.push(Layer::Add {
            layer: small(*layer)?,
        });
        self.open = false;
        Ok(())
    }

    /// Whether an operator adds to `current` what is not made yet.
    fn waits(&self, node: &NodeProto, current: &str) -> bool {
        let is_ready = |name: &String| {
            name == current || self.constants.has(name) || self.made.contains_key(name)
        };
        node.op_type == "Add" && !node.input.iter().all(is_ready)
    }

    /// What the last layer made before something was folded into it is no layer's output any more.
    fn fold(&mut self) {
        let last = self.layers.len();
        self.made.retain(|_, layer| *layer != last);
    }

    fn normalise(&mut self, node: &NodeProto) -> Result<(), String> {
        let floats = |index| self.constants.floats(input(node, index)?);
        let all = [floats(1)?, floats(2)?, floats(3)?, floats(4)?];
        self.last()?.normalise(&all, float(node, "epsilon", 1e-5))?;
        self.fold();
        Ok(())
    }

    fn pool(&mut self, node: &NodeProto) -> Result<(), String> {
        let [channels, rows, columns] = self.image()?;
        if node.op_type == "GlobalAveragePool" {
            if rows != columns {
                return Err(format!(
                    "averages {rows}x{columns}, and only squares are known"
                ));
            }
            if rows > 1 {
                self.layers.push(Layer::AvgPool {
                    window: small(rows)?,
                });
            }
            self.shape = Shape::Image([channels, 1, 1]);
            return Ok(());
        }
        let window = same(node, "kernel_shape", 0)?;
        let stride = same(node, "strides", 1)?;
        if !matches!(text(node, "auto_pad").as_str(), "" | "NOTSET" | "VALID")
            || same(node, "pads", 0)? != 0
            || list(node, "dilations").iter().any(|&step| step != 1)
        {
            return Err("is padded or dilated".to_owned());
        }
        let left_over =
            |side: usize| side >= window && !(side - window).is_multiple_of(stride.max(1));
        if number(node, "ceil_mode", 0) != 0 && (left_over(rows) || left_over(columns)) {
            return Err("pools windows that reach over the edge (ceil_mode)".to_owned());
        }
        self.shape = Shape::Image([
            channels,
            after(rows, window, stride)?,
            after(columns, window, stride)?,
        ]);
        self.layers.push(match node.op_type.as_str() {
            "MaxPool" => Layer::MaxPool {
                window: small(window)?,
                stride: small(stride)?,
            },
            _ if stride != window => {
                return Err("averages windows that overlap or leave gaps".to_owned());
            }
            _ => Layer::AvgPool {
                window: small(window)?,
            },
        });
        Ok(())
    }

    fn flatten(&mut self, node: &NodeProto) -> Result<(), String> {
        let flat = match node.op_type.as_str() {
            "Flatten" => number(node, "axis", 1) == 1,
            _ => {
                let target = self.constants.integers(input(node, 1)?)?;
                match target[..] {
                    [_, -1] => true,
                    [batch, len] => batch <= 1 && usize::try_from(len) == Ok(self.shape.len()),
                    _ => false,
                }
            }
        };
        if !flat {
            return Err("does not make one vector of each image".to_owned());
        }
        if let Shape::Image(_) = self.shape {
            self.layers.push(Layer::Flatten);
        }
        self.shape = Shape::Vector(self.shape.len());
        Ok(())
    }
}

/// The name of an operator's input.
fn input(node: &NodeProto, index: usize) -> Result<&str, String> {
    let name = node.input.get(index).filter(|name| !name.is_empty());
    name.map(String::as_str)
        .ok_or_else(|| format!("has no input {index}"))
}

/// How many windows of this size and with this step fit on a side.
fn after(side: usize, window: usize, stride: usize) -> Result<usize, String> {
    if window == 0 || stride == 0 || window > side {
        return Err(format!("has windows of {window} on a side of {side}"));
    }
    Ok((side - window) / stride + 1)
}

/// A number as models keep it.
fn small<T: TryFrom<usize>>(value: usize) -> Result<T, String> {
    T::try_from(value).map_err(|_| format!("is too large: {value}"))
}

fn list<'n>(node: &'n NodeProto, name: &str) -> &'n [i64] {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute.map_or(&[], |attribute| &attribute.ints)
}

/// Rows and columns as models keep them.
fn sides(sides: [usize; 2]) -> Result<Sides, String> {
    Ok(Sides {
        rows: small(sides[0])?,
        columns: small(sides[1])?,
    })
}

/// The rows and columns of zeros around an image, which are the same on opposite sides.
fn both_sides(node: &NodeProto) -> Result<[usize; 2], String> {
    let pads = list(node, "pads");
    let side = |value: i64| usize::try_from(value).ok();
    match pads {
        [] => Ok([0; 2]),
        [above, left, below, right] if above == below && left == right => side(*above)
            .zip(side(*left))
            .map(|(rows, columns)| [rows, columns])
            .ok_or_else(|| format!("has pads of {pads:?}")),
        _ => Err(format!(
            "has pads of {pads:?}, and only equal ones on opposite sides are known"
        )),
    }
}

/// The number that all of an attribute's are; `absent` if it is left out.
fn same(node: &NodeProto, name: &str, absent: usize) -> Result<usize, String> {
    let values = list(node, name);
    let first = values.first().copied().unwrap_or(absent as i64);
    match usize::try_from(first) {
        Ok(value) if values.iter().all(|&other| other == first) => Ok(value),
        _ => Err(format!(
            "has {name} of {values:?}, and only equal ones are known"
        )),
    }
}

fn number(node: &NodeProto, name: &str, absent: i64) -> i64 {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute.map_or(absent, |attribute| attribute.i)
}

fn float(node: &NodeProto, name: &str, absent: f32) -> f32 {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute.map_or(absent, |attribute| attribute.f)
}

fn text(node: &NodeProto, name: &str) -> String {
    let attribute = node.attribute.iter().find(|a| a.name == name);
    attribute.map_or_else(String::new, |a| String::from_utf8_lossy(&a.s).into_owned())
}
