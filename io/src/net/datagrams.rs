//! Many datagrams with one system call, and how many the system has dropped before them.
//!
//! `recvmmsg` fills a fixed number of buffers; each message has room for the one control message that is asked for,
//! `SO_RXQ_OVFL`: how many datagrams the socket has dropped since it was made, because its buffer was full.

#![allow(unsafe_code)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

/// How many datagrams one system call takes at most (a guess: a call costs as much as copying some of them).
pub(super) const BATCH: usize = 64;

/// What a control message with 32 bits takes, with room to spare; aligned as its header has to be.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; 64]);

/// Buffers for one batch.
pub(super) struct Datagrams {
    /// How large one may be.
    size: usize,
    bytes: Box<[u8]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    filled: usize,
    /// What the system last said of the socket's drops.
    overflow: u32,
}

// SAFETY: the pointers in `vectors` and `headers` lead into the boxes beside them, which move with the value and are
// used by nobody else.
unsafe impl Send for Datagrams {}

impl Datagrams {
    /// Buffers for datagrams of at most `size` bytes.
    pub fn new(size: usize) -> Datagrams {
        let bytes = vec![0; size * BATCH].into_boxed_slice();
        let controls = vec![Control([0; 64]); BATCH].into_boxed_slice();
        let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let vectors = vec![empty; BATCH].into_boxed_slice();
        // SAFETY: a message header is plain data, for which all zero is a value: no address, no buffer.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let headers = vec![header; BATCH].into_boxed_slice();
        Datagrams { size, bytes, controls, vectors, headers, filled: 0, overflow: 0 }
    }

    /// Asks the system to tell of drops.
    pub fn tell_drops(socket: &UdpSocket) -> io::Result<()> {
        set(socket, (libc::SOL_SOCKET, libc::SO_RXQ_OVFL), 1)
    }

    /// Asks the system for no datagrams of groups that only others on this machine have joined, which it gives to
    /// whoever has bound the port of every address.
    pub fn only_own_groups(socket: &UdpSocket) -> io::Result<()> {
        set(socket, (libc::IPPROTO_IP, libc::IP_MULTICAST_ALL), 0)
    }

    /// Takes what there is, at most `most` datagrams, without waiting, and gives how many.
    pub fn receive(&mut self, socket: &UdpSocket, most: usize) -> io::Result<usize> {
        let most = most.min(BATCH);
        self.point(most);
        // SAFETY: `most` headers are valid, and each points to a buffer and to room for control messages of the lengths
        // it names, all of them exclusively borrowed here.
        let received = unsafe {
            let headers = self.headers.as_mut_ptr();
            libc::recvmmsg(socket.as_raw_fd(), headers, most as u32, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        self.filled = usize::try_from(received).unwrap_or(0);
        if received < 0 { Err(io::Error::last_os_error()) } else { Ok(self.filled) }
    }

    /// Points the first headers to their buffers: the system has written their lengths over.
    fn point(&mut self, most: usize) {
        let buffers = self.bytes.chunks_exact_mut(self.size).zip(&mut self.controls);
        let headers = self.vectors.iter_mut().zip(&mut self.headers).take(most);
        for ((bytes, control), (vector, header)) in buffers.zip(headers) {
            *vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control.0.len();
        }
    }

    /// One of those that were received; `None` if it was longer than its buffer.
    pub fn datagram(&self, number: usize) -> Option<&[u8]> {
        let header = self.headers[..self.filled][number];
        let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
        let begin = number * self.size;
        whole.then(|| &self.bytes[begin..begin + header.msg_len as usize])
    }

    /// How many datagrams the system has dropped since this was asked last, as far as the last batch tells.
    pub fn dropped(&mut self) -> u32 {
        let Some(last) = self.filled.checked_sub(1) else { return 0 };
        let Some(overflow) = overflow_of(&self.headers[last].msg_hdr) else { return 0 };
        overflow.wrapping_sub(std::mem::replace(&mut self.overflow, overflow))
    }
}

/// Sets an option of a level that is a number.
fn set(
    socket: &UdpSocket,
    (level, option): (libc::c_int, libc::c_int),
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as the socket is borrowed, and the option is a number of that length.
    let set = unsafe {
        let value = ptr::from_ref(&value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, option, value, length)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a message says of drops; nothing before the first.
fn overflow_of(header: &libc::msghdr) -> Option<u32> {
    // SAFETY: the system has filled the header, whose control messages lie in room that it points to; the macros keep
    // within the length it says. The value is 32 bits behind such a message's own header, read without an alignment.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = control.as_ref() {
            if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) {
                return Some(libc::CMSG_DATA(control).cast::<u32>().read_unaligned());
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let (to, from) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        from.connect(to.local_addr().unwrap()).unwrap();
        Datagrams::tell_drops(&to).unwrap();
        (to, from)
    }

    #[test]
    fn a_batch_is_what_there_is_and_what_is_too_long_is_known() {
        let ((to, from), mut datagrams) = (pair(), Datagrams::new(4));
        assert_eq!(datagrams.receive(&to, 9).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for sent in ["one", "", "longer", "two"] {
            from.send(sent.as_bytes()).unwrap();
        }
        assert_eq!(datagrams.receive(&to, 3).unwrap(), 3);
        let got: Vec<_> = (0..3).map(|number| datagrams.datagram(number)).collect();
        assert_eq!(got, [Some(&b"one"[..]), Some(b""), None]);
        assert_eq!(datagrams.receive(&to, 3).unwrap(), 1);
        assert_eq!(datagrams.datagram(0), Some(&b"two"[..]));
        assert_eq!(datagrams.dropped(), 0);
    }

    #[test]
    fn what_the_system_drops_is_counted() {
        let ((to, from), mut datagrams) = (pair(), Datagrams::new(1_500));
        let sent = 5_000;
        for _ in 0..sent {
            from.send(&[7; 1_000]).unwrap();
        }
        let mut received = 0;
        let mut dropped = 0;
        while let Ok(batch) = datagrams.receive(&to, BATCH) {
            received += batch;
            dropped += datagrams.dropped();
        }
        assert!(received < sent, "the buffer of a socket holds no 5 MB");
        from.send(b"behind").unwrap();
        assert_eq!(datagrams.receive(&to, BATCH).unwrap(), 1);
        dropped += datagrams.dropped();
        assert_eq!(received + dropped as usize, sent);
    }
}
