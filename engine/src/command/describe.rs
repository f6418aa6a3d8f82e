//! Prints declarations in the shapes of Redis 7's `COMMAND INFO` and `COMMAND DOCS`.

use super::{Access, Acl, Arity, Command, Find, Flag, Group, KeyFlag, KeySpec, Runs};
use crate::reply::ReplySink;

impl<R: Runs> Command<R> {
    /// The ten elements `COMMAND` and `COMMAND INFO` give for one command.
    pub fn write_info(&self, reply: &mut dyn ReplySink) {
        let (first, last, step) = self.keys.range();
        let offset = if first == 0 { 0 } else { self.words_before() };
        reply.array(10);
        reply.bulk(self.name.as_bytes());
        reply.integer(self.arity.signed());
        write_names(&self.flag_names(), reply);
        reply.integer(i64::from(first) + offset);
        reply.integer(i64::from(last) + if last < 0 { 0 } else { offset });
        reply.integer(i64::from(step));
        write_names(&self.acl_names(), reply);
        reply.set(self.tips.len());
        for tip in self.tips {
            reply.bulk(tip.as_bytes());
        }
        let specs = self.keys.specs();
        reply.set(specs.len());
        specs.iter().for_each(|spec| spec.write(self.words_before(), reply));
        match self.run.subcommands() {
            // Redis's way: none are a set, some are an array.
            [] => reply.set(0),
            subcommands => {
                reply.array(subcommands.len());
                for subcommand in subcommands {
                    subcommand.write_info(reply);
                }
            }
        }
    }

    /// Words between the request's first and the one that keys are counted from.
    fn words_before(&self) -> i64 {
        i64::from(self.name.contains('|'))
    }

    /// The name and its documentation: one pair of the map `COMMAND DOCS` replies with.
    pub fn write_docs(&self, reply: &mut dyn ReplySink) {
        let subcommands = self.run.subcommands();
        reply.bulk(self.name.as_bytes());
        reply.map(if subcommands.is_empty() { 4 } else { 5 });
        for (field, text) in [
            ("summary", self.summary),
            ("since", self.since),
            ("group", self.group.name()),
            ("complexity", self.complexity),
        ] {
            reply.bulk(field.as_bytes());
            reply.bulk(text.as_bytes());
        }
        if !subcommands.is_empty() {
            reply.bulk(b"subcommands");
            reply.map(subcommands.len());
            for subcommand in subcommands {
                subcommand.write_docs(reply);
            }
        }
    }

    /// Flags as `COMMAND` reports them, those that follow from the handler's kind first.
    pub fn flag_names(&self) -> Vec<&'static str> {
        let derived = match self.run.access() {
            Access::None => None,
            Access::Read => Some("readonly"),
            Access::Write => Some("write"),
        };
        let flags = self.flags.iter().filter_map(|flag| flag.name());
        let is_movable = |spec: &KeySpec| !matches!(spec.find, Find::Range { .. });
        let movable = self.keys.specs().iter().any(is_movable).then_some("movablekeys");
        derived.into_iter().chain(flags).chain(movable).collect()
    }

    /// Every ACL category the command is in, in the order Redis reports them.
    pub fn acl_names(&self) -> Vec<&'static str> {
        let is_admin = self.has_flag(Flag::Admin);
        let is_dangerous = is_admin || self.has_flag(Flag::Dangerous);
        let is_fast = self.has_flag(Flag::Fast);
        let is_collection = self.acl == Acl::Collections;
        let access = self.run.access();
        let member = [
            (self.acl == Acl::Keyspace, "@keyspace"),
            (access == Access::Read, "@read"),
            (access == Access::Write, "@write"),
            (self.acl == Acl::Set || is_collection, "@set"),
            (self.acl == Acl::SortedSet || is_collection, "@sortedset"),
            (self.acl == Acl::List || is_collection, "@list"),
            (self.acl == Acl::Hash, "@hash"),
            (self.acl == Acl::String, "@string"),
            (self.acl == Acl::Bitmap, "@bitmap"),
            (self.acl == Acl::PubSub, "@pubsub"),
            (is_admin, "@admin"),
            (is_fast, "@fast"),
            (!is_fast, "@slow"),
            (is_dangerous, "@dangerous"),
            (self.acl == Acl::Connection, "@connection"),
            (self.acl == Acl::Transaction, "@transaction"),
        ];
        member.into_iter().filter_map(|(is, name)| is.then_some(name)).collect()
    }
}

