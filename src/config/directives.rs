//! The table of directives.
//!
//! Names that Redis has mean what they mean there; `appendonly` and `appendfsync` are Redis's
//! words for `durability` and are translated or refused with the reason.

use base::limits;
use node::Durability;

use super::{Bind, Config, LogLevel};

/// One directive: its name, its default in redis.conf syntax, what it does, and how it is set
/// and shown.
#[derive(Debug)]
pub struct Directive {
    pub name: &'static str,
    /// Placeholder of the value in `--help`.
    pub hint: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    pub change: Change,
    set: fn(&mut Config, &[Vec<u8>]) -> Result<(), String>,
    show: fn(&Config) -> String,
}

/// When a directive can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only before the start: something was made in its image.
    AtStart,
    /// While the server runs as well.
    Running,
}

impl Directive {
    pub fn set(&self, config: &mut Config, values: &[Vec<u8>]) -> Result<(), String> {
        (self.set)(config, values)
    }

    pub fn value(&self, config: &Config) -> String {
        (self.show)(config)
    }
}

/// Every directive, sorted by name.
pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "appendfsync",
        hint: "always|everysec",
        default: "always",
        doc: "Redis's word for durability: always is local, everysec is memory.",
        change: Change::Running,
        set: |config, values| match text(values)?.as_str() {
            "always" => set_durability(config, Durability::Local),
            "everysec" => {
                config.memory_durability_age_ms = 1000;
                set_durability(config, Durability::Memory)
            }
            "no" => Err("'no' would leave writes in the page cache for as long as the kernel \
                         likes; Toroid has no mode without a flush. Use 'everysec' (replies do \
                         not wait, at most 1 s can be lost) or 'always'"
                .to_owned()),
            other => Err(format!("'{other}' is neither always nor everysec")),
        },
        show: |config| match config.durability {
            Durability::Local => "always".to_owned(),
            Durability::Memory => "everysec".to_owned(),
        },
    },
    Directive {
        name: "appendonly",
        hint: "yes",
        default: "yes",
        doc: "Always yes: there is no mode without a log.",
        change: Change::Running,
        set: |_, values| match boolean(values)? {
            true => Ok(()),
            false => Err("Toroid has no mode without a log. Remove the line, and use \
                          'durability memory' if replies need not wait for the disk"
                .to_owned()),
        },
        show: |_| "yes".to_owned(),
    },
    Directive {
        name: "bind",
        hint: "ADDRESS",
        default: "127.0.0.1 -::1",
        doc: "Addresses to listen on; one with a leading '-' may be missing on the host.",
        change: Change::AtStart,
        set: |config, values| {
            config.bind = addresses(values)?;
            Ok(())
        },
        show: |config| {
            let shown = config
                .bind
                .iter()
                .map(|bind| format!("{}{}", if bind.optional { "-" } else { "" }, bind.address));
            shown.collect::<Vec<_>>().join(" ")
        },
    },
    Directive {
        name: "cores",
        hint: "COUNT|auto",
        default: "auto",
        doc: "Cores that serve, one pinned thread each; auto: each processor this process may use.",
        change: Change::AtStart,
        set: |config, values| {
            let most = u64::from(limits::SLICES_MAX);
            config.cores = automatic(values, |values| {
                number(values, 1, most, "between 1 and 1024, and not more than there are slices")
            })?;
            Ok(())
        },
        show: |config| config.cores.map_or("auto".to_owned(), |cores| cores.to_string()),
    },
    Directive {
        name: "databases",
        hint: "16",
        default: "16",
        doc: "Databases SELECT can name; fixed.",
        change: Change::AtStart,
        set: |_, values| {
            let fixed = u64::from(limits::DATABASES);
            number(values, fixed, fixed, "the number of databases is fixed").map(drop)
        },
        show: |_| limits::DATABASES.to_string(),
    },
    Directive {
        name: "dir",
        hint: "PATH",
        default: "./toroid-data",
        doc: "The data directory; made when missing. It must allow direct I/O.",
        change: Change::AtStart,
        set: |config, values| {
            config.dir = text(values)?.into();
            Ok(())
        },
        show: |config| config.dir.display().to_string(),
    },
    Directive {
        name: "disable-thp",
        hint: "yes|no",
        default: "yes",
        doc: "Keeps transparent huge pages away from this process, whatever the host's setting: to \
              clear one while memory grows makes a turn of milliseconds.",
        change: Change::AtStart,
        set: |config, values| {
            config.disable_thp = boolean(values)?;
            Ok(())
        },
        show: |config| yes_or_no(config.disable_thp),
    },
    Directive {
        name: "durability",
        hint: "local|memory",
        default: "local",
        doc: "When a write is answered: once it is on stable storage, or once it is executed.",
        change: Change::Running,
        set: |config, values| {
            let level = durability(values)?;
            set_durability(config, level)
        },
        show: |config| config.durability.to_string(),
    },
    Directive {
        name: "durability-floor",
        hint: "local|memory",
        default: "memory",
        doc: "The weakest level CLIENT DURABILITY may choose.",
        change: Change::Running,
        set: |config, values| {
            config.durability_floor = durability(values)?;
            Ok(())
        },
        show: |config| config.durability_floor.to_string(),
    },
    Directive {
        name: "loglevel",
        hint: "debug|verbose|notice|warning",
        default: "notice",
        doc: "How much is logged to standard error.",
        change: Change::Running,
        set: |config, values| {
            config.loglevel = match text(values)?.as_str() {
                "debug" => LogLevel::Debug,
                "verbose" => LogLevel::Verbose,
                "notice" => LogLevel::Notice,
                "warning" => LogLevel::Warning,
                other => return Err(format!("'{other}' is not a level")),
            };
            Ok(())
        },
        show: |config| format!("{:?}", config.loglevel).to_ascii_lowercase(),
    },
    Directive {
        name: "maxclients",
        hint: "COUNT",
        default: "10000",
        doc: "Connections served at once; more are refused with an error.",
        change: Change::Running,
        set: |config, values| {
            config.maxclients = number(values, 1, 60_000, "out of range")? as u32;
            Ok(())
        },
        show: |config| config.maxclients.to_string(),
    },
    Directive {
        name: "memory-durability-age",
        hint: "MILLISECONDS",
        default: "1000",
        doc: "At level memory: writes are refused while the oldest unflushed one is older.",
        change: Change::Running,
        set: |config, values| {
            let age = number(values, 10, 60_000, "between 10 and 60000")?;
            config.memory_durability_age_ms = age;
            Ok(())
        },
        show: |config| config.memory_durability_age_ms.to_string(),
    },
    Directive {
        name: "port",
        hint: "PORT",
        default: "6379",
        doc: "The port of the single endpoint.",
        change: Change::AtStart,
        set: |config, values| {
            config.port = number(values, 1, 65_535, "a port is between 1 and 65535")? as u16;
            Ok(())
        },
        show: |config| config.port.to_string(),
    },
    Directive {
        name: "protected-mode",
        hint: "yes|no",
        default: "yes",
        doc: "Without a password, refuse clients that are not on this host.",
        change: Change::Running,
        set: |config, values| {
            config.protected_mode = boolean(values)?;
            Ok(())
        },
        show: |config| yes_or_no(config.protected_mode),
    },
    Directive {
        name: "requirepass",
        hint: "PASSWORD",
        default: "\"\"",
        doc: "The password clients give with AUTH; empty for none.",
        change: Change::Running,
        set: |config, values| {
            let password = single(values)?;
            config.requirepass = (!password.is_empty()).then(|| password.to_vec());
            Ok(())
        },
        show: |config| {
            String::from_utf8_lossy(config.requirepass.as_deref().unwrap_or_default()).into_owned()
        },
    },
    Directive {
        name: "slices",
        hint: "COUNT|auto",
        default: "auto",
        doc: "Parts of the keyspace, a power of two, fixed when the data is created; auto: 16.",
        change: Change::AtStart,
        set: |config, values| {
            config.slices = automatic(values, power_of_two)?;
            Ok(())
        },
        show: |config| config.slices.map_or("auto".to_owned(), |slices| slices.to_string()),
    },
    Directive {
        name: "tcp-backlog",
        hint: "COUNT",
        default: "511",
        doc: "Connections the kernel may hold for us before they are accepted.",
        change: Change::AtStart,
        set: |config, values| {
            config.tcp_backlog = number(values, 1, 65_535, "out of range")? as u32;
            Ok(())
        },
        show: |config| config.tcp_backlog.to_string(),
    },
    Directive {
        name: "wal-frames-in-flight",
        hint: "COUNT",
        default: "4",
        doc: "Log frames on their way to the disk at a time.",
        change: Change::AtStart,
        set: |config, values| {
            config.wal_frames_in_flight = number(values, 1, 64, "between 1 and 64")? as usize;
            Ok(())
        },
        show: |config| config.wal_frames_in_flight.to_string(),
    },
    Directive {
        name: "wal-segment-size",
        hint: "BYTES",
        default: "64mb",
        doc: "The size of a log segment, a multiple of 4096, at most 64mb.",
        change: Change::AtStart,
        set: |config, values| {
            let size = bytes(values)?;
            let range = limits::SEGMENT_SIZE_MIN..=limits::SEGMENT_SIZE;
            if !range.contains(&size) || !size.is_multiple_of(limits::BLOCK_SIZE as u64) {
                return Err("a multiple of 4096 between 64kb and 64mb".to_owned());
            }
            config.wal_segment_size = size;
            Ok(())
        },
        show: |config| config.wal_segment_size.to_string(),
    },
];

