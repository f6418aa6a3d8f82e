//! INFO: sections of `name:value` lines, in the form that exporters and clients parse.
//!
//! A section is a function; [`SECTIONS`] is the table. Each core tells its [`CoreFacts`]; what is
//! counted on all of them is added up. The reply waits until the keys it counts are settled.

use std::fmt::Write;

use base::limits::DATABASES;
use base::{FrameSequence, LogIndex, Now, SliceId, Term};

use crate::config::REDIS_VERSION;
use crate::node::Node;
use crate::stats::Stats;

/// Title, whether it is part of the default, and what it prints.
type Section = (&'static str, fn(&Told<'_>, &mut Lines));

const SECTIONS: &[Section] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", |_, lines| lines.add("cluster_enabled", 0)),
    ("Keyspace", keyspace),
    ("Cores", cores),
    ("Wal", wal),
    ("Raft", raft),
];

/// The text for the sections asked for; all if none is.
pub(super) fn text(node: &Node, cores: &[CoreFacts], args: &[&[u8]], now: Now) -> String {
    let told = Told { node, cores, now };
    let everything = ["all", "everything", "default"];
    let wanted = |title: &str| {
        args.is_empty()
            || args.iter().any(|arg| {
                arg.eq_ignore_ascii_case(title.as_bytes())
                    || everything.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes()))
            })
    };
    let mut lines = Lines(String::new());
    for (title, print) in SECTIONS {
        if wanted(title) {
            lines.title(title);
            print(&told, &mut lines);
        }
    }
    lines.0
}

/// What the sections are printed from.
struct Told<'a> {
    node: &'a Node,
    cores: &'a [CoreFacts],
    now: Now,
}

impl Told<'_> {
    /// A counter of all cores.
    fn sum(&self, count: impl Fn(&CoreFacts) -> u64) -> u64 {
        self.cores.iter().map(count).sum()
    }
}

/// What one core tells of itself.
#[derive(Clone, Debug)]
pub(crate) struct CoreFacts {
    stats: Stats,
    clients: usize,
    waiting: usize,
    memory: usize,
    dataset: usize,
    output: usize,
    /// Keys, and keys with a time to expire, by database.
    keys: Vec<(u64, u64)>,
    log: wal::Stats,
    durable: FrameSequence,
    log_queued: usize,
    log_room: u64,
    log_refuses: bool,
    oldest_unflushed_us: u64,
    slices: Vec<SliceFacts>,
}

#[derive(Clone, Debug)]
struct SliceFacts {
    slice: SliceId,
    term: Term,
    last: LogIndex,
    commit: LogIndex,
    settled: LogIndex,
}

impl CoreFacts {
    pub(crate) fn of(node: &Node, now: Now) -> Self {
        let mut keys = vec![(0, 0); usize::from(DATABASES)];
        let mut dataset = 0;
        for space in node.slices.spaces() {
            dataset += space.keyspace.used_bytes();
            for (database, keys) in (0..).zip(&mut keys) {
                keys.0 += space.keyspace.len(database) as u64;
                keys.1 += space.keyspace.expires(database) as u64;
            }
        }
        let slices = node.topology.slices_of(node.core).map(|slice| {
            let group = node.slices.group(slice);
            SliceFacts {
                slice,
                term: group.term(),
                last: group.last(),
                commit: group.commit(),
                settled: group.settled(),
            }
        });
        let oldest_us = node.slices.oldest_unsettled_us();
        Self {
            stats: node.stats.clone(),
            clients: node.client_count(),
            waiting: node.waiting_count(),
            memory: node.own_memory(),
            dataset,
            output: node.output_size(),
            keys,
            log: node.wal.stats().clone(),
            durable: node.wal.durable(),
            log_queued: node.log_queued_size(),
            log_room: node.wal.room(),
            log_refuses: node.log_refuses(),
            oldest_unflushed_us: oldest_us.map_or(0, |at| now.monotonic_us.saturating_sub(at)),
            slices: slices.collect(),
        }
    }
}

struct Lines(String);

impl Lines {
    fn title(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        write!(self.0, "# {title}\r\n").expect("a string takes all");
    }

    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.0, "{name}:{value}\r\n").expect("a string takes all");
    }
}

fn server(told: &Told<'_>, lines: &mut Lines) {
    let (node, now) = (told.node, told.now);
    let facts = &node.config.facts;
    let uptime_s = now.monotonic_us.saturating_sub(node.started_us) / 1_000_000;
    lines.add("redis_version", REDIS_VERSION);
    lines.add("toroid_version", &facts.toroid_version);
    lines.add("redis_mode", "standalone");
    lines.add("os", &facts.os);
    lines.add("arch_bits", facts.arch_bits);
    lines.add("multiplexing_api", "io_uring");
    lines.add("process_id", facts.process_id);
    lines.add("run_id", &facts.run_id);
    lines.add("node_id", &facts.node_uuid);
    lines.add("tcp_port", facts.port);
    lines.add("server_time_usec", now.wall_ms * 1000);
    lines.add("uptime_in_seconds", uptime_s);
    lines.add("uptime_in_days", uptime_s / 86_400);
    lines.add("executable", &facts.executable);
    lines.add("config_file", &facts.config_file);
    lines.add("durability", node.config.durability);
}

fn clients(told: &Told<'_>, lines: &mut Lines) {
    lines.add("connected_clients", told.sum(|core| core.clients as u64));
    lines.add("maxclients", told.node.settings.clients_max);
    lines.add("blocked_clients", 0);
    lines.add("clients_waiting_for_room_or_output", told.sum(|core| core.waiting as u64));
}

