//! Work on one link that is in vain once another is lost: a role that waits on one would not see that.

use std::{
    net::Shutdown,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::{
    reception::is_alive,
    tcp::{Handle, TcpEnd},
};

/// Time between two looks at a link.
const LOOK: Duration = Duration::from_millis(100);

/// Does `work`, on links of which `closed` are handles. If the other end of `watched` is gone meanwhile, they are closed, so that
/// the work fails. Nothing may be under way on `watched`.
pub fn while_alive<T>(watched: &TcpEnd, closed: &[Handle], work: impl FnOnce() -> T) -> T {
    let Ok(watched) = watched.handle() else {
        return work();
    };
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        scope.spawn(move || {
            while is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if !is_alive(&watched) {
                    for link in closed {
                        // It may be closed already.
                        let _ = link.shutdown(Shutdown::Both);
                    }
                    return;
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::links::traffic_shaper::TrafficShape;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let near = TcpStream::connect(address).expect("a connection");
        (near, listener.accept().expect("a connection").0)
    }

    #[test]
    fn work_ends_when_the_other_link_is_lost() {
        let ((watched, far), (mut waits, _silent)) = (pair(), pair());
        let watched = TcpEnd::free(watched, TrafficShape::default()).expect("an end");
        let handle = waits.try_clone().expect("a handle");
        let mut work = |far: Option<TcpStream>| {
            drop(far);
            while_alive(&watched, std::slice::from_ref(&handle), || {
                waits.read(&mut [0]).map_or(0, |count| count + 1)
            })
        };
        // The far end is gone: the read ends without a byte.
        assert_eq!(work(Some(far)), 1);
    }

    #[test]
    fn nothing_is_closed_while_the_other_link_is_there() {
        let ((watched, _far), (near, mut far)) = (pair(), pair());
        let watched = TcpEnd::free(watched, TrafficShape::default()).expect("an end");
        let handle = near.try_clone().expect("a handle");
        while_alive(&watched, &[handle], || thread::sleep(3 * LOOK));
        drop(near);
        assert_eq!(far.read(&mut [0]).expect("the end"), 0);
    }
}
