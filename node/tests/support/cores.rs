//! A node of several cores whose parcels are carried by hand.

use base::{CoreId, SliceId};
use node::{Config, Event, Topology};

use super::world::{MemoryLog, World, config};

/// The cores of a node.
#[derive(Debug)]
pub struct Cores {
    pub cores: Vec<World>,
    pub topology: Topology,
    /// Parcels are kept where they are.
    pub parcels_stall: bool,
}

impl Cores {
    pub fn new(cores: u16, slices: u16) -> Self {
        let logs = (0..cores).map(|_| MemoryLog::default()).collect();
        Self::with(&config(), Topology::new(cores, slices), logs)
    }

    /// A node on what `logs` hold, recovered and listening on every core.
    pub fn with(config: &Config, topology: Topology, logs: Vec<MemoryLog>) -> Self {
        let cores = World::started_cores(config, topology, logs);
        let mut node = Self { cores, topology, parcels_stall: false };
        for _ in 0..100 {
            node.turn();
        }
        assert!(node.cores.iter().all(|core| core.listening));
        node
    }

    /// Stops the node without warning and starts another on its disks.
    pub fn restart(self) -> Self {
        let logs = self.cores.into_iter().map(|core| core.log).collect();
        Self::with(&config(), self.topology, logs)
    }

    /// One turn of every core, and what they sent each other.
    pub fn turn(&mut self) {
        for core in &mut self.cores {
            core.turn();
        }
        if !self.parcels_stall {
            self.carry();
        }
    }

    /// Hands every parcel over.
    pub fn carry(&mut self) {
        for from in 0..self.cores.len() {
            for (to, parcel) in std::mem::take(&mut self.cores[from].parcels) {
                let world = &mut self.cores[usize::from(to.0)];
                let event = Event::Parcel { from: CoreId(from as u16), parcel };
                world.node.handle(event, world.now);
            }
        }
    }

    pub fn settle(&mut self) {
        for _ in 0..64 {
            self.turn();
        }
    }

    /// Sends to `core`, lets everything settle, returns what came back.
    pub fn ask(&mut self, core: usize, client: u32, text: &str) -> String {
        self.send(core, client, text);
        self.settle();
        self.cores[core].received(client)
    }

    /// Sends inline requests, one a line, without a turn.
    pub fn send(&mut self, core: usize, client: u32, text: &str) {
        let bytes = text.replace('\n', "\r\n") + "\r\n";
        self.cores[core].send_bytes(client, bytes.as_bytes());
    }

    pub fn digests(&self) -> Vec<u128> {
        let slices = (0..self.topology.slices()).map(SliceId);
        slices
            .map(|slice| {
                let core = usize::from(self.topology.owner(slice).0);
                self.cores[core].node.digest(slice).expect("nothing is lent")
            })
            .collect()
    }
}
