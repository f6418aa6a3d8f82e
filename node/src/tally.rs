//! What a core counts of each command, and of the errors it has replied.

use std::collections::BTreeMap;

use engine::{Args, Command};
use hdrhistogram::Histogram;

use crate::latency::LatencyEvent;
use crate::node::Node;
use crate::parcel::{Message, ReturnAddress};
use crate::registry::Run;
use crate::session::Client;
use crate::slow_log::SlowCommand;

/// Owner: core.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// By the command's number in the registry.
    commands: Vec<CommandTally>,
    /// Replies that were errors, by code.
    errors: BTreeMap<Vec<u8>, u64>,
}

/// What is counted of one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandTally {
    pub(crate) calls: u64,
    /// Nanoseconds of execution.
    pub(crate) ns: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
    /// Nanoseconds of each execution, while latency is tracked.
    pub(crate) histogram: Option<Box<Histogram<u64>>>,
}

/// Codes of errors that are told apart; a client could invent any number of them.
const ERROR_KINDS_MAX: usize = 128;

/// A longer execution is recorded as this: a second, in nanoseconds, as in Redis.
const RECORDED_NS_MAX: u64 = 1_000_000_000;

impl Tally {
    pub(crate) fn note_error(&mut self, text: &[u8]) {
        let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        let has_place = self.errors.len() < ERROR_KINDS_MAX;
        match self.errors.get_mut(code) {
            Some(count) => *count += 1,
            None if has_place => {
                self.errors.insert(code.to_vec(), 1);
            }
            None => {}
        }
    }

    pub(crate) fn note_rejected(&mut self, number: usize) {
        self.of(number).rejected += 1;
    }

    fn note_call(&mut self, number: usize, ns: u64, failed: bool, is_tracked: bool) {
        let tally = self.of(number);
        tally.calls += 1;
        tally.ns += ns;
        tally.failed += u64::from(failed);
        if is_tracked {
            let histogram = tally.histogram.get_or_insert_with(|| {
                let new = Histogram::new_with_bounds(1, RECORDED_NS_MAX, 2);
                Box::new(new.expect("the bounds are valid"))
            });
            histogram.saturating_record(ns.clamp(1, RECORDED_NS_MAX));
        }
    }

    fn of(&mut self, number: usize) -> &mut CommandTally {
        if self.commands.len() <= number {
            self.commands.resize_with(number + 1, CommandTally::default);
        }
        &mut self.commands[number]
    }

    /// Adds what another core has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (number, more) in other.commands.iter().enumerate() {
            let sum = self.of(number);
            sum.calls += more.calls;
            sum.ns += more.ns;
            sum.rejected += more.rejected;
            sum.failed += more.failed;
            match (&mut sum.histogram, &more.histogram) {
                (Some(sum), Some(more)) => {
                    sum.add(&**more).expect("all histograms have the same bounds");
                }
                (place @ None, Some(more)) => *place = Some(more.clone()),
                (_, None) => {}
            }
        }
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
    }

    /// What is counted, but for the histograms.
    pub(crate) fn counts(&self) -> Self {
        let counts =
            self.commands.iter().map(|&CommandTally { calls, ns, rejected, failed, .. }| {
                CommandTally { calls, ns, rejected, failed, histogram: None }
            });
        Self { commands: counts.collect(), errors: self.errors.clone() }
    }

    /// The commands that were called or rejected, by number.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (usize, &CommandTally)> {
        self.commands.iter().enumerate().filter(|(_, one)| 0 < one.calls + one.rejected)
    }

    pub(crate) fn errors(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.errors.iter().map(|(code, count)| (&code[..], *count))
    }

    /// Forgets everything (CONFIG RESETSTAT).
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Whose command was executed.
#[derive(Clone, Copy)]
pub(crate) enum Who<'a> {
    /// A client of this core.
    Own(&'a Client),
    /// A client of another.
    Other(ReturnAddress),
}

impl Node {
    /// From here on time counts for the next command that ends.
    pub(crate) fn start_lap(&mut self) {
        self.lap_ns = (self.config.stopwatch)();
    }

    /// A command has been executed: it took the time since the last one ended.
    pub(crate) fn finish_call(
        &mut self,
        command: &'static Command<Run>,
        args: Args<'_>,
        who: Who<'_>,
        failed: bool,
        now: base::Now,
    ) {
        let at_ns = (self.config.stopwatch)();
        let ns = at_ns.saturating_sub(self.lap_ns);
        self.lap_ns = at_ns;
        self.finish_call_of(command, args, who, failed, ns, now);
    }

    pub(crate) fn finish_call_of(
        &mut self,
        command: &'static Command<Run>,
        args: Args<'_>,
        who: Who<'_>,
        failed: bool,
        ns: u64,
        now: base::Now,
    ) {
        let number = self.registry.number(command);
        self.tally.note_call(number, ns, failed, self.settings.latency_tracking);
        let us = ns / 1000;
        let is_slow = u64::try_from(self.settings.slowlog_slower_than_us).is_ok_and(|at| at <= us);
        if is_slow && command.name != "exec" {
            let slow = SlowCommand::new(command, args, us, now);
            match who {
                Who::Own(client) => self.note_slow(slow, Some(client)),
                // Its own client waited for a slice that was away.
                Who::Other(address) if address.core == self.core => {
                    self.note_slow_elsewhere(address.connection, slow);
                }
                Who::Other(address) => {
                    let connection = address.connection;
                    let message = Message::Slow { connection, slow: Box::new(slow) };
                    self.outbox.to(address.core).add_message(message);
                }
            }
        }
        let threshold_ms = self.settings.latency_threshold_ms;
        if 0 < threshold_ms && threshold_ms <= us / 1000 {
            let event = match command.has_flag(engine::Flag::Fast) {
                true => LatencyEvent::FastCommand,
                false => LatencyEvent::Command,
            };
            self.latency.note(event, us / 1000, now.wall_ms / 1000);
        }
    }
}
