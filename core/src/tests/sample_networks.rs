//! Small networks that together use every kind of stage.

extern crate std;

use std::{vec, vec::Vec};

use crate::model::{Layer, Sides};

const CONV: Layer = Layer::Conv2d {
    channels: 3,
    kernel: Sides::square(3),
    stride: 1,
    padding: Sides::square(1),
};
const POOL: Layer = Layer::AvgPool { window: 2 };
const MAX_POOL: Layer = Layer::MaxPool {
    window: 2,
    stride: 0,
};
const OVERLAPPING: Layer = Layer::MaxPool {
    window: 2,
    stride: 1,
};
const HEAD: Layer = Layer::Dense { units: 4 };

/// Networks that together use every kind of stage.
pub(super) fn all_networks() -> Vec<([u16; 3], Vec<Layer>)> {
    let slim = Layer::Conv2d {
        channels: 3,
        kernel: Sides::from([1, 4]),
        stride: 1,
        padding: Sides::from([0, 2]),
    };
    let hidden = Layer::Dense { units: 5 };
    let add = |layer| Layer::Add { layer };
    let dropout = |percent| Layer::Dropout { percent };
    let mut all = networks();
    all.extend([
        (
            [4, 5, 2],
            vec![
                slim,
                Layer::Relu,
                CONV,
                Layer::Relu,
                CONV,
                add(2),
                Layer::Relu,
                CONV,
                add(2),
                Layer::Flatten,
                HEAD,
            ],
        ),
        (
            [6, 6, 1],
            vec![
                CONV,
                Layer::Relu,
                dropout(25),
                CONV,
                Layer::Relu,
                POOL,
                dropout(50),
                Layer::Flatten,
                hidden,
                Layer::Relu,
                dropout(80),
                HEAD,
            ],
        ),
    ]);
    all
}

/// Networks that together use every kind of stage that all protocols have.
pub(crate) fn networks() -> Vec<([u16; 3], Vec<Layer>)> {
    let strided = Layer::Conv2d {
        channels: 2,
        kernel: Sides::square(2),
        stride: 2,
        padding: Sides::square(0),
    };
    let hidden = Layer::Dense { units: 5 };
    vec![
        (
            [6, 6, 1],
            vec![CONV, POOL, Layer::Relu, Layer::Flatten, HEAD],
        ),
        (
            [6, 6, 2],
            vec![POOL, CONV, Layer::Relu, POOL, Layer::Flatten, HEAD],
        ),
        (
            [5, 7, 1],
            vec![strided, CONV, Layer::Relu, Layer::Flatten, HEAD],
        ),
        ([1, 1, 9], vec![hidden, Layer::Relu, hidden, HEAD]),
        (
            [7, 7, 1],
            vec![
                CONV,
                Layer::AvgPool { window: 3 },
                Layer::Relu,
                Layer::Flatten,
                HEAD,
            ],
        ),
        ([3, 3, 1], vec![Layer::Flatten, HEAD]),
        (
            [8, 7, 1],
            vec![
                CONV,
                MAX_POOL,
                Layer::Relu,
                CONV,
                OVERLAPPING,
                Layer::Relu,
                Layer::Flatten,
                HEAD,
            ],
        ),
    ]
}
