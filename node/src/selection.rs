//! Whom CLIENT LIST and CLIENT KILL mean: filters on what a client is.
//!
//! Redis knows some of the filters, Valkey the rest. A filter said again replaces what it said
//! before, but numbers of clients add up; a client is meant if every filter holds.

use std::mem::discriminant;
use std::net::SocketAddr;

use base::{Now, limits::DATABASES};
use engine::{Args, CommandError, parse_integer};

use crate::error::{RequestError, around};
use crate::roster::{FLAGS, flags};
use crate::session::{Client, Standing};

/// Clients meant by a command: those that fit everything that is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    filters: Vec<(Sense, Filter)>,
    /// Not this one: who asks.
    pub(crate) except: Option<u64>,
    /// Nobody, because no client is of the user named.
    is_empty: bool,
}

/// Whether those are meant that a filter describes, or the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    These,
    Others,
}

#[derive(Clone, Debug)]
enum Filter {
    Numbers(Vec<u64>),
    Kind(Kind),
    Address(Vec<u8>),
    LocalAddress(Vec<u8>),
    /// The address without its port.
    Host(Vec<u8>),
    Name(Vec<u8>),
    LibraryName(Vec<u8>),
    LibraryVersion(Vec<u8>),
    /// All these letters.
    Flags(Vec<u8>),
    /// It told CLIENT CAPA of redirections.
    Capabilities,
    Database(u16),
    /// Connected, or silent, for so many seconds.
    AgeS(u64),
    IdleS(u64),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    /// Of a replication that Toroid does not have: nobody is of it.
    Master,
    Replica,
    PubSub,
}

impl Kind {
    fn parse(name: &[u8]) -> Result<Self, RequestError> {
        let known: [(&[u8], Self); 5] = [
            (b"normal", Self::Normal),
            (b"master", Self::Master),
            (b"replica", Self::Replica),
            (b"slave", Self::Replica),
            (b"pubsub", Self::PubSub),
        ];
        let found = known.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        let found = found.map(|(_, kind)| *kind);
        found.ok_or_else(|| around("ERR Unknown client type '", name, "'"))
    }
}

impl Standing {
    pub(crate) fn kind(self) -> Kind {
        match self.subscriptions + self.patterns + self.shard_subscriptions {
            0 => Kind::Normal,
            _ => Kind::PubSub,
        }
    }
}

impl Selection {
    /// One client's address, in the old form of CLIENT KILL.
    pub(crate) fn of_address(address: &[u8]) -> Self {
        let filters = vec![(Sense::These, Filter::Address(address.to_vec()))];
        Self { filters, ..Self::default() }
    }

    /// Reads filters; `asker` is the number of the client that asks, and `skips_itself` whether
    /// it is left out if it does not say.
    pub(crate) fn parse(
        mut args: Args<'_>,
        asker: u64,
        mut skips_itself: bool,
    ) -> Result<Self, RequestError> {
        let mut selection = Self::default();
        while let [name, value, rest @ ..] = args {
            args = rest;
            let name = name.to_ascii_lowercase();
            let (sense, filter) = match name.strip_prefix(b"not-") {
                Some(filter) => (Sense::Others, filter),
                None => (Sense::These, &name[..]),
            };
            match filter {
                b"id" => {
                    selection.add_number(sense, number_of(value)?);
                    while let [more, rest @ ..] = args
                        && let Ok(number) = number_of(more)
                    {
                        selection.add_number(sense, number);
                        args = rest;
                    }
                }
                b"user" if **value != *b"default" => {
                    return Err(around("ERR No such user '", value, "'"));
                }
                // Who has not authenticated is nobody's client yet; on Redis it is the default
                // user's.
                b"user" => selection.is_empty |= sense == Sense::Others,
                b"skipme" if sense == Sense::These && value.eq_ignore_ascii_case(b"yes") => {
                    skips_itself = true;
                }
                b"skipme" if sense == Sense::These && value.eq_ignore_ascii_case(b"no") => {
                    skips_itself = false;
                }
                _ => selection.set(sense, Filter::parse(filter, value, sense)?),
            }
        }
        if !args.is_empty() {
            return Err(CommandError::Syntax.into());
        }
        selection.except = skips_itself.then_some(asker);
        Ok(selection)
    }

