//! How a server ends.

use std::time::Duration;

use crate::support::{Directory, Reply, Server, Start, encode, verify_log, wait_for};

/// What was executed is answered, what was not executed is not: the keys that are there afterwards
/// are exactly those that were acknowledged.
///
/// Red when: SIGTERM ends the process before the frames on their way are flushed and their replies
/// sent; requests are executed after the last reply; SIGTERM is not watched.
#[test]
fn a_terminated_server_answers_what_it_executed_and_ends_with_success() {
    const SENT: usize = 20_000;
    let directory = Directory::new("drain");
    let mut server = Server::start(&directory.data());
    let mut client = server.client();
    let mut requests = Vec::new();
    for number in 0..SENT {
        requests.extend(encode(&[b"SET", format!("key-{number}").as_bytes(), &[b'x'; 500]]));
    }
    // The replies are read meanwhile, or the server would wait for a client that only writes.
    let mut sender = client.sender();
    let sending = std::thread::spawn(move || sender.send_all(&requests));
    let mut acked = 0;
    loop {
        match client.receive() {
            Ok(Reply::Simple(text)) => {
                assert_eq!(text, "OK");
                acked += 1;
                if acked == 1000 {
                    server.signal("TERM");
                }
            }
            // Refused; or closed, between two replies and not within one.
            Ok(Reply::Error(text)) => assert!(text.starts_with("ERR"), "{text}"),
            Ok(reply) => panic!("SET answered {reply:?}"),
            Err(_) => break,
        }
    }
    assert_eq!(client.unread(), 0, "no reply was cut off");
    let status = server.wait(Duration::from_secs(60));
    assert!(status.success(), "SIGTERM ends with 0, not {status}\n{}", server.says());
    // It fails when the server closes before all is sent, which is as it may be.
    let _ = sending.join().expect("the sending thread does not panic");
    verify_log(&directory.data());
    drop(server);
    let server = Server::start(&directory.data());
    let reply = server.client().call(&[b"DBSIZE"]).expect("it serves");
    println!("{acked} of {SENT} writes were executed and answered");
    assert_eq!(reply, Reply::Integer(acked), "exactly what was acknowledged is there");
    let last = format!("key-{}", acked - 1);
    let reply = server.client().call(&[b"EXISTS", last.as_bytes()]).expect("it serves");
    assert_eq!(reply, Reply::Integer(1), "{last} was acknowledged");
    server.stop();
}

/// Red when: an idle connection keeps a server from ending.
#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let directory = Directory::new("idle");
    let server = Server::start(&directory.data());
    let mut idle = server.client();
    let mut half = server.client();
    half.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf a val").expect("it serves");
    assert_eq!(idle.call(&[b"PING"]).expect("it serves"), Reply::Simple("PONG".to_owned()));
    server.stop();
    assert!(idle.receive().is_err(), "the connection is closed");
    verify_log(&directory.data());
}

/// Red when: SIGINT is not watched (the terminal's Ctrl-C would be a kill).
#[test]
fn an_interrupt_ends_a_server_like_a_termination() {
    let directory = Directory::new("interrupt");
    let mut server = Server::start(&directory.data());
    server.signal("INT");
    let status = server.wait(Duration::from_secs(60));
    assert!(status.success(), "SIGINT ends with 0, not {status}");
    wait_for("the port is free again", Duration::from_secs(10), || {
        std::net::TcpListener::bind(("127.0.0.1", server.port())).ok()
    });
}

/// Clients on all cores do not take their replies, so every core waits; the core that is told not
/// to ends them all.
///
/// Red when: a core that fails ends its own thread only; a second signal is taken for the first.
#[test]
fn a_second_signal_ends_all_cores_at_once() {
    let directory = Directory::new("forced");
    let start = Start::new(&directory.data()).with(&["--cores", "2"]);
    let mut server = start.run().expect("the server starts");
    let mut client = server.client();
    let value = vec![b'x'; 4 << 20];
    assert_eq!(client.call(&[b"SET", b"large", &value]).expect("it serves"), Reply::ok());
    let mut stuck: Vec<_> = (0..16).map(|_| server.client()).collect();
    for client in &mut stuck {
        let requests = encode(&[b"GET", b"large"]).repeat(4);
        client.send(&requests).expect("it serves");
        // The server has begun to answer, and cannot go on.
        client.exactly(16).expect("it serves");
    }
    server.signal("TERM");
    wait_for("the server to hear it", Duration::from_secs(60), || {
        server.stderr().contains("Terminate").then_some(())
    });
    assert!(server.is_alive(), "it waits for its clients");
    server.signal("TERM");
    let status = server.wait(Duration::from_secs(60));
    assert_eq!(status.code(), Some(11), "{}", server.says());
    drop(stuck);
    drop(server);
    let server = Server::start(&directory.data());
    let reply = server.client().call(&[b"GET", b"large"]).expect("it serves");
    assert_eq!(reply, Reply::Bulk(value), "what was acknowledged is there");
}
