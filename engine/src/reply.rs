//! Where a handler puts its reply.
//!
//! The node implements this over the encoder of the client's protocol; the engine does not know
//! which protocol that is. Sizes are announced first, elements follow.

#[cfg(test)]
pub(crate) mod tests;

/// A reply being written. `array`, `map`, `set` and `push` take the count of what follows them; a
/// map's count is its pairs.
pub trait ReplySink {
    fn simple(&mut self, text: &str);
    /// `text` starts with the error's code, as in `ERR syntax error`.
    fn error(&mut self, text: &str);
    fn bulk(&mut self, bytes: &[u8]);
    /// About so many bytes follow.
    fn expect(&mut self, _size: usize) {}
    fn integer(&mut self, number: i64);
    fn null(&mut self);
    /// What RESP2 sends for an absent array; RESP3 has one null.
    fn null_array(&mut self);
    fn array(&mut self, count: usize);
    fn map(&mut self, count: usize);
    fn set(&mut self, count: usize);
    fn push(&mut self, count: usize);
    /// An array of pairs. [`pair`](Self::pair) goes before the two elements of each: in RESP3 they
    /// are an array of their own, in RESP2 all elements are in one.
    fn pairs(&mut self, count: usize);
    fn pair(&mut self);
    fn boolean(&mut self, value: bool);
    fn double(&mut self, number: f64);
    /// Text for people; `format` is three letters, `txt` or `mkd`.
    fn verbatim(&mut self, format: &str, bytes: &[u8]);
    /// An integer beyond 64 bits, in decimal.
    fn big_number(&mut self, digits: &str);
}
