//! How a start is judged: what was promised is in what the logs hold, and explains every reply.

use base::SliceId;

use super::process::{Core, Recovery};
use super::{Stage, World};
use crate::checker::{
    check_ledger, check_linearizable, check_memory_age, check_order_of_texts, check_serializable,
};
use crate::disk::Reader;
use crate::history::{Answer, Request};
use crate::keys::{LOOSE, SMALL, TWIN, WIDE};
use crate::report::SEARCHES_GIVEN_UP;
use crate::surviving::{Put, Surviving};

impl World {
    /// Everything that was promised is in what a start found.
    pub(super) fn judge_survival(
        &mut self,
        cores: &[Core],
        surviving: &Surviving,
    ) -> Result<(), String> {
        self.served.check_prefix_of(surviving)?;
        for (slice, log) in (0..).zip(&surviving.slices) {
            let known = self.served.slices[usize::from(slice)].entries.len();
            for entry in &log.entries[known..] {
                let place = (slice, entry.term, entry.index);
                if *self.entries.entry(place).or_insert(entry.hash) != entry.hash {
                    return Err(format!("entry {place:?} is not what it was"));
                }
            }
        }
        if self.prng.chance(20) || self.stage != Stage::Working {
            self.verify()?;
        }
        self.report.add("recovery: fragments", surviving.fragments);
        self.report.add("recovery: void ranges", surviving.voids);
        let clean = self.shut_down;
        check_ledger(&self.operations, self.judged, surviving, clean)?;
        let slice_of = |key| self.keys.slice_of(key);
        check_order_of_texts(&self.operations, self.judged, surviving, &slice_of)?;
        let age_us = self.plan.memory_durability_age_us;
        check_memory_age(&self.operations, self.judged, surviving, age_us, &slice_of)?;
        self.judge_keyspaces(cores, surviving)
    }

    /// What the cores made of the logs is what is in them.
    fn judge_keyspaces(&mut self, cores: &[Core], surviving: &Surviving) -> Result<(), String> {
        let digests = self.digests(cores);
        if let Some(keyspaces) = surviving.keyspaces(self.plan.seed) {
            for (slice, (keyspace, digest)) in keyspaces.iter().zip(&digests).enumerate() {
                if Some(keyspace.digest()) != *digest {
                    return Err(format!(
                        "the digest of slice {slice} after replay is not that of its contents"
                    ));
                }
            }
        }
        if self.last_digests.take().is_some_and(|last| last != digests) {
            return Err("what the node had in memory at its exit is not in its log".to_owned());
        }
        let databases = (0..base::limits::DATABASES).filter(|db| *db != LOOSE);
        let of_core =
            |core: &Core| -> usize { databases.clone().map(|db| core.node.key_count(db)).sum() };
        let key_count = cores.iter().map(of_core).sum::<usize>();
        if key_count != surviving.key_count() {
            return Err(format!(
                "{key_count} keys after replay, there are {}",
                surviving.key_count()
            ));
        }
        Ok(())
    }

    /// Of every slice that is not lent.
    pub(super) fn digests(&self, cores: &[Core]) -> Vec<Option<u128>> {
        let topology = self.topology();
        let digest = |slice| {
            let owner = topology.owner(SliceId(slice));
            cores[usize::from(owner.0)].node.digest(SliceId(slice))
        };
        (0..topology.slices()).map(digest).collect()
    }

    /// What the tool for operators says of the log. A crash may tear a slot of the hard state or
    /// one of a segment's two headers, which is a reason to warn; nothing else is to be found.
    fn verify(&mut self) -> Result<(), String> {
        let disk = &self.disks[self.prng.index(self.disks.len())];
        let verified = wal::verify(&mut Reader(disk))
            .map_err(|error| format!("the log cannot be verified: {error}"))?;
        let Some(verified) = verified else { return Ok(()) };
        self.report.count("check: recovered logs verified");
        let torn = |problem: &&wal::Problem| {
            problem.file == wal::LogFile::HardState || problem.reason.contains("header copies")
        };
        let sound = verified.recovered.is_ok();
        match verified.problems.iter().find(|problem| !sound || !torn(problem)) {
            Some(problem) => Err(format!("verify finds fault with a sound log: {problem:?}")),
            None => Ok(()),
        }
    }

    /// Judges the operations up to `end`.
    pub(super) fn judge_history(&mut self, end: usize) -> Result<(), String> {
        let changes = self.recovered.changes_since(&self.served);
        let searched = check_linearizable(
            &self.operations[..end],
            self.judged,
            &self.served.contents,
            &changes,
            &self.keys.small_tracks(),
            self.shut_down,
        )?;
        self.judge_transactions(end, &changes)?;
        self.recovered.check_settled(&self.settled, &self.served)?;
        self.report.add("check: objects searched", searched.objects);
        self.report.add(SEARCHES_GIVEN_UP, searched.given_up);
        if self.shut_down {
            self.report.count("check: shutdown lost nothing");
        }
        let lost = self.operations[self.judged..end].iter().any(|operation| {
            let crate::history::Value::Text(text) = (match &operation.request {
                Request::Set { value, .. } if operation.arrived.is_some() => *value,
                _ => return false,
            }) else {
                return false;
            };
            !self.recovered.texts.contains_key(&text)
        });
        if lost {
            self.report.count("check: recovered tail shorter than what was executed");
        }
        self.judged = end;
        Ok(())
    }

    /// One order of whole transactions explains what was seen in the wide database.
    fn judge_transactions(&mut self, end: usize, changes: &[Put]) -> Result<(), String> {
        let judged = check_serializable(
            &self.operations[..end],
            self.judged,
            WIDE,
            &self.served.contents,
            changes,
            &|key| self.keys.slice_of(key),
            self.shut_down,
        )?;
        self.report.add("check: transactions judged", judged.transactions);
        self.report.add("check: reads of an unknown version", judged.ambiguous_reads);
        Ok(())
    }

    /// After the last shutdown: contents, replies and log agree to the last key.
    pub(super) fn judge_end(&mut self) -> Result<(), String> {
        let Recovery { logs, replays, whole, hard_states, surviving, .. } = self.recover(true)?;
        let starts = self.settle(replays, whole, &hard_states)?;
        self.judge_snapshots(&surviving)?;
        let cores = self.make_cores(logs, starts);
        self.judge_survival(&cores, &surviving)?;
        let keyspaces = surviving.keyspaces(self.plan.seed).expect("the bytes were kept");
        let used: usize = keyspaces.iter().map(|keyspace| keyspace.used_bytes()).sum();
        // The bytes of a collection depend on the way there, not only on what it holds.
        if !surviving.has_collections() && self.dataset_size != Some(used as u64) {
            return Err(format!(
                "INFO says {:?} bytes of data, there are {used}",
                self.dataset_size
            ));
        }
        self.recovered = surviving;
        for operation in &self.operations[self.judged..] {
            // The reading client comes last, when nobody else is there.
            if operation.connection == self.connections
                && matches!(operation.answered, Some((_, Answer::Refused)))
            {
                return Err("writes are refused though the disk has room again".to_owned());
            }
            if operation.connection == self.connections
                && operation.request == Request::Size
                && let Some((_, answer)) = &operation.answered
                && [WIDE, SMALL, TWIN].contains(&operation.database)
            {
                let count = self.recovered.count(operation.database) as i64;
                if *answer != Answer::Integer(count) {
                    return Err(format!("DBSIZE says {answer:?}, there are {count} keys"));
                }
            }
        }
        self.judge_history(self.operations.len())?;
        self.serve_from_recovered();
        self.stage = Stage::Done;
        Ok(())
    }
}
