//! Where the keys are among a command's words, and what is done to them.

use std::slice;

/// Where the keys are among the arguments. Words are counted from the name, which is word 0, or
/// from the subcommand's name.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    None,
    /// The first argument.
    First(&'static [KeyFlag]),
    /// The first argument; what is done to it follows from the others. `flags` tells all that may
    /// be done.
    FirstVarying {
        flags: &'static [KeyFlag],
        of: fn(&[&[u8]]) -> &'static [KeyFlag],
    },
    /// Every argument.
    All(&'static [KeyFlag]),
    /// From word `first` in steps; `last` below zero counts from the end, -1 being the last word.
    Range {
        first: u16,
        last: i16,
        step: u16,
        flags: &'static [KeyFlag],
    },
    /// Several groups, each with its flags.
    Several(&'static [KeySpec]),
}

/// One group of keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// The word where the group begins.
    pub first: u16,
    pub find: Find,
    pub flags: &'static [KeyFlag],
}

/// How a group goes on.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// To word `last`, below zero counted from the end, in steps.
    Range { last: i16, step: u16 },
    /// The word where it begins tells how many keys follow.
    Counted,
    /// The word behind the last option `name`. From the word where the group begins on, options
    /// take that many words with them.
    Option { name: &'static str, options: &'static [(&'static str, usize)] },
    /// The request does not tell: what the command finds names the keys.
    Unknown,
}

/// What a command does to its keys, in Redis's terms and in the order Redis reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyFlag {
    /// Reads the value and changes nothing.
    Ro,
    /// Changes the value.
    Rw,
    /// Overwrites the value whatever it was.
    Ow,
    /// Removes the key.
    Rm,
    /// The value reaches the client or another key.
    Access,
    /// The value may change to one that depends on the old.
    Update,
    /// A value is added and none is changed.
    Insert,
    /// Something is deleted.
    Delete,
    /// It is routed like a key and is none: a shard channel.
    NotKey,
    /// The flags depend on the arguments.
    VariableFlags,
}

/// A key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// Its place among the arguments.
    pub index: usize,
    pub name: &'a [u8],
    pub flags: &'static [KeyFlag],
}

impl KeySpec {
    /// One key.
    pub const fn at(word: u16, flags: &'static [KeyFlag]) -> Self {
        Self { first: word, find: Find::Range { last: word as i16, step: 1 }, flags }
    }

    /// Every word from `first` on.
    pub const fn from(first: u16, flags: &'static [KeyFlag]) -> Self {
        Self { first, find: Find::Range { last: -1, step: 1 }, flags }
    }

    /// As many keys as the word `at` says, behind it.
    pub const fn counted(at: u16, flags: &'static [KeyFlag]) -> Self {
        Self { first: at, find: Find::Counted, flags }
    }

    /// The half-open range of arguments, and the step.
    fn range(&self, args: &[&[u8]]) -> (usize, usize, usize) {
        let words = args.len() + 1;
        let start = usize::from(self.first).max(1) - 1;
        match self.find {
            Find::Range { last, step } => {
                let last = if last < 0 { words as i64 + i64::from(last) } else { i64::from(last) };
                (start, last.clamp(0, args.len() as i64) as usize, usize::from(step).max(1))
            }
            Find::Counted => {
                let count = args.get(start).and_then(|word| crate::parse_integer(word));
                let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
                let start = (start + 1).min(args.len());
                (start, start + count.min(args.len() - start), 1)
            }
            Find::Option { name, options } => {
                let (mut at, mut found) = (start, None);
                while let Some(word) = args.get(at) {
                    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
                    if is(name) && at + 1 < args.len() {
                        found = Some(at + 1);
                    }
                    let option = options.iter().find(|(name, _)| is(name));
                    at += 1 + option.map_or(0, |(_, count)| *count);
                }
                found.map_or((0, 0, 1), |at| (at, at + 1, 1))
            }
            Find::Unknown => (0, 0, 1),
        }
    }
}

impl Keys {
    /// The keys among `args`.
    pub(super) fn find<'a>(&self, args: &'a [&'a [u8]]) -> KeysOf<'a> {
        let (first, specs) = match *self {
            Keys::None => (None, &[][..]),
            Keys::FirstVarying { of, .. } => (Some(KeySpec::at(1, of(args))), &[][..]),
            Keys::First(flags) => (Some(KeySpec::at(1, flags)), &[][..]),
            Keys::All(flags) => (Some(KeySpec::from(1, flags)), &[][..]),
            Keys::Range { first, last, step, flags } => {
                (Some(KeySpec { first, find: Find::Range { last, step }, flags }), &[][..])
            }
            Keys::Several(specs) => (None, specs),
        };
        let mut keys = KeysOf { args, specs: specs.iter(), next: 0, end: 0, step: 1, flags: &[] };
        if let Some(first) = first {
            keys.begin(&first);
        }
        keys
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Keys::None)
    }

    /// The groups, as declared.
    pub(super) fn specs(&self) -> Vec<KeySpec> {
        match *self {
            Keys::None => Vec::new(),
            Keys::First(flags) | Keys::FirstVarying { flags, .. } => vec![KeySpec::at(1, flags)],
            Keys::All(flags) => vec![KeySpec::from(1, flags)],
            Keys::Range { first, last, step, flags } => {
                vec![KeySpec { first, find: Find::Range { last, step }, flags }]
            }
            Keys::Several(specs) => specs.to_vec(),
        }
    }

    /// First, last and step as `COMMAND` reports them: of all groups that are ranges, joined.
    /// Zeros if there are none.
    pub fn range(&self) -> (u16, i16, u16) {
        let mut joined: Option<(u16, i16, u16)> = None;
        for spec in self.specs() {
            let Find::Range { last, step } = spec.find else { continue };
            joined = Some(match joined {
                None => (spec.first, last, step),
                Some((first, _, step)) if last < 0 => (first, last, step),
                Some((first, before, step)) => (first, before.max(last), step),
            });
        }
        joined.unwrap_or((0, 0, 0))
    }
}

/// The keys of one request, in the order of the groups.
#[derive(Clone, Debug)]
pub(super) struct KeysOf<'a> {
    args: &'a [&'a [u8]],
    /// Groups to come.
    specs: slice::Iter<'static, KeySpec>,
    next: usize,
    end: usize,
    step: usize,
    flags: &'static [KeyFlag],
}

impl KeysOf<'_> {
    fn begin(&mut self, spec: &KeySpec) {
        (self.next, self.end, self.step) = spec.range(self.args);
        self.flags = spec.flags;
    }
}

impl<'a> Iterator for KeysOf<'a> {
    type Item = Key<'a>;

    fn next(&mut self) -> Option<Key<'a>> {
        while self.end <= self.next {
            let spec = self.specs.next()?;
            self.begin(spec);
        }
        let key = Key { index: self.next, name: self.args[self.next], flags: self.flags };
        self.next += self.step;
        Some(key)
    }
}
