//! The comparison as a table and as CSV.

use super::rows::Row;
use crate::{
    config::{activation::Activation, args::ProfileName},
    error::Failure,
};

/// Megabytes, to three digits.
fn megabytes(bytes: u64) -> String {
    format!("{:.3}", bytes as f64 / 1e6)
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let measured = rows.iter().any(|row| row.measured_seconds.is_some());
    let longest = rows.iter().map(|row| row.layer.len()).max();
    let width = longest.unwrap_or(0).max("layer".len());
    let line = |labels: [&str; 3], cells: [&str; 8]| {
        let [layer, direction, protocol] = labels;
        let [opened, published, sent, rounds, dealer, lan, wan, time] = cells;
        let line = format!(
            "{layer:<width$}  {direction:<11}  {protocol:<14}  {opened:>10}  {published:>10}  {sent:>8}  \
             {rounds:>6}  {dealer:>9}  {lan:>6}  {wan:>6}"
        );
        if measured {
            line + &format!("  {time:>8}\n")
        } else {
            line + "\n"
        }
    };
    let mut table = line(
        ["layer", "direction", "protocol"],
        [
            "opened",
            "16-byte MB",
            "sent MB",
            "rounds",
            "dealer MB",
            "LAN s",
            "WAN s",
            "measured",
        ],
    );
    let mut group = None;
    for row in rows {
        let direction = match row.epoch {
            "later" => format!("{}, later", row.direction),
            _ => row.direction.to_owned(),
        };
        // A row does not repeat what it has in common with the row above.
        let same = group.replace((row.layer.clone(), direction.clone()));
        let repeated = same == group;
        table += &line(
            [
                if repeated { "" } else { &row.layer },
                if repeated { "" } else { &direction },
                row.protocol,
            ],
            [
                &row.opened_values.to_string(),
                &row.published_bytes.map_or("-".to_owned(), megabytes),
                &megabytes(row.online_bytes),
                &row.rounds.to_string(),
                &megabytes(row.dealer_bytes_p1),
                &format!("{:.3}", row.lan_seconds),
                &format!("{:.3}", row.wan_seconds),
                &row.measured_seconds
                    .map_or("-".to_owned(), |seconds| format!("{seconds:.3}")),
            ],
        );
    }
    table
}

/// Explains the columns of the table. `measured` has the number of measured iterations and the kind of their links.
pub fn notes(activation: &Activation, measured: Option<(u32, Option<ProfileName>)>) -> String {
    let mut notes = format!(
        "In all protocols but exact, {} replaces ReLU.\n\
         opened: values that are opened. 16-byte MB: the same in the published protocol's words of 16 bytes; exact ReLU\n\
         and softmax open bits, which are no words. sent MB: what a party sends. dealer MB: corrections to p1.\n\
         no softmax: all but the softmax, in whose place the published protocol reveals the logits.\n\
         later: in later epochs. There fused and exact, which keep the masks of data, open no data again.\n\
         LAN s, WAN s: an estimate from the plan, of time on the link between the parties only: rounds x 0.2 ms +\n\
         sent / 625 MB/s, and rounds x 40 ms + sent / 40 MB/s. Computing is not in it, nor is the dealer's link, which\n\
         takes dealer MB / rate or more where the dealer works during the run.\n",
        activation
    );
    if let Some((iterations, profile)) = measured {
        let links = match profile {
            Some(profile) => format!("every link shaped as {profile}"),
            None => "links as fast as memory".to_owned(),
        };
        notes += &format!(
            "measured: seconds of an iteration, computing and dealing included: mean of {iterations} in the first epoch,\n\
             with all roles on this machine and {links}.\n"
        );
    }
    notes
}

/// The rows as CSV.
pub fn csv(rows: &[Row]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = rows.iter().try_for_each(|row| writer.serialize(row));
    written
        .map_err(|error| error.to_string())
        .and_then(|()| writer.into_inner().map_err(|error| error.to_string()))
        .map_err(|error| Failure::new(format!("the CSV cannot be written: {error}"), ""))
}
