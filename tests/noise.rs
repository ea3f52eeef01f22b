//! The secure links speak Noise: an independent implementation completes their handshakes and opens their frames.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use embedded_io::{Read, Write};
use ringlet::links::{secure, tcp::TcpEnd, traffic_shaper::TrafficShape};
use ringlet_core::{
    net::{
        Link, Remote,
        secure::{Aead, ChaChaPoly, Identity, Prologue, PublicIdentity, SecureTransport, connect},
    },
    prg::Key,
};

const FRAME: usize = 101;

/// The other end, by the other implementation: it answers what it opens with the bytes in reverse.
fn other_end(mut stream: TcpStream, name: &str, own: &Identity, remote: PublicIdentity) {
    let prologue = Prologue::new("test").hash();
    let mut noise = snow::Builder::new(name.parse().expect("a protocol"))
        .prologue(&prologue)
        .and_then(|builder| builder.local_private_key(own.secret().reveal()))
        .and_then(|builder| builder.remote_public_key(&remote.0))
        .and_then(|builder| builder.build_responder())
        .expect("keys that fit");
    let mut message = [0; 48];
    stream.read_exact(&mut message).expect("a message");
    noise.read_message(&message, &mut []).expect("a handshake");
    let len = noise.write_message(&[], &mut message).expect("a handshake");
    stream.write_all(&message[..len]).expect("a connection");
    let mut noise = noise.into_transport_mode().expect("a handshake");
    let mut confirmation = [0; 16];
    stream
        .read_exact(&mut confirmation)
        .expect("a confirmation");
    let len = noise.read_message(&confirmation, &mut []);
    assert_eq!(len.expect("an empty message of Noise"), 0);
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let len = usize::from(u16::from_le_bytes(head));
    let mut sealed = vec![0; len + 16];
    stream.read_exact(&mut sealed).expect("a frame");
    let mut frame = vec![0; len];
    noise
        .read_message(&sealed, &mut frame)
        .expect("a frame of Noise");
    // The kind stays in front.
    frame[1..].reverse();
    noise
        .write_message(&frame, &mut sealed)
        .expect("a frame of Noise");
    stream.write_all(&head).expect("a connection");
    stream.write_all(&sealed).expect("a connection");
}

fn speaks_noise<A: Aead>(name: &str) {
    let [one, other] = [1, 2].map(|byte| Identity::new(Key::new([byte; Key::LEN])));
    let (one_public, other_public) = (one.public(), other.public());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::scope(|scope| {
        scope.spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            other_end(stream, name, &other, one_public);
        });
        let stream = TcpStream::connect(address).expect("a listener");
        let end = TcpEnd::free(stream, TrafficShape::default()).expect("a connection");
        let mut link = Link::new(end, Remote::Peer, 0);
        let ephemeral = Key::new([3; Key::LEN]);
        let prologue = Prologue::new("test");
        let keys = connect::<A, _>(&mut link, &one, other_public, prologue, ephemeral);
        let keys = keys.expect("a handshake");
        let (buffers, end) = ([[0; FRAME]; 2], link.into_inner());
        let mut transport = SecureTransport::<_, A, _>::new(end, &keys, buffers[0], buffers[1]);
        transport.write_all(b"forwards").expect("a connection");
        transport.flush().expect("a connection");
        let mut answer = [0; 8];
        transport.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"sdrawrof");
    });
}

#[test]
fn links_with_devices_speak_noise() {
    speaks_noise::<ChaChaPoly>("Noise_KK_25519_ChaChaPoly_BLAKE2s");
    speaks_noise::<secure::ChaChaPoly>("Noise_KK_25519_ChaChaPoly_BLAKE2s");
}

#[test]
fn links_between_hosts_speak_noise() {
    speaks_noise::<secure::AesGcm>("Noise_KK_25519_AESGCM_BLAKE2s");
}
