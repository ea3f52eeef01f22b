//! Networks of every kind of stage.

use ringlet::config::activation::Activation;
use ringlet_core::model::{Layer, Model, Sides};

/// Models that together use every kind of layer and stage, on 8x8 images.
pub fn every_kind_of_stage() -> Vec<Model> {
    let conv = |channels, kernel, stride, padding| Layer::Conv2d {
        channels,
        kernel: Sides::square(kernel),
        stride,
        padding: Sides::square(padding),
    };
    let pool = |window| Layer::AvgPool { window };
    let (flatten, head) = (Layer::Flatten, Layer::Dense { units: 10 });
    let polynomial =
        |activation: Activation| Layer::Polynomial(activation.polynomial().expect("a polynomial"));
    let max_pool = |window, stride| Layer::MaxPool { window, stride };
    let slim = |channels, kernel: [u8; 2], padding: [u8; 2]| Layer::Conv2d {
        channels,
        kernel: kernel.into(),
        stride: 1,
        padding: padding.into(),
    };
    let add = |layer| Layer::Add { layer };
    let dropout = |percent| Layer::Dropout { percent };
    let (relu, dense) = (Layer::Relu, |units| Layer::Dense { units });
    let layers: [&[Layer]; 14] = [
        &[conv(4, 3, 1, 1), pool(2), Layer::Relu, flatten, head],
        &[pool(2), conv(3, 2, 1, 0), Layer::Relu, flatten, head],
        &[conv(3, 5, 1, 2), Layer::Relu, pool(3), flatten, head],
        &[conv(4, 3, 1, 0), max_pool(2, 0), Layer::Relu, flatten, head],
        &[
            conv(3, 5, 1, 2),
            max_pool(3, 2),
            Layer::Relu,
            conv(4, 2, 1, 1),
            max_pool(2, 1),
            flatten,
            head,
        ],
        &[
            conv(3, 3, 2, 1),
            conv(4, 2, 1, 1),
            Layer::Relu,
            flatten,
            head,
        ],
        &[
            flatten,
            Layer::Dense { units: 12 },
            Layer::Relu,
            Layer::Dense { units: 7 },
            head,
        ],
        &[
            conv(4, 3, 1, 1),
            pool(2),
            polynomial(Activation::default()),
            conv(5, 2, 1, 1),
            polynomial(Activation::PondRelu),
            flatten,
            Layer::Dense { units: 9 },
            polynomial(Activation::PondSigmoid),
            head,
        ],
        &[
            slim(3, [1, 5], [0, 2]),
            pool(2),
            relu,
            slim(4, [3, 2], [2, 0]),
            relu,
            flatten,
            head,
        ],
        // Two blocks of two convolutions.
        &[
            conv(3, 3, 1, 1),
            relu,
            conv(3, 3, 1, 1),
            relu,
            conv(3, 3, 1, 1),
            add(2),
            relu,
            conv(3, 3, 1, 1),
            relu,
            conv(3, 3, 1, 1),
            add(7),
            max_pool(2, 0),
            relu,
            flatten,
            head,
        ],
        // One layer's output added twice, once to what is made of it directly, and a block of averages without an activation.
        &[
            conv(4, 3, 2, 1),
            relu,
            conv(4, 3, 1, 1),
            add(2),
            relu,
            slim(4, [1, 3], [0, 1]),
            add(2),
            pool(2),
            flatten,
            dense(10),
        ],
        &[
            flatten,
            dense(10),
            relu,
            dense(10),
            add(3),
            relu,
            dense(10),
            add(6),
        ],
        &[
            conv(4, 3, 1, 1),
            max_pool(2, 0),
            relu,
            dropout(25),
            conv(4, 3, 1, 1),
            relu,
            pool(2),
            dropout(60),
            flatten,
            dense(12),
            relu,
            dropout(50),
            head,
        ],
        &[
            conv(3, 3, 1, 1),
            relu,
            conv(3, 3, 1, 1),
            relu,
            dropout(10),
            conv(3, 3, 1, 1),
            add(2),
            relu,
            flatten,
            head,
        ],
    ];
    let model = |layers: &&[Layer]| Model::new("kinds", [8, 8, 1], layers).expect("a model");
    layers.iter().map(model).collect()
}
