//! Short forms in a model's description: what has a usual value may be left out, and what follows from shapes may be named.

use serde_json::{Map, Value, json};

use crate::error::Failure;

/// The layer that averages all that is left of an image.
const GLOBAL_AVERAGE: &str = "global_avg_pool";

/// Writes short forms out: the stride and the padding of a convolution (1 and 0 when left out, and the paddings `same` and
/// `valid`), `global_avg_pool`, and the rate of a dropout. What is no description at all is left as it is.
///
/// # Errors
/// Names the layer, by its number from 1, and says why its short form means nothing there.
pub fn resolve(description: &mut Value) -> Result<(), Failure> {
    let side = |axis: usize| description["input"][axis].as_u64();
    let mut sides = side(0).zip(side(1));
    let Some(layers) = description.get_mut("layers").and_then(Value::as_array_mut) else {
        return Ok(());
    };
    let mut written = Vec::with_capacity(layers.len());
    // The new number of each layer, from 1.
    let mut numbers = vec![0];
    for (index, mut layer) in layers.drain(..).enumerate() {
        let refused = |(why, remedy): Refusal| {
            Failure::new(format!("layer {} of the model {why}", index + 1), remedy)
        };
        if layer == GLOBAL_AVERAGE {
            let side = only_side(sides).map_err(refused)?;
            if side == 1 {
                numbers.push(written.len());
                continue;
            }
            layer = json!({"avg_pool": {"window": side}});
        }
        if let Some(conv) = layer.get_mut("conv2d").and_then(Value::as_object_mut) {
            write_conv(conv).map_err(refused)?;
        }
        if let Some(dropout) = layer.get_mut("dropout").and_then(Value::as_object_mut) {
            write_dropout(dropout).map_err(refused)?;
        }
        let added = layer.get("add").and_then(|add| add["layer"].as_u64());
        if let Some(number) = added.and_then(|layer| numbers.get(usize::try_from(layer).ok()?)) {
            layer["add"]["layer"] = json!(number);
        }
        sides =
            sides.and_then(|(rows, columns)| after(&layer, 0, rows).zip(after(&layer, 1, columns)));
        written.push(layer);
        numbers.push(written.len());
    }
    *layers = written;
    Ok(())
}

