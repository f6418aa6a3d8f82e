//! Turns: events are gathered, handed to the node in an order no promise forbids, and what it
//! wants is carried out.

use std::cmp::Reverse;
use std::net::{Ipv4Addr, SocketAddr};

use base::ConnectionId;

use super::faults::Crash;
use super::{Happening, World};
use crate::disk::{Fate, Ticket};
use crate::trace::hash_bytes;

/// Turns at one instant after which the node is said to spin.
const TURNS_PER_INSTANT_MAX: u32 = 1_000;

/// Something for the node, of one turn.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Accepted(ConnectionId),
    Received(ConnectionId),
    Sent(ConnectionId),
    Closed(ConnectionId),
    Disk(Ticket),
    Shutdown,
}

impl Arrival {
    /// Arrivals of one connection keep their order.
    fn lane(self) -> Option<ConnectionId> {
        match self {
            Self::Accepted(id) | Self::Received(id) | Self::Sent(id) | Self::Closed(id) => Some(id),
            Self::Disk(_) | Self::Shutdown => None,
        }
    }
}

/// An output of the node, taken down so that the node can be asked for the next.
enum Wish {
    Listen,
    Send(ConnectionId, Vec<u8>),
    Close(ConnectionId),
    StopReceive(ConnectionId),
    StartReceive(ConnectionId),
    Write { token: u64, file: wal::LogFile, offset: u64, bytes: Vec<u8> },
    Flush { token: u64, file: wal::LogFile },
    Prepare { token: u64, file: wal::LogFile, size: u64 },
    Remove { token: u64, file: wal::LogFile },
    Release(wal::LogFile),
    Halt(String),
    Exit,
}

