//! Signals as something to read: SIGTERM and SIGINT are blocked and come through a signalfd.

use std::io;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// Blocks SIGTERM and SIGINT in the calling thread and in all threads it starts afterwards, and
/// ignores SIGPIPE in the process.
///
/// Call it first in `main`: a thread that was started earlier would still die of the signal.
pub fn block_signals() -> io::Result<()> {
    let set = watched();
    // SAFETY: set is an initialized signal set; a null old set is allowed.
    let errno = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    // SAFETY: ignoring a signal installs no handler, so nothing of ours runs in signal context.
    let previous = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    if previous == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Opens a descriptor that becomes readable when a watched signal is pending.
pub(crate) fn open() -> io::Result<OwnedFd> {
    block_signals()?;
    let set = watched();
    // SAFETY: set is an initialized signal set; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: signalfd has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes one pending signal, if there is one.
pub(crate) fn take(signalfd: &OwnedFd) -> Option<Signal> {
    let mut bytes = [0; mem::size_of::<libc::signalfd_siginfo>()];
    let size = rustix::io::read(signalfd, &mut bytes).ok()?;
    assert_eq!(size, bytes.len(), "a signalfd yields whole records (signalfd(2))");
    // ssi_signo is the first field, a u32.
    let number = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    match i32::try_from(number) {
        Ok(libc::SIGTERM) => Some(Signal::Terminate),
        Ok(libc::SIGINT) => Some(Signal::Interrupt),
        _ => None,
    }
}

fn watched() -> libc::sigset_t {
    let mut set = mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: it was initialized by sigemptyset.
    let mut set = unsafe { set.assume_init() };
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: set is initialized and the signal's number is valid.
        let result = unsafe { libc::sigaddset(&raw mut set, signal) };
        assert_eq!(result, 0, "SIGTERM and SIGINT are valid signals");
    }
    set
}