/// Why a layer is refused, and what to do.
type Refusal = (String, &'static str);

/// The side of a square image.
fn only_side(sides: Option<(u64, u64)>) -> Result<u64, Refusal> {
    match sides {
        Some((rows, columns)) if rows == columns => Ok(rows),
        Some((rows, columns)) => Err((
            format!("would average {rows}x{columns}, and only squares can be averaged"),
            "bring the images to a square with --resize, or flatten instead",
        )),
        None => Err((
            format!("is {GLOBAL_AVERAGE}, but what comes there is no image"),
            "put it before flatten",
        )),
    }
}

/// Writes out the stride and the padding of a convolution.
fn write_conv(conv: &mut Map<String, Value>) -> Result<(), Refusal> {
    let stride = conv.entry("stride").or_insert(json!(1)).as_u64();
    let kernel = conv.get("kernel").cloned().unwrap_or_default();
    let padding = conv.entry("padding").or_insert(json!(0));
    if padding == "valid" {
        *padding = json!(0);
    }
    if padding == "same" {
        if stride != Some(1) {
            return Err((
                "is padded \"same\", which is defined for a stride of 1".to_owned(),
                "give the rows and columns of zeros as a number",
            ));
        }
        let half = |side: Option<u64>| side.filter(|side| side % 2 == 1).map(|side| side / 2);
        let [rows, columns] = [0, 1].map(|axis| half(of_axis(&kernel, axis)));
        *padding = match rows.zip(columns) {
            Some((rows, columns)) if rows == columns => json!(rows),
            Some((rows, columns)) => json!([rows, columns]),
            None => {
                return Err((
                    "is padded \"same\", which takes a kernel with a middle".to_owned(),
                    "give an odd kernel, or the rows and columns of zeros as a number",
                ));
            }
        };
    }
    Ok(())
}

/// Writes the rate of a dropout, such as 0.5, as a percent.
fn write_dropout(dropout: &mut Map<String, Value>) -> Result<(), Refusal> {
    let Some(rate) = dropout.get("rate").and_then(Value::as_f64) else {
        return Ok(());
    };
    let percent = (rate * 100.0).round();
    if !(0.0..=100.0).contains(&percent) || (rate * 100.0 - percent).abs() > 1e-6 {
        return Err((
            format!("drops at a rate of {rate}"),
            "give a rate from 0.05 to 0.9, in steps of 0.05",
        ));
    }
    dropout.remove("rate");
    dropout.insert("percent".to_owned(), json!(percent as u64));
    Ok(())
}

/// The rows, axis 0, or the columns, axis 1, of what is one number for a square, or two.
fn of_axis(sides: &Value, axis: usize) -> Option<u64> {
    sides.as_u64().or_else(|| sides.get(axis)?.as_u64())
}

/// The rows, axis 0, or columns, axis 1, that a layer makes of so many; none if it makes no image of them.
fn after(layer: &Value, axis: usize, side: u64) -> Option<u64> {
    let number = |of: &Value, name: &str| of[name].as_u64();
    let steps = |side: u64, window: u64, stride: u64| {
        let room = side.checked_sub(window)?;
        Some(room.checked_div(stride)? + 1)
    };
    if let Some(conv) = layer.get("conv2d") {
        let padding = of_axis(&conv["padding"], axis)?;
        let padded = side.checked_add(padding.checked_mul(2)?)?;
        return steps(
            padded,
            of_axis(&conv["kernel"], axis)?,
            number(conv, "stride")?,
        );
    }
    if let Some(pool) = layer.get("avg_pool") {
        let window = number(pool, "window")?;
        return steps(side, window, window);
    }
    if let Some(pool) = layer.get("max_pool") {
        let window = number(pool, "window")?;
        let stride = number(pool, "stride").filter(|&stride| stride > 0);
        return steps(side, window, stride.unwrap_or(window));
    }
    match layer == "flatten" || layer.get("dense").is_some() {
        true => None,
        false => Some(side),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layers of a description with these, for images of `input`.
    fn layers(input: [u64; 2], layers: Value) -> Result<Value, String> {
        let [rows, columns] = input;
        let mut description = json!({"name": "m", "input": [rows, columns, 1], "layers": layers});
        resolve(&mut description).map_err(|failure| failure.to_string())?;
        Ok(description["layers"].take())
    }

    #[test]
    fn usual_values_may_be_left_out_and_paddings_named() {
        let conv = |stride: u64, padding: u64| json!({"conv2d": {"channels": 4, "kernel": 5, "stride": stride, "padding": padding}});
        for (short, wanted) in [
            (json!({"channels": 4, "kernel": 5}), conv(1, 0)),
            (
                json!({"channels": 4, "kernel": 5, "padding": "same"}),
                conv(1, 2),
            ),
            (
                json!({"channels": 4, "kernel": 5, "stride": 2, "padding": "valid"}),
                conv(2, 0),
            ),
            (
                json!({"channels": 4, "kernel": 5, "stride": 3, "padding": 1}),
                conv(3, 1),
            ),
            (
                json!({"channels": 4, "kernel": [3, 5], "padding": "same"}),
                json!({"conv2d": {"channels": 4, "kernel": [3, 5], "stride": 1, "padding": [1, 2]}}),
            ),
        ] {
            let written = layers([9, 9], json!([{ "conv2d": short }]));
            assert_eq!(written, Ok(json!([wanted])));
        }
    }

    #[test]
    fn a_global_average_is_over_what_is_left() {
        let conv = json!({"conv2d": {"channels": 4, "kernel": 3, "stride": 2, "padding": 1}});
        let max = json!({"max_pool": {"window": 3, "stride": 2}});
        let average = |window: u64| json!({"avg_pool": {"window": window}});
        let dense = json!({"dense": {"units": 3}});
        // 28 rows become 14, then 6, then 3.
        let before = json!([
            conv,
            "relu",
            max,
            average(2),
            GLOBAL_AVERAGE,
            "flatten",
            dense
        ]);
        let after = json!([conv, "relu", max, average(2), average(3), "flatten", dense]);
        assert_eq!(layers([28, 28], before), Ok(after));
        // Rows and columns have kernels of their own: 7x4 become 4x4.
        let slim =
            json!({"conv2d": {"channels": 4, "kernel": [4, 3], "stride": 1, "padding": [0, 1]}});
        let written = layers([7, 4], json!([slim, GLOBAL_AVERAGE]));
        assert_eq!(written, Ok(json!([slim, average(4)])));
        // Layers that are left out change the numbers of those that are added.
        let add = |layer: u64| json!({"add": {"layer": layer}});
        let point = json!({"conv2d": {"channels": 4, "kernel": 1, "stride": 1, "padding": 0}});
        let all = json!([point, GLOBAL_AVERAGE, "relu", point, add(3)]);
        let written = layers([1, 1], all);
        assert_eq!(written, Ok(json!([point, "relu", point, add(2)])));
        // An average of one value is that value.
        let one = json!([average(4), GLOBAL_AVERAGE, "flatten"]);
        assert_eq!(layers([4, 4], one), Ok(json!([average(4), "flatten"])));
    }

    #[test]
    fn short_forms_without_a_meaning_name_their_layer() {
        let conv = |rest: Value| {
            let mut conv = json!({"channels": 4, "kernel": 4, "padding": "same"});
            conv.as_object_mut()
                .expect("an object")
                .extend(rest.as_object().expect("an object").clone());
            json!(["relu", { "conv2d": conv }])
        };
        for (given, wanted) in [
            (
                conv(json!({})),
                "layer 2 of the model is padded \"same\", which takes a kernel",
            ),
            (
                conv(json!({"stride": 2})),
                "which is defined for a stride of 1",
            ),
            (
                json!(["relu", {"dropout": {"rate": 0.333}}]),
                "layer 2 of the model drops at a rate of 0.333",
            ),
            (
                json!([GLOBAL_AVERAGE]),
                "layer 1 of the model would average 6x4",
            ),
            (
                json!(["flatten", GLOBAL_AVERAGE]),
                "layer 2 of the model is global_avg_pool",
            ),
        ] {
            let refusal = layers([6, 4], given).expect_err("no meaning");
            assert!(refusal.contains(wanted), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_description_is_left_to_be_refused() {
        for text in [
            "[]",
            "7",
            r#"{"layers": 3}"#,
            r#"{"layers": [7, {"conv2d": 2}, {"conv2d": {"kernel": "x", "padding": -1}}]}"#,
            r#"{"input": [8, 8, 1], "layers": [{"conv2d": {"kernel": 18446744073709551615, "padding": 18446744073709551615}}]}"#,
            r#"{"input": [8, 8, 1], "layers": [{"conv2d": {"kernel": [3], "padding": []}}, {"add": {"layer": 9}}, {"add": 1}]}"#,
            r#"{"input": [8, 8, 1], "layers": [{"conv2d": {"kernel": 3, "stride": 0}}, {"max_pool": {"window": 0}}]}"#,
        ] {
            let mut value: Value = serde_json::from_str(text).expect("JSON");
            assert!(resolve(&mut value).is_ok(), "{text}");
        }
    }
}
