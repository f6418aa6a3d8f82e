//! Connections: accepting, receiving, sending, closing.
//!
//! # Why a send without a completion is known to be complete
//!
//! A send carries MSG_DONTWAIT, MSG_WAITALL and CQE_SKIP_SUCCESS. MSG_DONTWAIT marks the request
//! as one that is never polled for nor given to a worker (REQ_F_NOWAIT), so io_uring_enter executes
//! it before it returns. MSG_WAITALL makes anything less than everything a failure: a send that
//! fits in part is to be retried, may not be (NOWAIT), and so fails with the partial count as its
//! result (io_sendrecv_fail). Failing a request withdraws its CQE_SKIP (req_set_fail), and its
//! completion is posted before the submission ends. Hence: once the enter that took a send has
//! returned and all completions have been taken, a send without a completion has sent everything.
//! `ring/selfcheck.rs` tries this on the running kernel whenever a ring is opened.
//!
//! A short send continues as one that waits for the peer and always answers.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use base::ConnectionId;
use io_uring::types::{CancelBuilder, Fd, Fixed};
use io_uring::{opcode, squeue};

use super::connections::{Receive, Sending, Stage};
use super::queue::Completion;
use super::receive;
use super::tag::Tag;
use super::{Ready, Ring};
use crate::clock::monotonic_us;

/// The most one send operation carries: the kernel cuts at just under 2 GiB.
const SEND_SIZE_MAX: usize = 1 << 30;

/// How long accepting pauses after an error that repeats at once, like a full table of open files.
const ACCEPT_PAUSE_US: u64 = 100_000;

pub(super) struct Listener {
    socket: TcpListener,
    /// When to accept again after an error; none while the accept is armed.
    retry_at_us: Option<u64>,
    stopped: bool,
}

