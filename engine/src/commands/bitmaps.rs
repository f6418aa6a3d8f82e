//! Commands on strings as rows of bits. The first bit is the top one of the first byte.

use base::limits::STRING_SIZE_MAX;

use super::{BITMAP, check_size, check_sizes, integer_of, is_option, range_of};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, Logs, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] = &[BITCOUNT, BITOP, BITPOS, GETBIT, SETBIT];
const _: () = assert!(is_sorted(FAMILY));

const BITCOUNT: Command<Run> = Command {
    name: "bitcount",
    summary: "Counts the ones of a string or of a part of it.",
    since: "2.6.0",
    complexity: "O(N) in the size of the part.",
    arity: Arity::AtLeast(2),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(count),
    ..BITMAP
};

fn count(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, part) = match args {
        [key] => (key, None),
        [key, start, last] => (key, Some((integer_of(start)?, integer_of(last)?, Unit::Byte))),
        [key, start, last, unit] => {
            (key, Some((integer_of(start)?, integer_of(last)?, Unit::parse(unit)?)))
        }
        _ => return Err(CommandError::Syntax),
    };
    let value = cx.string(key)?.unwrap_or_default();
    let bits = match part {
        None => 0..8 * value.len(),
        Some((start, last, unit)) => unit.bits(start, last, value.len()),
    };
    cx.reply.integer(count_ones(value, bits) as i64);
    Ok(())
}

/// What positions count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bit,
    Byte,
}

impl Unit {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        if is_option(word, "bit") {
            Ok(Self::Bit)
        } else if is_option(word, "byte") {
            Ok(Self::Byte)
        } else {
            Err(CommandError::Syntax)
        }
    }

    /// The bits that two positions name in a string of `size` bytes.
    fn bits(self, start: i64, last: i64, size: usize) -> std::ops::Range<usize> {
        match self {
            Self::Bit => range_of(start, last, 8 * size),
            Self::Byte => {
                let bytes = range_of(start, last, size);
                8 * bytes.start..8 * bytes.end
            }
        }
    }
}

/// The bytes that hold some bits, the first and the last without the bits around those.
fn masked(value: &[u8], bits: std::ops::Range<usize>) -> impl Iterator<Item = (usize, u8, u8)> {
    let (start, end) = (bits.start / 8, bits.end.div_ceil(8));
    let bytes = if bits.is_empty() { &[][..] } else { &value[start..end] };
    bytes.iter().enumerate().map(move |(index, byte)| {
        let at = start + index;
        let before = bits.start.saturating_sub(8 * at);
        let behind = (8 * at + 8).saturating_sub(bits.end);
        (at, *byte, (0xff >> before) & (0xff << behind) as u8)
    })
}

fn count_ones(value: &[u8], bits: std::ops::Range<usize>) -> u64 {
    let whole = bits.start.div_ceil(8)..bits.end / 8;
    if whole.end <= whole.start {
        return masked(value, bits)
            .map(|(_, byte, mask)| u64::from((byte & mask).count_ones()))
            .sum();
    }
    let (words, rest) = value[whole.clone()].as_chunks::<8>();
    let words: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    let rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    words
        + rest
        + count_ones(value, bits.start..8 * whole.start)
        + count_ones(value, 8 * whole.end..bits.end)
}

const BITOP: Command<Run> = Command {
    name: "bitop",
    summary: "Combines strings bit by bit and stores the outcome.",
    since: "2.6.0",
    complexity: "O(N) in the sizes of the strings.",
    arity: Arity::AtLeast(4),
    keys: Keys::Several(&[
        KeySpec::at(2, &[KeyFlag::Ow, KeyFlag::Update]),
        KeySpec::from(3, &[KeyFlag::Ro, KeyFlag::Access]),
    ]),
    flags: &[Flag::DenyOom, Flag::Logs(Logs::Values)],
    run: Run::Write(combine),
    ..BITMAP
};

fn combine(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [name, target, sources @ ..] = args else { unreachable!("the arity is at least four") };
    let (is_not, operation): (bool, fn(u8, u8) -> u8) = if is_option(name, "and") {
        (false, |one, other| one & other)
    } else if is_option(name, "or") {
        (false, |one, other| one | other)
    } else if is_option(name, "xor") {
        (false, |one, other| one ^ other)
    } else if is_option(name, "not") {
        (true, |one, _| !one)
    } else {
        return Err(CommandError::Syntax);
    };
    if is_not && sources.len() != 1 {
        return Err(CommandError::NotOfManyKeys);
    }
    check_sizes(&args[1..])?;
    let mut outcome: Vec<u8> = Vec::new();
    for (index, key) in sources.iter().enumerate() {
        let value = cx.string(Lookup::Read, key)?.unwrap_or_default();
        if index == 0 {
            outcome.extend_from_slice(value);
            continue;
        }
        // Shorter strings go on with zeros.
        outcome.resize(outcome.len().max(value.len()), 0);
        let (common, rest) = outcome.split_at_mut(value.len());
        common.iter_mut().zip(value).for_each(|(one, other)| *one = operation(*one, *other));
        rest.iter_mut().for_each(|one| *one = operation(*one, 0));
    }
    if is_not {
        outcome.iter_mut().for_each(|one| *one = operation(*one, 0));
    }
    // Nothing fails below this line.
    let db = cx.db;
    let is_there = cx.look(Lookup::Change, target).is_some();
    if !outcome.is_empty() {
        // The outcome is raw, as only a string is that was written into.
        if is_there {
            cx.apply(Effect::PutString { db, key: target, value: b"", expire_ms: None });
        }
        cx.apply(Effect::SetRange { db, key: target, offset: 0, bytes: &outcome });
        cx.notify(Class::String, "set", target);
    } else if is_there {
        cx.apply(Effect::Delete { db, key: target });
        cx.notify(Class::Generic, "del", target);
    }
    cx.reply.integer(outcome.len() as i64);
    Ok(())
}

