//! The line over Ethernet: one TCP connection at a time, to a fixed port.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use smoltcp::{
    iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet, SocketStorage},
    socket::tcp::{Socket, SocketBuffer, State},
    time::{Duration, Instant},
    wire::{IpCidr, Ipv4Address},
};

use crate::{
    machine::milliseconds,
    nic::{Frames, Nic},
};

/// The addresses that QEMU's user network has for its guest and its gateway.
const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const PREFIX: u8 = 24;
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// The port to which the host connects.
const PORT: u16 = 7001;

/// How often a silent host is probed, and when its connection is given up: later than the longest time for which a
/// party computes without polling the network.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const GIVE_UP: Duration = Duration::from_secs(300);

/// Bytes of the connection's receive buffer, and of its send buffer.
const BUFFERED: usize = 4096;

/// Memory for the connection and its frames.
pub struct Buffers {
    frames: Frames,
    receive: [u8; BUFFERED],
    send: [u8; BUFFERED],
}

/// Memory for the list of connections. It does not start as zeros, so it is apart from [`Buffers`], which do.
pub type Connections = [SocketStorage<'static>; 1];

/// An empty list.
pub const NO_CONNECTIONS: Connections = [SocketStorage::EMPTY];

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Buffers {
            frames: Frames::new(),
            receive: [0; BUFFERED],
            send: [0; BUFFERED],
        }
    }
}

/// The line.
pub struct Ethernet {
    nic: Nic,
    interface: Interface,
    sockets: SocketSet<'static>,
    connection: SocketHandle,
}

fn now() -> Instant {
    Instant::from_millis(milliseconds() as i64)
}

impl Ethernet {
    /// Starts the network card, without waiting for a host. None if there is no card.
    pub fn start(
        buffers: &'static mut Buffers,
        connections: &'static mut Connections,
    ) -> Option<Self> {
        let Buffers {
            frames,
            receive,
            send,
        } = buffers;
        let mut nic = Nic::start(frames)?;
        let config = Config::new(nic.address().into());
        let mut interface = Interface::new(config, &mut nic, now());
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(ADDRESS.into(), PREFIX));
        });
        let _ = interface.routes_mut().add_default_ipv4_route(GATEWAY);
        let mut socket = Socket::new(
            SocketBuffer::new(&mut receive[..]),
            SocketBuffer::new(&mut send[..]),
        );
        // The port's frames are small, and the host waits for each.
        socket.set_nagle_enabled(false);
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_timeout(Some(GIVE_UP));
        let mut sockets = SocketSet::new(&mut connections[..]);
        let connection = sockets.add(socket);
        let mut line = Ethernet {
            nic,
            interface,
            sockets,
            connection,
        };
        line.poll();
        Some(line)
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.connection)
    }

    /// Listens again once the last connection is over. False while some of its bytes have not been read.
    fn listen(&mut self) -> bool {
        let socket = self.socket();
        match socket.state() {
            State::Listen | State::SynReceived | State::Established => return true,
            _ if socket.recv_queue() > 0 => return false,
            State::Closed => {}
            _ => {
                socket.abort();
                // Sends the reset to the host.
                self.send();
            }
        }
        // Only an open socket refuses this, and this one is closed.
        let _ = self.socket().listen(PORT);
        true
    }

    /// Processes received frames and sends what waits to be sent.
    fn poll(&mut self) {
        self.nic.acknowledge();
        // One frame at a time: after the end of a connection, the next frame may start another.
        while self.listen() {
            let taken = self
                .interface
                .poll_ingress_single(now(), &mut self.nic, &mut self.sockets);
            if matches!(taken, PollIngressSingleResult::None) {
                break;
            }
        }
        self.send();
    }

    fn send(&mut self) {
        self.interface
            .poll_egress(now(), &mut self.nic, &mut self.sockets);
    }
}

impl ErrorType for Ethernet {
    type Error = Infallible;
}

impl ReadReady for Ethernet {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        if !self.socket().can_recv() {
            self.poll();
        }
        Ok(self.socket().can_recv())
    }
}

impl Read for Ethernet {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.socket().recv_slice(bytes).unwrap_or(0))
    }
}

impl WriteReady for Ethernet {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        if self.socket().may_send() && !self.socket().can_send() {
            self.poll();
        }
        let socket = self.socket();
        Ok(socket.can_send() || !socket.may_send())
    }
}

impl Write for Ethernet {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        // Without a connection the bytes are dropped, as by a serial cable that is not plugged in.
        Ok(self.socket().send_slice(bytes).unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.send();
        Ok(())
    }
}
