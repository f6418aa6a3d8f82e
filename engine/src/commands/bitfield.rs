//! BITFIELD: integers of any width among the bits of a string.

use base::limits::STRING_SIZE_MAX;

use super::bitmaps::is_bit;
use super::{BITMAP, check_size, integer_of, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, Logs, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] = &[BITFIELD, BITFIELD_RO];
const _: () = assert!(is_sorted(FAMILY));

const BITFIELD: Command<Run> = Command {
    name: "bitfield",
    summary: "Reads, sets and adds to integers among the bits of a string.",
    since: "3.2.0",
    complexity: "O(1) for each integer.",
    arity: Arity::AtLeast(2),
    keys: Keys::FirstVarying {
        flags: &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update, KeyFlag::VariableFlags],
        of: |args| match Request::parse(args.get(1..).unwrap_or_default()) {
            Ok(request) if request.is_read() => &[KeyFlag::Ro, KeyFlag::Access],
            _ => &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update],
        },
    },
    flags: &[Flag::DenyOom, Flag::Logs(Logs::KeyPerArgument)],
    run: Run::Write(bitfield),
    ..BITMAP
};

const BITFIELD_RO: Command<Run> = Command {
    name: "bitfield_ro",
    summary: "Reads integers among the bits of a string.",
    since: "6.0.0",
    complexity: "O(1) for each integer.",
    arity: Arity::AtLeast(2),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    flags: &[Flag::Fast],
    run: Run::Read(read_only),
    ..BITMAP
};

fn bitfield(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, words @ ..] = args else { unreachable!("the arity is at least two") };
    let request = Request::parse(words)?;
    if request.is_read() {
        let value = cx.string(Lookup::Read, key)?.unwrap_or_default();
        let answers: Vec<_> = request.fields.iter().map(|one| one.field.read(value)).collect();
        cx.reply.array(answers.len());
        answers.into_iter().for_each(|answer| cx.reply.integer(answer));
        return Ok(());
    }
    check_size(key)?;
    if STRING_SIZE_MAX < request.size_needed() {
        return Err(CommandError::StringTooLong);
    }
    let size = cx.string(Lookup::Change, key)?.map_or(0, <[u8]>::len);
    // Nothing fails below this line.
    let db = cx.db;
    let needed = request.size_needed();
    let grows = size < needed;
    if grows {
        // The string has room for all that is written before anything is.
        cx.apply(Effect::SetRange { db, key, offset: needed as u32 - 1, bytes: &[0] });
    }
    let mut changes = 0;
    cx.reply.array(request.fields.len());
    for Operation { field, change } in &request.fields {
        let value = cx.spaces.live(db, key, cx.now_ms).and_then(|entry| entry.string());
        let value = value.expect("it was there or was made above");
        let old = field.read(value);
        let Some(change) = change else {
            cx.reply.integer(old);
            continue;
        };
        let Some(new) = change.apply(*field, old) else {
            cx.reply.null();
            continue;
        };
        cx.reply.integer(if change.is_set { old } else { new });
        if old != new {
            let (offset, bytes, size) = field.write(value, new);
            cx.apply(Effect::SetRange { db, key, offset, bytes: &bytes[..size] });
        }
        changes += usize::from(grows || old != new);
    }
    if 0 < changes {
        cx.notify(Class::String, "setbit", key);
    }
    Ok(())
}

fn read_only(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, words @ ..] = args else { unreachable!("the arity is at least two") };
    let request = Request::parse(words)?;
    if !request.is_read() {
        return Err(CommandError::BitfieldReadOnly);
    }
    let value = cx.string(key)?.unwrap_or_default();
    cx.reply.array(request.fields.len());
    for Operation { field, .. } in &request.fields {
        cx.reply.integer(field.read(value));
    }
    Ok(())
}

/// Everything one request asks for, in order.
struct Request {
    fields: Vec<Operation>,
}

struct Operation {
    field: Field,
    /// None only reads.
    change: Option<Change>,
}

/// What is done to a field.
struct Change {
    /// The number is the new value; else it is added to the old.
    is_set: bool,
    number: i64,
    overflow: Overflow,
}

/// What becomes of a number that a field cannot hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

