//! kill -9 under load: every acknowledged write is there afterwards, and everything a reader was
//! shown; no half of a transaction is ever there. Now and then the server comes back with another
//! number of cores, and reads the logs of the numbers before.
//!
//! TOROID_ROUNDS sets the number of kills (5 without it, 200 for an acceptance), TOROID_SEED
//! repeats a run's choices. A kill leaves the kernel and the disk alive, so this does not test the
//! flush: that is `rigs/powercut.py`.

#[path = "support/support.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{Bank, BankDay, Chance, Directory, Ledger, Load, Start, verify_log};

/// The log keeps everything, so a fresh directory is taken after this many kills.
const ROUNDS_PER_LOG: u64 = 20;
const ACKED_PER_ROUND_MIN: u64 = 1000;

/// Numbers of cores to come back with; three share the processors of a small host.
const CORES: &[u64] = &[1, 2, 2, 3];

/// Red when: a reply is released before its frame is submitted (the planted `ReplyBeforeCommit`:
/// what waits for a place in flight is lost); recovery leaves out an effect, or a record; what a
/// transaction wrote in several slices is logged without fragments, or counts as soon as one core
/// has it on disk; EXEC does not look at its watches; a start with another number of cores leaves
/// out an older generation's logs, or reads them after the newer one's.
#[test]
fn an_acknowledged_write_survives_kill_9() {
    let rounds: u64 = match std::env::var("TOROID_ROUNDS") {
        Ok(text) => text.parse().expect("TOROID_ROUNDS is a number"),
        Err(_) => 5,
    };
    let seed = Chance::seed_of_run();
    println!("kill9: {rounds} rounds, seed {seed}");
    let mut chance = Chance::new(seed);
    let (mut round, mut acked, mut read, mut early) = (0, 0, 0, 0);
    let (mut transfers, mut refused, mut audits, mut regrouped) = (0, 0, 0, 0);
    while round < rounds {
        let directory = Directory::new("kill9");
        let plain = Start::new(&directory.data());
        let plain = plain.with(&["--wal-segment-size", "8388608", "--slices", "16"]);
        let on = |cores: u64| plain.clone().with(&["--cores", &cores.to_string()]);
        let mut cores = *chance.pick(CORES);
        let ledger = Arc::new(Ledger::new());
        let bank = Arc::new(Bank::new());
        let end = rounds.min(round + ROUNDS_PER_LOG);
        let mut server = on(cores).run().expect("the server starts on an empty directory");
        while round < end {
            round += 1;
            let load = Load::start(server.port(), &ledger, chance.next());
            let day = BankDay::start(server.port(), &bank, chance.next());
            std::thread::sleep(Duration::from_millis(100 + chance.below(900)));
            server.kill();
            let tally = load.join().expect("every answer of a living server is right");
            let turnover = day.join().expect("no half of a transfer is shown");
            transfers += turnover.transfers;
            refused += turnover.refused;
            audits += turnover.audits;
            acked += tally.acked;
            read += tally.read;
            if chance.below(3) == 0 {
                // Killed again while it recovers, wherever that is.
                let again = on(*chance.pick(&[cores, cores, 1, 2])).spawn();
                std::thread::sleep(Duration::from_millis(chance.below(120)));
                again.kill();
                early += 1;
            }
            if chance.below(3) == 0 {
                let before = std::mem::replace(&mut cores, *chance.pick(CORES));
                regrouped += u64::from(cores != before);
            }
            server = on(cores).run().expect("the server recovers from a kill");
            let mut wrong = ledger.verify(&mut server.client());
            wrong.extend(bank.verify(&mut server.client()));
            assert!(wrong.is_empty(), "round {round}, seed {seed}:\n{}", wrong.join("\n"));
        }
        server.stop();
        verify_log(&directory.data());
    }
    println!(
        "kill9: {rounds} rounds and {early} kills during recovery: {acked} acknowledged writes and \
         {read} answered reads, none lost; {transfers} transfers, {refused} refused by a watch, \
         {audits} audits, none half; {regrouped} starts with another number of cores"
    );
    assert!(rounds < 20 || 0 < regrouped, "the number of cores never changed");
    assert!(rounds * 10 <= transfers, "{transfers} transfers are too few to prove anything");
    assert!(rounds <= audits, "{audits} audits are too few to prove anything");
    assert!(ACKED_PER_ROUND_MIN * rounds <= acked, "{acked} writes are too few to prove anything");
    assert!(rounds <= read, "{read} reads are too few to prove anything");
}
