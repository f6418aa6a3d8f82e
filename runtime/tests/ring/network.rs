//! Connections: what is received, sent and closed, and that nothing is lost or said twice.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base::ConnectionId;
use runtime::Ring;

use crate::server::{Happened, Server, pattern};

/// Sends back what it receives, keeping to one send at a time.
#[derive(Default)]
struct Echo {
    connections: HashMap<ConnectionId, Echoed>,
}

#[derive(Default)]
struct Echoed {
    waiting: Vec<u8>,
    sending: bool,
}

impl Echo {
    fn handle(&mut self, ring: &mut Ring, happened: Happened) {
        match happened {
            Happened::Accepted(id, _) => {
                let previous = self.connections.insert(id, Echoed::default());
                assert!(previous.is_none(), "an id is used once");
            }
            Happened::Received(id, bytes) => {
                self.connection(id).waiting.extend(bytes);
                self.send(ring, id);
            }
            Happened::Sent(id, _) => {
                self.connection(id).sending = false;
                self.send(ring, id);
            }
            Happened::Closed(id) => {
                self.connections.remove(&id).expect("it was accepted, and closed once");
            }
            Happened::Other => {}
        }
    }

    fn connection(&mut self, id: ConnectionId) -> &mut Echoed {
        self.connections.get_mut(&id).expect("events come between Accepted and Closed")
    }

    fn send(&mut self, ring: &mut Ring, id: ConnectionId) {
        let connection = self.connection(id);
        if !connection.sending && !connection.waiting.is_empty() {
            connection.sending = true;
            ring.send(id, std::mem::take(&mut connection.waiting));
        }
    }
}

fn echo() -> Server {
    let mut echo = Echo::default();
    Server::start(|_| {}, move |ring, happened| echo.handle(ring, happened))
}

fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server closes in order");
    bytes
}

#[test]
fn what_a_client_sends_in_pieces_comes_back_whole() {
    let server = echo();
    let mut client = server.connect();
    let bytes = pattern(3_000_000);
    let mut reader = client.try_clone().expect("a socket can be cloned");
    let expected = bytes.clone();
    let reading = thread::spawn(move || {
        let mut received = vec![0; expected.len()];
        reader.read_exact(&mut received).expect("everything comes back");
        assert!(received == expected);
    });
    let mut rest = &bytes[..];
    for size in [1, 2, 3, 1000, 16 * 1024, 16 * 1024 + 1, 100_000].into_iter().cycle() {
        let piece = &rest[..size.min(rest.len())];
        client.write_all(piece).expect("the server reads");
        rest = &rest[piece.len()..];
        if rest.is_empty() {
            break;
        }
    }
    reading.join().expect("what came back is what was sent");
    drop(client);
    server.finish();
}