impl Request {
    fn parse(words: Args<'_>) -> Result<Self, CommandError> {
        let mut fields = Vec::new();
        let mut overflow = Overflow::Wrap;
        let mut rest = words;
        while let [name, others @ ..] = rest {
            rest = match others {
                [kind, offset, others @ ..] if is_option(name, "get") => {
                    fields.push(Operation { field: Field::parse(kind, offset)?, change: None });
                    others
                }
                [kind, offset, number, others @ ..]
                    if is_option(name, "set") || is_option(name, "incrby") =>
                {
                    let field = Field::parse(kind, offset)?;
                    let (is_set, number) = (is_option(name, "set"), integer_of(number)?);
                    let change = Some(Change { is_set, number, overflow });
                    fields.push(Operation { field, change });
                    others
                }
                [word, others @ ..] if is_option(name, "overflow") => {
                    overflow = Overflow::parse(word)?;
                    others
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        Ok(Self { fields })
    }

    fn is_read(&self) -> bool {
        self.fields.iter().all(|operation| operation.change.is_none())
    }

    /// Bytes a string must have for all that is written.
    fn size_needed(&self) -> usize {
        let written = self.fields.iter().filter(|operation| operation.change.is_some());
        written.map(|operation| operation.field.bytes().end).max().unwrap_or(0)
    }
}

impl Overflow {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        if is_option(word, "wrap") {
            Ok(Self::Wrap)
        } else if is_option(word, "sat") {
            Ok(Self::Saturate)
        } else if is_option(word, "fail") {
            Ok(Self::Fail)
        } else {
            Err(CommandError::NotAnOverflowType)
        }
    }
}

impl Change {
    /// The new value; None if nothing is to be written.
    fn apply(&self, field: Field, old: i64) -> Option<i64> {
        let (value, summand) = if self.is_set { (self.number, 0) } else { (old, self.number) };
        let beyond = match field.is_signed {
            true => field.signed_overflow(value, summand),
            false => field.unsigned_overflow(value, summand),
        };
        let sum = value.wrapping_add(summand);
        let (min, max) = field.limits();
        match (beyond, self.overflow) {
            (None, _) => Some(sum),
            (Some(_), Overflow::Wrap) => Some(field.extend(sum as u64)),
            (Some(End::Below), Overflow::Saturate) => Some(min),
            (Some(End::Above), Overflow::Saturate) => Some(max),
            (Some(_), Overflow::Fail) => None,
        }
    }
}

/// On which side a number leaves the range of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Below,
    Above,
}

/// An integer among the bits of a string.
#[derive(Clone, Copy)]
struct Field {
    is_signed: bool,
    /// At most 64, at most 63 without a sign.
    width: u32,
    /// The place of its top bit.
    offset: u64,
}

impl Field {
    fn parse(kind: &[u8], offset: &[u8]) -> Result<Self, CommandError> {
        let (is_signed, width) = match kind {
            [b'i', width @ ..] => (true, width),
            [b'u', width @ ..] => (false, width),
            _ => return Err(CommandError::NotABitfieldType),
        };
        let width = parse_integer(width).and_then(|width| u32::try_from(width).ok());
        let width_max = if is_signed { 64 } else { 63 };
        let width = width.filter(|width| (1..=width_max).contains(width));
        let width = width.ok_or(CommandError::NotABitfieldType)?;
        // Behind a `#` fields are counted instead of bits.
        let (word, unit) = match offset {
            [b'#', word @ ..] => (word, i64::from(width)),
            word => (word, 1),
        };
        let offset = parse_integer(word).and_then(|offset| offset.checked_mul(unit));
        let offset = offset.and_then(|offset| u64::try_from(offset).ok());
        let offset = offset.filter(|offset| is_bit(*offset)).ok_or(CommandError::NotABitOffset)?;
        Ok(Self { is_signed, width, offset })
    }

    /// The smallest and the largest number it can hold.
    fn limits(self) -> (i64, i64) {
        let max = match self.is_signed {
            true => u64::MAX.checked_shr(65 - self.width).unwrap_or(0) as i64,
            false => (u64::MAX >> (64 - self.width)) as i64,
        };
        (if self.is_signed { -max - 1 } else { 0 }, max)
    }

    /// Where Redis finds that `value + summand` leaves the range of a signed field.
    ///
    /// The distances to the ends wrap: a value set far below the range counts as above it where
    /// the distance to the upper end does not fit 64 bits. Clients see that when they saturate.
    fn signed_overflow(self, value: i64, summand: i64) -> Option<End> {
        let (min, max) = self.limits();
        let (up, down) = (max.wrapping_sub(value), min.wrapping_sub(value));
        let is_narrow = self.width != 64;
        if max < value || (up < summand && (is_narrow || (0 <= value && 0 < summand))) {
            Some(End::Above)
        } else if value < min || (summand < down && (is_narrow || (value < 0 && summand < 0))) {
            Some(End::Below)
        } else {
            None
        }
    }

    /// The same for an unsigned field: there a negative value is a very large one.
    fn unsigned_overflow(self, value: i64, summand: i64) -> Option<End> {
        let (_, max) = self.limits();
        let is_beyond = (max as u64) < value as u64;
        if is_beyond || (0 < summand && max.wrapping_sub(value) < summand) {
            Some(End::Above)
        } else if summand < 0 && summand < value.wrapping_neg() {
            Some(End::Below)
        } else {
            None
        }
    }

    /// The bytes its bits are in: nine at most.
    fn bytes(self) -> std::ops::Range<usize> {
        let end = self.offset + u64::from(self.width);
        (self.offset / 8) as usize..end.div_ceil(8) as usize
    }

    /// Bits behind its last in its last byte.
    fn behind(self) -> u32 {
        (8 * self.bytes().end as u64 - self.offset - u64::from(self.width)) as u32
    }

    /// Its bytes as one number; zeros behind the string's end.
    fn gather(self, value: &[u8]) -> u128 {
        self.bytes()
            .fold(0, |number, at| (number << 8) | u128::from(value.get(at).copied().unwrap_or(0)))
    }

    fn read(self, value: &[u8]) -> i64 {
        self.extend((self.gather(value) >> self.behind()) as u64)
    }

    /// The number that the low `width` bits spell.
    fn extend(self, bits: u64) -> i64 {
        let unused = 64 - self.width;
        match self.is_signed {
            true => ((bits << unused) as i64) >> unused,
            false => ((bits << unused) >> unused) as i64,
        }
    }

    /// What its bytes become: where they begin, they, and how many there are.
    fn write(self, value: &[u8], number: i64) -> (u32, [u8; 16], usize) {
        let mask = u128::from(u64::MAX >> (64 - self.width)) << self.behind();
        let bits = (u128::from(number as u64) << self.behind()) & mask;
        let merged = (self.gather(value) & !mask) | bits;
        let size = self.bytes().len();
        let mut bytes = [0; 16];
        bytes[..size].copy_from_slice(&merged.to_be_bytes()[16 - size..]);
        (self.bytes().start as u32, bytes, size)
    }
}
