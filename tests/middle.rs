//! A role in the middle: between the parties and the dealer's address.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::address;

/// What the one in the middle does with the first connection: that between a device and its dealer.
#[derive(Clone)]
pub enum Attack {
    /// Passes everything on, and keeps what the dealer says.
    Listen,
    /// Flips a bit of the byte with this number in what the dealer says.
    FlipDown(usize),
    /// Flips a bit of the byte with this number in what the device says.
    FlipUp(usize),
    /// Plays these bytes in the place of the dealer.
    Replay(Vec<u8>),
}

/// Someone in the middle.
pub struct Middle {
    /// Where the parties find their dealer.
    pub address: String,
    said: Arc<Mutex<[Vec<u8>; 2]>>,
}

/// Passes on what comes `from` one end, with a bit of the byte number `flipped` changed. Keeps it in `said`.
fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    flipped: Option<usize>,
    mut said: impl FnMut(&[u8]),
) {
    let (mut bytes, mut passed) = ([0; 4096], 0);
    while let Ok(count) = from.read(&mut bytes) {
        said(&bytes[..count]);
        let at = flipped.and_then(|at| at.checked_sub(passed));
        if let Some(byte) = at.and_then(|at| bytes[..count].get_mut(at)) {
            *byte ^= 1;
        }
        passed += count;
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Connects to a role, which may not listen yet.
fn reach(at: &str) -> Option<TcpStream> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(at) {
            Ok(stream) => return Some(stream),
            Err(_) if Instant::now() > end => return None,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

impl Middle {
    /// Stands before the dealer at this address, until the test ends.
    pub fn before(dealer: &str, attack: Attack) -> Self {
        let at = address();
        let listener = TcpListener::bind(&at).expect("a port");
        let said: Arc<Mutex<[Vec<u8>; 2]>> = Arc::default();
        let (kept, dealer) = (said.clone(), dealer.to_owned());
        thread::spawn(move || {
            for (number, end) in listener.incoming().enumerate() {
                let end = end.expect("a connection");
                let attack = match number {
                    0 => attack.clone(),
                    _ => Attack::Listen,
                };
                if let Attack::Replay(bytes) = attack {
                    let mut out = end.try_clone().expect("a connection");
                    out.write_all(&bytes).expect("a connection");
                    // What the device says is lost.
                    thread::spawn(move || std::io::copy(&mut &end, &mut std::io::sink()));
                    continue;
                }
                let Some(there) = reach(&dealer) else {
                    continue;
                };
                let (up, down) = match attack {
                    Attack::FlipUp(at) => (Some(at), None),
                    Attack::FlipDown(at) => (None, Some(at)),
                    _ => (None, None),
                };
                let clone = |stream: &TcpStream| stream.try_clone().expect("a connection");
                let (from, to) = (clone(&end), clone(&there));
                let keep = |way: usize| {
                    let kept = kept.clone();
                    move |bytes: &[u8]| {
                        if number == 0 {
                            kept.lock().expect("no panic")[way].extend(bytes);
                        }
                    }
                };
                let (said_up, said_down) = (keep(0), keep(1));
                thread::spawn(move || pass(from, to, up, said_up));
                thread::spawn(move || pass(there, end, down, said_down));
            }
        });
        Middle { address: at, said }
    }

    /// What the device and the dealer have said to each other so far, before any change.
    pub fn said(&self) -> [Vec<u8>; 2] {
        self.said.lock().expect("no panic").clone()
    }
}
