//! INFO: sections of `name:value` lines, in the form that exporters and clients parse.
//!
//! A section is a function; [`SECTIONS`] is the table. Keys are counted as of the last time
//! everything was settled: INFO neither waits for the disk nor shows what could be lost.

use std::fmt::Write;

use base::Now;

use crate::config::REDIS_VERSION;
use crate::node::Node;

/// Title, whether it is part of the default, and what it prints.
type Section = (&'static str, fn(&Node, Now, &mut Lines));

const SECTIONS: &[Section] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", |_, _, lines| lines.add("cluster_enabled", 0)),
    ("Keyspace", keyspace),
    ("Cores", cores),
    ("Wal", wal),
    ("Raft", raft),
];

/// The text for the sections asked for; all if none is.
pub(super) fn text(node: &Node, args: &[&[u8]], now: Now) -> String {
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
            print(node, now, &mut lines);
        }
    }
    lines.0
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

fn server(node: &Node, now: Now, lines: &mut Lines) {
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

fn clients(node: &Node, _: Now, lines: &mut Lines) {
    lines.add("connected_clients", node.client_count());
    lines.add("maxclients", node.config.clients_max);
    lines.add("blocked_clients", 0);
    lines.add("clients_waiting_for_room_or_output", node.waiting_count());
}

fn memory(node: &Node, _: Now, lines: &mut Lines) {
    let dataset = node.slice.keyspace.used_bytes();
    lines.add("used_memory", dataset + node.output_size());
    lines.add("used_memory_dataset", dataset);
    lines.add("mem_clients_normal", node.output_size());
    lines.add("total_system_memory", node.config.facts.total_memory);
    lines.add("maxmemory", 0);
    lines.add("maxmemory_policy", "noeviction");
    lines.add("mem_allocator", "mimalloc");
}

fn persistence(node: &Node, _: Now, lines: &mut Lines) {
    lines.add("loading", 0);
    lines.add("async_loading", 0);
    lines.add("rdb_bgsave_in_progress", 0);
    lines.add("aof_enabled", 1);
    lines.add("aof_rewrite_in_progress", 0);
    lines.add("aof_last_write_status", if node.log_refuses() { "err" } else { "ok" });
}

fn stats(node: &Node, _: Now, lines: &mut Lines) {
    let stats = &node.stats;
    lines.add("total_connections_received", stats.connections_received);
    lines.add("total_commands_processed", stats.commands_processed);
    lines.add("total_net_input_bytes", stats.net_input_bytes);
    lines.add("total_net_output_bytes", stats.net_output_bytes);
    lines.add("rejected_connections", stats.connections_rejected);
    lines.add("total_error_replies", stats.commands_failed + stats.protocol_errors);
    lines.add("protocol_errors", stats.protocol_errors);
    lines.add("writes_refused", stats.writes_refused);
    lines.add("clients_given_up", stats.clients_given_up);
}

fn replication(node: &Node, _: Now, lines: &mut Lines) {
    lines.add("role", "master");
    lines.add("connected_slaves", 0);
    lines.add("master_replid", &node.config.facts.run_id);
    lines.add("master_repl_offset", node.slice.settled());
}

fn keyspace(node: &Node, _: Now, lines: &mut Lines) {
    for (database, keys) in node.slice.settled_sizes().iter().enumerate() {
        if 0 < *keys {
            lines.add(&format!("db{database}"), format!("keys={keys},expires=0,avg_ttl=0"));
        }
    }
}

fn cores(node: &Node, _: Now, lines: &mut Lines) {
    lines.add("cores", 1);
    lines.add("slices", 1);
    lines.add("turns", node.stats.turns);
}

fn wal(node: &Node, now: Now, lines: &mut Lines) {
    let log = node.wal.stats();
    lines.add("wal_durable_frame", node.wal.durable());
    lines.add("wal_batches", log.batches);
    lines.add("wal_record_bytes", log.record_bytes);
    lines.add("wal_frames_written", log.frames);
    lines.add("wal_frame_bytes", log.frame_bytes);
    lines.add("wal_seals", log.seals);
    lines.add("wal_segments_opened", log.segments_opened);
    lines.add("wal_frames_in_flight_max", log.in_flight_max);
    lines.add("wal_disk_full", log.no_space);
    lines.add("wal_queued_bytes", node.log_queued_size());
    lines.add("wal_room_bytes", node.wal.room());
    lines.add("wal_refuses_writes", u8::from(node.log_refuses()));
    let oldest_us = node.slice.oldest_unsettled_us();
    let age_us = oldest_us.map_or(0, |at| now.monotonic_us.saturating_sub(at));
    lines.add("wal_oldest_unflushed_usec", age_us);
    lines.add("wal_replies_parked", node.stats.replies_parked);
    lines.add("wal_settles", node.stats.settles);
}

fn raft(node: &Node, _: Now, lines: &mut Lines) {
    lines.add("raft_slice0_role", "leader");
    lines.add("raft_slice0_voters", 1);
    lines.add("raft_slice0_term", node.slice.term());
    lines.add("raft_slice0_last", node.slice.last());
    lines.add("raft_slice0_commit", node.slice.settled());
}