const BITPOS: Command<Run> = Command {
    name: "bitpos",
    summary: "Finds the first one or zero of a string or of a part of it.",
    since: "2.8.7",
    complexity: "O(N) in the size of the part.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(position),
    ..BITMAP
};

fn position(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, wanted, part @ ..] = args else { unreachable!("the arity is at least three") };
    let wanted = match integer_of(wanted)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::NeitherOneNorZero),
    };
    let (start, last, unit) = match part {
        [] => (None, None, Unit::Byte),
        [start] => (Some(integer_of(start)?), None, Unit::Byte),
        [start, last] => (Some(integer_of(start)?), Some(integer_of(last)?), Unit::Byte),
        [start, last, unit] => {
            let start = integer_of(start)?;
            let unit = Unit::parse(unit)?;
            (Some(start), Some(integer_of(last)?), unit)
        }
        _ => return Err(CommandError::Syntax),
    };
    let Some(value) = cx.string(key)? else {
        // An endless row of zeros.
        cx.reply.integer(if wanted { -1 } else { 0 });
        return Ok(());
    };
    // Unlike elsewhere, two positions before the first are the first.
    let (start, end) = (start.unwrap_or(0), last.unwrap_or(i64::MAX));
    let size = if unit == Unit::Bit { 8 * value.len() } else { value.len() };
    let (start, end) = (start.max(-(size as i64)), end.max(-(size as i64)));
    let bits = unit.bits(start, end, value.len());
    let answer = match find(value, bits.clone(), wanted) {
        Some(position) => position as i64,
        // Behind a string without an end there are zeros.
        None if !wanted && last.is_none() && !bits.is_empty() => bits.end as i64,
        None => -1,
    };
    cx.reply.integer(answer);
    Ok(())
}

fn find(value: &[u8], bits: std::ops::Range<usize>, wanted: bool) -> Option<usize> {
    masked(value, bits).find_map(|(at, byte, mask)| {
        let wanted = if wanted { byte } else { !byte } & mask;
        (wanted != 0).then(|| 8 * at + wanted.leading_zeros() as usize)
    })
}

const GETBIT: Command<Run> = Command {
    name: "getbit",
    summary: "Returns one bit of a string; behind its end there are zeros.",
    since: "2.2.0",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    flags: &[Flag::Fast],
    run: Run::Read(get),
    ..BITMAP
};

fn get(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, offset] = args else { unreachable!("the arity is exact") };
    let offset = bit_offset(offset)?;
    let value = cx.string(key)?.unwrap_or_default();
    cx.reply.integer(bit_at(value, offset).into());
    Ok(())
}

fn bit_at(value: &[u8], offset: u64) -> u8 {
    let byte = value.get((offset / 8) as usize).copied().unwrap_or(0);
    (byte >> (7 - offset % 8)) & 1
}

const SETBIT: Command<Run> = Command {
    name: "setbit",
    summary: "Sets one bit of a string and returns what it was.",
    since: "2.2.0",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    flags: &[Flag::DenyOom],
    run: Run::Write(set),
    ..BITMAP
};

fn set(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, offset, bit] = args else { unreachable!("the arity is exact") };
    let offset = bit_offset(offset)?;
    let bit = match parse_integer(bit) {
        Some(0) => 0,
        Some(1) => 1,
        _ => return Err(CommandError::NotABit),
    };
    check_size(key)?;
    let at = (offset / 8) as usize;
    let value = cx.string(Lookup::Change, key)?;
    let is_inside = value.is_some_and(|value| at < value.len());
    let value = value.unwrap_or_default();
    let old = bit_at(value, offset);
    let byte = value.get(at).copied().unwrap_or(0);
    // Nothing fails below this line.
    if !is_inside || old != bit {
        let mask = 0x80 >> (offset % 8);
        let bytes = [if bit == 1 { byte | mask } else { byte & !mask }];
        cx.apply(Effect::SetRange { db: cx.db, key, offset: at as u32, bytes: &bytes });
        cx.notify(Class::String, "setbit", key);
    }
    cx.reply.integer(old.into());
    Ok(())
}

fn bit_offset(word: &[u8]) -> Result<u64, CommandError> {
    let offset = parse_integer(word).and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| is_bit(*offset)).ok_or(CommandError::NotABitOffset)
}

/// Can a string have a bit there?
pub(super) fn is_bit(offset: u64) -> bool {
    offset / 8 < STRING_SIZE_MAX as u64
}
