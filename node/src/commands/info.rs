//! INFO: sections of `name:value` lines, in the form that exporters and clients parse.
//!
//! A section is a function; [`SECTIONS`] is the table. Each core tells its [`CoreFacts`]; what is
//! counted on all of them is added up. The reply waits until the keys it counts are settled.

use std::fmt::Write;

use base::limits::DATABASES;
use base::{FrameSequence, LogIndex, Now, SliceId, Term};

use crate::ask::{Answer, AnswerBody};
use crate::config::{CpuTime, CpuTimes, REDIS_VERSION};
use crate::node::Node;
use crate::pause::PauseScope;
use crate::pubsub::topics;
use crate::selection::Kind;
use crate::session::{Session, Standing};
use crate::slices::KeyCounts;
use crate::snapshots::Saves;
use crate::stats::{Rates, Stats};
use crate::tally::{CommandTally, Tally};

/// Title, whether it is printed when none is asked for, and what it prints.
type Section = (&'static str, bool, fn(&Told<'_>, &mut Lines));

const SECTIONS: &[Section] = &[
    ("Server", true, server),
    ("Clients", true, clients),
    ("Memory", true, memory),
    ("Persistence", true, persistence),
    ("Stats", true, stats),
    ("Replication", true, replication),
    ("CPU", true, cpu),
    ("Modules", true, |_, _| {}),
    ("Commandstats", false, command_stats),
    ("Errorstats", true, error_stats),
    ("Latencystats", false, latency_stats),
    ("Cluster", true, |_, lines| lines.add("cluster_enabled", 0)),
    ("Keyspace", true, keyspace),
    ("Cores", true, cores),
    ("Wal", true, wal),
    ("Raft", true, raft),
];

/// The text for the sections asked for; the usual ones if none is.
pub(super) fn text(node: &Node, cores: &[CoreFacts], args: &[&[u8]], now: Now) -> String {
    let mut tally = Tally::default();
    cores.iter().for_each(|core| tally.add(&core.tally));
    let told = Told { node, cores, tally, now };
    let is_asked = |word: &str| args.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let all = is_asked("all") || is_asked("everything");
    let usual = args.is_empty() || is_asked("default");
    let mut lines = Lines(String::new());
    for (title, is_usual, print) in SECTIONS {
        if all || (usual && *is_usual) || is_asked(title) {
            lines.title(title);
            print(&told, &mut lines);
        }
    }
    lines.0
}

/// Do these arguments ask for how long commands take?
pub(super) fn asks_for_histograms(args: &[&[u8]]) -> bool {
    ["all", "everything", "latencystats"]
        .iter()
        .any(|word| args.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes())))
}

/// What the sections are printed from.
struct Told<'a> {
    node: &'a Node,
    cores: &'a [CoreFacts],
    /// Of all cores.
    tally: Tally,
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
    rates: Rates,
    tally: Tally,
    subscribers: usize,
    watchers: usize,
    paused: usize,
    input_max: usize,
    output_max: usize,
    clients: usize,
    waiting: usize,
    memory: usize,
    /// Of it, what is held for a snapshot.
    snapshot_memory: usize,
    dataset: usize,
    output: usize,
    /// Keys, and keys with a time to expire, by database.
    keys: Vec<KeyCounts>,
    log: wal::Stats,
    durable: FrameSequence,
    log_queued: usize,
    log_room: u64,
    log_refuses: bool,
    oldest_unflushed_us: u64,
    cpu: CpuTimes,
    slices: Vec<SliceFacts>,
    saves: Saves,
}

