//! The directives that can change while the server runs, each declared once.
//!
//! CONFIG GET and SET, the configuration file, the flags and the table in the documentation are
//! derived from it. The texts of the refusals are Redis's, because its tools and tests look at
//! them.

use engine::{Classes, EncodingLimits};

use super::{MemoryPolicy, OutputLimit, Settings};
use crate::durability::Durability;

/// A directive that can change while the server runs.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    /// Placeholder of the value in `--help`.
    pub hint: &'static str,
    pub doc: &'static str,
    pub effect: Effect,
    /// Another name for it.
    pub alias: Option<&'static str>,
    kind: Kind,
}

/// What comes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Takes,
    /// Its value is what Toroid does anyway, and no other is accepted.
    States,
    /// It is kept and shown, and changes nothing: there is nothing here for it to change.
    Nothing,
}

#[derive(Debug)]
enum Kind {
    Integer {
        least: i64,
        most: i64,
        get: fn(&Settings) -> i64,
        set: fn(&mut Settings, i64),
    },
    Bytes {
        least: u64,
        get: fn(&Settings) -> u64,
        set: fn(&mut Settings, u64),
    },
    Boolean {
        get: fn(&Settings) -> bool,
        set: fn(&mut Settings, bool),
    },
    Text {
        get: fn(&Settings) -> String,
        set: fn(&mut Settings, &[u8]) -> Result<(), String>,
    },
    /// A number, or bytes with a unit.
    Limit {
        get: fn(&EncodingLimits) -> usize,
        set: fn(&mut EncodingLimits, usize),
    },
    /// Kept by name.
    KeptInteger {
        least: i64,
        most: i64,
        default: i64,
    },
    KeptBytes {
        default: u64,
    },
    KeptBoolean {
        default: bool,
    },
    /// Only this.
    Fixed {
        value: &'static str,
        why: &'static str,
    },
}

