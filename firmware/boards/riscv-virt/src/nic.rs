//! The network card: virtio-net behind the memory-mapped transport, for smoltcp.

use core::{
    cell::UnsafeCell,
    ptr::{self, NonNull},
    sync::atomic::{AtomicUsize, Ordering},
};

use smoltcp::{
    phy::{self, Device, DeviceCapabilities, Medium},
    time::Instant,
    wire::EthernetAddress,
};
use virtio_drivers::{
    BufferDirection, Hal, PAGE_SIZE, PhysAddr,
    device::net::VirtIONetRaw,
    transport::{
        DeviceType, Transport,
        mmio::{MmioTransport, VirtIOHeader},
    },
};

use crate::machine;

/// The machine's slots for virtio devices: the first one's address, the bytes of each, and their number. Slot n has
/// interrupt n + 1.
const SLOTS: usize = 0x1000_1000;
const SLOT: usize = 0x1000;
const SLOT_COUNT: usize = 8;

/// Entries of each of the card's queues.
const QUEUE: usize = 8;
/// Buffers for frames to be received, and for frames to be sent.
const RECEIVE: usize = 4;
const SEND: usize = 4;
/// Bytes of a buffer: room for the card's header and the longest frame.
const BUFFER: usize = 1536;
/// The longest Ethernet frame, without its checksum.
const MAX_FRAME: usize = 1514;

/// Pages of the pool: two for each of the two queues.
const PAGES: usize = 4;

#[repr(C, align(4096))]
struct Pool(UnsafeCell<[u8; PAGES * PAGE_SIZE]>);

// SAFETY: each page is handed out once; the pool itself is never read or written.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([0; PAGES * PAGE_SIZE]));
static HANDED_OUT: AtomicUsize = AtomicUsize::new(0);

/// Memory for the card's queues. Addresses are physical, and caches are coherent.
enum Memory {}

// SAFETY: the pages of the static pool are aligned, zero from the start, and each is handed out once.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = HANDED_OUT.fetch_add(pages, Ordering::Relaxed);
        if first + pages > PAGES {
            // Address 0 tells the driver that there is no memory left.
            return (0, NonNull::dangling());
        }
        // SAFETY: inside the pool, as just checked.
        let start = unsafe { POOL.0.get().cast::<u8>().add(first * PAGE_SIZE) };
        // SAFETY: a pointer into a static is not null.
        (start as PhysAddr, unsafe { NonNull::new_unchecked(start) })
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // The card is never given up.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        // Only the PCI transport calls this.
        NonNull::new(ptr::without_provenance_mut(address as usize)).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

type Raw = VirtIONetRaw<Memory, MmioTransport<'static>, QUEUE>;

/// The buffers for frames.
pub struct Frames {
    receive: [[u8; BUFFER]; RECEIVE],
    send: [[u8; BUFFER]; SEND],
}

impl Frames {
    /// Empty buffers.
    pub const fn new() -> Self {
        Frames {
            receive: [[0; BUFFER]; RECEIVE],
            send: [[0; BUFFER]; SEND],
        }
    }
}

/// The card.
pub struct Nic {
    raw: Raw,
    frames: &'static mut Frames,
    /// For each token of the card, the buffer in which it may store a received frame.
    waiting: [Option<usize>; QUEUE],
    /// The buffer that smoltcp has just read; it goes back to the card next.
    read: Option<usize>,
    /// For each send buffer, the card's token and the length of the frame that it is sending.
    sending: [Option<(u16, usize)>; SEND],
}