impl World {
    /// Takes what happens next; if it is for the node, gathers a turn of it.
    pub(super) fn step(&mut self) -> Result<(), String> {
        let mut arrivals = Vec::new();
        let mut turn = false;
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
            if end < (*at).max(self.time_us) || most <= arrivals.len() {
                break;
            }
            let Reverse((at, _, happening)) = self.heap.pop().expect("it was there");
            self.time_us = self.time_us.max(at);
            self.happen(happening, &mut arrivals, &mut turn)?;
            if turn || !arrivals.is_empty() {
                end = end.min(self.time_us + window);
            } else {
                return Ok(());
            }
        }
        if self.process.is_some() && (turn || !arrivals.is_empty()) {
            self.turn(arrivals)?;
        }
        Ok(())
    }

    fn happen(
        &mut self,
        happening: Happening,
        arrivals: &mut Vec<Arrival>,
        turn: &mut bool,
    ) -> Result<(), String> {
        let running = self.process.is_some();
        let current = |incarnation: u64| running && incarnation == self.incarnation;
        match happening {
            Happening::Start => self.start()?,
            Happening::Client(client) => self.client_acts(client),
            Happening::Fault => self.fault(),
            Happening::FaultEnd(window) => self.fault_ends(window),
            Happening::Accept(incarnation, id) if current(incarnation) => {
                arrivals.push(Arrival::Accepted(id));
            }
            Happening::Deliver(incarnation, id) if current(incarnation) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.delivering = false;
                    if !link.stopped && !link.closing && link.has_inbound() {
                        arrivals.push(Arrival::Received(id));
                    }
                }
            }
            Happening::SendDone(incarnation, id) if current(incarnation) => {
                if self.links.contains_key(&id) {
                    arrivals.push(Arrival::Sent(id));
                }
            }
            Happening::Closed(incarnation, id) if current(incarnation) => {
                arrivals.push(Arrival::Closed(id));
            }
            Happening::Reset(incarnation, id) if current(incarnation) => self.client_resets(id),
            Happening::Disk(incarnation, ticket) if current(incarnation) => {
                arrivals.push(Arrival::Disk(ticket));
            }
            Happening::Shutdown(incarnation) if current(incarnation) => {
                arrivals.push(Arrival::Shutdown);
            }
            Happening::Turn(incarnation) if current(incarnation) => *turn = true,
            // Of a process that is gone.
            Happening::Accept(..)
            | Happening::Deliver(..)
            | Happening::SendDone(..)
            | Happening::Closed(..)
            | Happening::Reset(..)
            | Happening::Disk(..)
            | Happening::Shutdown(..)
            | Happening::Turn(..) => {}
        }
        Ok(())
    }

    fn turn(&mut self, mut arrivals: Vec<Arrival>) -> Result<(), String> {
        self.shuffle(&mut arrivals);
        self.report.turns += 1;
        let now = self.now();
        self.note("turn", &[now.wall_ms, arrivals.len() as u64]);
        for arrival in arrivals {
            self.arrive(arrival)?;
        }
        let process = self.process.as_mut().expect("only a running process has turns");
        process.node.close_turn(now);
        let mut wishes = Vec::new();
        while let Some(output) = process.node.poll_output() {
            wishes.push(wish(output));
        }
        process.turns += 1;
        let writes = wishes.iter().filter(|wish| matches!(wish, Wish::Write { .. })).count();
        let writes = writes + self.disk.writes_pending();
        let crash = process.is_crash_due(writes).then_some(process.crash);
        if crash.is_some() && self.prng.chance(40) {
            // The process dies while it hands over its outputs: no order among them is promised.
            self.report.count("crash: in the middle of a turn's outputs");
            let share = self.prng.below(100);
            wishes.retain(|_| self.prng.chance(share));
        }
        for wish in wishes {
            self.carry_out(wish)?;
            if self.process.is_none() {
                return Ok(());
            }
        }
        if let Some(violation) = self.disk.violations.first() {
            return Err(format!("the log asks for what it may not: {violation}"));
        }
        let accepted = self.links.values().filter(|link| link.accepted).count();
        let process = self.process.as_ref().expect("it did not exit");
        if process.node.client_count() != accepted {
            return Err(format!(
                "the node has {} clients, {accepted} are connected",
                process.node.client_count()
            ));
        }
        if let Some(crash) = crash {
            self.crash(crash);
            return Ok(());
        }
        if self.process.as_ref().is_some_and(|process| process.halted) {
            let crash = if self.prng.chance(50) { Crash::Kill } else { Crash::PowerCut };
            self.crash(crash);
            return Ok(());
        }
        if 0 < self.final_failures {
            return Err("a write of the log failed and the node goes on".to_owned());
        }
        self.schedule_turn()
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
        let name = |id: ConnectionId| [u64::from(id.index), u64::from(id.generation)];
        match arrival {
            Arrival::Accepted(id) => {
                self.note("accepted", &name(id));
                let link = self.links.get_mut(&id).expect("it is not closed before");
                link.accepted = true;
                let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000 + id.index as u16));
                let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 6379));
                self.tell(node::Event::Accepted { id, peer, local }, now);
                self.deliver_later(id, 0);
            }
            Arrival::Received(id) => {
                let Self { links, prng, .. } = self;
                let link = links.get_mut(&id).expect("an open connection");
                let mut bytes = Vec::new();
                let completed = link.deliver(prng, &mut bytes);
                if bytes.len() == 1 {
                    self.report.count("client: bytes delivered one by one");
                }
                for operation in completed {
                    self.operations[operation].arrived = Some(instant);
                    self.operations[operation].arrived_us = now.monotonic_us;
                }
                let [index, generation] = name(id);
                self.note("received", &[index, generation, bytes.len() as u64]);
                self.tell(node::Event::Received { id, bytes: &bytes }, now);
                let pause = if self.prng.chance(20) { 2_000 } else { 0 };
                self.deliver_later(id, pause);
            }
            Arrival::Sent(id) => {
                self.note("sent", &name(id));
                let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
                let buffer = link.sending.take().expect("one send at a time");
                let closing = link.closing;
                self.tell(node::Event::Sent { id, buffer }, now);
                if !closing {
                    self.client_reads(id);
                }
            }
            Arrival::Closed(id) => {
                self.note("closed", &name(id));
                self.forget_link(id);
                self.tell(node::Event::Closed { id }, now);
            }
            Arrival::Disk(ticket) => self.disk_done(ticket, now),
            Arrival::Shutdown => {
                self.note("shutdown", &[]);
                let process = self.process.as_mut().expect("it is running");
                process.shutting_down = true;
                self.tell(node::Event::Shutdown, now);
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: node::Event<'_>, now: base::Now) {
        self.process.as_mut().expect("it is running").node.handle(event, now);
    }

    fn disk_done(&mut self, ticket: Ticket, now: base::Now) {
        let is_write = self.disk.is_write_or_flush(ticket);
        let armed =
            if is_write { &mut self.faults.fail_write } else { &mut self.faults.fail_prepare };
        let fate = if std::mem::take(armed) { Fate::Fail } else { Fate::Succeed };
        let Self { disk, prng, report, .. } = self;
        if fate == Fate::Fail {
            report.count(match (is_write, disk.is_flush(ticket)) {
                (true, false) => "fault: write failed",
                (true, true) => "fault: flush failed",
                (false, _) => "fault: prepare failed",
            });
            self.failures_told += 1;
            self.final_failures += u32::from(is_write);
        }
        let event = disk.complete(ticket, fate, prng, report);
        self.note("disk", &[ticket.0, event.token, u64::from(event.result.is_ok())]);
        self.tell(node::Event::Log(event), now);
    }

    fn carry_out(&mut self, wish: Wish) -> Result<(), String> {
        match wish {
            Wish::Listen => self.note_listening()?,
            Wish::Exit => self.note_exit()?,
            Wish::Send(id, buffer) => self.send_out(id, buffer)?,
            Wish::Close(id) => {
                self.note("close", &[u64::from(id.index), u64::from(id.generation)]);
                let Some(link) = self.links.get_mut(&id) else {
                    return Err(format!("{id} is closed after it is gone"));
                };
                if link.sending.is_some() {
                    return Err(format!("{id} is closed with a send on its way"));
                }
                if !link.closing {
                    link.closing = true;
                    let after = self.prng.below(100);
                    self.schedule(after, Happening::Closed(self.incarnation, id));
                }
            }
            Wish::StopReceive(id) => {
                self.note("stop", &[u64::from(id.index), u64::from(id.generation)]);
                if let Some(link) = self.links.get_mut(&id) {
                    link.stopped = true;
                }
            }
            Wish::StartReceive(id) => {
                self.note("go on", &[u64::from(id.index), u64::from(id.generation)]);
                if let Some(link) = self.links.get_mut(&id) {
                    link.stopped = false;
                }
                self.deliver_later(id, 0);
            }
            Wish::Halt(why) => {
                self.trace.remark(|| format!("halt: {why}"));
                self.note("halt", &[]);
                // A preparation that failed may be final too; a write or flush must be.
                if self.failures_told == 0 {
                    return Err(format!("the log halts though nothing failed: {why}"));
                }
                self.process.as_mut().expect("it is running").halted = true;
            }
            Wish::Write { token, file, offset, bytes } => {
                self.trace.remark(|| format!("write {} at {offset}", file.name()));
                let size = bytes.len() as u64;
                self.note("write", &[token, offset, size, hash_bytes(&bytes)]);
                let ticket = self.disk.submit_write(token, file, offset, bytes);
                let usual = self.plan.write_us + size / 1000;
                self.disk_later(ticket, usual);
            }
            Wish::Flush { token, file } => {
                self.trace.remark(|| format!("flush {}", file.name()));
                self.note("flush", &[token]);
                let ticket = self.disk.submit_flush(token, file);
                self.disk_later(ticket, 2 * self.plan.write_us);
            }
            Wish::Prepare { token, file, size } => {
                self.trace.remark(|| format!("prepare {} with {size}", file.name()));
                self.note("prepare", &[token, size]);
                let ticket = self.disk.submit_prepare(token, file, size);
                self.disk_later(ticket, 5 * self.plan.write_us);
            }
            Wish::Remove { token, file } => {
                self.trace.remark(|| format!("remove {}", file.name()));
                self.note("remove", &[token]);
                let ticket = self.disk.submit_remove(token, file);
                self.disk_later(ticket, 200 * self.plan.write_us);
            }
            Wish::Release(file) => {
                self.note("release", &[]);
                self.disk.release(file);
            }
        }
        Ok(())
    }

    fn disk_later(&mut self, ticket: Ticket, usual_us: u64) {
        let after = self.disk_time(usual_us);
        self.schedule(after, Happening::Disk(self.incarnation, ticket));
    }

    fn send_out(&mut self, id: ConnectionId, buffer: Vec<u8>) -> Result<(), String> {
        let numbers = [u64::from(id.index), u64::from(id.generation), hash_bytes(&buffer)];
        self.note("send", &numbers);
        if buffer.is_empty() {
            return Err(format!("an empty send to {id}"));
        }
        self.note_replies(id, &buffer)?;
        let link = self.links.get_mut(&id).expect("its replies were just noted");
        if link.sending.is_some() {
            return Err(format!("two sends at a time to {id}"));
        }
        link.sending = Some(buffer);
        let slow = link.style.reads_slowly;
        let after = if slow && self.prng.chance(30) {
            self.report.count("client: reads slowly");
            self.prng.below(1_000_000)
        } else {
            20 + self.prng.below(200)
        };
        self.schedule(after, Happening::SendDone(self.incarnation, id));
        Ok(())
    }

    /// The next turn comes with the next event, or when the node asks for it.
    fn schedule_turn(&mut self) -> Result<(), String> {
        let incarnation = self.incarnation;
        let time_us = self.time_us;
        let process = self.process.as_mut().expect("it is running");
        let Some(at) = process.node.poll_timeout() else {
            process.idle_turns = 0;
            return Ok(());
        };
        if time_us < at {
            process.idle_turns = 0;
        } else {
            process.idle_turns += 1;
            if TURNS_PER_INSTANT_MAX < process.idle_turns {
                return Err("the node asks for turn after turn and does nothing".to_owned());
            }
        }
        let oversleeps = if self.prng.chance(30) { self.prng.below(500) } else { 0 };
        let after = at.saturating_sub(time_us) + oversleeps;
        let process = self.process.as_mut().expect("it is running");
        // An earlier turn is scheduled already: it will ask again.
        let at_us = time_us + after;
        if process.turn_at_us.is_some_and(|turn_at| time_us < turn_at && turn_at <= at_us) {
            return Ok(());
        }
        process.turn_at_us = Some(at_us);
        self.schedule(after, Happening::Turn(incarnation));
        Ok(())
    }
}

fn wish(output: node::Output<'_>) -> Wish {
    match output {
        node::Output::Listen => Wish::Listen,
        node::Output::Send { id, buffer } => Wish::Send(id, buffer),
        node::Output::Close { id } => Wish::Close(id),
        node::Output::StopReceive { id } => Wish::StopReceive(id),
        node::Output::StartReceive { id } => Wish::StartReceive(id),
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
        node::Output::Log(wal::Output::Halt(halt)) => Wish::Halt(format!("{halt:?}")),
    }
}
