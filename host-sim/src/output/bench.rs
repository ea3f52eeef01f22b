//! What a machine reaches, as tables.

use ringlet_core::session::Task;

use super::amounts::counted;
use crate::measure::{kept::Kept, rates::Limit, threads::ThreadGains};

/// What further threads gain, by model and protocol.
pub type Gains = ([String; 2], ThreadGains);

/// The tables of a measurement of a task; iterations are of `batch` images. `shared` has what further threads gain.
pub fn tables(kept: &Kept, shared: &[Gains], (task, batch): (Task, u32)) -> String {
    let (program, one) = match task {
        Task::Train => ("train", "an iteration"),
        Task::Infer | Task::Evaluate => ("predict", "a batch"),
    };
    let mut text = format!(
        "{}, ringlet {}: on one core\n\n{}\n",
        kept.processor,
        kept.version,
        rates(kept)
    );
    text += &format!(
        "{:<14}{:<10}{:>9}{:>9}{:>9}{:>9}{:>10}{:>13}\n",
        "core-seconds", "protocol", "p0", "p1", "helper", program, "seconds", "measured to"
    );
    for measured in &kept.sessions {
        let [p0, p1, helper] = measured.course.seconds(batch).map(amount);
        let [whole, passed] = measured.course.whole(batch).map(amount);
        text += &format!(
            "{:<14}{:<10}{p0:>9}{p1:>9}{helper:>9}{whole:>9}{passed:>10}{:>13}\n",
            measured.model,
            measured.protocol,
            measured.course.largest()
        );
    }
    text += &format!(
        "\nOf {one} of {batch} images, told from batches up to those measured: what each role computes by itself, in\n\
         seconds of one core, where the helper is the dealer, or the assistant of securenn; then what `{program}` takes, which\n\
         runs all roles and watches the range of all values, and the seconds that pass on the {} of this machine.\n\
         A byte between processes takes {:.2} ns more of the cores, at both ends together.\n",
        counted(kept.cores as u64, "core"),
        1e9 * kept.link_seconds_per_byte
    );
    text + &threads(shared)
}

/// How many times as fast roles are with further threads.
fn threads(shared: &[Gains]) -> String {
    let Some((_, first)) = shared.first() else {
        return String::new();
    };
    let mut table = format!(
        "\n{:<14}{:<10}{:<10}{:>9}{:>9}{:>9}\n",
        "times as fast", "protocol", "threads", "p0", "p1", "helper"
    );
    for ([model, protocol], ThreadGains { threads, gains }) in shared {
        let [p0, p1, helper] = gains.map(|gain| format!("{gain:.2}"));
        table += &format!("{model:<14}{protocol:<10}{threads:<10}{p0:>9}{p1:>9}{helper:>9}\n");
    }
    table
        + &format!(
            "\nWith {} threads in place of one, each role by itself, by the seconds that pass while other programs may run.\n",
            first.threads
        )
}

/// The kernels with their rates and shares.
fn rates(kept: &Kept) -> String {
    let mut table = format!("{:<30}{:>9} {:<9}{:>8}\n", "", "rate", "", "share");
    let mut last = None;
    for rate in &kept.rates.0 {
        // Kernels with the same limit stand together.
        if last
            .replace(rate.limit)
            .is_some_and(|last| last != rate.limit)
        {
            table.push('\n');
        }
        table += &format!(
            "{:<30}{:>9.2} {:<9}{:>6.0} %\n",
            rate.name,
            rate.rate / 1e9,
            rate.limit.unit(),
            100.0 * kept.rates.share(rate.rate, rate.limit)
        );
    }
    let limits = [
        ("streams", Limit::Stream),
        ("memory", Limit::Memory),
        ("products of u32", Limit::Products32),
        ("products of u64", Limit::Products64),
    ];
    let limits = limits.map(|(name, limit)| {
        let rate = kept.rates.limit(limit) / 1e9;
        format!("{name} {rate:.2} {}", limit.unit())
    });
    table
        + &format!(
            "\nThe limits, of which these are shares: {}.\n",
            limits.join(", ")
        )
}

/// Seconds, to three digits.
pub fn amount(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0}"),
        s if s >= 10.0 => format!("{s:.1}"),
        s if s >= 1.0 => format!("{s:.2}"),
        s if s >= 0.1 => format!("{s:.3}"),
        s => format!("{s:.4}"),
    }
}
