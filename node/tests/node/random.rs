//! Random clients on several cores, with disks and parcels that stall, clients that go away, and
//! a crash that takes what no disk has promised to keep. The same seed takes the same way.

use std::collections::VecDeque;

use base::{CoreId, Prng};
use node::{Event, Parcel, Topology};

use crate::cores::Cores;
use crate::world::MemoryLog;

/// Accounts in the slices 0 to 3 of four: what goes from one to another is never lost.
const ACCOUNTS: [&str; 4] = ["b", "k3", "foo", "a"];

/// Counted up by clients that watch it.
const WATCHED: &str = "{k3}watched";

#[derive(Debug)]
enum Expected {
    Exactly(String),
    /// INCR of the own key of a slice, and how often that was asked for.
    Counted(usize, u64),
    /// All accounts: nothing in all.
    Balances,
    /// EXEC of a transfer.
    Transfer,
    /// GET of the watched counter; the client goes on when it is there.
    Watched,
    /// EXEC that counts it up.
    Swap,
}

#[derive(Debug)]
struct Client {
    core: usize,
    id: u32,
    expected: VecDeque<Expected>,
    tokens: VecDeque<String>,
    /// How often it has counted up a key of its own in each slice: asked for, and answered.
    asked: [u64; 4],
    answered: [u64; 4],
    swaps: u64,
    swaps_asked: u64,
    is_gone: bool,
    /// It waits for the value before it sends more.
    waits: bool,
}

struct Run {
    node: Cores,
    prng: Prng,
    clients: Vec<Client>,
    /// What each core has sent each other and is not there yet.
    parcels: Vec<Vec<VecDeque<Box<Parcel>>>>,
    /// What each disk has promised to keep, while it promises no more.
    kept: Vec<Option<MemoryLog>>,
    ids: u32,
}

impl Client {
    fn own_key(&self, at: usize) -> String {
        format!("{{{}}}of{}", ACCOUNTS[at], self.id)
    }

    fn expect(&mut self, text: &str) {
        self.expected.push_back(Expected::Exactly(text.to_owned()));
    }

    fn next_bulk(&mut self) -> Option<String> {
        let head = self.tokens.pop_front().expect("a reply");
        assert!(head.starts_with('$'), "{head}");
        if head == "$-1" { None } else { self.tokens.pop_front() }
    }

    /// Compares what came with what must come. Returns what it sends because of it.
    fn check(&mut self) -> Option<String> {
        let mut sends = None;
        while !self.tokens.is_empty() {
            match self.expected.pop_front().expect("nothing comes that was not asked for") {
                Expected::Exactly(text) => {
                    for word in text.split(' ') {
                        let token = self.tokens.pop_front();
                        assert_eq!(token.as_deref(), Some(word), "client {}", self.id);
                    }
                }
                Expected::Counted(at, count) => {
                    let value = at as u64 * 1_000_000 + count;
                    let token = self.tokens.pop_front();
                    assert_eq!(token, Some(format!(":{value}")), "client {}", self.id);
                    self.answered[at] = count;
                }
                Expected::Balances => {
                    assert_eq!(self.tokens.pop_front().as_deref(), Some("*4"));
                    let each = (0..4).map(|_| self.next_bulk().map_or(0, |text| number(&text)));
                    assert_eq!(each.sum::<i64>(), 0, "half a transfer was seen");
                }
                Expected::Transfer => {
                    assert_eq!(self.tokens.pop_front().as_deref(), Some("*2"));
                    self.tokens.drain(..2);
                }
                Expected::Watched => {
                    let value = self.next_bulk().map_or(0, |text| number(&text));
                    self.waits = false;
                    self.swaps_asked += 1;
                    self.expect("+OK");
                    self.expect("+QUEUED");
                    self.expected.push_back(Expected::Swap);
                    sends = Some(format!("multi\nset {WATCHED} {}\nexec", value + 1));
                }
                Expected::Swap => {
                    let head = self.tokens.pop_front().expect("a reply");
                    if head == "*1" {
                        self.swaps += 1;
                        assert_eq!(self.tokens.pop_front().as_deref(), Some("+OK"));
                    } else {
                        assert_eq!(head, "*-1");
                    }
                }
            }
        }
        sends
    }
}

