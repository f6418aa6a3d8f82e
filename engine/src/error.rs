//! What a client did wrong, in Redis's exact words.

/// A refusal of one command: it changed nothing and wrote no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// `name` is the full name: `get`, `config|get`.
    #[error("ERR wrong number of arguments for '{name}' command")]
    WrongArity { name: &'static str },
    #[error("ERR syntax error")]
    Syntax,
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
}
