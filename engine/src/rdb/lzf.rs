//! LZF: runs of literal bytes, and references to what came at most 8 KiB before.
//!
//! ```text
//! 000LLLLL                        L + 1 literal bytes follow
//! LLLOOOOO oooooooo               L + 2 bytes from O + 1 before, L in 1..=6
//! 111OOOOO LLLLLLLL oooooooo      L + 9 bytes from O + 1 before
//! ```
//!
//! The output is what Redis's compressor would give: the same table of 2^16 places, of which the
//! last three bytes with one index are kept; a reference is taken where there is one; behind a
//! reference only its last two bytes enter the table; a reference never reaches the first byte.
//! That fixes every byte, so that equal values have equal dumps here and there.

const TABLE_SIZE: usize = 1 << 16;
const LITERALS_MAX: usize = 1 << 5;
const OFFSET_MAX: usize = 1 << 13;
const MATCH_MAX: usize = (1 << 8) + (1 << 3);

/// Less than this is not worth saving.
const GAIN_MIN: usize = 4;

/// Compresses one string after another. Owner: what encodes a value.
#[derive(Debug)]
pub(super) struct Compressor {
    /// By the index of three bytes: `base` plus the position where they were last.
    table: Vec<u32>,
    /// What is below is from strings before.
    base: u32,
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self { table: vec![0; TABLE_SIZE], base: 1 }
    }

    /// Appends `input`, compressed. False if that saves too little; `output` is then as it was.
    pub(super) fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        let start = output.len();
        let Some(size) = u32::try_from(input.len()).ok().filter(|_| GAIN_MIN < input.len()) else {
            return false;
        };
        if self.base.checked_add(size).is_none() {
            self.table.fill(0);
            self.base = 1;
        }
        let mut run = Run::begin(output, start + input.len() - GAIN_MIN);
        let is_smaller = self.fill(input, &mut run).is_some();
        self.base += size;
        if !is_smaller {
            output.truncate(start);
        }
        is_smaller
    }

    fn fill(&mut self, input: &[u8], run: &mut Run<'_>) -> Option<()> {
        // What ends before it has three bytes more has nothing to look up.
        let end = input.len().saturating_sub(2);
        let mut position = 0;
        while position < end {
            let Some(source) = self.exchange(input, position) else {
                run.literal(input[position])?;
                position += 1;
                continue;
            };
            let length = match_length(input, source, position);
            run.reference(position - source - 1, length)?;
            position += length;
            if end <= position {
                break;
            }
            self.exchange(input, position - 2);
            self.exchange(input, position - 1);
        }
        run.end(&input[position..])
    }

    /// Where the three bytes at `position` were before, if near enough; they are here now.
    fn exchange(&mut self, input: &[u8], position: usize) -> Option<usize> {
        let [first, second, third] = *input[position..].first_chunk().expect("three are there");
        let bytes = u32::from_be_bytes([0, first, second, third]);
        let index = (bytes >> 8).wrapping_sub(bytes.wrapping_mul(5)) as usize % TABLE_SIZE;
        let known = std::mem::replace(&mut self.table[index], self.base + position as u32);
        let source = known.checked_sub(self.base)? as usize;
        let is_near = 0 < source && position - source <= OFFSET_MAX;
        (is_near && input[source..source + 3] == input[position..position + 3]).then_some(source)
    }
}

/// How many bytes are the same at both positions: at least three, and in general not the last two
/// of the input.
fn match_length(input: &[u8], source: usize, position: usize) -> usize {
    let most = (input.len() - position - 2).min(MATCH_MAX);
    // The first sixteen after those known are compared without looking for the end.
    let most = if 16 < most { most.max(19) } else { most.max(3) };
    let pairs = input[source + 3..].iter().zip(&input[position + 3..position + most]);
    3 + pairs.take_while(|(left, right)| left == right).count()
}

/// The output, whose last bytes are a run of literals behind the byte that counts them.
struct Run<'a> {
    output: &'a mut Vec<u8>,
    /// The output may not become longer, up to what is still open.
    end_max: usize,
    literals: usize,
}

impl<'a> Run<'a> {
    fn begin(output: &'a mut Vec<u8>, end_max: usize) -> Self {
        output.push(0);
        Self { output, end_max, literals: 0 }
    }

    fn push(&mut self, byte: u8) {
        self.output.push(byte);
        self.literals += 1;
        if self.literals == LITERALS_MAX {
            self.close();
            self.open();
        }
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        if self.end_max <= self.output.len() {
            return None;
        }
        self.push(byte);
        Some(())
    }

    fn reference(&mut self, offset: usize, length: usize) -> Option<()> {
        if self.end_max <= self.output.len() - usize::from(self.literals == 0) + 4 {
            return None;
        }
        self.close();
        let high = (offset >> 8) as u8;
        let length = length - 2;
        if length < 7 {
            self.output.push(high | (length as u8) << 5);
        } else {
            self.output.extend_from_slice(&[high | 7 << 5, (length - 7) as u8]);
        }
        self.output.push(offset as u8);
        self.open();
        Some(())
    }

    fn end(&mut self, rest: &[u8]) -> Option<()> {
        if self.end_max < self.output.len() + 3 {
            return None;
        }
        rest.iter().for_each(|byte| self.push(*byte));
        self.close();
        Some(())
    }

    fn open(&mut self) {
        self.output.push(0);
        self.literals = 0;
    }

