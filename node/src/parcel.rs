//! What one core sends another in one turn.
//!
//! Requests and replies of a turn lie end to end in one buffer, because there are many and they
//! are small; everything else is a [`Message`]. A parcel is handled in this order: what has
//! settled, requests, replies, messages. Between two cores parcels keep their order.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{ConnectionId, CoreId, FrameSequence, Gate, LogIndex, SliceId};
use engine::{Args, Command};
use net::Ticket;
use smallvec::SmallVec;

use crate::ask::{Answer, AskId, Question};
use crate::caller::Caller;
use crate::cores::Home;
use crate::loans::{Grant, LoanRequest};
use crate::pubsub::Publication;
use crate::pubsub::topics::Count;
use crate::registry::Run;
use crate::slice::Lent;
use crate::slow_log::SlowCommand;
use crate::transactions::TransactionId;
use crate::watches::WatchId;

/// The gates of one reply, each of another slice.
pub(crate) type Gates = SmallVec<[Gate; 1]>;

/// Who waits for a reply: a connection of a core, and the place among its replies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReturnAddress {
    pub(crate) core: CoreId,
    pub(crate) connection: ConnectionId,
    pub(crate) ticket: Ticket,
    /// The client wants no reply (CLIENT REPLY).
    pub(crate) is_muted: bool,
}

/// Owner: whoever has it; it moves.
#[derive(Debug, Default)]
pub struct Parcel {
    requests: Vec<RequestHead>,
    /// The words of the requests, end to end, and the size of each.
    words: Vec<u8>,
    sizes: Vec<u32>,
    replies: Vec<ReplyHead>,
    /// The small replies, end to end.
    replied: Vec<u8>,
    /// The others, which are not copied.
    large: VecDeque<Vec<u8>>,
    pub(crate) settled: Vec<(SliceId, LogIndex)>,
    pub(crate) messages: Vec<Message>,
    /// The bytes the sender holds, if they have moved.
    pub(crate) memory: Option<usize>,
    /// The sender's log is durable up to here, the end of a batch: recovery drops nothing of it.
    pub(crate) durable: FrameSequence,
    /// The receiver should not sleep over it.
    wakes: bool,
}

#[derive(Clone, Copy, Debug)]
struct RequestHead {
    caller: Caller,
    address: ReturnAddress,
    command: &'static Command<Run>,
    slice: SliceId,
    word_count: usize,
}

#[derive(Debug)]
struct ReplyHead {
    address: ReturnAddress,
    gates: Gates,
    size: usize,
    is_large: bool,
}

/// What is sent rarely.
#[derive(Debug)]
pub(crate) enum Message {
    /// Lend me slices.
    Loan(LoanRequest),
    /// Here they are.
    Granted(Grant),
    /// Here they are back, with what was executed on them.
    Returned {
        lent: Vec<Lent>,
        home: Home,
    },
    /// The session is over, but for a long command that keeps its slices.
    Kept,
    /// All participants of the transaction on the sending core say yes (PROTOCOL 3.7).
    Vouched(TransactionId),
    /// A connection no longer watches keys of these slices.
    Unwatched {
        watch: WatchId,
        slices: Vec<SliceId>,
    },
    Asked {
        id: AskId,
        question: Arc<Question>,
    },
    Answered {
        id: AskId,
        answer: Answer,
    },
    /// A command of the receiver's client took long.
    Slow {
        connection: ConnectionId,
        slow: Box<SlowCommand>,
    },
    /// So many have subscribed on the sending core: a telling, and its number.
    Told {
        number: u64,
        counts: Arc<[Count]>,
    },
    /// The sending core counts what the telling said.
    Known {
        number: u64,
    },
    /// The sending core's log is too long: writes wait, or need to no longer.
    HoldsWrites(bool),
    /// For the subscribers of the receiving core.
    Published(Arc<Publication>),
    /// The sending core has delivered so many bytes of that.
    Delivered {
        size: usize,
    },
    /// Finish what was accepted.
    Shutdown,
    /// The sender's clients are served: it sends no more requests.
    Drained,
}

/// A request as the core that owns its keys sees it.
pub(crate) struct Request<'a> {
    pub(crate) caller: Caller,
    pub(crate) address: ReturnAddress,
    pub(crate) command: &'static Command<Run>,
    pub(crate) slice: SliceId,
    /// The words after the command's name.
    pub(crate) args: Args<'a>,
}

/// A request that waits, with its words.
#[derive(Debug)]
pub(crate) struct WaitingRequest {
    pub(crate) caller: Caller,
    pub(crate) address: ReturnAddress,
    pub(crate) command: &'static Command<Run>,
    pub(crate) slice: SliceId,
    pub(crate) words: Words,
}

/// The words of a request in one buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    sizes: SmallVec<[u32; 8]>,
}

/// Borrowed words, on the stack unless there are many.
pub(crate) type BorrowedWords<'a> = SmallVec<[&'a [u8]; 16]>;

impl Words {
    pub(crate) fn new(args: Args<'_>) -> Self {
        let mut bytes = Vec::with_capacity(args.iter().map(|word| word.len()).sum());
        args.iter().for_each(|word| bytes.extend_from_slice(word));
        Self { bytes, sizes: args.iter().map(|word| word.len() as u32).collect() }
    }

    pub(crate) fn borrow(&self) -> BorrowedWords<'_> {
        split(&mut &self.bytes[..], &self.sizes)
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + size_of_val(&self.sizes[..])
    }
}

impl ReturnAddress {
    pub(crate) fn client(&self) -> (CoreId, ConnectionId) {
        (self.core, self.connection)
    }
}

impl Request<'_> {
    pub(crate) fn to_waiting(&self) -> WaitingRequest {
        let Self { caller, address, command, slice, args } = *self;
        WaitingRequest { caller, address, command, slice, words: Words::new(args) }
    }
}

