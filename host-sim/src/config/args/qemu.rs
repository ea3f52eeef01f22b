//! Options of `qemu`.

use std::{ffi::OsStr, path::PathBuf};

use clap::{
    Args,
    builder::{PossibleValue, TypedValueParser},
    error::ErrorKind,
};

use super::{ProtocolName, SessionArgs};
use crate::board::{BOARDS, Board, Line};

/// Options of `qemu`.
#[derive(Clone, Debug, Args)]
pub struct QemuArgs {
    /// The board.
    #[arg(long, value_name = "BOARD", value_parser = BoardParser)]
    pub board: &'static Board,
    /// The board's firmware. That of the checkout around this program or the current directory, which is
    /// built if need be, when left out.
    #[arg(long, value_name = "FILE")]
    pub firmware: Option<PathBuf>,
    /// Built-in digits that the board gets: 64 over a serial line and all over TCP when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Model: digits8, or a JSON file.
    #[arg(long, value_name = "NAME|FILE", default_value = "digits8")]
    pub model: String,
    /// Images in a batch: 8 over a serial line and 20 over TCP when left out.
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Images worked on at a time within a batch; fewer take less of the board's memory and more rounds. 4 over
    /// a serial line and the whole batch over TCP when left out.
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<u32>,
    /// Passes over the digits.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub epochs: u32,
    /// Stop after this many iterations: 3 over a serial line when left out, which QEMU makes slow.
    #[arg(long, visible_alias = "iterations", value_name = "N")]
    pub limit: Option<u32>,
    /// Learning rate; powers of two are exact.
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 0.03125,
        allow_negative_numbers = true
    )]
    pub lr: f64,
    /// Seed that makes the whole run reproducible, keys included: for tests.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Write the model, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

/// Reads a board's name.
#[derive(Clone)]
struct BoardParser;

impl TypedValueParser for BoardParser {
    type Value = &'static Board;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        value.to_str().and_then(Board::named).ok_or_else(|| {
            let names = BOARDS.map(|board| board.name).join(", ");
            let name = value.display();
            let text = format!("no board is called {name}: choose one of {names}\n");
            clap::Error::raw(ErrorKind::InvalidValue, text)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = BOARDS.map(|board| PossibleValue::new(board.name).help(board.about));
        Some(Box::new(values.into_iter()))
    }
}

impl QemuArgs {
    /// What is trained: what suits the board's line, where nothing else is given.
    pub(crate) fn session(&self) -> SessionArgs {
        let serial = self.board.line == Line::Serial;
        let batch = self.batch.unwrap_or(if serial { 8 } else { 20 });
        SessionArgs {
            model: Some(self.model.clone()),
            data: None,
            share_of_p0: 1.0,
            epochs: self.epochs,
            batch,
            micro_batch: self.micro_batch.or(serial.then_some(batch.min(4))),
            protocol: ProtocolName::Exact,
            triples: None,
            activation: None,
            loss: None,
            lr: self.lr,
            momentum: None,
            audit: None,
            limit: self.limit.or(serial.then_some(3)),
            ring: None,
            fraction_bits: None,
            seed: self.seed,
        }
    }
}