    /// Writes the count; takes its byte back if there is nothing to count.
    fn close(&mut self) {
        let place = self.output.len() - self.literals - 1;
        if self.literals == 0 {
            self.output.truncate(place);
        } else {
            self.output[place] = (self.literals - 1) as u8;
        }
    }
}

/// The most bytes that `size` compressed ones stand for.
pub(super) fn expanded_size_max(size: usize) -> usize {
    size.saturating_mul(MATCH_MAX.div_ceil(3))
}

/// Appends what `input` stands for, if that is exactly `size` bytes.
pub(super) fn expand(mut input: &[u8], size: usize, output: &mut Vec<u8>) -> Option<()> {
    if expanded_size_max(input.len()) < size {
        return None;
    }
    let start = output.len();
    let end = start + size;
    output.reserve(size);
    while let [control, rest @ ..] = input {
        input = rest;
        let control = usize::from(*control);
        if control < LITERALS_MAX {
            let (literals, rest) = input.split_at_checked(control + 1)?;
            input = rest;
            output.extend_from_slice(literals);
        } else {
            let mut length = (control >> 5) + 2;
            if length == 9 {
                length += usize::from(*input.split_off_first()?);
            }
            let offset = (control % 32) << 8 | usize::from(*input.split_off_first()?);
            let source = output.len().checked_sub(offset + 1).filter(|source| start <= *source)?;
            if end - output.len().min(end) < length {
                return None;
            }
            // What is copied may be what was just written.
            if length <= offset + 1 {
                output.extend_from_within(source..source + length);
            } else {
                for index in source..source + length {
                    output.push(output[index]);
                }
            }
        }
        if end < output.len() {
            return None;
        }
    }
    (output.len() == end).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compressed(input: &[u8]) -> Option<Vec<u8>> {
        let mut output = b"before".to_vec();
        let is_smaller = Compressor::new().compress(input, &mut output);
        assert!(output.starts_with(b"before"));
        assert!(is_smaller || output.len() == 6);
        is_smaller.then(|| output[6..].to_vec())
    }

    fn expanded(input: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut output = b"before".to_vec();
        expand(input, size, &mut output)?;
        assert!(output.starts_with(b"before"));
        Some(output[6..].to_vec())
    }

    #[test]
    fn a_long_run_of_one_byte_becomes_one_reference() {
        let bytes = compressed(&[b'a'; 200]).expect("it is smaller");
        // Two literals, 196 bytes from the second one on, and the two last bytes.
        assert_eq!(bytes, [1, b'a', b'a', 0xe0, 187, 0, 1, b'a', b'a']);
    }

    #[test]
    fn what_saves_less_than_four_bytes_is_not_compressed() {
        assert_eq!(compressed(b"abcdefghijklmnopqrstuvwxyz"), None);
        assert_eq!(compressed(b""), None);
        assert_eq!(compressed(b"aaaa"), None);
    }

    #[test]
    fn a_compressor_forgets_the_string_before() {
        let mut compressor = Compressor::new();
        let input = b"the same bytes, the same bytes, the same bytes";
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert!(compressor.compress(input, &mut first));
        assert!(compressor.compress(b"other bytes, other bytes, other bytes", &mut Vec::new()));
        compressor.base = u32::MAX - 10;
        assert!(compressor.compress(input, &mut second));
        assert_eq!(first, second);
    }

    #[test]
    fn what_reaches_too_far_or_ends_early_is_refused() {
        let cases: &[(&[u8], usize)] = &[
            (&[0x20, 0], 3),            // a reference before the first byte
            (&[0, b'a', 0x20, 1], 4),   // one byte too far
            (&[1, b'a'], 2),            // a literal is missing
            (&[0, b'a', 0x20], 4),      // the offset is missing
            (&[0, b'a', 0xe0, 9], 100), // the same behind a length
            (&[0, b'a'], 2),            // too short
            (&[1, b'a', b'b'], 1),      // too long
            (&[0, b'a', 0x20, 0], 3),   // a reference that is too long
            (&[0, b'a'], usize::MAX),   // a size that no input of this length has
        ];
        for (input, size) in cases {
            assert_eq!(expanded(input, *size), None, "{input:?}");
        }
        assert_eq!(expanded(&[0, b'a', 0x20, 0], 4).as_deref(), Some(&b"aaaa"[..]));
        assert_eq!(expanded(&[], 0).as_deref(), Some(&b""[..]));
    }

    proptest! {
        #[test]
        fn what_is_compressed_expands_to_what_it_was(
            pieces in prop::collection::vec(("[ab]{1,9}|[a-z]{3}", 1usize..90), 0..60),
        ) {
            let input: String = pieces.iter().map(|(piece, count)| piece.repeat(*count)).collect();
            if let Some(bytes) = compressed(input.as_bytes()) {
                prop_assert!(bytes.len() + GAIN_MIN <= input.len());
                let back = expanded(&bytes, input.len());
                prop_assert_eq!(back.as_deref(), Some(input.as_bytes()));
            }
        }

        #[test]
        fn no_input_expands_to_more_than_the_bound(input: Vec<u8>, size in 0usize..5000) {
            if let Some(output) = expanded(&input, size) {
                prop_assert_eq!(output.len(), size);
                prop_assert!(size <= expanded_size_max(input.len()));
            }
        }
    }
}