impl Nic {
    /// Finds the card and starts it. None if the machine has none.
    pub fn start(frames: &'static mut Frames) -> Option<Self> {
        let (slot, transport) = (0..SLOT_COUNT).find_map(|slot| {
            let header = NonNull::new((SLOTS + slot * SLOT) as *mut VirtIOHeader)?;
            // SAFETY: the machine has a transport in each slot, and nothing else uses it.
            let transport = unsafe { MmioTransport::new(header, SLOT) }.ok()?;
            (transport.device_type() == DeviceType::Network).then_some((slot, transport))
        })?;
        let mut nic = Nic {
            raw: Raw::new(transport).ok()?,
            frames,
            waiting: [None; QUEUE],
            read: None,
            sending: [None; SEND],
        };
        machine::wake_by(slot + 1);
        for buffer in 0..RECEIVE {
            nic.give_buffer(buffer);
        }
        Some(nic)
    }

    /// The card's address.
    pub fn address(&self) -> EthernetAddress {
        EthernetAddress(self.raw.mac_address())
    }

    /// Acknowledges the card's interrupt, so that it can raise another.
    pub fn acknowledge(&mut self) {
        self.raw.ack_interrupt();
    }

    /// Gives a receive buffer to the card.
    fn give_buffer(&mut self, buffer: usize) {
        // SAFETY: nothing touches the buffer until its token comes back.
        let token = unsafe { self.raw.receive_begin(&mut self.frames.receive[buffer]) };
        if let Some(place) = token
            .ok()
            .and_then(|token| self.waiting.get_mut(usize::from(token)))
        {
            *place = Some(buffer);
        }
    }

    /// The next received frame: its buffer, and its start and end there.
    fn received(&mut self) -> Option<(usize, usize, usize)> {
        let token = self.raw.poll_receive()?;
        let buffer = self.waiting.get_mut(usize::from(token))?.take()?;
        // SAFETY: this buffer was given with this token.
        let outcome = unsafe {
            self.raw
                .receive_complete(token, &mut self.frames.receive[buffer])
        };
        // A damaged frame counts as an empty one.
        let (head, len) = outcome.unwrap_or((0, 0));
        Some((buffer, head.min(BUFFER), (head + len).min(BUFFER)))
    }

    /// A send buffer that the card does not use.
    fn free(&mut self) -> Option<usize> {
        while let Some(token) = self.raw.poll_transmit() {
            let (buffer, len) = self.sending.iter().enumerate().find_map(|(n, sent)| {
                sent.filter(|sent| sent.0 == token).map(|sent| (n, sent.1))
            })?;
            // SAFETY: these bytes were given with this token.
            let sent = unsafe {
                self.raw
                    .transmit_complete(token, &self.frames.send[buffer][..len])
            };
            if sent.is_err() {
                return None;
            }
            self.sending[buffer] = None;
        }
        self.sending.iter().position(Option::is_none)
    }
}

impl Device for Nic {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sender<'_>)> {
        if let Some(buffer) = self.read.take() {
            self.give_buffer(buffer);
        }
        let place = self.free()?;
        let (buffer, start, end) = self.received()?;
        self.read = Some(buffer);
        let Frames { receive, send } = &mut *self.frames;
        let sender = Sender {
            raw: &mut self.raw,
            buffer: &mut send[place],
            sending: &mut self.sending[place],
        };
        Some((Received(&receive[buffer][start..end]), sender))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        let place = self.free()?;
        Some(Sender {
            raw: &mut self.raw,
            buffer: &mut self.frames.send[place],
            sending: &mut self.sending[place],
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities
    }
}

/// A received frame.
pub struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// A free buffer for a frame to be sent.
pub struct Sender<'a> {
    raw: &'a mut Raw,
    buffer: &'a mut [u8; BUFFER],
    sending: &'a mut Option<(u16, usize)>,
}

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        // The buffer has room for the header and MAX_FRAME; smoltcp keeps to that.
        let head = self.raw.fill_buffer_header(self.buffer).unwrap_or(0);
        let end = head + len;
        let outcome = write(&mut self.buffer[head..end]);
        // SAFETY: nothing touches the buffer until its token comes back. If the queue is full, the frame is lost, and
        // TCP repeats it.
        let token = unsafe { self.raw.transmit_begin(&self.buffer[..end]) };
        *self.sending = token.ok().map(|token| (token, end));
        outcome
    }
}
