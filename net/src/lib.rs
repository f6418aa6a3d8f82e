//! The bytes between a client and a node: requests decoded, replies encoded and kept in order.
//!
//! A [`Decoder`] finds the requests in what a connection received, without copying them. An
//! [`Encoder`] appends replies to a buffer, in RESP2 or RESP3. A [`ReplyQueue`] keeps a
//! connection's replies in the order of its requests, each behind the log positions it waits for,
//! in buffers that come from and return to a [`BufferPool`].
//!
//! Nothing here knows a socket, a command or a log: bytes in, spans and bytes out.

#![forbid(unsafe_code)]

mod buffer_pool;
mod decode;
mod encode;
mod error;
mod inline;
mod number;
mod reply_queue;

pub use buffer_pool::{BufferPool, reserve};
pub use decode::{Arguments, Decoded, Decoder};
pub use encode::{Encoder, Protocol};
pub use error::ProtocolError;
pub use reply_queue::{CHUNK_SIZE, Front, Mark, ReplyQueue, Ticket};
