//! Makes links slower than the machine: delay and rate, enforced in user space.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    net::serial::frame::{MAX_FRAME, MAX_PAYLOAD},
    session::handshake::Actor,
};

use super::chunk::Chunk;
use crate::error::Failure;

/// Delay and rate of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrafficShape {
    /// Time from one end to the other.
    pub delay: Duration,
    /// Bytes a second each way; none for no limit.
    pub rate: Option<f64>,
}

impl TrafficShape {
    /// A local network: 0.2 ms, 625 MB/s.
    pub const LAN: TrafficShape = TrafficShape {
        delay: Duration::from_micros(200),
        rate: Some(625e6),
    };
    /// A wide one: 40 ms, 40 MB/s.
    pub const WAN: TrafficShape = TrafficShape {
        delay: Duration::from_millis(40),
        rate: Some(40e6),
    };

    /// Usual links of devices, by name. Serial lines carry a byte in ten bits and 240 bytes in a frame of up to
    /// 251; USB is a full-speed CDC port, polled each millisecond; Ethernet loses some of its rate to TCP headers.
    pub const OF_DEVICES: [(&'static str, TrafficShape); 4] = [
        ("serial, 115200 baud", TrafficShape::serial(115_200.0, 1)),
        ("serial, 2 Mbaud", TrafficShape::serial(2e6, 1)),
        ("USB, full speed", TrafficShape::serial(10e6, 1)),
        (
            "Ethernet, 100 Mbit/s",
            TrafficShape {
                delay: Duration::from_micros(200),
                rate: Some(11.8e6),
            },
        ),
    ];

    const fn serial(baud: f64, milliseconds: u64) -> Self {
        TrafficShape {
            delay: Duration::from_millis(milliseconds),
            rate: Some(baud / 10.0 * MAX_PAYLOAD as f64 / MAX_FRAME as f64),
        }
    }

    /// A shape from a delay in milliseconds and a rate in megabytes a second.
    pub fn new(delay: Option<f64>, rate: Option<f64>) -> Result<Self, Failure> {
        let delay = delay.unwrap_or(0.0);
        if !(0.0..=60_000.0).contains(&delay) {
            return Err(Failure::new(
                format!("--delay {delay} is out of range"),
                "give 0 to 60000 milliseconds",
            ));
        }
        if rate.is_some_and(|rate| !(0.001..=1e6).contains(&rate)) {
            return Err(Failure::new(
                "--rate is out of range",
                "give 0.001 to 1000000 megabytes a second",
            ));
        }
        Ok(TrafficShape {
            delay: Duration::from_secs_f64(delay / 1e3),
            rate: rate.map(|rate| rate * 1e6),
        })
    }

    /// Seconds for `rounds` exchanges with `bytes` bytes in total each way.
    pub fn seconds(self, rounds: u64, bytes: u64) -> f64 {
        let sending = self.rate.map_or(0.0, |rate| bytes as f64 / rate);
        rounds as f64 * self.delay.as_secs_f64() + sending
    }

    fn is_plain(self) -> bool {
        self == TrafficShape::default()
    }
}

/// Bytes on their way, and when they arrive.
pub struct Parcel {
    /// The bytes.
    pub bytes: Chunk,
    due: Option<Instant>,
}

impl Parcel {
    /// Waits until the bytes have arrived.
    pub fn wait(&self) {
        if let Some(left) = self
            .due
            .and_then(|due| due.checked_duration_since(Instant::now()))
        {
            thread::sleep(left);
        }
    }
}

/// Times parcels on a shaped line, one after the other. Its clones are for other links over the same line.
#[derive(Clone, Default)]
pub struct TrafficShaper {
    shape: TrafficShape,
    /// When the last parcel leaves.
    free: Arc<Mutex<Option<Instant>>>,
}

impl TrafficShaper {
    /// A shaper for a line of this shape.
    pub fn new(shape: TrafficShape) -> Self {
        TrafficShaper {
            shape,
            ..TrafficShaper::default()
        }
    }

    /// Wraps bytes that leave now, or as soon as earlier ones have left.
    pub fn parcel(&self, bytes: Chunk) -> Parcel {
        if self.shape.is_plain() {
            return Parcel { bytes, due: None };
        }
        let now = Instant::now();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let start = free.map_or(now, |free| free.max(now));
        let taking = self
            .shape
            .rate
            .map_or(0.0, |rate| bytes.len() as f64 / rate);
        let left = start + Duration::from_secs_f64(taking);
        *free = Some(left);
        Parcel {
            bytes,
            due: Some(left + self.shape.delay),
        }
    }
}

/// The shaped lines of a role to the others. All links to a role share the line to it.
#[derive(Clone, Default)]
pub struct Lines {
    shape: TrafficShape,
    lines: Arc<Mutex<Vec<(Actor, TrafficShaper)>>>,
}

impl Lines {
    /// Lines of this shape.
    pub fn new(shape: TrafficShape) -> Self {
        Lines {
            shape,
            ..Lines::default()
        }
    }

    /// Their shape.
    pub fn shape(&self) -> TrafficShape {
        self.shape
    }

    /// The line to a role.
    pub fn to(&self, role: Actor) -> TrafficShaper {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, line)) = lines.iter().find(|(to, _)| *to == role) {
            return line.clone();
        }
        let line = TrafficShaper::new(self.shape);
        lines.push((role, line.clone()));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_over_one_line_share_its_rate() {
        let lines = Lines::new(TrafficShape::WAN);
        let [one, other] = [lines.to(Actor::Dealer), lines.to(Actor::Dealer)];
        let parcel = |shaper: &TrafficShaper| {
            let mut bytes = Chunk::new(40_000);
            bytes.add(&[0; 40_000]);
            shaper.parcel(bytes).due.expect("a shaped line")
        };
        let [first, second] = [parcel(&one), parcel(&other)];
        // 40 kB at 40 MB/s.
        assert!(second >= first + Duration::from_millis(1));
    }

    #[test]
    fn rounds_cost_the_delay_and_bytes_the_rate() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");
        close(TrafficShape::WAN.seconds(25, 40_000_000), 25.0 * 0.04 + 1.0);
        close(TrafficShape::LAN.seconds(5, 625_000), 5.0 * 0.0002 + 0.001);
        close(TrafficShape::default().seconds(5, 1 << 30), 0.0);
    }
}
