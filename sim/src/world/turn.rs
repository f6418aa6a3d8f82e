//! Turns: events are gathered, handed to the node in an order no promise forbids, and what it
//! wants is carried out.

use std::cmp::Reverse;
use std::net::{Ipv4Addr, SocketAddr};

use base::CoreId;
use node::Output;

use super::faults::Crash;
use super::{Happening, World};
use crate::disk::{Disk, Fate, Ticket};
use crate::history::Request;
use crate::link::Peer;
use crate::shelf;
use crate::trace::hash_bytes;

/// Turns at one instant after which the node is said to spin.
const TURNS_PER_INSTANT_MAX: u32 = 1_000;

/// Turns that are followed by one that finds nothing to do.
const IDLE_TURNS_PERCENT: u64 = 10;

/// Something for one core, of one turn.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Accepted(Peer),
    Received(Peer),
    Sent(Peer),
    Closed(Peer),
    Disk(u16, Ticket),
    Shelf(u16, shelf::Ticket),
    /// To a core, from another.
    Parcel(u16, u16),
    Ran(u16),
    Shutdown(u16),
}

/// Arrivals of one lane keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Peer(Peer),
    Core(u16),
}

impl Arrival {
    fn lane(self) -> Option<Lane> {
        match self {
            Self::Accepted(peer) | Self::Received(peer) | Self::Sent(peer) | Self::Closed(peer) => {
                Some(Lane::Peer(peer))
            }
            Self::Parcel(_, from) => Some(Lane::Core(from)),
            Self::Disk(..) | Self::Shelf(..) | Self::Ran(_) | Self::Shutdown(_) => None,
        }
    }

    fn core(self) -> u16 {
        match self {
            Self::Accepted(peer) | Self::Received(peer) | Self::Sent(peer) | Self::Closed(peer) => {
                peer.core
            }
            Self::Disk(core, _)
            | Self::Shelf(core, _)
            | Self::Parcel(core, _)
            | Self::Ran(core)
            | Self::Shutdown(core) => core,
        }
    }
}

/// What a step of the world gathered.
#[derive(Debug, Default)]
struct Gathered {
    arrivals: Vec<Arrival>,
    /// Cores that asked for a turn.
    turns: Vec<u16>,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.turns.is_empty()
    }
}

/// An output of the node, taken down so that the node can be asked for the next.
enum Wish {
    Listen,
    Send(Peer, Vec<u8>),
    Close(Peer),
    StopReceive(Peer),
    StartReceive(Peer),
    Write { token: u64, file: wal::LogFile, offset: u64, bytes: Vec<u8> },
    Flush { token: u64, file: wal::LogFile },
    Prepare { token: u64, file: wal::LogFile, size: u64 },
    Remove { token: u64, file: wal::LogFile },
    Release(wal::LogFile),
    Snapshot(node::SnapshotOutput),
    Parcel(u16, Box<node::Parcel>, bool),
    Run(Box<node::LongJob>),
    Halt(wal::Halt),
    Exit,
}

