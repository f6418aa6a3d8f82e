//! A trial, when a ring is opened, of the one behaviour of the kernel that could lose bytes
//! silently: that an inline send which sends only a part says so.
//!
//! `ring/network.rs` argues from the kernel's sources that it does. Sources change; a kernel that
//! behaves otherwise is found here, before it serves anybody.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use base::ConnectionId;
use io_uring::types::Fd;
use io_uring::{opcode, squeue};

use super::queue::{Queue, Wait};
use super::tag::Tag;

const ID: ConnectionId = ConnectionId { index: 0, generation: 0 };

/// Sends what fits and then what does not, and compares what is reported with what arrived.
pub(super) fn inline_sends_report_what_is_left(queue: &mut Queue) -> io::Result<bool> {
    let (sender, mut receiver) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    let small = [7; 64];
    let large = vec![7; 4 << 20];
    let reports = [
        send_inline(queue, &sender, &small)?,
        send_inline(queue, &sender, &large)?,
        send_inline(queue, &sender, &small)?,
    ];
    let mut arrived = 0;
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(size @ 1..) = receiver.read(&mut bytes) {
        arrived += size;
    }
    Ok(match reports {
        [None, Some(part), Some(error)] => {
            let part = usize::try_from(part).unwrap_or(0);
            0 < part
                && part < large.len()
                && small.len() + part == arrived
                && error == -libc::EAGAIN
        }
        _ => false,
    })
}

/// The completion's result; none if there was no completion.
fn send_inline(queue: &mut Queue, socket: &UnixStream, bytes: &[u8]) -> io::Result<Option<i32>> {
    let size = u32::try_from(bytes.len()).expect("the trial is small");
    let send = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), size)
        .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS);
    // SAFETY: the send executes within the enter below, and bytes is borrowed beyond that; if it
    // did not, MSG_DONTWAIT still keeps the kernel from holding on to it.
    let sequence = unsafe { queue.push(send, Tag::SendInline(ID)) };
    queue.enter(Wait::No).map_err(|error| io::Error::other(error.to_string()))?;
    if queue.submitted() < sequence {
        return Err(io::Error::other("the kernel did not take the trial send"));
    }
    Ok(queue.next_completion().map(|completion| completion.result))
}