    fn add_number(&mut self, sense: Sense, number: u64) {
        for (known, filter) in &mut self.filters {
            if let Filter::Numbers(numbers) = filter
                && *known == sense
            {
                numbers.push(number);
                return;
            }
        }
        self.filters.push((sense, Filter::Numbers(vec![number])));
    }

    fn set(&mut self, sense: Sense, filter: Filter) {
        self.filters
            .retain(|(known, old)| *known != sense || discriminant(old) != discriminant(&filter));
        self.filters.push((sense, filter));
    }

    pub(crate) fn holds(&self, client: &Client, standing: Standing, now: Now) -> bool {
        let fits = |(sense, filter): &(Sense, Filter)| {
            filter.describes(client, standing, now) == (*sense == Sense::These)
        };
        !self.is_empty && self.except != Some(client.number) && self.filters.iter().all(fits)
    }
}

fn number_of(value: &[u8]) -> Result<u64, RequestError> {
    let number = parse_integer(value).and_then(|number| u64::try_from(number).ok());
    number
        .filter(|number| 0 < *number)
        .ok_or(RequestError::Static("ERR client-id should be greater than 0"))
}

fn seconds_of(name: &str, value: &[u8]) -> Result<u64, RequestError> {
    let fail = |why: &str| RequestError::Text(format!("ERR {name} {why}").into_bytes());
    let number = parse_integer(value).ok_or_else(|| fail("is not an integer or out of range"))?;
    let number = u64::try_from(number).ok().filter(|number| 0 < *number);
    number.ok_or_else(|| fail("should be greater than 0"))
}

impl Filter {
    fn parse(name: &[u8], value: &[u8], sense: Sense) -> Result<Self, RequestError> {
        Ok(match name {
            b"type" => Self::Kind(Kind::parse(value)?),
            b"addr" => Self::Address(value.to_vec()),
            b"laddr" => Self::LocalAddress(value.to_vec()),
            b"ip" => Self::Host(value.to_vec()),
            b"name" => Self::Name(value.to_vec()),
            b"lib-name" => Self::LibraryName(value.to_vec()),
            b"lib-ver" => Self::LibraryVersion(value.to_vec()),
            b"flags" => {
                if !value.iter().all(|letter| FLAGS.contains(letter)) {
                    let text = "ERR Unknown flags found in the provided filter: ";
                    return Err(around(text, value, ""));
                }
                Self::Flags(value.to_vec())
            }
            b"capa" => {
                if *value != *b"r" {
                    let text = "ERR Unknown capa found in the provided filter: ";
                    return Err(around(text, value, ""));
                }
                Self::Capabilities
            }
            b"db" => {
                let text = "ERR DB is not an integer or out of range";
                let number = parse_integer(value).ok_or(RequestError::Static(text))?;
                let number = u16::try_from(number).ok().filter(|number| *number < DATABASES);
                let last = DATABASES - 1;
                Self::Database(number.ok_or_else(|| {
                    let text = format!("ERR DB number should be between 0 and {last}");
                    RequestError::Text(text.into_bytes())
                })?)
            }
            b"maxage" if sense == Sense::These => Self::AgeS(seconds_of("maxage", value)?),
            b"idle" if sense == Sense::These => Self::IdleS(seconds_of("idle", value)?),
            _ => return Err(CommandError::Syntax.into()),
        })
    }

    fn describes(&self, client: &Client, standing: Standing, now: Now) -> bool {
        let is = |address: SocketAddr, shown: &[u8]| *address.to_string().as_bytes() == *shown;
        let since_s = |at_us: u64| now.monotonic_us.saturating_sub(at_us) / 1_000_000;
        match self {
            Self::Numbers(numbers) => numbers.contains(&client.number),
            Self::Kind(kind) => *kind == standing.kind(),
            Self::Address(address) => is(client.peer, address),
            Self::LocalAddress(address) => is(client.local, address),
            Self::Host(host) => *client.peer.ip().to_string().as_bytes() == **host,
            Self::Name(name) => *name == client.name,
            Self::LibraryName(name) => *name == client.library_name,
            Self::LibraryVersion(version) => *version == client.library_version,
            Self::Flags(letters) => {
                let shown = flags(client, standing);
                letters.iter().all(|letter| shown.as_bytes().contains(letter))
            }
            Self::Capabilities => client.knows_redirections,
            Self::Database(database) => *database == client.database,
            Self::AgeS(age_s) => *age_s <= since_s(client.connected_us),
            Self::IdleS(idle_s) => *idle_s <= since_s(standing.received_us),
        }
    }
}