fn set_durability(config: &mut Config, level: Durability) -> Result<(), String> {
    config.durability = level;
    Ok(())
}

fn single(values: &[Vec<u8>]) -> Result<&[u8], String> {
    match values {
        [only] => Ok(only),
        _ => Err(format!("takes one value, not {}", values.len())),
    }
}

fn text(values: &[Vec<u8>]) -> Result<String, String> {
    let value = single(values)?;
    String::from_utf8(value.to_vec()).map_err(|_| "is not UTF-8".to_owned())
}

fn boolean(values: &[Vec<u8>]) -> Result<bool, String> {
    match text(values)?.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(format!("'{other}' is neither yes nor no")),
    }
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn number(values: &[Vec<u8>], least: u64, most: u64, why: &str) -> Result<u64, String> {
    let value = text(values)?;
    let parsed: u64 = value.parse().map_err(|_| format!("'{value}' is not a number"))?;
    if parsed < least || most < parsed {
        return Err(format!("{parsed}: {why}"));
    }
    Ok(parsed)
}

/// A number, or none for `auto`.
fn automatic(
    values: &[Vec<u8>],
    parse: impl Fn(&[Vec<u8>]) -> Result<u64, String>,
) -> Result<Option<u16>, String> {
    if text(values)? == "auto" {
        return Ok(None);
    }
    let value = parse(values)?;
    Ok(Some(u16::try_from(value).expect("the range was checked")))
}

