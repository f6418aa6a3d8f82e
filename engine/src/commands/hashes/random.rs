//! Fields by chance.

use base::{Prng, Set};

use super::{FIELDS, HashView, look, reply_with};
use crate::command::{Arity, Command, KeyFlag, Keys};
use crate::commands::{integer_of, is_option};
use crate::context::{Args, Lookup, ReadCx, Run};
use crate::error::CommandError;
use crate::listpack::Item;

pub(super) const HRANDFIELD: Command<Run> = Command {
    name: "hrandfield",
    summary: "Returns one or some fields of a hash by chance, perhaps with their values.",
    since: "6.2.0",
    complexity: "O(N) in the fields returned.",
    arity: Arity::AtLeast(2),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    tips: &["nondeterministic_output"],
    run: Run::Read(random_field),
    ..FIELDS
};

type Pair<'a> = (Item<'a>, Item<'a>);

fn random_field(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, count, with_values) = match args {
        [key] => (*key, None, false),
        [key, count, options @ ..] => {
            let count = integer_of(count)?;
            if count == i64::MIN {
                return Err(CommandError::OutOfRange { min: -i64::MAX, max: i64::MAX });
            }
            let with_values = match options {
                [] => false,
                [option] if is_option(option, "withvalues") => true,
                _ => return Err(CommandError::Syntax),
            };
            let most = i64::MAX.unsigned_abs() / 2;
            if with_values && most < count.unsigned_abs() {
                return Err(CommandError::BeyondRange);
            }
            (*key, Some(count), with_values)
        }
        [] => unreachable!("the arity is at least two"),
    };
    let hash = look(cx, Lookup::Read, key)?;
    let Some(count) = count else {
        let pair = hash.and_then(|hash| hash.random(cx.prng));
        reply_with(cx.reply, pair.map(|(field, _)| field));
        return Ok(());
    };
    let len = hash.map_or(0, HashView::len);
    let (Some(hash), true) = (hash, count != 0 && len != 0) else {
        cx.reply.array(0);
        return Ok(());
    };
    if count < 0 {
        begin(cx, count.unsigned_abs() as usize, with_values);
        for _ in 0..count.unsigned_abs() {
            let pair = hash.random(cx.prng).expect("a hash is not empty");
            reply_with_pair(cx, pair, with_values);
        }
        return Ok(());
    }
    let drawn = match usize::try_from(count) {
        Ok(count) if count < len => draw(hash, count, cx.prng),
        _ => hash.items(),
    };
    begin(cx, drawn.len(), with_values);
    drawn.into_iter().for_each(|pair| reply_with_pair(cx, pair, with_values));
    Ok(())
}

fn begin(cx: &mut ReadCx<'_>, count: usize, with_values: bool) {
    match with_values {
        false => cx.reply.array(count),
        true => cx.reply.pairs(count),
    }
}

fn reply_with_pair(cx: &mut ReadCx<'_>, (field, value): Pair<'_>, with_values: bool) {
    if with_values {
        cx.reply.pair();
    }
    reply_with(cx.reply, Some(field));
    if with_values {
        reply_with(cx.reply, Some(value));
    }
}

/// As many different fields as asked for, by chance, of more.
fn draw<'a>(hash: HashView<'a>, count: usize, prng: &mut Prng) -> Vec<Pair<'a>> {
    if hash.len() / DRAWN_SHARE < count || hash.is_packed() {
        let mut items = hash.items();
        for place in 0..count {
            let other = place + prng.index(items.len() - place);
            items.swap(place, other);
        }
        items.truncate(count);
        return items;
    }
    let mut drawn = Vec::with_capacity(count);
    let mut seen: Set<&[u8]> = Set::default();
    while drawn.len() < count {
        match hash.random(prng) {
            Some((Item::Bytes(field), value)) if seen.insert(field) => {
                drawn.push((Item::Bytes(field), value));
            }
            _ => {}
        }
    }
    drawn
}

/// Fields are drawn one by one if they are at most one in so many.
const DRAWN_SHARE: usize = 4;