fn memory(told: &Told<'_>, lines: &mut Lines) {
    let dataset = told.sum(|core| core.dataset as u64);
    let output = told.sum(|core| core.output as u64);
    lines.add("used_memory", told.sum(|core| core.memory as u64));
    lines.add("used_memory_dataset", dataset);
    lines.add("mem_clients_normal", output);
    lines.add("total_system_memory", told.node.config.facts.total_memory);
    lines.add("maxmemory", told.node.settings.memory_max);
    lines.add("maxmemory_policy", told.node.settings.memory_policy.name());
    lines.add("mem_allocator", "mimalloc");
}

fn persistence(told: &Told<'_>, lines: &mut Lines) {
    let refuses = told.cores.iter().any(|core| core.log_refuses);
    lines.add("loading", 0);
    lines.add("async_loading", 0);
    lines.add("rdb_bgsave_in_progress", 0);
    lines.add("aof_enabled", 1);
    lines.add("aof_rewrite_in_progress", 0);
    lines.add("aof_last_write_status", if refuses { "err" } else { "ok" });
}

fn stats(told: &Told<'_>, lines: &mut Lines) {
    let mut add = |name, count: fn(&Stats) -> u64| {
        lines.add(name, told.sum(|core| count(&core.stats)));
    };
    add("total_connections_received", |stats| stats.connections_received);
    add("total_commands_processed", |stats| stats.commands_processed);
    add("total_net_input_bytes", |stats| stats.net_input_bytes);
    add("total_net_output_bytes", |stats| stats.net_output_bytes);
    add("rejected_connections", |stats| stats.connections_rejected);
    add("expired_keys", |stats| stats.expired_keys);
    add("evicted_keys", |stats| stats.evicted_keys);
    add("keyspace_hits", |stats| stats.keyspace_hits);
    add("keyspace_misses", |stats| stats.keyspace_misses);
    add("total_error_replies", |stats| stats.commands_failed + stats.protocol_errors);
    add("protocol_errors", |stats| stats.protocol_errors);
    add("writes_refused", |stats| stats.writes_refused);
    add("clients_given_up", |stats| stats.clients_given_up);
}

fn replication(told: &Told<'_>, lines: &mut Lines) {
    lines.add("role", "master");
    lines.add("connected_slaves", 0);
    lines.add("master_replid", &told.node.config.facts.run_id);
    let settled = |core: &CoreFacts| core.slices.iter().map(|slice| slice.settled.0).sum();
    lines.add("master_repl_offset", told.sum(settled));
}

fn keyspace(told: &Told<'_>, lines: &mut Lines) {
    for database in 0..usize::from(DATABASES) {
        let keys = told.sum(|core| core.keys[database].0);
        let expires = told.sum(|core| core.keys[database].1);
        if 0 < keys {
            let text = format!("keys={keys},expires={expires},avg_ttl=0");
            lines.add(&format!("db{database}"), text);
        }
    }
}

fn cores(told: &Told<'_>, lines: &mut Lines) {
    lines.add("cores", told.node.topology.cores());
    lines.add("slices", told.node.topology.slices());
    lines.add("turns", told.sum(|core| core.stats.turns));
    lines.add("stalls", told.sum(|core| core.stats.stalls));
    let longest_us = told.cores.iter().map(|core| core.stats.stall_max_us).max();
    lines.add("stall_max_usec", longest_us.unwrap_or_default());
    lines.add("hops", told.sum(|core| core.stats.hops));
    lines.add("parcels", told.sum(|core| core.stats.parcels_sent));
    lines.add("loans", told.sum(|core| core.stats.loans));
    for (at, core) in told.cores.iter().enumerate() {
        let commands = core.stats.commands_processed;
        lines.add(&format!("core{at}"), format!("clients={},commands={commands}", core.clients));
    }
}

fn wal(told: &Told<'_>, lines: &mut Lines) {
    let durable: Vec<String> = told.cores.iter().map(|core| core.durable.to_string()).collect();
    lines.add("wal_durable_frame", durable.join(","));
    lines.add("wal_batches", told.sum(|core| core.log.batches));
    lines.add("wal_record_bytes", told.sum(|core| core.log.record_bytes));
    lines.add("wal_frames_written", told.sum(|core| core.log.frames));
    lines.add("wal_frame_bytes", told.sum(|core| core.log.frame_bytes));
    lines.add("wal_seals", told.sum(|core| core.log.seals));
    lines.add("wal_segments_opened", told.sum(|core| core.log.segments_opened));
    let in_flight = told.cores.iter().map(|core| core.log.in_flight_max).max();
    lines.add("wal_frames_in_flight_max", in_flight.unwrap_or_default());
    lines.add("wal_disk_full", told.sum(|core| core.log.no_space));
    lines.add("wal_queued_bytes", told.sum(|core| core.log_queued as u64));
    lines.add("wal_room_bytes", told.sum(|core| core.log_room));
    let refuses = told.cores.iter().any(|core| core.log_refuses);
    lines.add("wal_refuses_writes", u8::from(refuses));
    let oldest_us = told.cores.iter().map(|core| core.oldest_unflushed_us).max();
    lines.add("wal_oldest_unflushed_usec", oldest_us.unwrap_or_default());
    lines.add("wal_replies_parked", told.sum(|core| core.stats.replies_parked));
    lines.add("wal_settles", told.sum(|core| core.stats.settles));
}

fn raft(told: &Told<'_>, lines: &mut Lines) {
    let mut slices: Vec<_> = told.cores.iter().flat_map(|core| &core.slices).collect();
    slices.sort_by_key(|slice| slice.slice);
    for SliceFacts { slice, term, last, commit, settled } in slices {
        let text = format!(
            "role=leader,voters=1,term={term},last={last},commit={commit},settled={settled}"
        );
        lines.add(&format!("raft_slice{slice}"), text);
    }
}