fn power_of_two(values: &[Vec<u8>]) -> Result<u64, String> {
    let most = u64::from(limits::SLICES_MAX);
    let value = number(values, 1, most, "a power of two between 1 and 1024")?;
    if value.is_power_of_two() {
        return Ok(value);
    }
    let above = value.next_power_of_two();
    Err(format!("{value} is not a power of two; {} and {above} are", above / 2))
}

/// A size with Redis's units: 1k = 1000, 1kb = 1024, and so on for m and g.
fn bytes(values: &[Vec<u8>]) -> Result<u64, String> {
    let value = text(values)?.to_ascii_lowercase();
    let digits = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match &value[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err(format!("'{value}' is not a size")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("'{value}' is not a size"))?;
    count.checked_mul(unit).ok_or_else(|| format!("'{value}' is too large"))
}

fn durability(values: &[Vec<u8>]) -> Result<Durability, String> {
    match text(values)?.as_str() {
        "local" => Ok(Durability::Local),
        "memory" => Ok(Durability::Memory),
        other => Err(format!("'{other}' is neither local nor memory")),
    }
}

fn addresses(values: &[Vec<u8>]) -> Result<Vec<Bind>, String> {
    if values.is_empty() {
        return Err("takes at least one address".to_owned());
    }
    let mut binds = Vec::new();
    for value in values {
        for word in String::from_utf8_lossy(value).split_whitespace() {
            let (optional, name) = match word.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            let address = match name {
                "*" => std::net::IpAddr::from([0, 0, 0, 0]),
                "localhost" => std::net::IpAddr::from([127, 0, 0, 1]),
                _ => name.parse().map_err(|_| format!("'{name}' is not an IP address"))?,
            };
            binds.push(Bind { address, optional });
        }
    }
    Ok(binds)
}
