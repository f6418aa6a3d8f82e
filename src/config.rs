//! The configuration: one table of directives, read from a file in redis.conf syntax and from
//! flags of the same names.
//!
//! A directive is declared once, in [`directives`]; `--help`, CONFIG GET, the parser and the
//! documentation are derived from that table. Later settings win, flags win over the file. An
//! unknown directive or a value out of range is fatal and names the line.

mod directives;
mod file;
mod rewrite;

use std::fmt;
use std::path::{Path, PathBuf};

pub use directives::{Change, DIRECTIVES, Directive};
pub use rewrite::rewrite;

/// What `toroid serve` was told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub file: Option<PathBuf>,
    pub port: u16,
    /// Addresses to listen on; `optional` ones may be missing on the host.
    pub bind: Vec<Bind>,
    pub dir: PathBuf,
    /// None: as many as there are processors and slices.
    pub cores: Option<u16>,
    /// None: as many as the data has, or the number for new data.
    pub slices: Option<u16>,
    pub disable_thp: bool,
    pub durability: node::Durability,
    pub durability_floor: node::Durability,
    pub memory_durability_age_ms: u64,
    pub requirepass: Option<Vec<u8>>,
    pub protected_mode: bool,
    pub loglevel: LogLevel,
    pub maxclients: u32,
    pub tcp_backlog: u32,
    pub wal_segment_size: u64,
    pub wal_frames_in_flight: usize,
    /// Settings of the node, by name, checked.
    pub given: Vec<(String, Vec<u8>)>,
}

/// One address of `bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub address: std::net::IpAddr,
    /// Written with a leading `-`: not an error when the host does not have it.
    pub optional: bool,
}

/// How much is logged; Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// A setting that cannot be used: where it stands and why.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub place: Place,
    pub message: String,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Flag,
    Line { file: PathBuf, number: usize, text: String },
    File(PathBuf),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Flag => write!(f, "command line: {}", self.message),
            Place::File(file) => write!(f, "{}: {}", file.display(), self.message),
            Place::Line { file, number, text } => {
                write!(f, "{}, line {number}\n>>> '{text}'\n{}", file.display(), self.message)
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        let mut config = Self {
            file: None,
            port: 0,
            bind: Vec::new(),
            dir: PathBuf::new(),
            cores: None,
            slices: None,
            disable_thp: true,
            durability: node::Durability::Local,
            durability_floor: node::Durability::Memory,
            memory_durability_age_ms: 0,
            requirepass: None,
            protected_mode: true,
            loglevel: LogLevel::Notice,
            maxclients: 0,
            tcp_backlog: 0,
            wal_segment_size: 0,
            wal_frames_in_flight: 0,
            given: Vec::new(),
        };
        for directive in DIRECTIVES {
            let words = file::words(directive.default).expect("the defaults are well formed");
            directive.set(&mut config, &words).expect("the defaults are valid");
        }
        config
    }

    /// Reads a file in redis.conf syntax on top of what is there.
    pub fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        file::read(path, self)?;
        self.file = Some(path.to_owned());
        Ok(())
    }

    /// Sets one directive from its words.
    pub fn set(&mut self, name: &str, values: &[Vec<u8>], place: Place) -> Result<(), ConfigError> {
        let wanted = name.to_ascii_lowercase();
        let Some(directive) = DIRECTIVES.iter().find(|known| known.name == wanted) else {
            if let Some(setting) = node::Setting::find(name.as_bytes()) {
                // The classes of one directive may come on several lines, so none is replaced.
                let value = values.join(&b' ');
                setting.check(&value).map_err(|why| ConfigError {
                    place,
                    message: format!("{}: {why}", setting.name),
                })?;
                self.given.push((setting.name.to_owned(), value));
                return Ok(());
            }
            let message = format!(
                "Bad directive or wrong number of arguments: '{name}' is not a directive of \
                 Toroid. `toroid serve --help` lists them."
            );
            return Err(ConfigError { place, message });
        };
        directive
            .set(self, values)
            .map_err(|why| ConfigError { place, message: format!("{}: {why}", directive.name) })
    }

    /// What one setting alone cannot tell.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError { place: Place::Flag, message });
        if self.durability < self.durability_floor {
            return fail(format!(
                "durability {} is weaker than durability-floor {}: raise the one or lower the \
                 other",
                self.durability, self.durability_floor
            ));
        }
        if let (Some(cores), Some(slices)) = (self.cores, self.slices)
            && slices < cores
        {
            return fail(format!(
                "cores is {cores} and slices {slices}, but a slice is served by one core: lower \
                 cores, or create the data with more slices"
            ));
        }
        Ok(())
    }

    /// Every directive with its value in force, for CONFIG GET.
    pub fn values(&self) -> Vec<(String, String)> {
        DIRECTIVES.iter().map(|d| (d.name.to_owned(), d.value(self))).collect()
    }
}

#[cfg(test)]
mod tests;