/// A reply larger than this is not copied: bytes.
const LARGE: usize = 64 * 1024;

/// A buffer larger than this is not kept for the next parcel: bytes.
const KEPT: usize = 1024 * 1024;

impl Parcel {
    /// Nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.replies.is_empty()
            && self.settled.is_empty()
            && self.messages.is_empty()
            && self.memory.is_none()
    }

    /// It says how much memory a core uses, and nothing that anybody waits for.
    pub fn is_about_memory(&self) -> bool {
        self.memory.is_some()
            && self.requests.is_empty()
            && self.replies.is_empty()
            && self.settled.is_empty()
            && self.messages.is_empty()
    }

    pub(crate) fn wakes(&self) -> bool {
        self.wakes
    }

    pub(crate) fn add_request(&mut self, request: &Request<'_>) {
        let Request { caller, address, command, slice, args } = *request;
        for word in args {
            self.words.extend_from_slice(word);
            self.sizes.push(word.len() as u32);
        }
        let word_count = args.len();
        self.requests.push(RequestHead { caller, address, command, slice, word_count });
        self.wakes = true;
    }

    /// `waits`: something else will wake the receiver before anybody misses the reply.
    pub(crate) fn add_reply(
        &mut self,
        address: ReturnAddress,
        bytes: &mut Vec<u8>,
        gates: Gates,
        waits: bool,
    ) {
        let size = bytes.len();
        let is_large = LARGE <= size;
        if is_large {
            self.large.push_back(std::mem::take(bytes));
        } else {
            self.replied.extend_from_slice(bytes);
        }
        self.replies.push(ReplyHead { address, gates, size, is_large });
        self.wakes |= !waits;
    }

    pub(crate) fn add_settled(&mut self, slice: SliceId, settled: LogIndex) {
        self.settled.push((slice, settled));
        self.wakes = true;
    }

    /// The sender holds so many bytes; it takes the place of an older figure.
    pub(crate) fn tell_memory(&mut self, size: usize) {
        self.memory = Some(size);
        self.wakes = true;
    }

    pub(crate) fn add_message(&mut self, message: Message) {
        self.messages.push(message);
        self.wakes = true;
    }

    pub(crate) fn for_each_request(&self, mut take: impl FnMut(&Request<'_>)) {
        let (mut words, mut sizes) = (&self.words[..], &self.sizes[..]);
        for &RequestHead { caller, address, command, slice, word_count } in &self.requests {
            let (of_request, rest) = sizes.split_at(word_count);
            sizes = rest;
            let args = split(&mut words, of_request);
            take(&Request { caller, address, command, slice, args: &args });
        }
    }

    pub(crate) fn for_each_reply(&mut self, mut take: impl FnMut(Reply<'_>)) {
        let mut replied = &self.replied[..];
        for ReplyHead { address, gates, size, is_large } in self.replies.drain(..) {
            let body = if is_large {
                Body::Large(self.large.pop_front().expect("a large reply lies among them"))
            } else {
                let (bytes, rest) = replied.split_at(size);
                replied = rest;
                Body::Small(bytes)
            };
            take(Reply { address, gates, body });
        }
    }

    /// Empties it for use again.
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        clear(&mut self.words);
        self.sizes.clear();
        self.replies.clear();
        clear(&mut self.replied);
        self.large.clear();
        self.settled.clear();
        self.messages.clear();
        self.memory = None;
        self.wakes = false;
    }
}

fn clear(bytes: &mut Vec<u8>) {
    bytes.clear();
    if KEPT < bytes.capacity() {
        *bytes = Vec::new();
    }
}

/// A reply that arrived.
pub(crate) struct Reply<'a> {
    pub(crate) address: ReturnAddress,
    pub(crate) gates: Gates,
    pub(crate) body: Body<'a>,
}

pub(crate) enum Body<'a> {
    Small(&'a [u8]),
    Large(Vec<u8>),
}

/// The parcels of this turn, one for each core, and empty ones. Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parcels: Vec<Option<Box<Parcel>>>,
    #[expect(clippy::vec_box, reason = "a parcel travels in its box; moving it out would copy it")]
    spare: Vec<Box<Parcel>>,
}

/// Empty parcels kept.
const SPARE_MAX: usize = 64;

impl Outbox {
    pub(crate) fn new(cores: u16) -> Self {
        Self { parcels: (0..cores).map(|_| None).collect(), spare: Vec::new() }
    }

    /// What `core` gets at the end of this turn.
    pub(crate) fn to(&mut self, core: CoreId) -> &mut Parcel {
        let Self { parcels, spare } = self;
        parcels[usize::from(core.0)].get_or_insert_with(|| spare.pop().unwrap_or_default())
    }

    /// The next parcel that leaves this turn.
    pub(crate) fn poll(&mut self, durable: FrameSequence) -> Option<(CoreId, Box<Parcel>)> {
        let at = self.parcels.iter().position(Option::is_some)?;
        let mut parcel = self.parcels[at].take().expect("it was just found");
        assert!(!parcel.is_empty());
        parcel.durable = durable;
        Some((CoreId(at as u16), parcel))
    }

    /// A parcel that arrived and was handled.
    pub(crate) fn recycle(&mut self, mut parcel: Box<Parcel>) {
        if self.spare.len() < SPARE_MAX {
            parcel.clear();
            self.spare.push(parcel);
        }
    }
}

fn split<'a>(bytes: &mut &'a [u8], sizes: &[u32]) -> BorrowedWords<'a> {
    sizes
        .iter()
        .map(|size| {
            let (word, rest) = bytes.split_at(*size as usize);
            *bytes = rest;
            word
        })
        .collect()
}