impl Setting {
    /// Reads a value, as CONFIG SET or a file has it.
    ///
    /// # Errors
    ///
    /// Why it cannot be set, in Redis's words where Redis has any.
    pub fn set(&self, settings: &mut Settings, value: &[u8]) -> Result<(), String> {
        match self.kind {
            Kind::Integer { least, most, set, .. } => {
                set(settings, integer(value, least, most)?);
            }
            Kind::Bytes { least, set, .. } => {
                let size = bytes(value).ok_or("argument must be a memory value")?;
                if size < least {
                    let most = u64::MAX;
                    return Err(format!("argument must be between {least} and {most} inclusive"));
                }
                set(settings, size);
            }
            Kind::Limit { set, .. } => {
                let size = bytes(value).ok_or("argument must be a memory value")?;
                let most = i64::MAX as u64;
                if most < size {
                    return Err(format!("argument must be between 0 and {most} inclusive"));
                }
                set(&mut settings.encodings, usize::try_from(size).unwrap_or(usize::MAX));
            }
            Kind::Boolean { set, .. } => set(settings, boolean(value)?),
            Kind::Text { set, .. } => set(settings, value)?,
            Kind::KeptInteger { least, most, .. } => {
                let value = integer(value, least, most)?;
                settings.kept.insert(self.name, value.to_string());
            }
            Kind::KeptBytes { .. } => {
                let size = bytes(value).ok_or("argument must be a memory value")?;
                settings.kept.insert(self.name, size.to_string());
            }
            Kind::KeptBoolean { .. } => {
                settings.kept.insert(self.name, yes_or_no(boolean(value)?));
            }
            Kind::Fixed { value: fixed, why } => {
                if !value.eq_ignore_ascii_case(fixed.as_bytes()) {
                    return Err(why.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Says why a value cannot be set.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn check(&self, value: &[u8]) -> Result<(), String> {
        self.set(&mut Settings::default(), value)
    }

    /// The value unless it is configured.
    pub fn default_value(&self) -> String {
        self.value(&Settings::default())
    }

    /// The value in force, as CONFIG GET shows it.
    pub fn value(&self, settings: &Settings) -> String {
        let kept = || settings.kept.get(self.name).cloned();
        match self.kind {
            Kind::Integer { get, .. } => get(settings).to_string(),
            Kind::Bytes { get, .. } => get(settings).to_string(),
            Kind::Limit { get, .. } => get(&settings.encodings).to_string(),
            Kind::Boolean { get, .. } => yes_or_no(get(settings)),
            Kind::Text { get, .. } => get(settings),
            Kind::KeptInteger { default, .. } => kept().unwrap_or_else(|| default.to_string()),
            Kind::KeptBytes { default } => kept().unwrap_or_else(|| default.to_string()),
            Kind::KeptBoolean { default } => kept().unwrap_or_else(|| yes_or_no(default)),
            Kind::Fixed { value, .. } => value.to_owned(),
        }
    }

    /// The setting called `name`, in any case.
    pub fn find(name: &[u8]) -> Option<&'static Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        SETTINGS.iter().find(|setting| is(setting.name) || setting.alias.is_some_and(is))
    }
}

fn integer(value: &[u8], least: i64, most: i64) -> Result<i64, String> {
    let parsed =
        engine::parse_integer(value).ok_or("argument couldn't be parsed into an integer")?;
    match (least..=most).contains(&parsed) {
        true => Ok(parsed),
        false => Err(format!("argument must be between {least} and {most} inclusive")),
    }
}

fn boolean(value: &[u8]) -> Result<bool, String> {
    match &value.to_ascii_lowercase()[..] {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".to_owned()),
    }
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// A size with Redis's units: 1k = 1000, 1kb = 1024, and so on for m and g.
fn bytes(value: &[u8]) -> Option<u64> {
    let value = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match &value[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

const INT_MAX: i64 = i32::MAX as i64;

const fn takes(name: &'static str, hint: &'static str, doc: &'static str, kind: Kind) -> Setting {
    Setting { name, hint, doc, effect: Effect::Takes, alias: None, kind }
}

/// Kept for tools that set it.
const fn kept(name: &'static str, least: i64, most: i64, default: i64) -> Setting {
    Setting {
        name,
        hint: "NUMBER",
        doc: "Kept and shown. Toroid decides this by itself.",
        effect: Effect::Nothing,
        alias: None,
        kind: Kind::KeptInteger { least, most, default },
    }
}

const fn kept_flag(name: &'static str, default: bool) -> Setting {
    Setting { hint: "yes|no", kind: Kind::KeptBoolean { default }, ..kept(name, 0, 0, 0) }
}

const fn states(
    name: &'static str,
    value: &'static str,
    doc: &'static str,
    why: &'static str,
) -> Setting {
    Setting {
        name,
        hint: value,
        doc,
        effect: Effect::States,
        alias: None,
        kind: Kind::Fixed { value, why },
    }
}

/// How large a collection is stored in one piece, as listpack or intset.
const fn limit(
    name: &'static str,
    alias: Option<&'static str>,
    doc: &'static str,
    get: fn(&EncodingLimits) -> usize,
    set: fn(&mut EncodingLimits, usize),
) -> Setting {
    let kind = Kind::Limit { get, set };
    Setting { name, hint: "NUMBER", doc, effect: Effect::Takes, alias, kind }
}

/// How large a collection is stored densely: there are no such collections yet.
const fn dense(
    name: &'static str,
    alias: Option<&'static str>,
    least: i64,
    default: i64,
) -> Setting {
    Setting {
        doc: "Kept and shown, for the types to come.",
        alias,
        ..kept(name, least, i64::MAX, default)
    }
}

/// Every setting, sorted by name.
pub const SETTINGS: &[Setting] = &[
    takes(
        "active-expire-effort",
        "1-10",
        "How much of a turn may go into finding expired keys.",
        Kind::Integer {
            least: 1,
            most: 10,
            get: |settings| i64::from(settings.active_expire_effort),
            set: |settings, value| settings.active_expire_effort = value as u32,
        },
    ),
    states(
        "activedefrag",
        "no",
        "Memory is never moved.",
        "the allocator of this server does not need it",
    ),
    states(
        "activerehashing",
        "yes",
        "Tables grow a segment at a time.",
        "tables always grow in small steps",
    ),
    states("aof-use-rdb-preamble", "yes", "There is one log format.", "there is one log format"),
    states(
        "auto-aof-rewrite-percentage",
        "0",
        "The log is not rewritten.",
        "the log is not rewritten",
    ),
    takes(
        "client-output-buffer-limit",
        "CLASS HARD SOFT SECONDS",
        "When a client that does not read its replies is closed; 0: never.",
        Kind::Text {
            get: |settings| {
                let shown = |class: &str, limit: OutputLimit| {
                    format!("{class} {} {} {}", limit.hard, limit.soft, limit.soft_s)
                };
                let replica = settings
                    .kept
                    .get("output-limit-replica")
                    .map_or("slave 268435456 67108864 60", String::as_str);
                let normal = shown("normal", settings.output_limit);
                format!("{normal} {replica} {}", shown("pubsub", settings.pubsub_output_limit))
            },
            set: set_output_limits,
        },
    ),
    takes(
        "client-query-buffer-limit",
        "BYTES",
        "Bytes of requests a client may have sent that were not executed.",
        Kind::Bytes {
            least: 1024 * 1024,
            get: |settings| settings.query_size_max as u64,
            set: |settings, value| settings.query_size_max = value as usize,
        },
    ),
    states("cluster-enabled", "no", "There is one endpoint.", "cluster mode is not there yet"),
    states(
        "daemonize",
        "no",
        "The server stays in the foreground.",
        "can't set immutable config: let systemd or a shell put the server elsewhere",
    ),
    takes(
        "durability",
        "local|memory",
        "When a write is answered: once it is on stable storage, or once it is executed. For new connections.",
        Kind::Text {
            get: |settings| settings.durability.to_string(),
            set: |settings, value| {
                settings.durability = level(value)?;
                Ok(())
            },
        },
    ),
    takes(
        "durability-floor",
        "local|memory",
        "The weakest level CLIENT DURABILITY may choose.",
        Kind::Text {
            get: |settings| settings.durability_floor.to_string(),
            set: |settings, value| {
                settings.durability_floor = level(value)?;
                Ok(())
            },
        },
    ),
    limit(
        "hash-max-listpack-entries",
        Some("hash-max-ziplist-entries"),
        "Fields of a hash that is stored as a listpack, at most.",
        |limits| limits.hash_max_listpack_entries,
        |limits, value| limits.hash_max_listpack_entries = value,
    ),
    limit(
        "hash-max-listpack-value",
        Some("hash-max-ziplist-value"),
        "Bytes of each field and value of such a hash, at most.",
        |limits| limits.hash_max_listpack_value,
        |limits, value| limits.hash_max_listpack_value = value,
    ),
    kept("hll-sparse-max-bytes", 0, i64::MAX, 3000),
    kept("hz", 1, 500, 10),
    states(
        "io-threads",
        "1",
        "Cores are threads of their own; see `cores`.",
        "use 'cores' to serve from several",
    ),
    takes(
        "latency-monitor-threshold",
        "MILLISECONDS",
        "What takes so long is remembered for LATENCY; 0: nothing.",
        Kind::Integer {
            least: 0,
            most: i64::MAX,
            get: |settings| settings.latency_threshold_ms as i64,
            set: |settings, value| settings.latency_threshold_ms = value as u64,
        },
    ),
    takes(
        "latency-tracking",
        "yes|no",
        "The time of each execution is recorded by command.",
        Kind::Boolean {
            get: |settings| settings.latency_tracking,
            set: |settings, value| settings.latency_tracking = value,
        },
    ),
    takes(
        "latency-tracking-info-percentiles",
        "PERCENTILES",
        "Which percentiles INFO latencystats tells.",
        Kind::Text {
            get: |settings| {
                let shown = settings.latency_percentiles.iter().map(ToString::to_string);
                shown.collect::<Vec<_>>().join(" ")
            },
            set: set_percentiles,
        },
    ),
    kept_flag("lazyfree-lazy-eviction", false),
    kept_flag("lazyfree-lazy-expire", false),
    kept_flag("lazyfree-lazy-server-del", false),
    kept_flag("lazyfree-lazy-user-del", false),
    kept_flag("lazyfree-lazy-user-flush", false),
    kept("lfu-decay-time", 0, INT_MAX, 1),
    kept("lfu-log-factor", 0, INT_MAX, 10),
    kept("list-compress-depth", 0, INT_MAX, 0),
    Setting {
        alias: Some("list-max-ziplist-size"),
        ..takes(
            "list-max-listpack-size",
            "NUMBER",
            "Elements of a node of a list; -1 to -5: 4, 8, 16, 32 or 64 KiB.",
            Kind::Integer {
                least: INT_MIN,
                most: INT_MAX,
                get: |settings| settings.encodings.list_max_listpack_size,
                set: |settings, value| settings.encodings.list_max_listpack_size = value,
            },
        )
    },
    takes(
        "maxclients",
        "COUNT",
        "Connections served at once; more are refused with an error.",
        Kind::Integer {
            least: 1,
            most: 60_000,
            get: |settings| settings.clients_max as i64,
            set: |settings, value| settings.clients_max = value as usize,
        },
    ),
    takes(
        "maxmemory",
        "BYTES",
        "Bytes all cores may use together; 0: as many as there are. Unless set, 80 % of the memory \
         this process may use.",
        Kind::Bytes {
            least: 0,
            get: |settings| settings.memory_max,
            set: |settings, value| settings.memory_max = value,
        },
    ),
    takes(
        "maxmemory-policy",
        "POLICY",
        "What goes when memory is short.",
        Kind::Text {
            get: |settings| settings.memory_policy.name().to_owned(),
            set: |settings, value| {
                let policy = std::str::from_utf8(value).ok().and_then(MemoryPolicy::parse);
                settings.memory_policy = policy.ok_or(
                    "argument(s) must be one of the following: volatile-lru, volatile-lfu, \
                 volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, \
                 noeviction",
                )?;
                Ok(())
            },
        },
    ),
    takes(
        "maxmemory-samples",
        "COUNT",
        "Keys looked at for each that is evicted.",
        Kind::Integer {
            least: 1,
            most: INT_MAX,
            get: |settings| settings.memory_samples as i64,
            set: |settings, value| settings.memory_samples = value as usize,
        },
    ),
    takes(
        "memory-durability-age",
        "MILLISECONDS",
        "At level memory: writes are refused while the oldest unflushed one is older.",
        Kind::Integer {
            least: 10,
            most: 60_000,
            get: |settings| settings.memory_durability_age_ms as i64,
            set: |settings, value| settings.memory_durability_age_ms = value as u64,
        },
    ),
    kept("min-replicas-max-lag", 0, INT_MAX, 10),
    states(
        "min-replicas-to-write",
        "0",
        "There is no replica.",
        "there is no replica that could be asked for",
    ),
    takes(
        "notify-keyspace-events",
        "LETTERS",
        "Keyspace notifications that are published.",
        Kind::Text {
            get: |settings| settings.notify_classes.letters(),
            set: |settings, value| {
                settings.notify_classes = Classes::parse(value)
                    .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
                Ok(())
            },
        },
    ),
    takes(
        "protected-mode",
        "yes|no",
        "Without a password, refuse clients that are not on this host.",
        Kind::Boolean {
            get: |settings| settings.protected_mode,
            set: |settings, value| settings.protected_mode = value,
        },
    ),
    Setting {
        hint: "BYTES",
        kind: Kind::KeptBytes { default: 512 * 1024 * 1024 },
        ..kept("proto-max-bulk-len", 0, 0, 0)
    },
    kept("repl-backlog-size", 0, i64::MAX, 1_048_576),
    kept("repl-ping-replica-period", 1, INT_MAX, 10),
    kept("repl-timeout", 1, INT_MAX, 60),
    takes(
        "requirepass",
        "PASSWORD",
        "The password clients give with AUTH; empty for none.",
        Kind::Text {
            get: |settings| {
                String::from_utf8_lossy(settings.password.as_deref().unwrap_or_default())
                    .into_owned()
            },
            set: |settings, value| {
                settings.password = (!value.is_empty()).then(|| value.to_vec());
                Ok(())
            },
        },
    ),
    kept_flag("sanitize-dump-payload", false),
    takes(
        "save",
        "SECONDS CHANGES ..",
        "Snapshot everything when so many seconds and changes have passed since the last time; \
         empty: only the growth of the log and BGSAVE do.",
        Kind::Text { get: save_points, set: set_save_points },
    ),
    limit(
        "set-max-intset-entries",
        None,
        "Members of a set of integers that is stored as an intset, at most.",
        |limits| limits.set_max_intset_entries,
        |limits, value| limits.set_max_intset_entries = value,
    ),
    limit(
        "set-max-listpack-entries",
        None,
        "Members of a set that is stored as a listpack, at most.",
        |limits| limits.set_max_listpack_entries,
        |limits, value| limits.set_max_listpack_entries = value,
    ),
    limit(
        "set-max-listpack-value",
        None,
        "Bytes of each member of such a set, at most.",
        |limits| limits.set_max_listpack_value,
        |limits, value| limits.set_max_listpack_value = value,
    ),
    takes(
        "slowlog-log-slower-than",
        "MICROSECONDS",
        "A command that takes so long is remembered for SLOWLOG; -1: none.",
        Kind::Integer {
            least: -1,
            most: i64::MAX,
            get: |settings| settings.slowlog_slower_than_us,
            set: |settings, value| settings.slowlog_slower_than_us = value,
        },
    ),
    takes(
        "slowlog-max-len",
        "COUNT",
        "Commands that SLOWLOG remembers, of each core.",
        Kind::Integer {
            least: 0,
            most: i64::MAX,
            get: |settings| settings.slowlog_len_max as i64,
            set: |settings, value| settings.slowlog_len_max = value as usize,
        },
    ),
    takes(
        "snapshot-log-size",
        "BYTES",
        "A slice is snapshotted when its log has grown by its share of this, and by half of its \
         last snapshot. When the log is longer than four times this and the snapshots together, \
         writes are slowed down to the pace at which snapshots are written.",
        Kind::Bytes {
            least: 64 * 1024,
            get: |settings| settings.snapshot_log_size,
            set: |settings, value| settings.snapshot_log_size = value,
        },
    ),
    dense("stream-node-max-bytes", None, 0, 4096),
    dense("stream-node-max-entries", None, 0, 100),
    takes(
        "tcp-keepalive",
        "SECONDS",
        "The host of a client that is silent for so long is asked whether it is still there; 0: \
         never. For connections made from then on.",
        Kind::Integer {
            least: 0,
            most: INT_MAX,
            get: |settings| settings.tcp_keepalive_s as i64,
            set: |settings, value| settings.tcp_keepalive_s = value as u64,
        },
    ),
    takes(
        "timeout",
        "SECONDS",
        "A client that sends nothing for so long is closed; 0: never.",
        Kind::Integer {
            least: 0,
            most: INT_MAX,
            get: |settings| settings.timeout_s as i64,
            set: |settings, value| settings.timeout_s = value as u64,
        },
    ),
    limit(
        "zset-max-listpack-entries",
        Some("zset-max-ziplist-entries"),
        "Members of a sorted set that is stored as a listpack, at most.",
        |limits| limits.zset_max_listpack_entries,
        |limits, value| limits.zset_max_listpack_entries = value,
    ),
    limit(
        "zset-max-listpack-value",
        Some("zset-max-ziplist-value"),
        "Bytes of each member of such a sorted set, at most.",
        |limits| limits.zset_max_listpack_value,
        |limits, value| limits.zset_max_listpack_value = value,
    ),
];

const INT_MIN: i64 = i32::MIN as i64;

fn level(value: &[u8]) -> Result<Durability, String> {
    Durability::parse(value)
        .ok_or_else(|| "argument(s) must be one of the following: local, memory".to_owned())
}

fn set_percentiles(settings: &mut Settings, value: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(value);
    let mut percentiles = Vec::new();
    for word in text.split_whitespace() {
        let percentile = word.parse::<f64>().ok().filter(|one| (0.0..=100.0).contains(one));
        percentiles.push(percentile.ok_or(
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        )?);
    }
    settings.latency_percentiles = percentiles;
    Ok(())
}

fn save_points(settings: &Settings) -> String {
    let points = settings.save_points.iter();
    let points = points.map(|(seconds, changes)| format!("{seconds} {changes}"));
    points.collect::<Vec<_>>().join(" ")
}

fn set_save_points(settings: &mut Settings, value: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(value);
    let numbers = text.split_whitespace().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    let numbers = numbers.ok().filter(|numbers| numbers.len().is_multiple_of(2));
    let numbers = numbers.ok_or("Invalid save parameters")?;
    let points: Vec<_> = numbers.chunks(2).map(|point| (point[0], point[1])).collect();
    if points.iter().any(|(seconds, _)| *seconds == 0) {
        return Err("Invalid save parameters".to_owned());
    }
    settings.save_points = points;
    Ok(())
}

fn set_output_limits(settings: &mut Settings, value: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(value).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    for class in words.chunks(4) {
        let size = |word: &str| bytes(word.as_bytes()).map(|size| size as usize);
        let parsed = (size(class[1]), size(class[2]), class[3].parse::<u64>().ok());
        let (Some(hard), Some(soft), Some(soft_s)) = parsed else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration."
                    .to_owned(),
            );
        };
        let limit = OutputLimit { hard, soft, soft_s };
        match &class[0].to_ascii_lowercase()[..] {
            "normal" => settings.output_limit = limit,
            "pubsub" => settings.pubsub_output_limit = limit,
            "slave" | "replica" => {
                let shown = format!("slave {hard} {soft} {soft_s}");
                settings.kept.insert("output-limit-replica", shown);
            }
            _ => {
                return Err(
                    "Invalid client class specified in buffer limit configuration.".to_owned()
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert!(names.is_sorted_by(|one, next| one < next));
    }

    /// Red when a value shown is one that cannot be set.
    #[test]
    fn every_value_shown_can_be_set_again() {
        let mut settings = Settings::default();
        for setting in SETTINGS {
            let shown = setting.value(&settings);
            setting.set(&mut settings, shown.as_bytes()).expect(setting.name);
            assert_eq!(setting.value(&settings), shown);
        }
    }

    #[test]
    fn what_only_states_a_fact_cannot_state_another() {
        let mut settings = Settings::default();
        for setting in SETTINGS.iter().filter(|setting| setting.effect == Effect::States) {
            assert!(setting.set(&mut settings, b"another").is_err(), "{}", setting.name);
        }
    }

    #[test]
    fn sizes_have_the_units_of_redis() {
        for (text, size) in
            [("1", 1), ("1k", 1000), ("1kb", 1024), ("2MB", 2 << 20), ("1g", 1_000_000_000)]
        {
            assert_eq!(bytes(text.as_bytes()), Some(size));
        }
        for text in ["", "x", "1x", "-1", "99999999999gb"] {
            assert_eq!(bytes(text.as_bytes()), None, "{text}");
        }
    }
}
