//! What the server does with a world that is wrong: at start, on the wire, and under a crowd.
//!
//! A refusal says what happened, the cause and the fix; the tests look for the words that carry
//! these, not for sentences.

#[path = "../support/support.rs"]
mod support;

mod cores;
mod crowd;
mod damage;
mod malformed;
mod signals;
mod startup;
