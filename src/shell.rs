//! The shell of a core: carries out what the node asks for and tells it what happened.
//!
//! It decides nothing. The one place where a node's Output becomes a call of `runtime` and a
//! completion becomes an Event:
//!
//! ```text
//! loop { events -> node.handle; node.close_turn; outputs -> ring; one io_uring_enter }
//! ```

use std::net::TcpListener;

use base::Now;
use node::{Event, Node, Output};
use runtime::{DiskError, Ring};
use wal::IoError;

use crate::exit::{Failure, Status};

/// One core at work. Owner: core.
pub struct Shell {
    node: Node,
    ring: Ring,
    /// Bound, and listened on once the node has recovered.
    listeners: Vec<TcpListener>,
    /// Told once when clients are welcome.
    on_listen: Option<Banner>,
    shutting_down: bool,
}

/// What is printed when clients are welcome.
pub type Banner = Box<dyn FnOnce(&Node) + Send>;

/// What carrying out the outputs led to.
enum Next {
    Go,
    Exit,
}

impl Shell {
    pub fn new(node: Node, ring: Ring, listeners: Vec<TcpListener>, on_listen: Banner) -> Self {
        Self { node, ring, listeners, on_listen: Some(on_listen), shutting_down: false }
    }

    /// Runs until a signal ends it or the log fails.
    pub fn run(mut self) -> Result<Status, Failure> {
        loop {
            let now = runtime::now();
            self.take_events(now)?;
            self.node.close_turn(now);
            if let Next::Exit = self.carry_out()? {
                return Ok(Status::Done);
            }
            self.ring
                .submit_and_wait(self.node.poll_timeout())
                .map_err(|cause| Failure::new(Status::Kernel, cause))?;
        }
    }

    fn take_events(&mut self, now: Now) -> Result<(), Failure> {
        while let Some(event) = self.ring.poll_event() {
            let event = match event {
                runtime::Event::Accepted { id, peer, local } => Event::Accepted { id, peer, local },
                runtime::Event::Received { id, bytes } => Event::Received { id, bytes },
                runtime::Event::Sent { id, buffer } => Event::Sent { id, buffer },
                runtime::Event::Ended { id } => Event::Ended { id },
                runtime::Event::Closed { id } => Event::Closed { id },
                runtime::Event::Disk { token, result } => {
                    Event::Log(wal::Event { token, result: result.map_err(io_error) })
                }
                runtime::Event::Signal(signal) => {
                    if self.shutting_down {
                        let text = format!("{signal:?} again: not waiting for clients or the log");
                        return Err(Failure::new(Status::Forced, text));
                    }
                    self.shutting_down = true;
                    tracing::warn!("{signal:?}: finishing what was accepted, then exiting");
                    Event::Shutdown
                }
            };
            self.node.handle(event, now);
        }
        Ok(())
    }

    fn carry_out(&mut self) -> Result<Next, Failure> {
        let Self { node, ring, listeners, on_listen, .. } = self;
        let mut welcome = false;
        while let Some(output) = node.poll_output() {
            match output {
                Output::Send { id, buffer } => ring.send(id, buffer),
                Output::Close { id } => ring.abort(id),
                Output::StopReceive { id } => ring.stop_receive(id),
                Output::StartReceive { id } => ring.start_receive(id),
                Output::Log(output) => carry_out_log(ring, output)?,
                Output::Listen => welcome = true,
                Output::Exit => return Ok(Next::Exit),
            }
        }
        if welcome {
            for listener in listeners.drain(..) {
                ring.listen(listener).map_err(|cause| Failure::new(Status::Address, cause))?;
            }
            if let Some(banner) = on_listen.take() {
                banner(node);
            }
        }
        Ok(Next::Go)
    }
}

fn carry_out_log(ring: &mut Ring, output: wal::Output<'_>) -> Result<(), Failure> {
    match output {
        wal::Output::Write(write) => {
            let (token, offset, size) = (write.token, write.offset, write.size());
            let name = write.file.name();
            ring.write(token, &name, offset, size, |into| write.encode(into));
        }
        wal::Output::Flush { token, file } => ring.flush(token, &file.name()),
        wal::Output::Prepare { token, file, size } => ring.prepare(token, &file.name(), size),
        wal::Output::Remove { token, file } => ring.remove(token, &file.name()),
        wal::Output::Release { file } => ring.release(&file.name()),
        wal::Output::Halt(halt) => {
            let text = format!(
                "{halt}\nNothing is acknowledged from here on; the process ends. A failed write \
                 or flush is never tried again, because the kernel may have dropped the data.\n\
                 Fix: look at the disk (dmesg, smartctl), then start toroid again; it will read \
                 back what did reach the disk."
            );
            return Err(Failure::new(Status::Log, text));
        }
    }
    Ok(())
}

fn io_error(error: DiskError) -> IoError {
    match error {
        DiskError::NoSpace => IoError::NoSpace,
        DiskError::Os(errno) => IoError::Other(errno),
    }
}
