//! Why the process ends: one status for each reason, so that a supervisor can tell them apart.

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Done = 0,
    /// Something about the start that no other status names.
    Failed = 1,
    /// The command line or the configuration file cannot be used.
    Usage = 2,
    /// The kernel cannot do, or was told not to do, what is needed.
    Kernel = 3,
    /// The data directory cannot be used: locked, foreign, unwritable, without direct I/O, on a disk
    /// too full for a start.
    Directory = 4,
    /// The log holds damage to acknowledged data, or was written by a newer version.
    Damage = 5,
    /// No address to listen on.
    Address = 6,
    /// A write or flush of the log failed. What reached the disk is known after a restart.
    Log = 10,
    /// A second signal asked not to wait.
    Forced = 11,
}

impl Status {
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// A failure with the status to exit with; its text says what happened, why, and what to do.
#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub message: String,
}

impl Failure {
    pub fn new(status: Status, message: impl std::fmt::Display) -> Self {
        Self { status, message: message.to_string() }
    }

    /// Says it and ends the process, whatever the other threads are doing.
    pub fn exit(self) -> ! {
        eprintln!("toroid: {}", self.message);
        std::process::exit(i32::from(self.status.code()))
    }
}
