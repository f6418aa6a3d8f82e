//! The clients: when they connect, what they send, when they lose patience.

use base::ConnectionId;

use super::{Happening, Stage, World};
use crate::history::{Answer, Key, Level, Operation, Request};
use crate::keys::{self, Kind, MIXED, SMALL, TWIN, WIDE};
use crate::link::{Link, Peer, Pieces, Style};
use crate::workload::{Standing, interpret, is_declared};

/// Owner: world.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) link: Option<Peer>,
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
            Some(peer) if self.links[&peer].waiting() == 0 => self.send_pipeline(peer),
            // The reply wakes it.
            Some(_) => {}
        }
    }

    fn connect(&mut self, client: usize) -> Peer {
        let core = self.prng.index(self.places.len());
        let places = &mut self.places[core];
        let index = match places.iter().position(|generation| generation.is_multiple_of(2)) {
            Some(index) => index,
            None => {
                places.push(0);
                places.len() - 1
            }
        };
        places[index] += 1;
        let id = ConnectionId { index: index as u32, generation: places[index] };
        let peer = Peer { core: core as u16, id };
        let style = Style {
            pieces: match self.prng.below(10) {
                0..2 => Pieces::Crumbs,
                2..5 => Pieces::Random,
                _ => Pieces::Whole,
            },
            reads_slowly: self.prng.chance(10),
        };
        let standing = Standing::new();
        self.connections += 1;
        self.links.insert(peer, Link::new(client, self.connections, style, standing));
        self.clients[client].link = Some(peer);
        self.note("connect", &peer.numbers());
        let after = 20 + self.prng.below(200);
        self.schedule(after, Happening::Accept(self.incarnation, peer));
        if self.stage == Stage::Working {
            for request in self.workload.greeting() {
                self.send(peer, Some(request), true);
            }
            self.wake_client(client, 0);
        }
        peer
    }

    fn send_pipeline(&mut self, peer: Peer) {
        let incarnation = self.incarnation;
        if self.prng.chance(2) {
            // Gone without a word.
            self.schedule(0, Happening::Reset(incarnation, peer));
            return;
        }
        // Many unanswered commands on few keys could have been executed in too many orders.
        let most = match self.links[&peer].standing.database {
            SMALL | TWIN => self.plan.pipeline_max.min(SMALL_PIPELINE_MAX),
            _ => self.plan.pipeline_max,
        };
        let size = 1 + self.prng.below(most);
        self.burst_left = self.burst_left.saturating_sub(size);
        if 1 < size {
            self.report.count("client: pipeline");
        }
        let breaks_off = self.prng.chance(2);
        for number in 1..=size {
            self.send(peer, None, !(breaks_off && number == size));
        }
        if !breaks_off && self.prng.chance(2) {
            let last = if self.prng.chance(50) { Request::Quit } else { Request::Garbage };
            self.report.count(match last {
                Request::Quit => "client: quits",
                _ => "client: sends what is no request",
            });
            self.send(peer, Some(last), true);
        }
        if breaks_off {
            self.report.count("client: command left half sent");
            let after = self.prng.below(50_000);
            self.schedule(after, Happening::Reset(incarnation, peer));
        } else if self.prng.chance(3) {
            let after = self.prng.below(5_000);
            self.schedule(after, Happening::Reset(incarnation, peer));
        }
    }

    /// Sends one request, a drawn one if none is given.
    fn send(&mut self, peer: Peer, request: Option<Request>, whole: bool) {
        let link = self.links.get_mut(&peer).expect("a client sends on its connection");
        let mut bytes = Vec::new();
        // Executed where the connection stood before this request.
        let (database, level) = (link.standing.database, link.standing.level);
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
        self.trace.remark(|| format!("#{operation} {peer} {database} {level:?} {request:?}"));
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
        self.deliver_later(peer, 0);
    }

    /// The next bytes of the client reach the node in a while.
    pub(super) fn deliver_later(&mut self, peer: Peer, after_us: u64) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let waits = link.accepted && link.has_inbound() && !link.stopped && !link.closing;
        if waits && !link.delivering {
            link.delivering = true;
            let after = after_us + self.prng.below(150);
            self.schedule(after, Happening::Deliver(self.incarnation, peer));
        }
    }

    /// Bytes left the node for a client: what they say is known from now on.
    pub(super) fn note_replies(&mut self, peer: Peer, buffer: &[u8]) -> Result<(), String> {
        let instant = self.next_instant();
        let Some(link) = self.links.get_mut(&peer) else {
            return Err(format!("a send to {peer}, of which the node knows that it is gone"));
        };
        link.tap(buffer);
        let mut saved = Vec::new();
        while let Some((reply, bytes)) =
            link.next_reply().map_err(|error| format!("{peer}: {error:?}"))?
        {
            // A client that comes while the node is on its way out is told so unasked.
            if link.arrived() == 0 && bytes == b"-ERR the server is shutting down\r\n" {
                continue;
            }
            let number = link.answered().map_err(|what| format!("{peer}: {what}: {reply:?}"))?;
            let operation = &mut self.operations[number];
            let answer = interpret(&operation.request, &reply, &bytes, &self.values)
                .map_err(|what| format!("#{number} {peer}: {what}"))?;
            if let Request::Save { waits: true } = operation.request {
                saved.push((number, answer.clone()));
            }
            if operation.request == Request::Info {
                self.dataset_size = dataset_size(&bytes);
            }
            self.trace.remark(|| format!("#{number} {peer} -> {answer:?}"));
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
        saved.into_iter().try_for_each(|(number, answer)| self.judge_save(number, &answer))
    }

    /// The bytes of a send reached the client.
    pub(super) fn client_reads(&mut self, peer: Peer) {
        let link = &self.links[&peer];
        let client = link.client;
        if link.waiting() == 0 && self.clients[client].link == Some(peer) {
            let after = match self.prng.below(10) {
                0..6 => self.prng.below(300),
                6..9 => self.prng.below(3_000),
                _ => self.prng.below(30_000),
            };
            self.wake_client(client, after);
        }
    }

    /// The client is gone; the node learns of it later.
    pub(super) fn client_resets(&mut self, peer: Peer) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        if link.closing {
            return;
        }
        if !link.accepted {
            // A connection is reset after it was made.
            self.schedule(1_000, Happening::Reset(self.incarnation, peer));
            return;
        }
        link.closing = true;
        if link.sending.is_some() || 0 < link.waiting() {
            self.report.count("client: reset with replies on their way");
        }
        self.note("reset", &peer.numbers());
        let after = self.prng.below(300);
        self.schedule(after, Happening::Closed(self.incarnation, peer));
    }

    /// The node was told that a connection is gone.
    pub(super) fn forget_link(&mut self, peer: Peer) {
        let link = self.links.remove(&peer).expect("a connection is forgotten once");
        self.places[usize::from(peer.core)][peer.id.index as usize] += 1;
        self.clients[link.client].link = None;
        let after = self.prng.below(10_000);
        self.wake_client(link.client, after);
    }

    /// Every connection ends with the process.
    pub(super) fn drop_links(&mut self) {
        for (peer, link) in std::mem::take(&mut self.links) {
            self.places[usize::from(peer.core)][peer.id.index as usize] += 1;
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
        let peer = self.connect(client);
        for database in [WIDE, SMALL, TWIN] {
            self.send(peer, Some(Request::Select(database)), true);
            self.send(peer, Some(Request::Increment(Key(0))), true);
            for key in (0..keys::count(database)).map(Key) {
                self.send(peer, Some(Request::Get(key)), true);
            }
            if is_declared("dbsize") {
                self.send(peer, Some(Request::Size), true);
            }
        }
        self.send(peer, Some(Request::Select(MIXED)), true);
        for member in keys::all_members() {
            let request = match keys::kind(member) {
                Some(Kind::Set) => Request::Exists(vec![member]),
                _ => Request::Get(member),
            };
            self.send(peer, Some(request), true);
        }
        self.send(peer, Some(Request::Info), true);
    }

    pub(super) fn has_read_everything(&self, client: usize) -> bool {
        self.clients[client].link.is_some_and(|peer| self.links[&peer].waiting() == 0)
    }
}

/// What INFO says of the bytes of the data.
fn dataset_size(info: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(info);
    let line = text.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"))?;
    line.parse().ok()
}
