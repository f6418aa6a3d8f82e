//! Transfers between accounts whose keys lie in many slices: no half of one is ever seen, and no
//! acknowledged one is lost.
//!
//! Every transfer is a transaction whose amounts add up to zero, so the sum of all accounts is
//! zero at every moment at which nothing is half done. Each also leaves its number in its
//! teller's receipt, so that a lost one shows even where sums do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use super::load::{End, ended};
use super::{Chance, Client, Reply, encode};

const ACCOUNTS: u64 = 24;
const TELLERS: usize = 6;
const AUDITORS: u64 = 2;

/// Who moves money, and how.
#[derive(Debug)]
struct Teller {
    /// Transfers on their way at most; zero: one at a time, with WATCH and values it has read.
    depth: u64,
    acked: AtomicU64,
    sent: AtomicU64,
}

/// The accounts and what is known of them. Memory of the test's process.
#[derive(Debug)]
pub(crate) struct Bank {
    tellers: Vec<Teller>,
}

/// What a day at the bank had answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turnover {
    pub(crate) transfers: u64,
    /// EXECs that a change of a watched account refused.
    pub(crate) refused: u64,
    pub(crate) audits: u64,
}

#[derive(Debug)]
pub(crate) struct BankDay {
    threads: Vec<JoinHandle<Result<(), String>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bank: Arc<Bank>,
    port: u16,
    is_stopping: AtomicBool,
    transfers: AtomicU64,
    refused: AtomicU64,
    audits: AtomicU64,
}

impl Bank {
    pub(crate) fn new() -> Bank {
        let depths = [1, 4, 32, 1, 0, 0];
        assert!(depths.len() == TELLERS);
        let teller = |depth| Teller { depth, acked: AtomicU64::new(0), sent: AtomicU64::new(0) };
        Bank { tellers: depths.into_iter().map(teller).collect() }
    }

    /// Looks at everything after a crash; what is wrong.
    pub(crate) fn verify(&self, client: &mut Client) -> Vec<String> {
        let reply = client.call(&audit_words()).expect("a recovered server answers");
        let mut wrong = Vec::new();
        match balance(&reply) {
            Ok((0, receipts)) => {
                for (index, (teller, receipt)) in self.tellers.iter().zip(receipts).enumerate() {
                    let acked = teller.acked.load(Ordering::Acquire);
                    let sent = teller.sent.load(Ordering::Acquire);
                    if !(acked..=sent).contains(&receipt) {
                        wrong.push(format!(
                            "teller {index}: the last transfer is {receipt}; {acked} was \
                             acknowledged, {sent} sent"
                        ));
                    }
                    // What did not survive is not sent again.
                    teller.acked.store(receipt, Ordering::Release);
                    teller.sent.store(receipt, Ordering::Release);
                }
            }
            Ok((sum, _)) => wrong.push(format!("the accounts add up to {sum}: half a transfer")),
            Err(text) => wrong.push(text),
        }
        wrong
    }
}

impl BankDay {
    pub(crate) fn start(port: u16, bank: &Arc<Bank>, seed: u64) -> BankDay {
        let shared = Arc::new(Shared {
            bank: Arc::clone(bank),
            port,
            is_stopping: AtomicBool::new(false),
            transfers: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            audits: AtomicU64::new(0),
        });
        let mut threads = Vec::new();
        for index in 0..TELLERS {
            let shared = Arc::clone(&shared);
            let chance = Chance::new(seed.wrapping_mul(41).wrapping_add(index as u64));
            threads.push(spawn(move || ended(shared.tell(index, chance))));
        }
        for _ in 0..AUDITORS {
            let shared = Arc::clone(&shared);
            threads.push(spawn(move || ended(shared.audit())));
        }
        BankDay { threads, shared }
    }

    /// Ends the day. A connection that broke is no finding; a wrong answer is.
    pub(crate) fn join(self) -> Result<Turnover, String> {
        self.shared.is_stopping.store(true, Ordering::Release);
        let results: Vec<_> = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("a client of the bank does not panic"))
            .collect();
        results.into_iter().collect::<Result<(), String>>()?;
        Ok(Turnover {
            transfers: self.shared.transfers.load(Ordering::Acquire),
            refused: self.shared.refused.load(Ordering::Acquire),
            audits: self.shared.audits.load(Ordering::Acquire),
        })
    }
}

impl Shared {
    fn tell(&self, index: usize, mut chance: Chance) -> Result<(), End> {
        let mut client = Client::connect(self.port)?;
        let depth = self.bank.tellers[index].depth;
        while !self.is_stopping.load(Ordering::Acquire) {
            if depth == 0 {
                self.transfer_watched(index, &mut client, &mut chance)?;
            } else {
                self.transfer(index, &mut client, 1 + chance.below(depth), &mut chance)?;
            }
        }
        Ok(())
    }