fn number(text: &str) -> i64 {
    text.parse().expect("a number")
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut prng = Prng::from_seed(seed);
        let cores = 1 + prng.below(4) as u16;
        let mut node = Cores::new(cores, 4);
        node.parcels_stall = true;
        let count = usize::from(cores);
        let lane = || (0..count).map(|_| VecDeque::new()).collect();
        let parcels = (0..count).map(|_| lane()).collect();
        let kept = vec![None; count];
        Self { node, prng, clients: Vec::new(), parcels, kept, ids: 0 }
    }

    fn connect(&mut self) {
        self.ids += 1;
        let (core, id) = (self.prng.index(self.kept.len()), self.ids);
        self.node.cores[core].connect(id);
        let mut client = Client {
            core,
            id,
            expected: VecDeque::new(),
            tokens: VecDeque::new(),
            asked: [0; 4],
            answered: [0; 4],
            swaps: 0,
            swaps_asked: 0,
            is_gone: false,
            waits: false,
        };
        // Each counter starts at another number, so that replies cannot be taken for each other.
        let mut sent = String::new();
        for at in 0..4 {
            sent.push_str(&format!("set {} {}\n", client.own_key(at), at * 1_000_000));
            client.expect("+OK");
        }
        self.node.send(core, id, sent.trim_end());
        self.clients.push(client);
    }

    /// A pipeline of one client.
    fn send(&mut self) {
        let at = self.prng.index(self.clients.len());
        let client = &mut self.clients[at];
        if client.is_gone || client.waits {
            return;
        }
        let mut sent: Vec<String> = Vec::new();
        for _ in 0..1 + self.prng.below(8) {
            let one = self.prng.index(4);
            match self.prng.below(10) {
                0..=4 => {
                    client.asked[one] += 1;
                    sent.push(format!("incr {}", client.own_key(one)));
                    let count = client.asked[one];
                    client.expected.push_back(Expected::Counted(one, count));
                }
                5 => {
                    let value = (one as u64 * 1_000_000 + client.asked[one]).to_string();
                    sent.push(format!("get {}", client.own_key(one)));
                    client.expect(&format!("${} {value}", value.len()));
                }
                6 => {
                    let keys: Vec<_> = (0..4).map(|at| client.own_key(at)).collect();
                    sent.push(format!("exists {}", keys.join(" ")));
                    client.expected.push_back(Expected::Exactly(":4".to_owned()));
                }
                7 => {
                    sent.push(format!("mget {}", ACCOUNTS.join(" ")));
                    client.expected.push_back(Expected::Balances);
                }
                8 => {
                    let other = ACCOUNTS[(one + 1 + self.prng.index(3)) % 4];
                    let amount = self.prng.below(100);
                    let one = ACCOUNTS[one];
                    sent.push(format!(
                        "multi\ndecrby {one} {amount}\nincrby {other} {amount}\nexec"
                    ));
                    client.expect("+OK");
                    client.expect("+QUEUED");
                    client.expect("+QUEUED");
                    client.expected.push_back(Expected::Transfer);
                }
                _ => {
                    sent.push(format!("watch {WATCHED} b\nget {WATCHED}"));
                    client.expect("+OK");
                    client.expected.push_back(Expected::Watched);
                    client.waits = true;
                    break;
                }
            }
        }
        let (core, id) = (client.core, client.id);
        self.node.send(core, id, &sent.join("\n"));
    }

    fn step(&mut self) {
        match self.prng.below(20) {
            0 if self.clients.len() < 40 => self.connect(),
            1 if self.prng.chance(30) => {
                let at = self.prng.index(self.clients.len());
                let client = &mut self.clients[at];
                if !std::mem::replace(&mut client.is_gone, true) {
                    self.node.cores[client.core].close(client.id);
                }
            }
            2 | 3 => {
                let core = self.prng.index(self.kept.len());
                let world = &mut self.node.cores[core];
                world.frames_stall = !world.frames_stall;
                self.kept[core] = world.frames_stall.then(|| world.log.clone());
            }
            4..=12 => self.send(),
            _ => {
                let core = self.prng.index(self.kept.len());
                self.node.cores[core].turn();
            }
        }
        self.carry(40);
        self.receive();
    }

    /// Hands parcels over, each with a chance of so many percent.
    fn carry(&mut self, percent: u64) {
        for from in 0..self.kept.len() {
            for (to, parcel) in std::mem::take(&mut self.node.cores[from].parcels) {
                self.parcels[from][usize::from(to.0)].push_back(parcel);
            }
            for to in 0..self.kept.len() {
                while self.prng.chance(percent) {
                    let Some(parcel) = self.parcels[from][to].pop_front() else { break };
                    let world = &mut self.node.cores[to];
                    let from = CoreId(from as u16);
                    world.node.handle(Event::Parcel { from, parcel }, world.now);
                }
            }
        }
    }

    fn receive(&mut self) {
        for client in self.clients.iter_mut().filter(|client| !client.is_gone) {
            let text = self.node.cores[client.core].received(client.id);
            client.tokens.extend(text.split_whitespace().map(str::to_owned));
            if let Some(sends) = client.check() {
                self.node.send(client.core, client.id, &sends);
            }
        }
    }

    /// Everything works again: nobody waits any more.
    fn recover(&mut self) {
        for core in &mut self.node.cores {
            core.frames_stall = false;
        }
        self.kept.fill(None);
        for _ in 0..200 {
            for core in &mut self.node.cores {
                core.turn();
            }
            self.carry(99);
            self.receive();
        }
        for client in self.clients.iter().filter(|client| !client.is_gone) {
            assert!(client.expected.is_empty(), "client {} waits for ever", client.id);
        }
    }

    /// Every core ends without warning; a disk that stalled may have kept nothing since.
    fn crash(mut self) {
        let mut logs = Vec::new();
        for (world, kept) in self.node.cores.into_iter().zip(self.kept) {
            logs.push(kept.filter(|_| self.prng.chance(70)).unwrap_or(world.log));
        }
        let topology = Topology::new(logs.len() as u16, 4);
        let mut node = Cores::with(&crate::world::config(), topology, logs);
        for _ in 0..2 {
            for core in &mut node.cores {
                core.connect(1);
            }
            let balances = node.ask(0, 1, &format!("mget {}", ACCOUNTS.join(" ")));
            let sum: i64 =
                balances.split(' ').filter(|word| !word.starts_with(['*', '$'])).map(number).sum();
            assert_eq!(sum, 0, "half a transfer is left: {balances}");
            let swaps: u64 = self.clients.iter().map(|client| client.swaps).sum();
            let asked: u64 = self.clients.iter().map(|client| client.swaps_asked).sum();
            let count = count(&node.ask(0, 1, &format!("get {WATCHED}")));
            assert!((swaps..=asked).contains(&count), "{swaps} {count} {asked}");
            for client in &self.clients {
                for at in 0..4 {
                    let text = node.ask(0, 1, &format!("get {}", client.own_key(at)));
                    let count = self::count(&text).saturating_sub(at as u64 * 1_000_000);
                    let (least, most) = (client.answered[at], client.asked[at]);
                    assert!((least..=most).contains(&count), "{least} {count} {most}");
                }
            }
            let digests = node.digests();
            node = node.restart();
            assert_eq!(node.digests(), digests);
        }
    }
}

/// Raise it by hand for a longer run.
const SEEDS: u64 = 150;

fn count(answer: &str) -> u64 {
    answer.split(' ').nth(1).map_or(0, |text| text.parse().expect("a number"))
}

/// Red when a job joins a session whose lender has requests of its client under way, when a slice
/// says yes before its fragment is committed, when EXEC does not look at its watches, and when
/// recovery takes a fragment for committed without looking at the others.
#[test]
fn random_clients_find_order_whole_transfers_and_all_that_was_answered() {
    for seed in 0..SEEDS {
        // The failure is this seed's.
        println!("seed {seed}");
        let mut run = Run::new(seed);
        (0..4).for_each(|_| run.connect());
        for _ in 0..150 + seed % 200 {
            run.step();
        }
        if seed % 3 == 0 {
            run.recover();
        }
        run.crash();
    }
}
