//! The protocol core of Ringlet: two parties train a convolutional network, or classify with one, on data that
//! neither the other party nor a third role sees.
//!
//! P0 and P1 hold additive shares of every number. In the dealt protocols a dealer hands out correlated randomness
//! ahead of time; in SecureNN an assistant takes part in the run. The crate is `no_std`, uses no heap and no floats in
//! protocol code, and does not panic on anything that a peer, a line or a file can send. The caller brings memory,
//! connected transports and, for a party that owns samples, the samples.
//!
//! # A session, from its parameters to its plan
//!
//! All roles agree on one [`Session`](session::Session). Each protocol checks it, which makes the
//! [`Network`](network::Network), and plans it: bytes, rounds and memory are known before a byte is sent.
//!
//! ```
//! use ringlet_core::{
//!     Role,
//!     data::Normalisation,
//!     dealt::{self, Plan, Trainer},
//!     model::{Layer, Model},
//!     num::{Format, RATE_FRACTION},
//!     prg::Key,
//!     session::{ClassList, KnownBackbone, Headroom, Protocol, Session, Task},
//! };
//!
//! let layers = [Layer::Flatten, Layer::Dense { units: 8 }, Layer::Relu, Layer::Dense { units: 2 }];
//! let session = Session {
//!     model: Model::new("small", [4, 4, 1], &layers).expect("a few layers"),
//!     format: Format::new::<u32>(12)?, // Z_2^32 with 12 fraction bits
//!     headroom: Headroom::NONE,
//!     normalisation: Normalisation::NONE,
//!     task: Task::Train,
//!     protocol: Protocol::DEALT,
//!     samples: [64, 0], // P0 owns all of them
//!     contributions: None,
//!     batch: 16,
//!     micro_batch: 1, // a sample at a time: the least memory
//!     epochs: 6,
//!     limit: 0,
//!     learning_rate: 1 << (RATE_FRACTION - 3),
//!     momentum: 0,
//!     training: Default::default(),
//!     class_weights: Default::default(),
//!     shuffle_seed: 1,
//!     receiver: Some(Role::P1),
//!     reveal_loss: false,
//!     initial_model: None,
//!     audit: 0,
//!     classes: ClassList::Unknown,
//!     backbone: KnownBackbone::Unknown,
//! };
//! let network = dealt::check::<u32>(&session)?;
//! let plan = Plan::new(&session, &network);
//! assert_eq!(session.iterations(), 24);
//! assert_eq!(plan.iteration::<u32>(16).online_bytes, 3_582);
//!
//! // A device would have this memory as a static array.
//! let mut memory = vec![0; plan.arena_words::<u32>(Role::P0)];
//! let secret = Key::new([7; Key::LEN]); // from the hardware's generator
//! let p0 = Trainer::<u32>::new(&session, &network, Role::P0, &secret, &mut memory, &mut [])?;
//! assert_eq!(p0.role(), Role::P0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From here a party works in a [`PartyContext`](dealt::PartyContext), which holds its key and its links:
//! [`Trainer::iterate`](dealt::Trainer::iterate) for each iteration, then [`Trainer::reveal`](dealt::Trainer::reveal).
//! The example `train_in_memory` runs both parties and the dealer; the example `plan` prints what a model costs.
//!
//! # Layers
//!
//! Each module knows only those above it in this table.
//!
//! | module | what it has |
//! |---|---|
//! | [`num`] | words and rings, fixed point, polynomials |
//! | [`model`] | a network as a user describes it |
//! | [`profile`] | counting of instructions by kind of work |
//! | [`share`] | shares, masked and public values, [`Role`], observers |
//! | [`prg`] | addressed streams of randomness, keys of devices |
//! | [`kernel`] | plain loops over rings: products, convolutions, pooling |
//! | [`cost`] | what a step costs, and what was really sent |
//! | [`net`] | links over any `embedded-io` transport, messages, channels over a serial line |
//! | `gate` | protocol steps: each has an ideal function, the dealer's part, a party's part, and its cost |
//! | [`network`] | a model compiled into stages |
//! | [`data`] | samples, as a caller or a flash memory provides them |
//! | [`backbone`] | public layers in front of a model, computed in the clear by the owner of the images |
//! | `contribution` | samples that their owner masks once and sends to both parties (feature `contributions`) |
//! | [`session`] | what roles agree on, and the handshake |
//! | `audit` | counts of values outside their range contract |
//! | [`device`] | what a host and a device tell each other |
//! | [`dealt`] | the dealt protocols: trainer, classifier, dealer, plan |
//! | [`securenn`] | SecureNN: trainer, classifier, assistant, plan |
//!
//! # Errors
//!
//! | error | when |
//! |---|---|
//! | [`FormatError`](num::FormatError) | ring and fraction bits do not fit together |
//! | [`ModelError`](network::ModelError) | the layers do not fit together |
//! | [`SessionError`](session::SessionError) | the parameters of a session do not fit together |
//! | [`ArenaTooSmall`](num::ArenaTooSmall) | the caller gave too little memory; names what is needed |
//! | [`DataError`](data::DataError), [`SampleImageError`](data::sample_image::SampleImageError) | samples are missing or damaged |
//! | [`BackboneError`](backbone::BackboneError) | a backbone is missing or damaged |
//! | [`LinkError`](net::LinkError), [`MessageError`](net::MessageError) | a link failed, or what came over it is no message |
//! | [`MuxError`](net::serial::mux::MuxError) | a serial line failed |
//! | [`HandshakeError`](session::handshake::HandshakeError) | the roles do not fit together |
//! | [`RunError`](session::RunError) | a party stopped: any of the above |
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `polynomials` | yes | polynomials in the place of ReLU; they take a fifth of a device's flash and 72 KB of its stack |
//! | `contributions` | no | training on samples that any number of owners have masked once |
//! | `signatures` | no | signatures of uploads, by owners that a task names; takes Ed25519 |
//! | `uploads` | no | what an owner sends of them, and how servers and dealer read it; takes HPKE |
//! | `defmt` | no | formats public values (roles, models, errors) for logs on devices |
//! | `clock` | no | measures a party's time by layer and pass; the program brings the clock |
//! | `profile` | no | counts a party's instructions by kind of work; the program brings the counter |
//! | `internals` | no | makes gates and inner kernels public, for this project's benchmarks; no stability is promised |
//!
//! # Supported targets
//!
//! Every change builds for `thumbv6m-none-eabi`, `thumbv7m-none-eabi`, `thumbv7em-none-eabihf`,
//! `thumbv8m.main-none-eabihf`, `riscv32imc-unknown-none-elf`, `riscv32imac-unknown-none-elf`,
//! `aarch64-unknown-linux-gnu`, `wasm32-unknown-unknown` and `x86_64-unknown-linux-gnu`. Firmware runs in QEMU for a
//! Cortex-M4 and a 32-bit RISC-V.
//!
//! # Secrets and time
//!
//! Branches and indices depend on public values alone. Shares, keys and masks are wiped when they are dropped; copies
//! that the compiler makes on the stack are not. The type says what a value is: a [`Share`](share::Share) cannot be
//! printed or sent, a [`Masked`](share::Masked) value can be sent, and a [`Public`](share::Public) one can be read.
//!
//! Successive steps of a party are `#[inline(never)]`, so that their stack frames do not add up.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod audit;
pub mod backbone;
#[cfg(feature = "contributions")]
pub mod contribution;
pub mod cost;
pub mod data;
pub mod dealt;
pub mod device;
#[cfg(not(feature = "internals"))]
#[allow(dead_code, reason = "tests and benchmarks call the ideal functions")]
pub(crate) mod gate;
#[cfg(feature = "internals")]
pub mod gate;
pub mod kernel;
pub mod model;
pub mod net;
pub mod network;
pub mod num;
pub mod prg;
pub mod profile;
pub mod securenn;
pub mod session;
pub mod share;
#[cfg(test)]
mod tests;

pub use share::Role;
