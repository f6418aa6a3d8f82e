//! What a request may be answered instead of a reply.

use std::borrow::Cow;

use engine::{CommandError, until_nul};

/// An error of a request. Its text is what the client reads.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// A command's own.
    Command(CommandError),
    NoAuth,
    /// A text that depends on the request, and may hold its bytes.
    Text(Vec<u8>),
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

impl RequestError {
    /// What the client reads: a code, a blank, an explanation.
    pub(crate) fn text(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Command(error) => error.text().into(),
            Self::NoAuth => b"NOAUTH Authentication required."[..].into(),
            Self::Text(text) => text[..].into(),
            Self::Static(text) => text.as_bytes().into(),
            Self::LogRefuses(why) => format!(
                "MISCONF Errors writing to the log: {why}. Reads go on; writes are taken again \
                 by themselves once there is space."
            )
            .into_bytes()
            .into(),
            Self::LogLags { age_ms } => format!(
                "MISCONF Errors writing to the log: the oldest unflushed write is {age_ms} ms \
                 old, more than memory-durability-age allows. Look at the disk."
            )
            .into_bytes()
            .into(),
        }
    }
}

/// A text around the first bytes of something a client sent.
pub(crate) fn around(before: &str, bytes: &[u8], after: &str) -> RequestError {
    let shown = until_nul(bytes);
    let shown = &shown[..shown.len().min(SHOWN_MAX)];
    RequestError::Text([before.as_bytes(), shown, after.as_bytes()].concat())
}

/// Bytes of a request that are shown in an error.
const SHOWN_MAX: usize = 128;
