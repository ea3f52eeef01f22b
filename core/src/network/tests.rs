//! Layers that do not fit together.

use super::*;
use crate::model::{Layer, Sides};

extern crate std;

/// A convolution that keeps rows and columns.
fn conv(channels: u16, kernel: u8) -> Layer {
    Layer::Conv2d {
        channels,
        kernel: Sides::square(kernel),
        stride: 1,
        padding: Sides::square(kernel / 2),
    }
}

/// Why these layers for images of 6x6 do not compile.
fn refusal(layers: &[Layer]) -> ModelError {
    let model = Model::new("m", [6, 6, 1], layers).unwrap();
    Network::new(&model).err().unwrap()
}

#[test]
fn additions_of_what_no_stage_takes_as_it_is_are_refused() {
    use Layer::{AvgPool, Flatten, MaxPool, Relu};
    let add = |layer| Layer::Add { layer };
    let head = [Flatten, Layer::Dense { units: 3 }];
    let pool = AvgPool { window: 2 };
    let max = MaxPool {
        window: 2,
        stride: 0,
    };
    let dropout = Layer::Dropout { percent: 50 };
    let misplaced = |layers: &[Layer], number| match refusal(&[layers, &head].concat()) {
        ModelError::Misplaced(position, _) => assert_eq!(position.number, number, "{layers:?}"),
        other => panic!("{layers:?}: {other}"),
    };
    let c = conv(1, 3);
    // The image, a layer that is not there yet, and what the next stage pools or drops some of.
    misplaced(&[c, add(0)], 2);
    misplaced(&[c, Relu, pool, c, Relu, c, add(0)], 7);
    misplaced(&[c, Relu, c, add(4)], 4);
    misplaced(&[c, Relu, c, add(9)], 4);
    misplaced(&[Flatten, Layer::Dense { units: 36 }, add(1), Relu], 3);
    misplaced(&[c, Relu, pool, c, add(2)], 5);
    misplaced(&[c, Relu, pool, c, add(3)], 5);
    misplaced(&[c, Relu, dropout, c, add(2)], 5);
    misplaced(&[c, Relu, dropout, c, add(3)], 5);
    // A value within a stage: before its pooling, before its activation.
    misplaced(&[c, max, Relu, c, add(2)], 5);
    misplaced(&[c, Relu, c, add(1)], 4);
    // After an activation, after a pooling, and twice.
    misplaced(&[c, Relu, c, Relu, add(2)], 5);
    misplaced(&[c, Relu, c, max, add(2)], 5);
    misplaced(&[c, Relu, c, add(2), add(2)], 5);
    misplaced(&[add(1), c], 1);
    // Another shape.
    let unequal = refusal(&[&[c, Relu, conv(2, 3), add(2)][..], &head].concat());
    assert!(
        matches!(unequal, ModelError::Unequal(position, [6, 6, 1], [6, 6, 2]) if position.number == 4)
    );
    let text = std::format!("{unequal}");
    assert!(
        text.starts_with("layer 4 (add): it adds 6x6x1 to 6x6x2"),
        "{text}"
    );
    let sound = [&[c, Relu, c, add(2), max, Relu][..], &head].concat();
    let model = Model::new("m", [6, 6, 1], &sound).unwrap();
    let network = Network::new(&model).unwrap();
    assert_eq!(network.stages[1].skip, Some(1));
    assert!(network.stages[1].keeps_input && !network.stages[2].keeps_input);
    assert_eq!(network.stages[1].name.as_str(), "conv2+add");
}

#[test]
fn dropouts_that_belong_to_no_stage_are_refused() {
    use Layer::{AvgPool, Flatten, Relu};
    let dropout = |percent| Layer::Dropout { percent };
    let head = [Flatten, Layer::Dense { units: 3 }];
    let refused = |layers: &[Layer]| refusal(&[layers, &head].concat());
    let c = conv(1, 3);
    for percent in [0, 3, 51, 95, 255] {
        let error = refused(&[c, Relu, dropout(percent)]);
        assert!(matches!(error, ModelError::Dropout(position) if position.number == 3));
    }
    let pool = AvgPool { window: 2 };
    for (layers, number) in [
        (&[dropout(50), c][..], 1),
        (&[c, dropout(50), Relu], 3),
        (&[c, dropout(50), pool], 3),
        (&[c, Relu, dropout(50), dropout(50)], 4),
    ] {
        match refused(layers) {
            ModelError::Misplaced(position, _) => assert_eq!(position.number, number),
            other => panic!("{other}"),
        }
    }
    // Nothing reads what is dropped.
    let at_the_end = [Flatten, Layer::Dense { units: 3 }, dropout(50)];
    assert!(matches!(refusal(&at_the_end), ModelError::Classes(_)));
}

#[test]
fn each_side_of_a_kernel_has_to_fit() {
    let slim = |kernel: [u8; 2], padding: [u8; 2]| {
        let conv = Layer::Conv2d {
            channels: 1,
            kernel: kernel.into(),
            stride: 1,
            padding: padding.into(),
        };
        let layers = [conv, Layer::Flatten, Layer::Dense { units: 3 }];
        Network::new(&Model::new("m", [4, 9, 1], &layers).unwrap())
    };
    assert!(slim([4, 9], [0, 0]).is_ok());
    assert!(slim([1, 9], [0, 0]).is_ok());
    for (kernel, padding) in [([5, 1], [0, 0]), ([1, 1], [1, 0]), ([3, 2], [1, 2])] {
        let error = slim(kernel, padding).err();
        assert!(
            matches!(error, Some(ModelError::TooLarge(..))),
            "{kernel:?}"
        );
    }
    assert!(matches!(slim([3, 0], [0, 0]), Err(ModelError::Zero(_))));
}