#[test]
fn many_clients_at_once_get_their_own_bytes() {
    let server = echo();
    let clients: Vec<_> = (0..20u8)
        .map(|number| {
            let mut client = server.connect();
            thread::spawn(move || {
                for round in 0..50u8 {
                    let message = vec![number ^ round; 1 + usize::from(round) * 37];
                    client.write_all(&message).expect("the server reads");
                    let mut answer = vec![0; message.len()];
                    client.read_exact(&mut answer).expect("the server answers");
                    assert!(answer == message);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("every client got its answers");
    }
    server.finish();
}

#[test]
fn a_large_reply_reaches_a_reader_that_pauses_whole_and_in_order() {
    const SIZE: usize = 16 << 20;
    let (sent, sizes) = mpsc::channel();
    let server = Server::start(
        |_| {},
        move |ring, happened| match happened {
            Happened::Received(id, _) => ring.send(id, pattern(SIZE)),
            Happened::Sent(_, buffer) => sent.send(buffer.len()).expect("the test listens"),
            _ => {}
        },
    );
    let mut client = server.connect();
    let expected = pattern(SIZE);
    for _ in 0..2 {
        client.write_all(b"go").expect("the server reads");
        let mut received = vec![0; SIZE];
        for part in received.chunks_mut(SIZE / 8) {
            thread::sleep(Duration::from_millis(30));
            client.read_exact(part).expect("the reply goes on");
        }
        assert!(received == expected);
        assert_eq!(sizes.recv_timeout(Duration::from_secs(60)), Ok(SIZE));
    }
    drop(client);
    let stats = server.finish();
    assert!(2 <= stats.sends_waiting, "the replies were too large to be sent at once");
}

#[test]
fn a_connection_closed_while_sending_is_closed_after_the_last_byte() {
    const SIZE: usize = 8 << 20;
    let (event, events) = mpsc::channel();
    let server = Server::start(
        |_| {},
        move |ring, happened| match happened {
            Happened::Received(id, _) => {
                ring.send(id, pattern(SIZE));
                ring.close(id);
            }
            Happened::Sent(_, buffer) => event.send(("sent", buffer.len())).expect("we listen"),
            Happened::Closed(_) => event.send(("closed", 0)).expect("we listen"),
            _ => {}
        },
    );
    let mut client = server.connect();
    client.write_all(b"go").expect("the server reads");
    assert!(read_all(client) == pattern(SIZE));
    let happened: Vec<_> = (0..2)
        .map(|_| events.recv_timeout(Duration::from_secs(60)).expect("two events follow"))
        .collect();
    assert_eq!(happened, [("sent", SIZE), ("closed", 0)]);
    server.finish();
}

#[test]
fn a_short_reply_and_a_close_in_the_same_turn_both_arrive() {
    let server = Server::start(
        |_| {},
        |ring, happened| {
            if let Happened::Received(id, _) = happened {
                ring.send(id, b"+OK\r\n".to_vec());
                ring.close(id);
            }
        },
    );
    for _ in 0..100 {
        let mut client = server.connect();
        client.write_all(b"QUIT\r\n").expect("the server reads");
        assert_eq!(read_all(client), b"+OK\r\n");
    }
    server.finish();
}

#[test]
fn aborting_a_send_nobody_reads_closes_the_connection_once() {
    let (event, events) = mpsc::channel();
    let mut waiting = None;
    let server = Server::start(
        |_| {},
        move |ring, happened| match happened {
            Happened::Received(id, bytes) if bytes == b"fill" => {
                ring.send(id, pattern(64 << 20));
                waiting = Some(id);
                event.send("sending").expect("the test listens");
            }
            Happened::Received(id, bytes) => {
                assert_eq!(bytes, b"abort");
                ring.abort(waiting.take().expect("a client filled its socket"));
                ring.send(id, b"done".to_vec());
            }
            Happened::Sent(_, buffer) => assert_eq!(buffer, b"done"),
            Happened::Closed(_) => event.send("closed").expect("the test listens"),
            _ => {}
        },
    );
    let mut stuck = server.connect();
    stuck.write_all(b"fill").expect("the server reads");
    assert_eq!(events.recv_timeout(Duration::from_secs(60)), Ok("sending"));
    let mut other = server.connect();
    other.write_all(b"abort").expect("the server reads");
    let mut answer = [0; 4];
    other.read_exact(&mut answer).expect("the other client is served meanwhile");
    assert_eq!(events.recv_timeout(Duration::from_secs(60)), Ok("closed"));
    // The stuck client gets what was under way, then the end or a reset.
    let mut rest = Vec::new();
    let _ = stuck.read_to_end(&mut rest);
    assert!(rest.len() < 64 << 20);
    drop(other);
    assert_eq!(events.recv_timeout(Duration::from_secs(60)), Ok("closed"));
    server.finish();
}

#[test]
fn a_peer_that_stops_sending_still_gets_what_is_under_way_and_one_that_left_does_not() {
    let (event, events) = mpsc::channel();
    let server = Server::start(
        |_| {},
        move |ring, happened| match happened {
            Happened::Received(id, _) => {
                ring.send(id, pattern(64 << 20));
                event.send("sending").expect("the test listens");
            }
            Happened::Sent(..) => event.send("sent").expect("the test listens"),
            Happened::Closed(_) => event.send("closed").expect("the test listens"),
            _ => {}
        },
    );
    for half in [true, false] {
        let mut client = server.connect();
        client.write_all(b"go").expect("the server reads");
        assert_eq!(events.recv_timeout(Duration::from_secs(60)), Ok("sending"));
        let how = if half { Shutdown::Write } else { Shutdown::Both };
        client.shutdown(how).expect("it is connected");
        if half {
            let mut received = Vec::new();
            client.read_to_end(&mut received).expect("the server closes in the end");
            assert!(received == pattern(64 << 20));
            assert_eq!(events.recv_timeout(Duration::from_secs(60)), Ok("sent"));
        }
        assert_eq!(events.recv_timeout(Duration::from_secs(60)), Ok("closed"));
    }
    server.finish();
}

#[test]
fn a_stopped_connection_delivers_nothing_until_it_is_started_again() {
    let (event, events) = mpsc::channel();
    let mut paused = None;
    let server = Server::start(
        |_| {},
        move |ring, happened| match happened {
            Happened::Received(id, bytes) => match &bytes[..] {
                b"pause me" => {
                    ring.stop_receive(id);
                    paused = Some(id);
                    event.send("paused".to_owned()).expect("the test listens");
                }
                b"resume it" => ring.start_receive(paused.expect("a client was paused")),
                b"turn" => ring.send(id, bytes),
                _ => event
                    .send(String::from_utf8(bytes).expect("tests send text"))
                    .expect("the test listens"),
            },
            Happened::Sent(..) | Happened::Accepted(..) | Happened::Other => {}
            Happened::Closed(_) => event.send("closed".to_owned()).expect("the test listens"),
        },
    );
    let next = || events.recv_timeout(Duration::from_secs(60)).expect("an event follows");
    let mut client = server.connect();
    let mut other = server.connect();
    client.write_all(b"pause me").expect("the server reads");
    assert_eq!(next(), "paused");
    let turn = |other: &mut TcpStream| {
        other.write_all(b"turn").expect("the server reads");
        other.read_exact(&mut [0; 4]).expect("the server answers");
    };
    turn(&mut other);
    client.write_all(b"while paused").expect("the kernel takes it");
    for _ in 0..20 {
        turn(&mut other);
    }
    assert!(events.try_recv().is_err(), "nothing is delivered while paused");
    other.write_all(b"resume it").expect("the server reads");
    assert_eq!(next(), "while paused");
    client.write_all(b"afterwards").expect("the server reads");
    assert_eq!(next(), "afterwards");
    drop(client);
    assert_eq!(next(), "closed");
    drop(other);
    assert_eq!(next(), "closed");
    server.finish();
}

#[test]
fn stopping_and_starting_in_quick_succession_loses_nothing() {
    const SIZE: usize = 4 << 20;
    let (event, received) = mpsc::channel();
    let mut count = 0;
    let server = Server::start(
        |_| {},
        move |ring, happened| {
            if let Happened::Received(id, bytes) = happened {
                count += 1;
                ring.stop_receive(id);
                ring.start_receive(id);
                if count % 2 == 0 {
                    ring.stop_receive(id);
                    ring.start_receive(id);
                }
                event.send(bytes).expect("the test listens");
            }
        },
    );
    let mut client = server.connect();
    let bytes = pattern(SIZE);
    client.write_all(&bytes).expect("the server reads");
    drop(client);
    let mut all = Vec::new();
    while all.len() < SIZE {
        all.extend(received.recv_timeout(Duration::from_secs(60)).expect("more follows"));
    }
    assert!(all == bytes);
    server.finish();
}

#[test]
fn running_out_of_receive_buffers_delays_but_loses_nothing() {
    const CLIENTS: usize = 8;
    const SIZE: usize = 2 << 20;
    let mut totals: HashMap<ConnectionId, Vec<u8>> = HashMap::new();
    let (event, finished) = mpsc::channel();
    let server = Server::start(
        |options| {
            options.receive_buffers = 4;
            options.receive_buffer_size = 4096;
        },
        move |_, happened| match happened {
            Happened::Received(id, bytes) => totals.entry(id).or_default().extend(bytes),
            Happened::Closed(id) => {
                let total = totals.remove(&id).expect("the client sent something");
                event.send(total).expect("the test listens");
            }
            _ => {}
        },
    );
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = server.connect();
            thread::spawn(move || client.write_all(&pattern(SIZE)).expect("the server reads"))
        })
        .collect();
    for client in clients {
        client.join().expect("the client has sent everything");
    }
    let expected = pattern(SIZE);
    for _ in 0..CLIENTS {
        let total = finished.recv_timeout(Duration::from_secs(60)).expect("each client closes");
        assert!(total == expected);
    }
    let stats = server.finish();
    assert!(0 < stats.receive_buffers_exhausted);
}

#[test]
fn clients_beyond_the_last_place_are_closed_and_places_are_used_again() {
    // The ring keeps 32 places beyond the maximum.
    const PLACES: usize = 2 + 32;
    let (event, accepted) = mpsc::channel();
    let server = Server::start(
        |options| options.connections_max = 2,
        move |_, happened| match happened {
            Happened::Accepted(id, peer) => event.send((id, peer)).expect("the test listens"),
            Happened::Closed(_) | Happened::Other => {}
            other => unreachable!("nobody sends anything: {other:?}"),
        },
    );
    let mut ids = Vec::new();
    for _ in 0..2 {
        let clients: Vec<_> = (0..PLACES).map(|_| server.connect()).collect();
        for client in &clients {
            let (id, peer) =
                accepted.recv_timeout(Duration::from_secs(60)).expect("there is a place");
            assert_eq!(peer, client.local_addr().expect("it is connected"));
            ids.push(id);
        }
        assert_eq!(read_all(server.connect()), b"", "there is no place for one more");
        drop(clients);
        // Places are free again once their sockets have left the table.
        loop {
            let mut client = server.connect();
            client.set_nonblocking(true).expect("it is a socket");
            if let Ok((id, _)) = accepted.recv_timeout(Duration::from_secs(60)) {
                ids.push(id);
                break;
            }
            let _ = client.read(&mut [0]);
        }
        while accepted.try_recv().is_ok() {}
        thread::sleep(Duration::from_millis(50));
    }
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an id is never used for two clients");
    let stats = server.finish();
    assert!(2 <= stats.connections_refused);
}

#[test]
fn an_id_of_the_past_is_ignored() {
    let (event, events) = mpsc::channel();
    let mut past = None;
    let server = Server::start(
        |_| {},
        move |ring, happened| match happened {
            Happened::Accepted(id, _) => {
                if let Some(past) = past {
                    let past: ConnectionId = past;
                    assert_eq!(past.index, id.index, "the place is used again");
                    ring.send(past, b"for nobody".to_vec());
                    ring.stop_receive(past);
                    ring.start_receive(past);
                    ring.close(past);
                    ring.abort(past);
                }
                past = Some(id);
            }
            Happened::Received(id, bytes) => ring.send(id, bytes),
            Happened::Closed(id) => event.send(id).expect("the test listens"),
            _ => {}
        },
    );
    for _ in 0..3 {
        let mut client = server.connect();
        client.write_all(b"for me").expect("the server reads");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).expect("the server answers");
        assert_eq!(&answer, b"for me");
        drop(client);
        events.recv_timeout(Duration::from_secs(60)).expect("the server notices the end");
        // The place is free two turns later at the latest.
        thread::sleep(Duration::from_millis(50));
    }
    server.finish();
}
