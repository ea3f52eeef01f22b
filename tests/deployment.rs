//! A deployment with devices: identities that tests know, the roster, and the records of the devices.

use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    thread,
};

use embedded_io::{ErrorType, Read, Write};
use ringlet::{
    config::roster::{Member, Roster},
    data::{flash_image::record_image, identity_file},
    links::{
        memory::{MemoryEnd, duplex},
        traffic_shaper::TrafficShape,
    },
};
use ringlet_core::{
    Role,
    device::{Peer, Policy, Record},
    net::{
        Link, Remote,
        secure::{Aead, ChaChaPoly, Identity, Keys, Suite},
    },
    prg::{
        Key,
        device_key::{identity_secret, peer_ephemeral},
    },
    session::{
        Session,
        handshake::{Actor, Checkpoints, Ends, Hello, greet, receive_greeting},
    },
};

use crate::served::fresh;

/// The dealer's identity.
pub fn dealer() -> Identity {
    Identity::new(Key::new([0xD2; 32]))
}

/// The identity of a party that is a host.
pub fn host(role: Role) -> Identity {
    Identity::new(Key::new([0xD0 + role.index() as u8; 32]))
}

/// The identity of the device with this root secret.
pub fn device(root: [u8; 32]) -> Identity {
    Identity::new(identity_secret(&Key::new(root)))
}

/// A policy that allows what most tests do.
pub fn lax() -> Policy {
    Policy {
        reveal_to: [true; 2],
        least_batch: 1,
        least_audited_batch: 1,
        ..Policy::default()
    }
}

/// The record of a device that may meet a party with the identity `peer` in the role `role`.
pub fn record(root: [u8; 32], (role, peer): (Role, &Identity), policy: Policy) -> Vec<u8> {
    let record = Record {
        root: Key::new(root),
        dealer: dealer().public(),
        peers: [Peer {
            role,
            identity: peer.public(),
        }]
        .into_iter()
        .collect(),
        policy,
    };
    record_image(&record).to_vec()
}

/// The options of the roles' identities.
pub struct Deployment {
    roster: PathBuf,
    dealer: PathBuf,
    p1: PathBuf,
}

impl Deployment {
    /// Writes the roster for the device with this root secret as P0, and the identities of the others.
    pub fn new(dir: &Path, root: [u8; 32]) -> Self {
        Self::with(dir, [device(root), host(Role::P1)])
    }

    /// Writes the roster of these parties, and the identities of the hosts.
    pub fn with(dir: &Path, [p0, p1]: [Identity; 2]) -> Self {
        let dir = tempfile::tempdir_in(dir).expect("a directory").keep();
        let member = |actor, identity: &Identity| Member {
            actor,
            identity: identity.public(),
            address: None,
        };
        let roster = Roster(vec![
            member(Actor::Party(Role::P0), &p0),
            member(Actor::Party(Role::P1), &p1),
            member(Actor::Dealer, &dealer()),
        ]);
        let file = |name: &str, identity: &Identity| {
            let path = dir.join(name);
            let secret = identity.secret().clone();
            identity_file::create(&path, secret).expect("a new file");
            path
        };
        let deployment = Deployment {
            roster: dir.join("roster.toml"),
            dealer: file("dealer.identity", &dealer()),
            p1: file("p1.identity", &p1),
        };
        fs::write(&deployment.roster, roster.text()).expect("a file");
        deployment
    }

    fn options<'a>(&'a self, identity: &'a Path) -> [&'a str; 4] {
        let text = |path: &'a Path| path.to_str().expect("UTF-8");
        ["--roster", text(&self.roster), "--identity", text(identity)]
    }

    /// The dealer's options.
    pub fn dealer(&self) -> [&str; 4] {
        self.options(&self.dealer)
    }

    /// P1's options, if P1 is a host.
    pub fn p1(&self) -> [&str; 4] {
        self.options(&self.p1)
    }
}

/// The bytes that a party's plain greeting takes, with which a link within one process begins.
pub fn hello_len(role: Role, session: &Session) -> usize {
    let mut bytes = Vec::new();
    let mut link = Link::new(Sink(&mut bytes), Remote::Peer, 0);
    Hello::new(role, session).send(&mut link).expect("room");
    bytes.len()
}

/// A transport that keeps what is sent.
struct Sink<'a>(&'a mut Vec<u8>);

impl ErrorType for Sink<'_> {
    type Error = Infallible;
}

impl Read for Sink<'_> {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, Infallible> {
        Ok(0)
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What two devices with these root secrets say to each other under their seals. `sent` is what passes the hub in the session
/// of this number, from 1.
pub fn unsealed(
    sent: &[Vec<u8>; 2],
    roots: [[u8; 32]; 2],
    session: &Session,
    number: u64,
) -> [Vec<u8>; 2] {
    let [one, other] = duplex(TrafficShape::default());
    let link = |end: MemoryEnd| Link::new(end, Remote::Peer, 1 << 20);
    let [own0, own1] = roots.map(device);
    let ephemeral = |root| peer_ephemeral(&Key::new(root), &fresh(number));
    let ends = |own, remote: &Identity, root| Ends {
        own,
        remote: remote.public(),
        ephemeral: ephemeral(root),
        suite: Suite::Device,
    };
    let (p0, p1) = thread::scope(|scope| {
        let p0 = scope.spawn(|| {
            let mut link = link(one);
            let (hello, to) = (Hello::new(Role::P0, session), Actor::Party(Role::P1));
            let ends = ends(&own0, &own1, roots[0]);
            let welcome = greet::<ChaChaPoly, _>(&mut link, &hello, to, ends).expect("a welcome");
            (link.sent() as usize, welcome.keys)
        });
        let mut link = link(other);
        let greeting = receive_greeting(&mut link).expect("a greeting");
        let ends = ends(&own1, &own0, roots[1]);
        let keys = greeting.welcome::<ChaChaPoly, _>(&mut link, &Checkpoints::default(), ends);
        let sent = link.sent() as usize;
        (
            p0.join().expect("no panic"),
            (sent, keys.expect("a handshake")),
        )
    });
    let open = |sent: &[u8], (head, keys): (usize, Keys)| {
        let opener = ChaChaPoly::new(&keys.send);
        let (mut rest, mut plain) = (&sent[head..], Vec::new());
        for nonce in keys.first_frames[0].. {
            let Some((len, after)) = rest.split_first_chunk() else {
                break;
            };
            let (frame, after) = after.split_at(u16::from_le_bytes(*len).into());
            let (tag, after) = after.split_first_chunk().expect("a tag");
            let mut frame = frame.to_vec();
            let opened = opener.open(nonce, &[], &mut frame, tag);
            opened.expect("a frame of this session");
            // Frames with another kind end the session.
            if frame[0] == 0 {
                plain.extend(&frame[1..]);
            }
            rest = after;
        }
        plain
    };
    [open(&sent[0], p0), open(&sent[1], p1)]
}