impl Arity {
    /// Redis's convention: a count of words, negative if more are allowed.
    pub fn signed(self) -> i64 {
        match self {
            Arity::Exactly(count) => i64::from(count),
            Arity::AtLeast(count) => -i64::from(count),
        }
    }
}

impl KeySpec {
    /// A key specification: where the search begins, how keys follow from there.
    fn write(&self, words_before: i64, reply: &mut dyn ReplySink) {
        let first = i64::from(self.first);
        reply.map(3);
        reply.bulk(b"flags");
        let flags: Vec<_> = self.flags.iter().map(|flag| flag.name()).collect();
        write_names(&flags, reply);
        if let Find::Option { .. } | Find::Unknown = self.find {
            write_spec("begin_search", "unknown", &[], reply);
            write_spec("find_keys", "unknown", &[], reply);
            return;
        }
        write_spec("begin_search", "index", &[("index", first + words_before)], reply);
        match self.find {
            Find::Option { .. } | Find::Unknown => unreachable!("they were told"),
            Find::Range { last, step } => {
                // Here a last key is told relative to the first.
                let last = if last < 0 { i64::from(last) } else { i64::from(last) - first };
                let range = [("lastkey", last), ("keystep", i64::from(step)), ("limit", 0)];
                write_spec("find_keys", "range", &range, reply);
            }
            Find::Counted => {
                let counted = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
                write_spec("find_keys", "keynum", &counted, reply);
            }
        }
    }
}

fn write_spec(name: &str, kind: &str, numbers: &[(&str, i64)], reply: &mut dyn ReplySink) {
    reply.bulk(name.as_bytes());
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(numbers.len());
    for (field, number) in numbers {
        reply.bulk(field.as_bytes());
        reply.integer(*number);
    }
}

fn write_names(names: &[&str], reply: &mut dyn ReplySink) {
    reply.set(names.len());
    for name in names {
        reply.simple(name);
    }
}

impl Flag {
    fn name(self) -> Option<&'static str> {
        match self {
            Flag::DenyOom => Some("denyoom"),
            Flag::Admin => Some("admin"),
            Flag::PubSub => Some("pubsub"),
            Flag::NoScript => Some("noscript"),
            Flag::Loading => Some("loading"),
            Flag::Stale => Some("stale"),
            Flag::Fast => Some("fast"),
            Flag::NoAuth => Some("no_auth"),
            Flag::AllowBusy => Some("allow_busy"),
            Flag::NoMulti => Some("no_multi"),
            Flag::Dangerous | Flag::Logs(_) => None,
        }
    }
}

impl KeyFlag {
    /// As `COMMAND` spells it.
    pub fn name(self) -> &'static str {
        match self {
            KeyFlag::Ro => "RO",
            KeyFlag::Rw => "RW",
            KeyFlag::Ow => "OW",
            KeyFlag::Rm => "RM",
            KeyFlag::Access => "access",
            KeyFlag::Update => "update",
            KeyFlag::Insert => "insert",
            KeyFlag::Delete => "delete",
            KeyFlag::NotKey => "not_key",
            KeyFlag::VariableFlags => "variable_flags",
        }
    }
}

impl Group {
    fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Set => "set",
            Group::Hash => "hash",
            Group::Bitmap => "bitmap",
            Group::List => "list",
            Group::SortedSet => "sorted-set",
            Group::PubSub => "pubsub",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Transactions => "transactions",
        }
    }
}