impl Ring {
    /// Accepts connections of this listener from now on. Several listeners may be given.
    pub fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        // A non-blocking listener would end the accept with EAGAIN instead of waiting.
        listener.set_nonblocking(false)?;
        let index = u32::try_from(self.listeners.len()).expect("a server has a few listeners");
        self.listeners.push(Listener { socket: listener, retry_at_us: None, stopped: false });
        self.arm_accept(index);
        Ok(())
    }

    /// After so much silence, connections accepted from now on are asked for a sign of life; none:
    /// never.
    pub fn set_keepalive(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.listeners
            .iter()
            .try_for_each(|listener| crate::listen::set_keepalive(&listener.socket, time))
    }

    /// Accepts no more connections; the ports stay bound until the ring is dropped.
    pub fn stop_listening(&mut self) {
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            if std::mem::replace(&mut listener.stopped, true) {
                continue;
            }
            listener.retry_at_us = None;
            let listener = u32::try_from(index).expect("a server has a few listeners");
            let target = CancelBuilder::user_data(Tag::Accept { listener }.encode());
            let cancel = opcode::AsyncCancel2::new(target).build();
            self.queue.push_pointerless(cancel, Tag::CancelAccept { listener });
        }
    }

    /// Sends all of `buffer`; [`super::Event::Sent`] brings it back in the next turn, which comes
    /// at once. At most one send per connection is on its way. Does nothing if the connection is
    /// gone.
    pub fn send(&mut self, id: ConnectionId, buffer: Vec<u8>) {
        self.prompt |= self.start_send(id, buffer);
    }

    /// Like [`Ring::send`], for when nothing waits for the `Sent`: it may come as late as the next
    /// event of any kind, so that the ring can go to sleep in the same call that sends.
    pub fn send_relaxed(&mut self, id: ConnectionId, buffer: Vec<u8>) {
        self.start_send(id, buffer);
    }

    /// Closes a connection once what is being sent has been sent. `Closed` follows.
    pub fn close(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.stage != Stage::Open {
            return;
        }
        if connection.send == Sending::None {
            let closed = self.end(id);
            self.ready.extend(closed);
        } else {
            connection.stage = Stage::Draining;
            self.prompt = true;
        }
    }

    /// Closes a connection at once, whatever is being sent. `Closed` follows.
    pub fn abort(&mut self, id: ConnectionId) {
        let closed = self.end(id);
        self.ready.extend(closed);
    }

    /// Stops reading from a connection; bytes the kernel has already handed over still come.
    pub fn stop_receive(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        connection.receive_wanted = false;
        if connection.receive == Receive::Armed {
            connection.receive = Receive::Cancelling;
            self.cancel_receive(id);
        }
    }

    /// Reads from a connection again.
    pub fn start_receive(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        connection.receive_wanted = true;
        self.arm_receive(id);
    }

    /// Accepts again where a pause is over. Returns when the next pause ends.
    pub(super) fn rearm_listeners(&mut self) -> Option<u64> {
        if self.listeners.iter().all(|listener| listener.retry_at_us.is_none()) {
            return None;
        }
        let now_us = monotonic_us();
        for index in 0..self.listeners.len() {
            if self.listeners[index].retry_at_us.is_some_and(|at| at <= now_us) {
                self.arm_accept(u32::try_from(index).expect("a server has a few listeners"));
            }
        }
        self.listeners.iter().filter_map(|listener| listener.retry_at_us).min()
    }

    fn arm_accept(&mut self, index: u32) {
        let listener = &mut self.listeners[index as usize];
        listener.retry_at_us = None;
        if listener.stopped {
            return;
        }
        let accept = opcode::AcceptMulti::new(Fd(listener.socket.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.queue.push_pointerless(accept, Tag::Accept { listener: index });
    }

    pub(super) fn handle_accept(&mut self, index: u32, completion: Completion) -> Option<Ready> {
        let accepted = (0 <= completion.result).then(|| take_accepted(completion.result));
        if !completion.more {
            match completion.result {
                error if error < 0 && !is_passing(-error) => {
                    self.listeners[index as usize].retry_at_us =
                        Some(monotonic_us() + ACCEPT_PAUSE_US);
                }
                _ => self.arm_accept(index),
            }
        }
        if completion.result < 0 && completion.result != -libc::ECANCELED {
            self.stats.accept_errors += 1;
        }
        let socket = accepted?;
        if self.listeners[index as usize].stopped {
            return None;
        }
        // A client that is gone already has no name any more: nothing to serve.
        let (peer, local) = addresses(&socket)?;
        let Some(id) = self.connections.allocate() else {
            self.stats.connections_refused += 1;
            return None;
        };
        let registered =
            self.queue.submitter().register_files_update(id.index, &[socket.as_raw_fd()]);
        if registered.is_err() {
            self.stats.accept_errors += 1;
            self.connections.release(id);
            return None;
        }
        // The table of registered files holds the socket from here; its descriptor is closed.
        drop(socket);
        self.arm_receive(id);
        Some(Ready::Accepted { id, peer, local })
    }

    fn arm_receive(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let may = connection.stage == Stage::Open
            && connection.receive_wanted
            && connection.receive == Receive::Idle;
        if may {
            connection.receive = Receive::Armed;
            let receive = opcode::RecvMulti::new(Fixed(id.index), receive::GROUP).build();
            self.queue.push_pointerless(receive, Tag::Receive(id));
        }
    }

    pub(super) fn handle_receive(
        &mut self,
        id: ConnectionId,
        completion: Completion,
    ) -> Option<Ready> {
        let connection = self.connections.get(id).expect("a place outlives its operations");
        if !completion.more {
            connection.receive = Receive::Idle;
        }
        let stage = connection.stage;
        if completion.result == -libc::ENOBUFS {
            self.stats.receive_buffers_exhausted += 1;
        }
        let event = match (completion.result, completion.buffer) {
            (1.., Some(buffer)) if stage == Stage::Open => {
                let size = usize::try_from(completion.result).expect("it is positive");
                Some(Ready::Received { id, buffer, size })
            }
            (_, buffer) => {
                if let Some(buffer) = buffer {
                    self.receive.put_back(buffer);
                }
                None
            }
        };
        match completion.result {
            1.. => self.arm_receive(id),
            // Out of buffers, interrupted, or cancelled by stop_receive and perhaps wanted again.
            error if error < 0 && (error == -libc::ENOBUFS || is_passing(-error)) => {
                self.arm_receive(id);
            }
            // The peer sends no more. It may still read: `shutdown(SHUT_WR)` is how scripts ask.
            0 if stage == Stage::Open => {
                let connection = self.connections.get(id).expect("it was looked up above");
                connection.receive_wanted = false;
                return Some(Ready::Ended { id });
            }
            // The connection is broken, or was given up by both sides.
            _ => return self.end(id),
        }
        self.release_if_idle(id);
        event
    }

    fn start_send(&mut self, id: ConnectionId, buffer: Vec<u8>) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        if connection.stage != Stage::Open {
            return false;
        }
        assert_eq!(connection.send, Sending::None, "one send per connection is on its way");
        if buffer.is_empty() {
            self.ready.push_back(Ready::Sent { id, buffer });
            return false;
        }
        let inline = self.inline && buffer.len() <= SEND_SIZE_MAX;
        connection.buffer = buffer;
        connection.sent = 0;
        if !inline {
            self.push_send_waiting(id);
            return false;
        }
        let send = opcode::Send::new(
            Fixed(id.index),
            connection.buffer.as_ptr(),
            u32::try_from(connection.buffer.len()).expect("inline sends are limited"),
        )
        .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: the connection keeps the buffer, whose bytes do not move, until the send is
        // settled; its place outlives that.
        let sequence = unsafe { self.queue.push(send, Tag::SendInline(id)) };
        connection.send = Sending::Inline { sequence };
        self.inline_sends.push_back((sequence, id));
        true
    }

    fn push_send_waiting(&mut self, id: ConnectionId) {
        let connection = self.connections.get(id).expect("the caller has just looked it up");
        let rest = &connection.buffer[connection.sent..];
        let size = u32::try_from(rest.len().min(SEND_SIZE_MAX)).expect("it is limited");
        let send = opcode::Send::new(Fixed(id.index), rest.as_ptr(), size)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        connection.send = Sending::Waiting;
        // SAFETY: the connection keeps the buffer, whose bytes do not move, until the completion of
        // this send has been taken; its place outlives that.
        unsafe { self.queue.push(send, Tag::SendWaiting(id)) };
    }

    /// An inline send answers only when it has not sent everything.
    pub(super) fn handle_inline_failure(&mut self, id: ConnectionId, result: i32) -> Option<Ready> {
        let connection = self.connections.get(id).expect("a place outlives its operations");
        assert!(matches!(connection.send, Sending::Inline { .. }));
        self.stats.sends_waiting += 1;
        self.continue_send(id, result)
    }

    pub(super) fn handle_send(&mut self, id: ConnectionId, result: i32) -> Option<Ready> {
        let connection = self.connections.get(id).expect("a place outlives its operations");
        assert_eq!(connection.send, Sending::Waiting);
        self.continue_send(id, result)
    }

    fn continue_send(&mut self, id: ConnectionId, result: i32) -> Option<Ready> {
        let connection = self.connections.get(id).expect("the caller has just looked it up");
        connection.send = Sending::None;
        if connection.stage == Stage::Dying {
            connection.buffer = Vec::new();
            self.release_if_idle(id);
            return None;
        }
        match usize::try_from(result) {
            Ok(size) => connection.sent += size,
            Err(_) if is_passing(-result) => {}
            Err(_) => return self.end(id),
        }
        assert!(connection.sent <= connection.buffer.len());
        if connection.sent < connection.buffer.len() {
            self.push_send_waiting(id);
            return None;
        }
        self.finish_send(id)
    }

    /// The oldest inline send of which is known by now that it has succeeded. All completions have
    /// been taken.
    pub(super) fn settle_inline_send(&mut self) -> Option<Ready> {
        if self.inline_sends.is_empty() || self.queue.has_overflown() {
            return None;
        }
        let submitted = self.queue.submitted();
        while let Some(&(sequence, id)) = self.inline_sends.front() {
            if submitted < sequence {
                return None;
            }
            self.inline_sends.pop_front();
            let Some(connection) = self.connections.get(id) else { continue };
            if connection.send != (Sending::Inline { sequence }) {
                continue; // It failed, and was dealt with then.
            }
            connection.send = Sending::None;
            if connection.stage == Stage::Dying {
                connection.buffer = Vec::new();
                self.release_if_idle(id);
                continue;
            }
            return self.finish_send(id);
        }
        None
    }

    fn finish_send(&mut self, id: ConnectionId) -> Option<Ready> {
        let connection = self.connections.get(id).expect("the caller has just looked it up");
        let buffer = std::mem::take(&mut connection.buffer);
        if connection.stage == Stage::Draining {
            let closed = self.end(id);
            self.ready.extend(closed);
        }
        Some(Ready::Sent { id, buffer })
    }

    /// Ends a connection that is open or draining: cancels its operations and yields its Closed.
    fn end(&mut self, id: ConnectionId) -> Option<Ready> {
        let connection = self.connections.get(id)?;
        if !matches!(connection.stage, Stage::Open | Stage::Draining) {
            self.release_if_idle(id);
            return None;
        }
        connection.stage = Stage::Dying;
        if connection.send == Sending::None {
            connection.buffer = Vec::new();
        }
        if connection.receive != Receive::Idle || connection.send == Sending::Waiting {
            self.cancel_all(id);
        }
        self.release_if_idle(id);
        Some(Ready::Closed { id })
    }

    fn cancel_receive(&mut self, id: ConnectionId) {
        let connection = self.connections.get(id).expect("the caller has just looked it up");
        connection.cancels += 1;
        let target = CancelBuilder::user_data(Tag::Receive(id).encode());
        let cancel = opcode::AsyncCancel2::new(target).build();
        self.queue.push_pointerless(cancel, Tag::CancelReceive(id));
    }

    fn cancel_all(&mut self, id: ConnectionId) {
        let connection = self.connections.get(id).expect("the caller has just looked it up");
        connection.cancels += 1;
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::fd(Fixed(id.index)).all()).build();
        self.queue.push_pointerless(cancel, Tag::CancelAll(id));
    }

    pub(super) fn handle_cancel(&mut self, id: ConnectionId, completion: Completion) {
        let connection = self.connections.get(id).expect("a place outlives its operations");
        connection.cancels -= 1;
        // The operation may have been between two states, where it is not found. It then ends by
        // itself, or has to be cancelled again.
        let missed = matches!(-completion.result, libc::ENOENT | libc::EALREADY);
        let busy = connection.receive != Receive::Idle || connection.send == Sending::Waiting;
        match connection.stage {
            Stage::Dying if missed && busy => self.cancel_all(id),
            Stage::Open if missed && connection.receive == Receive::Cancelling => {
                self.cancel_receive(id);
            }
            _ => {}
        }
        self.release_if_idle(id);
    }

    /// Takes the socket of a dying connection out of the table once nothing is on its way.
    fn release_if_idle(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let idle = connection.receive == Receive::Idle
            && connection.send == Sending::None
            && connection.cancels == 0;
        if connection.stage == Stage::Dying && idle {
            connection.stage = Stage::Releasing;
            self.queue.push_pointerless(
                opcode::Close::new(Fixed(id.index)).build(),
                Tag::CloseSocket(id),
            );
        }
    }
}

/// Errors after which the same operation is simply tried again.
fn is_passing(errno: i32) -> bool {
    matches!(errno, libc::EINTR | libc::EAGAIN | libc::ECANCELED | libc::ECONNABORTED)
}

/// Takes the socket out of a successful accept.
fn take_accepted(result: i32) -> OwnedFd {
    // SAFETY: the result of an accept that is not negative is a new descriptor, which nobody owns
    // yet; each completion is taken once.
    unsafe { OwnedFd::from_raw_fd(result) }
}

fn addresses(socket: &OwnedFd) -> Option<(SocketAddr, SocketAddr)> {
    let peer = rustix::net::getpeername(socket).ok()??;
    let local = rustix::net::getsockname(socket).ok()?;
    Some((SocketAddr::try_from(peer).ok()?, SocketAddr::try_from(local).ok()?))
}
