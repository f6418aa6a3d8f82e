//! A line on standard error that tells what is being read: at once on a terminal, now and then
//! elsewhere if it takes long.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// How often a terminal is told, and everybody else.
const OFTEN: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(10);

/// Ends with the line. Owner: the command.
#[derive(Debug)]
pub struct Progress {
    notes: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    pub fn start() -> Self {
        let (notes, taken) = channel::<String>();
        let is_terminal = std::io::stderr().is_terminal();
        let interval = if is_terminal { OFTEN } else { SELDOM };
        let thread = spawn(move || {
            let started = Instant::now();
            let (mut shown, mut what) = (started, String::new());
            let mut has_line = false;
            loop {
                let wait = (shown + interval).saturating_duration_since(Instant::now());
                match taken.recv_timeout(wait) {
                    Ok(note) => what = note,
                    Err(RecvTimeoutError::Timeout) => {
                        shown = Instant::now();
                        show(is_terminal, &what, started.elapsed());
                        has_line = true;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            if has_line && is_terminal {
                show_nothing();
            }
        });
        Self { notes: Some(notes), thread: Some(thread) }
    }

    /// From now on this is what takes its time.
    pub fn note(&self, what: &dyn Display) {
        let notes = self.notes.as_ref().expect("it is taken at the end only");
        notes.send(what.to_string()).expect("the thread ends with the sender");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.notes = None;
        // Nothing is left to do if it has panicked: it only prints.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show(is_terminal: bool, what: &str, elapsed: Duration) {
    let seconds = elapsed.as_secs();
    let (before, after) = if is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
    print(&format!("{before}toroid verify: {what}, {seconds} s{after}"));
}

fn show_nothing() {
    print("\r\x1b[K");
}

/// A closed standard error is no reason to stop.
fn print(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
