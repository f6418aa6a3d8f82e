//! The clients: when they connect, what they send, when they lose patience.

use base::ConnectionId;

use super::{Happening, Stage, World};
use crate::history::{Answer, Key, Level, Operation, Request};
use crate::keys::{self, SMALL, WIDE};
use crate::link::{Link, Pieces, Style};
use crate::workload::{Standing, interpret};

/// Owner: world.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) link: Option<ConnectionId>,
    /// It acts at a time that is set.
    awake: bool,
}

/// The longest pipeline to the small database.
const SMALL_PIPELINE_MAX: u64 = 6;

/// Requests of one burst of load.
const BURST: u64 = 140;

impl World {
    /// The client acts `after_us` from now, unless it is about to act anyway.
    pub(super) fn wake_client(&mut self, client: usize, after_us: u64) {
        if !self.clients[client].awake {
            self.clients[client].awake = true;
            self.schedule(after_us, Happening::Client(client));
        }
    }

    pub(super) fn client_acts(&mut self, client: usize) {
        self.clients[client].awake = false;
        if self.stage != Stage::Working {
            return;
        }
        if !self.is_listening() {
            let after = 1_000 + self.prng.below(20_000);
            self.wake_client(client, after);
            return;
        }
        if self.burst_left == 0 {
            if self.time_us < self.next_burst_us {
                let after = self.next_burst_us - self.time_us + self.prng.below(3_000);
                self.wake_client(client, after);
                return;
            }
            self.burst_left = BURST;
            self.next_burst_us = self.time_us + self.prng.below(2_000_000);
        }
        match self.clients[client].link {
            None => {
                self.connect(client);
            }
            Some(id) if self.links[&id].waiting() == 0 => self.send_pipeline(id),
            // The reply wakes it.
            Some(_) => {}
        }
    }

    fn connect(&mut self, client: usize) -> ConnectionId {
        let index = match self.places.iter().position(|generation| generation.is_multiple_of(2)) {
            Some(index) => index,
            None => {
                self.places.push(0);
                self.places.len() - 1
            }
        };
        self.places[index] += 1;
        let id = ConnectionId { index: index as u32, generation: self.places[index] };
        let style = Style {
            pieces: match self.prng.below(10) {
                0..2 => Pieces::Crumbs,
                2..5 => Pieces::Random,
                _ => Pieces::Whole,
            },
            reads_slowly: self.prng.chance(10),
        };
        let standing = Standing { database: WIDE, level: Level::Local };
        self.connections += 1;
        self.links.insert(id, Link::new(client, self.connections, style, standing));
        self.clients[client].link = Some(id);
        self.note("connect", &[client as u64, u64::from(id.index), u64::from(id.generation)]);
        let after = 20 + self.prng.below(200);
        self.schedule(after, Happening::Accept(self.incarnation, id));
        if self.stage == Stage::Working {
            for request in self.workload.greeting() {
                self.send(id, Some(request), true);
            }
            self.wake_client(client, 0);
        }
        id
    }

    fn send_pipeline(&mut self, id: ConnectionId) {
        let incarnation = self.incarnation;
        if self.prng.chance(2) {
            // Gone without a word.
            self.schedule(0, Happening::Reset(incarnation, id));
            return;
        }
        // Many unanswered commands on few keys could have been executed in too many orders.
        let most = match self.links[&id].standing.database {
            SMALL => self.plan.pipeline_max.min(SMALL_PIPELINE_MAX),
            _ => self.plan.pipeline_max,
        };
        let size = 1 + self.prng.below(most);
        self.burst_left = self.burst_left.saturating_sub(size);
        if 1 < size {
            self.report.count("client: pipeline");
        }
        let breaks_off = self.prng.chance(2);
        for number in 1..=size {
            self.send(id, None, !(breaks_off && number == size));
        }
        if !breaks_off && self.prng.chance(2) {
            let last = if self.prng.chance(50) { Request::Quit } else { Request::Garbage };
            self.report.count(match last {
                Request::Quit => "client: quits",
                _ => "client: sends what is no request",
            });
            self.send(id, Some(last), true);
        }
        if breaks_off {
            self.report.count("client: command left half sent");
            let after = self.prng.below(50_000);
            self.schedule(after, Happening::Reset(incarnation, id));
        } else if self.prng.chance(3) {
            let after = self.prng.below(5_000);
            self.schedule(after, Happening::Reset(incarnation, id));
        }
    }

    /// Sends one request, a drawn one if none is given.
    fn send(&mut self, id: ConnectionId, request: Option<Request>, whole: bool) {
        let link = self.links.get_mut(&id).expect("a client sends on its connection");
        let mut bytes = Vec::new();
        // Executed where the connection stood before this request.
        let Standing { database, level } = link.standing;
        let Self { workload, keys, values, .. } = self;
        let request = match request {
            Some(request) => {
                workload.say(&request, &mut link.standing, keys, &mut bytes);
                request
            }
            None => workload.next(&mut link.standing, keys, values, &mut bytes),
        };
        if matches!(request, Request::Set { .. }) && workload.last_was_large() {
            self.report.count("client: value larger than a segment");
        }
        if !whole {
            let size = self.prng.index(bytes.len());
            bytes.truncate(size);
        }
        let operation = self.operations.len();
        self.trace.remark(|| format!("#{operation} {id} {database} {level:?} {request:?}"));
        self.operations.push(Operation {
            connection: link.number,
            database,
            level,
            request,
            arrived: None,
            answered: None,
            arrived_us: 0,
            answered_us: 0,
        });
        link.push(operation, &bytes, whole);
        self.deliver_later(id, 0);
    }

