//! What links and dealt files carried is nowhere in the memory of the process afterwards.

#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::FileExt,
    time::Duration,
};

use embedded_io::{Read, Write};
use ringlet::{
    links::{
        memory,
        read_ahead::ReadAhead,
        tcp::{TcpEnd, connect},
        traffic_shaper::TrafficShape,
    },
    run::{
        dealt_corrections::Corrections,
        dealt_files::{Dealing, DealtFile, DealtWriter},
    },
};
use ringlet_core::{
    Role,
    data::Normalisation,
    model::Model,
    num::Format,
    prg::Key,
    session::{ClassList, Headroom, KnownBackbone, Protocol, Session, Task, handshake::DealtId},
};

/// Bytes of a marked transfer: several chunks of a link, and more than a block of a dealt file.
const LEN: usize = 3 << 19;

/// Byte `index` of the mark, which is computed so that the test itself keeps no copy.
fn mark(index: usize) -> u8 {
    (index as u8 % 32).wrapping_mul(53) ^ 0xA7
}

/// Calls `work` with the marked bytes, and wipes them.
fn marked(work: impl FnOnce(&mut [u8])) {
    let mut bytes: Vec<u8> = (0..LEN).map(mark).collect();
    work(&mut bytes);
    bytes.fill(0);
    std::hint::black_box(&mut bytes);
}

/// How often the mark is in the memory of this process. The stack of the calling thread does not count: the registers
/// with which bytes are copied leave some there.
fn marks() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("the memory's map");
    let memory = File::open("/proc/self/mem").expect("the memory");
    let mut count = 0;
    let mut page = vec![0; 1 << 16];
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (range, _) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (mut at, end) = (number(start), number(end));
        if (at..end).contains(&(&raw const count as u64)) {
            continue;
        }
        while at < end {
            let len = page.len().min((end - at) as usize);
            // A region may have gone since the map was read.
            let read = memory.read_at(&mut page[..len], at).unwrap_or(0);
            let begins = |window: &&[u8]| (0..32).all(|index| window[index] == mark(index));
            count += page[..read].windows(32).filter(begins).count();
            page[..read].fill(0);
            std::hint::black_box(&mut page);
            at += len as u64;
        }
    }
    count
}

fn session() -> Session {
    Session {
        model: Model::built_in("digits8").expect("built in"),
        format: Format::new::<u32>(12).expect("widths that fit"),
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [8, 0],
        contributions: None,
        batch: 8,
        micro_batch: 8,
        epochs: 1,
        limit: 1,
        learning_rate: 1 << 19,
        momentum: 0,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 3,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    }
}

fn streams() -> [std::net::TcpStream; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let one = connect(&address, Duration::from_secs(5), |_| true, || ()).expect("a listener");
    [one, listener.accept().expect("a connection").0]
}

/// All in one test: another thread's bytes would be found too.
#[test]
fn nothing_is_left_of_what_links_and_files_carried() {
    let shape = TrafficShape::default();
    assert_eq!(marks(), 0, "before anything is sent");

    let [mut one, mut other] = memory::duplex(shape);
    marked(|bytes| one.write_all(bytes).expect("room"));
    assert!(
        marks() > LEN / 64,
        "the search must find what is on its way"
    );
    marked(|bytes| other.read_exact(&mut bytes[..LEN / 2]).expect("bytes"));
    // What was read has left the link, and what was not leaves with it.
    drop((one, other));
    assert_eq!(marks(), 0, "after a link in memory");

    let [one, other] = streams().map(|stream| TcpEnd::free(stream, shape).expect("an end"));
    let (mut one, mut other) = (one, other);
    marked(|bytes| {
        one.write_all(bytes).expect("room");
        one.flush().expect("a link");
        other.read_exact(&mut bytes[..LEN - 7]).expect("bytes");
    });
    drop((one, other));
    assert_eq!(marks(), 0, "after a link over TCP");

    let [one, other] = streams();
    let mut one = TcpEnd::free(one, shape).expect("an end");
    let mut other = ReadAhead::new(other, Duration::from_secs(5)).expect("an end");
    marked(|bytes| {
        one.write_all(bytes).expect("room");
        one.flush().expect("a link");
        other.read_exact(&mut bytes[..LEN - 7]).expect("bytes");
    });
    drop((one, other));
    // Its reading thread ends on its own.
    ringlet_tests::wait_until("the end of a thread", Duration::from_secs(10), || {
        marks() == 0
    });

    let dir = tempfile::tempdir().expect("a directory");
    let session = session();
    // Keys move over the stack, where the compiler leaves copies, so this one is not marked.
    let key = Key::new([9; Key::LEN]);
    let (dealt, role) = (DealtId([7; 16]), Role::P1);
    let dealing = Dealing {
        identity: dealt,
        session: &session,
        spare: 0,
    };
    let create = DealtWriter::create(dir.path(), role, &dealing, &key, LEN as u64);
    let mut file = create.unwrap_or_else(|failure| panic!("{failure}"));
    marked(|bytes| file.write_all(bytes).expect("space"));
    file.finish().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(marks(), 0, "after a dealt file was written");
    let open = DealtFile::open(dir.path(), role, &session, false);
    let file = open.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(file.key.reveal(), key.reveal());
    let (mut reader, given) = Corrections::new(&file);
    given.give(std::iter::once(file.corrections()));
    marked(|bytes| {
        reader
            .read_exact(&mut bytes[..LEN - 7])
            .expect("corrections");
    });
    drop((file, reader));
    assert_eq!(marks(), 0, "after a dealt file was read");
}