impl World {
    /// Takes what happens next; if it is for the node, gathers a turn of it.
    pub(super) fn step(&mut self) -> Result<(), String> {
        let mut gathered = Gathered::default();
        let window = match self.plan.turn_window_us {
            0 => 0,
            most => self.prng.below(most),
        };
        let most = 1 + self.prng.index(32);
        let mut end = u64::MAX;
        if self.heap.is_empty() {
            return Err(format!("nothing happens any more: {}", self.describe_stuck()));
        }
        while let Some(Reverse((at, _, _))) = self.heap.peek() {
            if end < (*at).max(self.time_us) || most <= gathered.arrivals.len() {
                break;
            }
            let Reverse((at, _, happening)) = self.heap.pop().expect("it was there");
            self.time_us = self.time_us.max(at);
            self.happen(happening, &mut gathered)?;
            if gathered.is_empty() {
                return Ok(());
            }
            end = end.min(self.time_us + window);
        }
        let Gathered { arrivals, turns } = gathered;
        let mut cores: Vec<u16> = arrivals.iter().map(|a| a.core()).chain(turns).collect();
        cores.sort_unstable();
        cores.dedup();
        self.prng.shuffle(&mut cores);
        for core in cores {
            if self.process.is_none() {
                break;
            }
            let own = arrivals.iter().filter(|arrival| arrival.core() == core).copied().collect();
            self.turn(core, own)?;
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening, gathered: &mut Gathered) -> Result<(), String> {
        let Gathered { arrivals, turns } = gathered;
        let running = self.process.is_some();
        let current = |incarnation: u64| running && incarnation == self.incarnation;
        match happening {
            Happening::Start => self.start()?,
            Happening::Client(client) => self.client_acts(client),
            Happening::Fault => self.fault(),
            Happening::FaultEnd(window) => self.fault_ends(window),
            Happening::Accept(incarnation, peer) if current(incarnation) => {
                arrivals.push(Arrival::Accepted(peer));
            }
            Happening::Deliver(incarnation, peer) if current(incarnation) => {
                if let Some(link) = self.links.get_mut(&peer) {
                    link.delivering = false;
                    if !link.stopped && !link.closing && link.has_inbound() {
                        arrivals.push(Arrival::Received(peer));
                    }
                }
            }
            Happening::SendDone(incarnation, peer) if current(incarnation) => {
                if self.links.contains_key(&peer) {
                    arrivals.push(Arrival::Sent(peer));
                }
            }
            Happening::Closed(incarnation, peer) if current(incarnation) => {
                arrivals.push(Arrival::Closed(peer));
            }
            Happening::Reset(incarnation, peer) if current(incarnation) => {
                self.client_resets(peer);
            }
            Happening::Disk(incarnation, core, ticket) if current(incarnation) => {
                arrivals.push(Arrival::Disk(core, ticket));
            }
            Happening::Shelf(incarnation, core, ticket) if current(incarnation) => {
                arrivals.push(Arrival::Shelf(core, ticket));
            }
            Happening::Shutdown(incarnation) if current(incarnation) => {
                let core = self.prng.below(u64::from(self.cores)) as u16;
                arrivals.push(Arrival::Shutdown(core));
            }
            Happening::Turn(incarnation, core) if current(incarnation) => turns.push(core),
            Happening::Ran(incarnation, core) if current(incarnation) => {
                arrivals.push(Arrival::Ran(core));
            }
            Happening::Wake(incarnation, core, from, count) if current(incarnation) => {
                let process = self.process.as_mut().expect("it is running");
                let inbox = &mut process.cores[usize::from(core)].inbox[usize::from(from)];
                inbox.due = inbox.due.max(count);
                turns.push(core);
            }
            // Of a process that is gone.
            Happening::Accept(..)
            | Happening::Deliver(..)
            | Happening::SendDone(..)
            | Happening::Closed(..)
            | Happening::Reset(..)
            | Happening::Disk(..)
            | Happening::Shelf(..)
            | Happening::Shutdown(..)
            | Happening::Turn(..)
            | Happening::Ran(..)
            | Happening::Wake(..) => {}
        }
        Ok(())
    }

    fn turn(&mut self, core: u16, mut arrivals: Vec<Arrival>) -> Result<(), String> {
        let process = self.process.as_ref().expect("only a running process has turns");
        if process.cores[usize::from(core)].exited {
            return Ok(());
        }
        self.collect_parcels(core, &mut arrivals);
        self.shuffle(&mut arrivals);
        self.report.turns += 1;
        let now = self.now();
        self.note("turn", &[now.wall_ms, u64::from(core), arrivals.len() as u64]);
        for arrival in arrivals {
            self.arrive(arrival)?;
        }
        let process = self.process.as_mut().expect("only a running process has turns");
        let node = &mut process.cores[usize::from(core)].node;
        node.close_turn(now);
        let mut wishes = Vec::new();
        while let Some(output) = node.poll_output() {
            wishes.push(wish(core, output));
        }
        if self.prng.chance(IDLE_TURNS_PERCENT) {
            let is_due = node.poll_timeout().is_some_and(|at| at <= now.monotonic_us);
            let is_over = wishes.iter().any(|wish| matches!(wish, Wish::Exit | Wish::Halt(_)));
            if !is_due && !is_over {
                // A turn more, with no event and at the same time: whoever could go on in it would
                // have been asleep without it.
                self.report.count("turn: without an event");
                node.close_turn(now);
                while let Some(output) = node.poll_output() {
                    let is_urgent = match &output {
                        Output::Log(wal::Output::Release { .. }) => false,
                        Output::Parcel { parcel, .. } => !parcel.is_about_memory(),
                        _ => true,
                    };
                    if is_urgent {
                        return Err(format!("core {core} would have slept over {output:?}"));
                    }
                    wishes.push(wish(core, output));
                }
            }
        }
        process.turns += 1;
        let writes = wishes.iter().filter(|wish| matches!(wish, Wish::Write { .. })).count();
        let writes = writes + self.disks.iter().map(Disk::writes_pending).sum::<usize>();
        let crash = process.is_crash_due(writes).then_some(process.crash);
        if crash.is_some() && self.prng.chance(40) {
            // The process dies while it hands over its outputs: no order among them is promised.
            self.report.count("crash: in the middle of a turn's outputs");
            let share = self.prng.below(100);
            let mut writes_snapshots = true;
            wishes.retain(|wish| {
                // Those of a snapshot keep their order.
                let is_kept = self.prng.chance(share);
                match wish {
                    Wish::Snapshot(_) => {
                        writes_snapshots &= is_kept;
                        writes_snapshots
                    }
                    _ => is_kept,
                }
            });
        }
        for wish in wishes {
            self.carry_out(core, wish)?;
            if self.process.is_none() {
                return Ok(());
            }
        }
        let disk = &self.disks[usize::from(core)];
        if let Some(violation) = disk.violations.first() {
            return Err(format!("the log asks for what it may not: {violation}"));
        }
        let accepted =
            self.links.iter().filter(|(peer, link)| peer.core == core && link.accepted).count();
        let process = self.process.as_ref().expect("it did not exit");
        let counted = process.cores[usize::from(core)].node.client_count();
        if counted != accepted {
            return Err(format!("core {core} has {counted} clients, {accepted} are connected"));
        }
        self.watch_settled(core)?;
        if let Some(crash) = crash {
            self.crash(crash);
            return Ok(());
        }
        if self.process.as_ref().is_some_and(|process| process.halted) {
            let crash = if self.prng.chance(50) { Crash::Kill } else { Crash::PowerCut };
            self.crash(crash);
            return Ok(());
        }
        // The failure was told to one core; another may be the one that had this turn.
        if self.final_failure == Some(core) {
            return Err("a write of the log failed and the node goes on".to_owned());
        }
        self.schedule_turn(core)
    }

    /// What is settled stays settled (PROTOCOL I5), in this process and, once it serves, in every
    /// later one.
    fn watch_settled(&mut self, core: u16) -> Result<(), String> {
        let topology = self.topology();
        let process = self.process.as_mut().expect("it did not exit");
        let serves = process.is_listening();
        let own = &mut process.cores[usize::from(core)];
        let slices = topology.slices_of(CoreId(core));
        for (slice, before) in slices.zip(&mut own.settled) {
            let settled = own.node.progress(slice).1.0;
            if settled < *before {
                return Err(format!("slice {slice} was settled to {before}, now to {settled}"));
            }
            *before = settled;
            if serves {
                self.settled[usize::from(slice.0)] = settled;
            }
        }
        Ok(())
    }

    /// What others sent and this core sees in this turn: all it was woken for, and more or less
    /// of the rest.
    fn collect_parcels(&mut self, core: u16, arrivals: &mut Vec<Arrival>) {
        let process = self.process.as_ref().expect("it is running");
        for (from, inbox) in (0..).zip(&process.cores[usize::from(core)].inbox) {
            let here = inbox.parcels.len() as u64;
            let due = inbox.due.saturating_sub(inbox.sent - here);
            let all = self.prng.chance(70);
            let seen = if all { here } else { due + self.prng.below(here - due + 1) };
            arrivals.extend((0..seen).map(|_| Arrival::Parcel(core, from)));
        }
    }

    /// Any order that keeps each connection's.
    fn shuffle(&mut self, arrivals: &mut [Arrival]) {
        let before = arrivals.to_vec();
        self.prng.shuffle(arrivals);
        for at in 0..arrivals.len() {
            let Some(lane) = arrivals[at].lane() else { continue };
            let rank = arrivals[..at].iter().filter(|a| a.lane() == Some(lane)).count();
            let of_lane = before.iter().filter(|a| a.lane() == Some(lane)).nth(rank);
            arrivals[at] = *of_lane.expect("as many before as after");
        }
    }

    /// Hands one event to the node.
    fn arrive(&mut self, arrival: Arrival) -> Result<(), String> {
        let now = self.now();
        let instant = self.next_instant();
        match arrival {
            Arrival::Accepted(peer) => {
                self.note("accepted", &peer.numbers());
                let link = self.links.get_mut(&peer).expect("it is not closed before");
                link.accepted = true;
                let address =
                    SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000 + peer.id.index as u16));
                let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 6379));
                self.tell(
                    peer.core,
                    node::Event::Accepted { id: peer.id, peer: address, local },
                    now,
                );
                self.deliver_later(peer, 0);
            }
            Arrival::Received(peer) => {
                let Self { links, prng, .. } = self;
                let link = links.get_mut(&peer).expect("an open connection");
                let mut bytes = Vec::new();
                let completed = link.deliver(prng, &mut bytes);
                if bytes.len() == 1 {
                    self.report.count("client: bytes delivered one by one");
                }
                for operation in completed {
                    if let Request::Save { waits: true } = self.operations[operation].request {
                        let settled = self.settled_now();
                        self.saves.insert(operation, settled);
                    }
                    self.operations[operation].arrived = Some(instant);
                    self.operations[operation].arrived_us = now.monotonic_us;
                }
                let [core, index, generation] = peer.numbers();
                self.note("received", &[core, index, generation, bytes.len() as u64]);
                self.tell(peer.core, node::Event::Received { id: peer.id, bytes: &bytes }, now);
                let pause = if self.prng.chance(20) { 2_000 } else { 0 };
                self.deliver_later(peer, pause);
            }
            Arrival::Sent(peer) => {
                self.note("sent", &peer.numbers());
                let Some(link) = self.links.get_mut(&peer) else { return Ok(()) };
                let buffer = link.sending.take().expect("one send at a time");
                let closing = link.closing;
                self.tell(peer.core, node::Event::Sent { id: peer.id, buffer }, now);
                if !closing {
                    self.client_reads(peer);
                }
            }
            Arrival::Closed(peer) => {
                self.note("closed", &peer.numbers());
                self.forget_link(peer);
                self.tell(peer.core, node::Event::Closed { id: peer.id }, now);
            }
            Arrival::Disk(core, ticket) => self.disk_done(core, ticket, now),
            Arrival::Shelf(core, ticket) => self.snapshot_done(core, ticket, now),
            Arrival::Parcel(core, from) => {
                self.note("parcel", &[u64::from(core), u64::from(from)]);
                let process = self.process.as_mut().expect("it is running");
                let inbox = &mut process.cores[usize::from(core)].inbox[usize::from(from)];
                let parcel = inbox.parcels.pop_front().expect("it was counted");
                self.tell(core, node::Event::Parcel { from: CoreId(from), parcel }, now);
            }
            Arrival::Ran(core) => {
                self.note("ran", &[u64::from(core)]);
                let process = self.process.as_mut().expect("it is running");
                let job = process.cores[usize::from(core)].long.take();
                let job = job.expect("one long command at a time");
                self.tell(core, node::Event::Ran(job), now);
            }
            Arrival::Shutdown(core) => {
                self.note("shutdown", &[]);
                let process = self.process.as_mut().expect("it is running");
                process.shutting_down = true;
                self.tell(core, node::Event::Shutdown, now);
            }
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, core: u16, event: node::Event<'_>, now: base::Now) {
        let process = self.process.as_mut().expect("it is running");
        process.cores[usize::from(core)].node.handle(event, now);
    }

    fn disk_done(&mut self, core: u16, ticket: Ticket, now: base::Now) {
        let is_write = self.disks[usize::from(core)].is_write_or_flush(ticket);
        let armed =
            if is_write { &mut self.faults.fail_write } else { &mut self.faults.fail_prepare };
        let fate = if std::mem::take(armed) { Fate::Fail } else { Fate::Succeed };
        let Self { disks, disk_free, prng, report, .. } = self;
        let disk = &mut disks[usize::from(core)];
        if fate == Fate::Fail {
            report.count(match (is_write, disk.is_flush(ticket)) {
                (true, false) => "fault: write failed",
                (true, true) => "fault: flush failed",
                (false, _) => "fault: prepare failed",
            });
            self.failures_told += 1;
            if is_write {
                self.final_failure = Some(core);
            }
        }
        let event = disk.complete(ticket, fate, disk_free, prng, report);
        self.note(
            "disk",
            &[u64::from(core), ticket.0, event.token, u64::from(event.result.is_ok())],
        );
        self.tell(core, node::Event::Log(event), now);
    }

    fn carry_out(&mut self, core: u16, wish: Wish) -> Result<(), String> {
        match wish {
            Wish::Listen => self.note_listening(core)?,
            Wish::Exit => self.note_exit(core)?,
            Wish::Run(job) => self.run_beside(core, job)?,
            Wish::Send(peer, buffer) => self.send_out(peer, buffer)?,
            Wish::Close(peer) => {
                self.note("close", &peer.numbers());
                let Some(link) = self.links.get_mut(&peer) else {
                    return Err(format!("{peer} is closed after it is gone"));
                };
                if link.sending.is_some() {
                    return Err(format!("{peer} is closed with a send on its way"));
                }
                if !link.closing {
                    link.closing = true;
                    let after = self.prng.below(100);
                    self.schedule(after, Happening::Closed(self.incarnation, peer));
                }
            }
            Wish::StopReceive(peer) => {
                self.note("stop", &peer.numbers());
                if let Some(link) = self.links.get_mut(&peer) {
                    link.stopped = true;
                }
            }
            Wish::StartReceive(peer) => {
                self.note("go on", &peer.numbers());
                if let Some(link) = self.links.get_mut(&peer) {
                    link.stopped = false;
                }
                self.deliver_later(peer, 0);
            }
            Wish::Parcel(to, parcel, wake) => self.pass_on(core, to, parcel, wake),
            Wish::Halt(halt) => {
                self.trace.remark(|| format!("halt: {halt:?}"));
                self.note("halt", &[]);
                let process = self.process.as_ref().expect("it is running");
                // A start may find no room; who serves goes on in any case.
                let is_full = halt.error == wal::IoError::NoSpace
                    && self.disk_free.is_some()
                    && !process.cores[usize::from(core)].listening;
                // A preparation that failed may be final too; a write or flush must be.
                if self.failures_told == 0 && !is_full {
                    return Err(format!("the log halts though nothing failed: {halt:?}"));
                }
                if is_full {
                    self.report.count("a start found the disk full");
                }
                self.process.as_mut().expect("it is running").halted = true;
            }
            Wish::Write { token, file, offset, bytes } => {
                self.trace.remark(|| format!("write {} at {offset}", file.name()));
                let size = bytes.len() as u64;
                self.note("write", &[token, offset, size, hash_bytes(&bytes)]);
                let ticket = self.disks[usize::from(core)].submit_write(token, file, offset, bytes);
                let usual = self.plan.write_us + size / 1000;
                self.disk_later(core, ticket, usual);
            }
            Wish::Flush { token, file } => {
                self.trace.remark(|| format!("flush {}", file.name()));
                self.note("flush", &[token]);
                let ticket = self.disks[usize::from(core)].submit_flush(token, file);
                self.disk_later(core, ticket, 2 * self.plan.write_us);
            }
            Wish::Prepare { token, file, size } => {
                self.trace.remark(|| format!("prepare {} with {size}", file.name()));
                self.note("prepare", &[token, size]);
                let ticket = self.disks[usize::from(core)].submit_prepare(token, file, size);
                self.disk_later(core, ticket, 5 * self.plan.write_us);
            }
            Wish::Remove { token, file } => {
                self.trace.remark(|| format!("remove {}", file.name()));
                self.note("remove", &[token]);
                let ticket = self.disks[usize::from(core)].submit_remove(token, file);
                self.disk_later(core, ticket, 200 * self.plan.write_us);
            }
            Wish::Snapshot(output) => self.carry_out_snapshot(core, output)?,
            Wish::Release(file) => {
                self.note("release", &[]);
                self.disks[usize::from(core)].release(file);
            }
        }
        Ok(())
    }

    /// What a long command does it does at once; when it is back is for chance to say. Nothing else
    /// can see its slices meanwhile.
    fn run_beside(&mut self, core: u16, mut job: Box<node::LongJob>) -> Result<(), String> {
        self.note("run", &[u64::from(core)]);
        self.report.count("node: a command ran beside its core");
        job.run();
        let process = self.process.as_mut().expect("it is running");
        if process.cores[usize::from(core)].long.replace(job).is_some() {
            return Err(format!("core {core} runs two long commands at a time"));
        }
        let after = match self.prng.below(100) {
            0..60 => self.prng.below(50),
            60..97 => self.prng.below(2_000),
            _ => self.prng.below(100_000),
        };
        self.schedule(after, Happening::Ran(self.incarnation, core));
        Ok(())
    }

    /// Parcels of one core for another keep their order. Who is not woken sees them when it has
    /// something else to do.
    fn pass_on(&mut self, from: u16, to: u16, parcel: Box<node::Parcel>, wake: bool) {
        self.note("pass on", &[u64::from(from), u64::from(to), u64::from(wake)]);
        let process = self.process.as_mut().expect("it is running");
        let inbox = &mut process.cores[usize::from(to)].inbox[usize::from(from)];
        inbox.parcels.push_back(parcel);
        inbox.sent += 1;
        let count = inbox.sent;
        if wake {
            let after = match self.prng.below(100) {
                0..80 => self.prng.below(30),
                80..98 => self.prng.below(1_000),
                _ => self.prng.below(50_000),
            };
            self.schedule(after, Happening::Wake(self.incarnation, to, from, count));
        }
    }

    fn disk_later(&mut self, core: u16, ticket: Ticket, usual_us: u64) {
        let after = self.disk_time(usual_us);
        self.schedule(after, Happening::Disk(self.incarnation, core, ticket));
    }

    fn send_out(&mut self, peer: Peer, buffer: Vec<u8>) -> Result<(), String> {
        let [core, index, generation] = peer.numbers();
        self.note("send", &[core, index, generation, hash_bytes(&buffer)]);
        if buffer.is_empty() {
            return Err(format!("an empty send to {peer}"));
        }
        self.note_replies(peer, &buffer)?;
        let link = self.links.get_mut(&peer).expect("its replies were just noted");
        if link.sending.is_some() {
            return Err(format!("two sends at a time to {peer}"));
        }
        link.sending = Some(buffer);
        let slow = link.style.reads_slowly;
        let after = if slow && self.prng.chance(30) {
            self.report.count("client: reads slowly");
            self.prng.below(1_000_000)
        } else {
            20 + self.prng.below(200)
        };
        self.schedule(after, Happening::SendDone(self.incarnation, peer));
        Ok(())
    }

    /// The next turn comes with the next event, or when the node asks for it.
    fn schedule_turn(&mut self, core: u16) -> Result<(), String> {
        let incarnation = self.incarnation;
        let time_us = self.time_us;
        let process = self.process.as_mut().expect("it is running");
        let own = &mut process.cores[usize::from(core)];
        let Some(at) = own.node.poll_timeout() else {
            own.idle_turns = 0;
            return Ok(());
        };
        if time_us < at {
            own.idle_turns = 0;
        } else {
            own.idle_turns += 1;
            if TURNS_PER_INSTANT_MAX < own.idle_turns {
                return Err("the node asks for turn after turn and does nothing".to_owned());
            }
        }
        let oversleeps = if self.prng.chance(30) { self.prng.below(500) } else { 0 };
        let after = at.saturating_sub(time_us) + oversleeps;
        let process = self.process.as_mut().expect("it is running");
        let own = &mut process.cores[usize::from(core)];
        // An earlier turn is scheduled already: it will ask again.
        let at_us = time_us + after;
        if own.turn_at_us.is_some_and(|turn_at| time_us < turn_at && turn_at <= at_us) {
            return Ok(());
        }
        own.turn_at_us = Some(at_us);
        self.schedule(after, Happening::Turn(incarnation, core));
        Ok(())
    }
}