    /// Sends `count` transfers, then takes their answers.
    fn transfer(
        &self,
        index: usize,
        client: &mut Client,
        count: u64,
        chance: &mut Chance,
    ) -> Result<(), End> {
        let teller = &self.bank.tellers[index];
        let mut requests = Vec::new();
        let mut commands = Vec::new();
        for _ in 0..count {
            let step = teller.sent.fetch_add(1, Ordering::AcqRel) + 1;
            requests.extend(encode(&[b"MULTI"]));
            let payers = 1 + chance.below(3);
            let mut sum = 0;
            for _ in 0..payers {
                let amount = chance.below(100);
                sum += amount;
                let (payer, amount) = (account(chance.below(ACCOUNTS)), amount.to_string());
                requests.extend(encode(&[b"DECRBY", payer.as_bytes(), amount.as_bytes()]));
            }
            let (payee, sum) = (account(chance.below(ACCOUNTS)), sum.to_string());
            requests.extend(encode(&[b"INCRBY", payee.as_bytes(), sum.as_bytes()]));
            let step = step.to_string();
            requests.extend(encode(&[b"SET", receipt(index).as_bytes(), step.as_bytes()]));
            requests.extend(encode(&[b"EXEC"]));
            commands.push(payers as usize + 2);
        }
        client.send(&requests)?;
        for commands in commands {
            expect(client.receive()?, &Reply::ok(), "MULTI")?;
            for _ in 0..commands {
                expect(client.receive()?, &Reply::Simple("QUEUED".to_owned()), "a command")?;
            }
            match client.receive()? {
                Reply::Array(replies) if replies.len() == commands => {}
                reply => return Err(End::Wrong(format!("EXEC answered {reply:?}"))),
            }
            teller.acked.fetch_add(1, Ordering::AcqRel);
            self.transfers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Moves one unit by values it has read, if nobody changes them meanwhile.
    fn transfer_watched(
        &self,
        index: usize,
        client: &mut Client,
        chance: &mut Chance,
    ) -> Result<(), End> {
        let teller = &self.bank.tellers[index];
        let (payer, payee) = (chance.below(ACCOUNTS), chance.below(ACCOUNTS - 1));
        let payee = if payee < payer { payee } else { payee + 1 };
        let (payer, payee) = (account(payer), account(payee));
        let words: [&[u8]; 3] = [b"WATCH", payer.as_bytes(), payee.as_bytes()];
        expect(client.call(&words)?, &Reply::ok(), "WATCH")?;
        let mut read = |name: &str| -> Result<i64, End> {
            number(&client.call(&[b"GET", name.as_bytes()])?).map_err(End::Wrong)
        };
        let (from, to) = (read(&payer)? - 1, read(&payee)? + 1);
        let step = teller.sent.load(Ordering::Acquire) + 1;
        // Sent before it can leave; taken back if it was refused.
        teller.sent.store(step, Ordering::Release);
        let (from, to, step) = (from.to_string(), to.to_string(), step.to_string());
        let mut requests = encode(&[b"MULTI"]);
        requests.extend(encode(&[b"SET", payer.as_bytes(), from.as_bytes()]));
        requests.extend(encode(&[
            b"MSET",
            payee.as_bytes(),
            to.as_bytes(),
            receipt(index).as_bytes(),
            step.as_bytes(),
        ]));
        requests.extend(encode(&[b"EXEC"]));
        client.send(&requests)?;
        expect(client.receive()?, &Reply::ok(), "MULTI")?;
        for _ in 0..2 {
            expect(client.receive()?, &Reply::Simple("QUEUED".to_owned()), "a command")?;
        }
        match client.receive()? {
            Reply::Array(replies) if replies.len() == 2 => {
                teller.acked.fetch_add(1, Ordering::AcqRel);
                self.transfers.fetch_add(1, Ordering::Relaxed);
            }
            Reply::Null => {
                teller.sent.fetch_sub(1, Ordering::AcqRel);
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            reply => return Err(End::Wrong(format!("EXEC answered {reply:?}"))),
        }
        Ok(())
    }

    /// Looks at all accounts at once, again and again.
    fn audit(&self) -> Result<(), End> {
        let mut client = Client::connect(self.port)?;
        let words = audit_words();
        while !self.is_stopping.load(Ordering::Acquire) {
            let acked: Vec<u64> = self
                .bank
                .tellers
                .iter()
                .map(|teller| teller.acked.load(Ordering::Acquire))
                .collect();
            let reply = client.call(&words)?;
            let (sum, receipts) = balance(&reply).map_err(End::Wrong)?;
            if sum != 0 {
                let text = format!("the accounts add up to {sum}: half a transfer was shown");
                return Err(End::Wrong(text));
            }
            for (acked, receipt) in acked.iter().zip(receipts) {
                if receipt < *acked {
                    let text = format!("receipt {receipt} was shown after {acked} was answered");
                    return Err(End::Wrong(text));
                }
            }
            self.audits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn account(number: u64) -> String {
    format!("account:{number}")
}

fn receipt(teller: usize) -> String {
    format!("receipt:{teller}")
}

/// MGET of all accounts and receipts.
fn audit_words() -> Vec<&'static [u8]> {
    static WORDS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let words = WORDS.get_or_init(|| {
        let accounts = (0..ACCOUNTS).map(account);
        accounts.chain((0..TELLERS).map(receipt)).collect()
    });
    let name: [&'static [u8]; 1] = [b"MGET"];
    name.into_iter().chain(words.iter().map(String::as_bytes)).collect()
}

/// The sum of the accounts, and the receipts.
fn balance(reply: &Reply) -> Result<(i64, Vec<u64>), String> {
    let Reply::Array(items) = reply else { return Err(format!("MGET answered {reply:?}")) };
    let numbers = items.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    if numbers.len() != ACCOUNTS as usize + TELLERS {
        return Err(format!("MGET answered {} values", numbers.len()));
    }
    let (accounts, receipts) = numbers.split_at(ACCOUNTS as usize);
    Ok((accounts.iter().sum(), receipts.iter().map(|number| *number as u64).collect()))
}

fn number(reply: &Reply) -> Result<i64, String> {
    match reply {
        Reply::Null => Ok(0),
        Reply::Bulk(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("an account holds {}", text.escape_ascii())),
        reply => Err(format!("a value is {reply:?}")),
    }
}

fn expect(reply: Reply, expected: &Reply, what: &str) -> Result<(), End> {
    if reply == *expected { Ok(()) } else { Err(End::Wrong(format!("{what} answered {reply:?}"))) }
}
