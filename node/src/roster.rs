//! Who is connected: what CLIENT LIST shows of each.

use std::fmt::Write;

use base::{CoreId, Now};

use crate::event::Pending;
use crate::node::Node;
use crate::reply::number_of;
use crate::selection::{Kind, Selection};
use crate::session::{Client, Session, Standing};

/// What CLIENT LIST tells of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientFacts {
    pub(crate) number: u64,
    line: String,
}

impl ClientFacts {
    pub(crate) fn of(client: &Client, standing: Standing, core: CoreId, now: Now) -> Self {
        let mut line = String::new();
        let since_s = |at_us: u64| now.monotonic_us.saturating_sub(at_us) / 1_000_000;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let multi = client.transaction.as_ref().map_or(-1, |queued| queued.len() as i64);
        let multi_memory = client.transaction.as_ref().map_or(0, |queued| queued.size());
        let memory = size_of::<Session>()
            + standing.query_size
            + standing.query_free
            + standing.output_size
            + multi_memory;
        let mut add = |name: &str, value: &dyn std::fmt::Display| {
            let blank = if line.is_empty() { "" } else { " " };
            write!(line, "{blank}{name}={value}").expect("a string takes all");
        };
        add("id", &client.number);
        add("addr", &client.peer);
        add("laddr", &client.local);
        add("fd", &standing.place);
        add("name", &text(&client.name));
        add("age", &since_s(client.connected_us));
        add("idle", &since_s(standing.received_us));
        add("flags", &flags(client, standing));
        add("capa", &if client.knows_redirections { "r" } else { "" });
        add("db", &client.database);
        add("sub", &standing.subscriptions);
        add("psub", &standing.patterns);
        add("ssub", &standing.shard_subscriptions);
        add("multi", &multi);
        add("watch", &standing.watched);
        add("qbuf", &standing.query_size);
        add("qbuf-free", &standing.query_free);
        add("argv-mem", &0);
        add("multi-mem", &multi_memory);
        add("rbs", &0);
        add("rbp", &0);
        add("obl", &0);
        add("oll", &u8::from(0 < standing.output_size));
        add("omem", &standing.output_size);
        add("tot-mem", &memory);
        add("events", &if standing.is_sending { "rw" } else { "r" });
        add("cmd", &client.last_command.map_or("NULL", |command| command.name));
        add("user", &"default");
        add("redir", &-1);
        add("resp", &number_of(client.protocol));
        add("lib-name", &text(&client.library_name));
        add("lib-ver", &text(&client.library_version));
        add("io-thread", &core);
        add("tot-net-in", &client.net_input_bytes);
        add("tot-net-out", &client.net_output_bytes);
        add("tot-cmds", &client.commands);
        Self { number: client.number, line }
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

/// Every letter that Redis or Valkey has for a client; those not below are of what Toroid lacks.
pub(crate) const FLAGS: &[u8] = b"AbBcdeEFIMNOPrRStTuUx";

/// Redis's letters.
pub(crate) fn flags(client: &Client, standing: Standing) -> String {
    let mut flags = String::new();
    let letters = [
        (standing.kind() == Kind::PubSub, 'P'),
        (standing.is_monitor, 'O'),
        (client.transaction.is_some(), 'x'),
        (standing.is_held, 'b'),
        (client.closing, 'c'),
        (client.is_read_only, 'r'),
        (client.is_never_evicted, 'e'),
        (!client.touches, 'T'),
    ];
    flags.extend(letters.iter().filter(|(is, _)| *is).map(|(_, letter)| letter));
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

impl Node {
    /// The clients of this core that are meant; not the one whose request is being executed.
    pub(crate) fn client_facts(&self, selection: &Selection, now: Now) -> Vec<ClientFacts> {
        let meant = self.sessions.iter().filter(|session| {
            !session.closed && selection.holds(&session.client, session.standing(), now)
        });
        meant
            .map(|session| ClientFacts::of(&session.client, session.standing(), self.core, now))
            .collect()
    }

    /// Ends the connections of the clients of this core that are meant; not the one whose request
    /// is being executed. Returns how many.
    pub(crate) fn kill_clients(&mut self, selection: &Selection, now: Now) -> usize {
        let mut killed = 0;
        let Self { sessions, outputs, .. } = self;
        for session in sessions.iter_mut() {
            if !session.closed && selection.holds(&session.client, session.standing(), now) {
                session.closed = true;
                outputs.push_back(Pending::Close { id: session.id });
                killed += 1;
            }
        }
        killed
    }
}
