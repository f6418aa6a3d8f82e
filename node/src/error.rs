//! What a request may be answered instead of a reply.

use std::fmt;

use engine::CommandError;

/// An error of a request. Its text is what the client reads.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// A command's own.
    Command(CommandError),
    NoAuth,
    /// A text that depends on the request.
    Text(String),
    /// A text that does not.
    Static(&'static str),
    /// The log has no room and cannot get any.
    LogRefuses(String),
    /// At level memory: the log is too far behind.
    LogLags {
        age_ms: u64,
    },
}

impl From<CommandError> for RequestError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(error) => error.fmt(f),
            Self::NoAuth => f.write_str("NOAUTH Authentication required."),
            Self::Text(text) => f.write_str(text),
            Self::Static(text) => f.write_str(text),
            Self::LogRefuses(why) => write!(
                f,
                "MISCONF Errors writing to the log: {why}. Reads go on; writes are taken again \
                 by themselves once there is space."
            ),
            Self::LogLags { age_ms } => write!(
                f,
                "MISCONF Errors writing to the log: the oldest unflushed write is {age_ms} ms \
                 old, more than memory-durability-age allows. Look at the disk."
            ),
        }
    }
}

/// The first bytes of something a client sent, for an error text.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned()
}