fn wish(core: u16, output: node::Output<'_>) -> Wish {
    match output {
        node::Output::Listen => Wish::Listen,
        node::Output::Snapshot(output) => Wish::Snapshot(output),
        node::Output::RewriteConfig { .. } => unreachable!("there is no configuration file"),
        node::Output::Send { id, buffer } => Wish::Send(Peer { core, id }, buffer),
        node::Output::Close { id } => Wish::Close(Peer { core, id }),
        node::Output::StopReceive { id } => Wish::StopReceive(Peer { core, id }),
        node::Output::StartReceive { id } => Wish::StartReceive(Peer { core, id }),
        node::Output::Run(job) => Wish::Run(job),
        node::Output::Parcel { to, parcel, wake } => Wish::Parcel(to.0, parcel, wake),
        node::Output::Exit => Wish::Exit,
        node::Output::Log(wal::Output::Write(write)) => {
            let (token, file, offset) = (write.token, write.file, write.offset);
            // The carrier's buffer is used again and again: what it held must not shine through.
            let mut bytes = vec![0xa5; write.size()];
            write.encode(&mut bytes);
            Wish::Write { token, file, offset, bytes }
        }
        node::Output::Log(wal::Output::Flush { token, file }) => Wish::Flush { token, file },
        node::Output::Log(wal::Output::Prepare { token, file, size }) => {
            Wish::Prepare { token, file, size }
        }
        node::Output::Log(wal::Output::Remove { token, file }) => Wish::Remove { token, file },
        node::Output::Log(wal::Output::Release { file }) => Wish::Release(file),
        node::Output::Log(wal::Output::Halt(halt)) => Wish::Halt(halt),
    }
}
