//! A serial line with faults: a program between a device and its host that damages, drops and doubles bytes.

use std::{
    io::{self, Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// A line to a device behind a pseudo-terminal.
pub struct FaultyLine {
    /// Its address, for `ringlet party --peer`.
    pub address: String,
    /// Bytes that came from the host and from the device.
    carried: Arc<[AtomicU64; 2]>,
    /// Faults among 100,000 bytes.
    share: Arc<AtomicU64>,
}

/// A byte has a fault with a probability of `share` in 100,000. A third of the faults is of each kind.
struct Faults {
    share: Arc<AtomicU64>,
    state: u64,
}

impl Faults {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.state;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }

    /// What arrives when `bytes` are sent.
    fn carry(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            if self.next() % 100_000 >= self.share.load(Ordering::Relaxed) {
                out.push(byte);
                continue;
            }
            match self.next() % 3 {
                0 => out.push(byte ^ (1 << (self.next() % 8))),
                1 => {}
                _ => out.extend([byte, byte]),
            }
        }
        out
    }
}

impl FaultyLine {
    /// A line to the device at `address`, a `pty:`. In each direction a byte has a fault with a probability of `share` in
    /// 100,000.
    pub fn start(address: &str, share: u64, seed: u64) -> Self {
        let path = address.strip_prefix("pty:").expect("a pseudo-terminal");
        let mut port = serialport::new(path, 115_200).open().expect("a port");
        port.set_timeout(Duration::from_millis(100))
            .expect("a timeout");
        let mut from_device = port.try_clone().expect("the same port");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("tcp:{}", listener.local_addr().expect("an address"));
        let carried: Arc<[AtomicU64; 2]> = Arc::default();
        let counts = carried.clone();
        let share = Arc::new(AtomicU64::new(share));
        let shares = [share.clone(), share.clone()];
        thread::spawn(move || {
            let (mut host, _) = listener.accept().expect("a host");
            host.set_nodelay(true).expect("a connection");
            let mut to_host = host.try_clone().expect("the same connection");
            let mut state = 2 * seed;
            let [mut there, mut back] = shares.map(|share| {
                state += 1;
                Faults {
                    share,
                    state: state - 1,
                }
            });
            let others = counts.clone();
            thread::spawn(move || carry(&mut from_device, &mut to_host, &mut back, &others[1]));
            carry(&mut host, &mut port, &mut there, &counts[0]);
        });
        FaultyLine {
            address,
            carried,
            share,
        }
    }

    /// From now on a byte has a fault with a probability of `share` in 100,000.
    pub fn set_share(&self, share: u64) {
        self.share.store(share, Ordering::Relaxed);
    }

    /// Bytes that the host and the device have sent so far.
    pub fn carried(&self) -> [u64; 2] {
        [0, 1].map(|end| self.carried[end].load(Ordering::Relaxed))
    }
}

/// Passes bytes on until an end is closed.
fn carry(from: &mut impl Read, to: &mut impl Write, faults: &mut Faults, count: &AtomicU64) {
    let mut bytes = [0; 1024];
    loop {
        let read = match from.read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
            Err(_) => return,
        };
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&faults.carry(&bytes[..read])).is_err() {
            return;
        }
    }
}