/// When every core had saved everything it has: seconds since 1970.
pub(crate) fn last_save_s(answers: &[Answer]) -> u64 {
    let last_ms = answers.iter().map(|answer| match &answer.body {
        AnswerBody::Facts(facts) => facts.saves.last_ms,
        _ => unreachable!("every core was asked for facts"),
    });
    last_ms.min().unwrap_or(0) / 1000
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
    pub(crate) fn of(node: &Node, with_histograms: bool, now: Now) -> Self {
        let mut keys = vec![KeyCounts::default(); usize::from(DATABASES)];
        let mut dataset = 0;
        for counts in node.slices.counts() {
            dataset += counts.used_bytes;
            for (sum, of_slice) in keys.iter_mut().zip(counts.keys) {
                sum.all += of_slice.all;
                sum.expiring += of_slice.expiring;
                sum.timed += of_slice.timed;
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
        let standings: Vec<_> = node.sessions.iter().map(Session::standing).collect();
        let count = |is: fn(&Standing) -> bool| standings.iter().filter(|one| is(one)).count();
        let most = |size: fn(&Standing) -> usize| standings.iter().map(size).max().unwrap_or(0);
        let oldest_us = node.slices.oldest_unsettled_us();
        Self {
            saves: node.saves(now),
            stats: node.stats.clone(),
            rates: node.pace.rates(&node.stats, now),
            tally: if with_histograms { node.tally.clone() } else { node.tally.counts() },
            subscribers: count(|standing| standing.kind() == Kind::PubSub),
            watchers: count(|standing| 0 < standing.watched),
            paused: node.pause.held_count(),
            input_max: most(|standing| standing.query_size),
            output_max: most(|standing| standing.output_size),
            clients: node.client_count(),
            waiting: node.waiting_count(),
            memory: node.own_memory(),
            snapshot_memory: node.snapshots.memory(),
            dataset,
            output: node.output_size(),
            keys,
            log: node.wal.stats().clone(),
            durable: node.wal.durable(),
            log_queued: node.log_queued_size(),
            log_room: node.wal.room(),
            log_refuses: node.log_refuses(),
            oldest_unflushed_us: oldest_us.map_or(0, |at| now.monotonic_us.saturating_sub(at)),
            cpu: (node.config.cpu_times)(),
            slices: slices.collect(),
        }
    }
}

impl CoreFacts {
    /// How far the slices of the core are settled, added up.
    pub(crate) fn settled(&self) -> u64 {
        self.slices.iter().map(|slice| slice.settled.0).sum()
    }
}

/// Bytes in use, of all cores.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) used: usize,
    pub(super) dataset: usize,
    /// Replies that no client has taken.
    pub(super) output: usize,
    /// Batches on their way to the disk.
    pub(super) log_queued: usize,
    pub(super) keys: usize,
    /// Keys by database.
    pub(super) databases: Vec<usize>,
}

impl Memory {
    pub(super) fn of(cores: &[CoreFacts]) -> Self {
        let sum = |count: fn(&CoreFacts) -> usize| cores.iter().map(count).sum::<usize>();
        let dataset = sum(|core| core.dataset);
        let output = sum(|core| core.output);
        let log_queued = sum(|core| core.log_queued);
        let databases = (0..usize::from(DATABASES))
            .map(|database| cores.iter().map(|core| core.keys[database].all as usize).sum());
        let databases: Vec<usize> = databases.collect();
        Self {
            used: sum(|core| core.memory).max(dataset),
            dataset,
            output,
            log_queued,
            keys: databases.iter().sum(),
            databases,
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

    /// A size, and the same for people.
    fn add_size(&mut self, name: &str, size: u64) {
        self.add(name, size);
        self.add(&format!("{name}_human"), human(size));
    }

    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.0, "{name}:{value}\r\n").expect("a string takes all");
    }
}

/// A size as Redis shows it to people.
fn human(size: u64) -> String {
    let units = [(1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    match units.iter().find(|(unit, _)| *unit <= size) {
        Some((unit, letter)) => format!("{:.2}{letter}", size as f64 / *unit as f64),
        None => format!("{size}B"),
    }
}

fn server(told: &Told<'_>, lines: &mut Lines) {
    let (node, now) = (told.node, told.now);
    let facts = &node.config.facts;
    let uptime_s = now.monotonic_us.saturating_sub(node.started_us) / 1_000_000;
    lines.add("redis_version", REDIS_VERSION);
    lines.add("toroid_version", &facts.toroid_version);
    lines.add("server_name", "toroid");
    lines.add("redis_git_sha1", "00000000");
    lines.add("redis_git_dirty", 0);
    lines.add("redis_build_id", 0);
    lines.add("redis_mode", "standalone");
    lines.add("server_mode", "standalone");
    lines.add("os", &facts.os);
    lines.add("arch_bits", facts.arch_bits);
    lines.add("monotonic_clock", "POSIX clock_gettime");
    lines.add("multiplexing_api", "io_uring");
    lines.add("process_id", facts.process_id);
    lines.add("process_supervised", "no");
    lines.add("run_id", &facts.run_id);
    lines.add("node_id", &facts.node_uuid);
    lines.add("tcp_port", facts.port);
    lines.add("server_time_usec", now.wall_ms * 1000);
    lines.add("uptime_in_seconds", uptime_s);
    lines.add("uptime_in_days", uptime_s / 86_400);
    lines.add("hz", 10);
    lines.add("configured_hz", 10);
    lines.add("lru_clock", (now.wall_ms / 1000) & 0xff_ffff);
    lines.add("executable", &facts.executable);
    lines.add("config_file", &facts.config_file);
    lines.add("io_threads_active", 0);
    lines.add("durability", node.config.durability);
}

fn clients(told: &Told<'_>, lines: &mut Lines) {
    let most = |size: fn(&CoreFacts) -> usize| told.cores.iter().map(size).max().unwrap_or(0);
    lines.add("connected_clients", told.sum(|core| core.clients as u64));
    lines.add("cluster_connections", 0);
    lines.add("maxclients", told.node.settings.clients_max);
    lines.add("client_recent_max_input_buffer", most(|core| core.input_max));
    lines.add("client_recent_max_output_buffer", most(|core| core.output_max));
    lines.add("blocked_clients", told.sum(|core| core.paused as u64));
    lines.add("tracking_clients", 0);
    lines.add("pubsub_clients", told.sum(|core| core.subscribers as u64));
    lines.add("watching_clients", told.sum(|core| core.watchers as u64));
    lines.add("clients_in_timeout_table", 0);
    lines.add("clients_waiting_for_room_or_output", told.sum(|core| core.waiting as u64));
    let (actions, left_us) = match (told.node.pause.scope(), told.node.pause.until_us()) {
        (Some(PauseScope::All), Some(at)) => ("all", at.saturating_sub(told.now.monotonic_us)),
        (Some(PauseScope::Writes), Some(at)) => ("write", at.saturating_sub(told.now.monotonic_us)),
        _ => ("none", 0),
    };
    lines.add("paused_actions", actions);
    lines.add("paused_timeout_milliseconds", left_us / 1000);
}

fn memory(told: &Told<'_>, lines: &mut Lines) {
    let Memory { used, dataset, output, log_queued, .. } = Memory::of(told.cores);
    let settings = &told.node.settings;
    let total = told.node.config.facts.total_memory;
    let share = if used == 0 { 0.0 } else { dataset as f64 * 100.0 / used as f64 };
    lines.add_size("used_memory", used as u64);
    lines.add_size("used_memory_rss", used as u64);
    lines.add_size("used_memory_peak", used as u64);
    lines.add("used_memory_peak_perc", "100.00%");
    lines.add("used_memory_overhead", used - dataset);
    lines.add("used_memory_startup", 0);
    lines.add("used_memory_dataset", dataset);
    lines.add("used_memory_dataset_perc", format!("{share:.2}%"));
    lines.add_size("total_system_memory", total);
    lines.add_size("used_memory_lua", 0);
    lines.add_size("used_memory_scripts", 0);
    lines.add("number_of_cached_scripts", 0);
    lines.add("number_of_functions", 0);
    lines.add("number_of_libraries", 0);
    lines.add_size("maxmemory", settings.memory_max);
    lines.add("maxmemory_policy", settings.memory_policy.name());
    lines.add("mem_fragmentation_ratio", "1.00");
    lines.add("mem_fragmentation_bytes", 0);
    let held = told.sum(|core| core.snapshot_memory as u64);
    lines.add("mem_not_counted_for_evict", held);
    lines.add("mem_replication_backlog", 0);
    lines.add("mem_clients_slaves", 0);
    lines.add("mem_clients_normal", output);
    lines.add("mem_cluster_links", 0);
    lines.add("mem_aof_buffer", log_queued);
    lines.add("mem_allocator", "mimalloc");
    lines.add("active_defrag_running", 0);
    lines.add("lazyfree_pending_objects", 0);
    lines.add("lazyfreed_objects", 0);
}

fn persistence(told: &Told<'_>, lines: &mut Lines) {
    let refuses = told.cores.iter().any(|core| core.log_refuses);
    let saves = || told.cores.iter().map(|core| &core.saves);
    let status = if refuses { "err" } else { "ok" };
    lines.add("loading", 0);
    lines.add("async_loading", 0);
    lines.add("rdb_changes_since_last_save", told.sum(|core| core.saves.changes));
    lines.add("rdb_bgsave_in_progress", u8::from(saves().any(|saves| saves.is_running)));
    lines.add("rdb_last_save_time", saves().map(|saves| saves.last_ms).min().unwrap_or(0) / 1000);
    let has_failed = saves().any(|saves| saves.has_failed);
    lines.add("rdb_last_bgsave_status", if has_failed { "err" } else { "ok" });
    let error = saves().find_map(|saves| saves.error.as_deref());
    lines.add("rdb_last_bgsave_error", error.unwrap_or("none"));
    let last_s = saves().filter_map(|saves| saves.last_s).max().map_or(-1, |s| s as i64);
    lines.add("rdb_last_bgsave_time_sec", last_s);
    let running_s = saves().filter_map(|saves| saves.running_s).max().map_or(-1, |s| s as i64);
    lines.add("rdb_current_bgsave_time_sec", running_s);
    lines.add("rdb_saves", saves().map(|saves| saves.count).min().unwrap_or(0));
    lines.add("aof_enabled", 1);
    lines.add("aof_rewrite_in_progress", 0);
    lines.add("aof_rewrite_scheduled", 0);
    lines.add("aof_last_rewrite_time_sec", -1);
    lines.add("aof_current_rewrite_time_sec", -1);
    lines.add("aof_last_bgrewrite_status", "ok");
    lines.add("aof_last_write_status", status);
    lines.add("aof_pending_bio_fsync", 0);
    lines.add("aof_buffer_length", told.sum(|core| core.log_queued as u64));
}

fn stats(told: &Told<'_>, lines: &mut Lines) {
    let kilobytes = |rate: fn(&Rates) -> u64| {
        format!("{:.2}", told.sum(|core| rate(&core.rates)) as f64 / 1024.0)
    };
    let sum = |count: fn(&Stats) -> u64| told.sum(|core| count(&core.stats));
    lines.add("total_connections_received", sum(|stats| stats.connections_received));
    lines.add("total_commands_processed", sum(|stats| stats.commands_processed));
    lines.add("instantaneous_ops_per_sec", told.sum(|core| core.rates.commands));
    lines.add("total_net_input_bytes", sum(|stats| stats.net_input_bytes));
    lines.add("total_net_output_bytes", sum(|stats| stats.net_output_bytes));
    lines.add("instantaneous_input_kbps", kilobytes(|rates| rates.input_bytes));
    lines.add("instantaneous_output_kbps", kilobytes(|rates| rates.output_bytes));
    lines.add("rejected_connections", sum(|stats| stats.connections_rejected));
    for name in ["sync_full", "sync_partial_ok", "sync_partial_err"] {
        lines.add(name, 0);
    }
    lines.add("expired_keys", sum(|stats| stats.expired_keys));
    lines.add("expired_fields", sum(|stats| stats.expired_fields));
    lines.add("evicted_keys", sum(|stats| stats.evicted_keys));
    lines.add("keyspace_hits", sum(|stats| stats.keyspace_hits));
    lines.add("keyspace_misses", sum(|stats| stats.keyspace_misses));
    let topics = &told.node.pubsub.topics;
    lines.add("pubsub_channels", topics.len(topics::Kind::Channel));
    lines.add("pubsub_patterns", topics.len(topics::Kind::Pattern));
    lines.add("pubsubshard_channels", topics.len(topics::Kind::ShardChannel));
    for name in ["latest_fork_usec", "tracking_total_keys"] {
        lines.add(name, 0);
    }
    let errors = sum(|stats| stats.commands_failed + stats.protocol_errors);
    lines.add("total_error_replies", errors);
    lines.add("protocol_errors", sum(|stats| stats.protocol_errors));
    lines.add("writes_refused", sum(|stats| stats.writes_refused));
    lines.add("clients_given_up", sum(|stats| stats.clients_given_up));
    let cut_off = sum(|stats| stats.subscribers_cut_off);
    lines.add("client_output_buffer_limit_disconnections", cut_off);
    lines.add("messages_delivered", sum(|stats| stats.messages_delivered));
}

fn command_stats(told: &Told<'_>, lines: &mut Lines) {
    for (number, tally) in told.tally.commands() {
        let name = told.node.registry.name_of(number);
        let us = tally.ns / 1000;
        let each = if tally.calls == 0 { 0.0 } else { us as f64 / tally.calls as f64 };
        let CommandTally { calls, rejected, failed, .. } = tally;
        let text = format!(
            "calls={calls},usec={us},usec_per_call={each:.2},rejected_calls={rejected},\
             failed_calls={failed}"
        );
        lines.add(&format!("cmdstat_{name}"), text);
    }
}

fn error_stats(told: &Told<'_>, lines: &mut Lines) {
    for (code, count) in told.tally.errors() {
        let code = String::from_utf8_lossy(code).replace([':', '\r', '\n'], "_");
        lines.add(&format!("errorstat_{code}"), format!("count={count}"));
    }
}

fn latency_stats(told: &Told<'_>, lines: &mut Lines) {
    for (number, tally) in told.tally.commands() {
        let Some(histogram) = &tally.histogram else { continue };
        let percentiles = told.node.settings.latency_percentiles.iter().map(|percentile| {
            let ns = histogram.value_at_quantile(percentile / 100.0);
            format!("p{percentile}={:.3}", ns as f64 / 1000.0)
        });
        let text = percentiles.collect::<Vec<_>>().join(",");
        let name = told.node.registry.name_of(number);
        lines.add(&format!("latency_percentiles_usec_{name}"), text);
    }
}

fn replication(told: &Told<'_>, lines: &mut Lines) {
    lines.add("role", "master");
    lines.add("connected_slaves", 0);
    lines.add("master_failover_state", "no-failover");
    lines.add("master_replid", &told.node.config.facts.run_id);
    lines.add("master_replid2", "0000000000000000000000000000000000000000");
    let settled = |core: &CoreFacts| core.slices.iter().map(|slice| slice.settled.0).sum();
    lines.add("master_repl_offset", told.sum(settled));
    lines.add("second_repl_offset", -1);
    lines.add("repl_backlog_active", 0);
    lines.add("repl_backlog_size", 1_048_576);
    lines.add("repl_backlog_first_byte_offset", 0);
    lines.add("repl_backlog_histlen", 0);
}

fn cpu(told: &Told<'_>, lines: &mut Lines) {
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    // Each core has read the clock of the process; the last one has read the most.
    let process = |time: fn(&CpuTime) -> u64| {
        told.cores.iter().map(|core| time(&core.cpu.process)).max().unwrap_or_default()
    };
    lines.add("used_cpu_sys", seconds(process(|time| time.system_us)));
    lines.add("used_cpu_user", seconds(process(|time| time.user_us)));
    lines.add("used_cpu_sys_children", seconds(0));
    lines.add("used_cpu_user_children", seconds(0));
    // What Redis calls the main thread executes commands: here the first core is nearest to it.
    let first = told.cores.first().map(|core| core.cpu.thread).unwrap_or_default();
    lines.add("used_cpu_sys_main_thread", seconds(first.system_us));
    lines.add("used_cpu_user_main_thread", seconds(first.user_us));
}

fn keyspace(told: &Told<'_>, lines: &mut Lines) {
    for database in 0..usize::from(DATABASES) {
        let keys = told.sum(|core| core.keys[database].all);
        let expires = told.sum(|core| core.keys[database].expiring);
        if 0 < keys {
            let timed = told.sum(|core| core.keys[database].timed);
            let text =
                format!("keys={keys},expires={expires},avg_ttl=0,keys_with_volatile_items={timed}");
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
    lines.add("cpu_stalls", told.sum(|core| core.stats.cpu_stalls));
    let longest_us = told.cores.iter().map(|core| core.stats.cpu_stall_max_us).max();
    lines.add("cpu_stall_max_usec", longest_us.unwrap_or_default());
    lines.add("long_commands", told.sum(|core| core.stats.long_commands));
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