    /// The next bytes of the client reach the node in a while.
    pub(super) fn deliver_later(&mut self, id: ConnectionId, after_us: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let waits = link.accepted && link.has_inbound() && !link.stopped && !link.closing;
        if waits && !link.delivering {
            link.delivering = true;
            let after = after_us + self.prng.below(150);
            self.schedule(after, Happening::Deliver(self.incarnation, id));
        }
    }

    /// Bytes left the node for a client: what they say is known from now on.
    pub(super) fn note_replies(&mut self, id: ConnectionId, buffer: &[u8]) -> Result<(), String> {
        let instant = self.next_instant();
        let Some(link) = self.links.get_mut(&id) else {
            return Err(format!("a send to {id}, of which the node knows that it is gone"));
        };
        link.tap(buffer);
        while let Some((reply, bytes)) =
            link.next_reply().map_err(|error| format!("{id}: {error:?}"))?
        {
            // A client that comes while the node is on its way out is told so unasked.
            if link.arrived() == 0 && bytes == b"-ERR the server is shutting down\r\n" {
                continue;
            }
            let number = link.answered().map_err(|what| format!("{id}: {what}: {reply:?}"))?;
            let operation = &mut self.operations[number];
            let answer = interpret(&operation.request, &reply, &bytes, &self.values)
                .map_err(|what| format!("#{number} {id}: {what}"))?;
            if operation.request == Request::Info {
                self.dataset_size = dataset_size(&bytes);
            }
            self.trace.remark(|| format!("#{number} {id} -> {answer:?}"));
            self.report.operations += 1;
            if answer == Answer::Refused {
                self.report.count("operation: refused");
            }
            if operation.level == Level::Memory {
                self.report.count("operation: answered at level memory");
            }
            operation.answered = Some((instant, answer));
            operation.answered_us = self.time_us;
        }
        Ok(())
    }

    /// The bytes of a send reached the client.
    pub(super) fn client_reads(&mut self, id: ConnectionId) {
        let link = &self.links[&id];
        let client = link.client;
        if link.waiting() == 0 && self.clients[client].link == Some(id) {
            let after = match self.prng.below(10) {
                0..6 => self.prng.below(300),
                6..9 => self.prng.below(3_000),
                _ => self.prng.below(30_000),
            };
            self.wake_client(client, after);
        }
    }

    /// The client is gone; the node learns of it later.
    pub(super) fn client_resets(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.closing {
            return;
        }
        if !link.accepted {
            // A connection is reset after it was made.
            self.schedule(1_000, Happening::Reset(self.incarnation, id));
            return;
        }
        link.closing = true;
        if link.sending.is_some() || 0 < link.waiting() {
            self.report.count("client: reset with replies on their way");
        }
        self.note("reset", &[u64::from(id.index), u64::from(id.generation)]);
        let after = self.prng.below(300);
        self.schedule(after, Happening::Closed(self.incarnation, id));
    }

    /// The node was told that a connection is gone.
    pub(super) fn forget_link(&mut self, id: ConnectionId) {
        let link = self.links.remove(&id).expect("a connection is forgotten once");
        self.places[id.index as usize] += 1;
        self.clients[link.client].link = None;
        let after = self.prng.below(10_000);
        self.wake_client(link.client, after);
    }

    /// Every connection ends with the process.
    pub(super) fn drop_links(&mut self) {
        for (id, link) in std::mem::take(&mut self.links) {
            self.places[id.index as usize] += 1;
            self.clients[link.client].link = None;
            self.report.add("operation: outcome unknown", link.waiting() as u64);
            let after = self.prng.below(10_000);
            self.wake_client(link.client, after);
        }
    }

    /// At the end one client writes to see that it may, and reads all there is.
    pub(super) fn begin_reading(&mut self) {
        self.clients.push(Client::default());
        let client = self.clients.len() - 1;
        self.stage = Stage::Reading { client, since_us: self.time_us };
        let id = self.connect(client);
        for database in [WIDE, SMALL] {
            self.send(id, Some(Request::Select(database)), true);
            self.send(id, Some(Request::Increment(Key(0))), true);
            for key in (0..keys::count(database)).map(Key) {
                self.send(id, Some(Request::Get(key)), true);
            }
            self.send(id, Some(Request::Size), true);
        }
        self.send(id, Some(Request::Info), true);
    }

    pub(super) fn has_read_everything(&self, client: usize) -> bool {
        self.clients[client].link.is_some_and(|id| self.links[&id].waiting() == 0)
    }
}

/// What INFO says of the bytes of the data.
fn dataset_size(info: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(info);
    let line = text.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"))?;
    line.parse().ok()
}
