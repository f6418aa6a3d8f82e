//! Many connections, slow ones, and big values.

use crate::support::{
    Client, Directory, Reply, Server, Start, encode, raise_file_limit, resident_size, verify_log,
};

/// Red when: a limit of the ring (files, buffers, completions) is smaller than the limit of
/// connections.
#[test]
fn ten_thousand_connections_are_served() {
    // Both ends of each connection are files of this host; each process has its own limit.
    let limit = raise_file_limit(12_000);
    let count = 9_900.min(limit.saturating_sub(200)) as usize;
    println!("{count} connections (the limit of open files is {limit})");
    assert!(
        800 <= count,
        "a limit of {limit} open files is too low to test anything: ulimit -n 12000"
    );
    let directory = Directory::new("crowd");
    let server = Start::new(&directory.data()).with(&["--maxclients", "10000"]).run();
    let server = server.expect("the server starts");
    let mut all: Vec<Client> = Vec::with_capacity(count);
    for number in 0..count {
        let client = Client::connect(server.port());
        all.push(client.unwrap_or_else(|error| panic!("connection {number}: {error}")));
    }
    for (number, client) in all.iter_mut().enumerate() {
        let value = number.to_string();
        let reply =
            client.call(&[b"SET", format!("key-{}", number % 50).as_bytes(), value.as_bytes()]);
        assert_eq!(reply.expect("it serves"), Reply::ok(), "connection {number}");
    }
    // All at once, then all answers.
    for client in &mut all {
        client.send(b"PING\r\n").expect("it serves");
    }
    for client in &mut all {
        assert_eq!(client.receive().expect("it serves"), Reply::Simple("PONG".to_owned()));
    }
    println!("resident memory with {count} connections: {}", resident_size(server.pid()));
    drop(all);
    let reply = server.client().call(&[b"DBSIZE"]).expect("it serves after the crowd has left");
    assert_eq!(reply, Reply::Integer(50));
    server.stop();
    verify_log(&directory.data());
}

/// Red when: a short send is not continued; a full socket blocks the loop; replies nobody reads are
/// gathered without bound.
#[test]
fn a_client_that_does_not_read_delays_nobody_and_gets_everything_in_the_end() {
    let directory = Directory::new("slow");
    let server = Server::start(&directory.data());
    let value: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    assert_eq!(server.client().call(&[b"SET", b"big", &value]).expect("it serves"), Reply::ok());
    let before = resident_size(server.pid());
    let mut slow = server.client();
    slow.send(&encode(&[b"GET", b"big"]).repeat(600)).expect("600 requests fit into the sockets");
    let mut other = server.client();
    for number in 0..500 {
        let text = number.to_string();
        let reply = other.call(&[b"SET", b"other", text.as_bytes()]).expect("others are served");
        assert_eq!(reply, Reply::ok());
        let reply = other.call(&[b"GET", b"other"]).expect("others are served");
        assert_eq!(reply, Reply::bulk(text.as_bytes()));
    }
    let during = resident_size(server.pid());
    println!("resident memory: {before} before, {during} with 600 MiB of unread replies");
    assert!(during < before + (300 << 20), "unread replies are bounded: {before}, {during}");
    for number in 0..600 {
        let reply = slow.receive().unwrap_or_else(|error| panic!("reply {number}: {error}"));
        assert!(reply == Reply::Bulk(value.clone()), "reply {number} differs");
    }
    server.stop();
}

/// TOROID_VALUE_SIZE sets the size (32 MiB without it, 536870912 for an acceptance).
///
/// Red when: a run of frames is replayed without its middle; a value larger than a segment is
/// refused.
#[test]
fn a_big_value_comes_back_and_survives_a_kill() {
    let size = match std::env::var("TOROID_VALUE_SIZE") {
        Ok(text) => text.parse().expect("TOROID_VALUE_SIZE is a number"),
        Err(_) => 32 << 20,
    };
    let directory = Directory::new("big");
    let start = Start::new(&directory.data());
    let server = start.run().expect("the server starts");
    let mut value = vec![0; size];
    for (number, chunk) in value.chunks_mut(8).enumerate() {
        let size = chunk.len();
        chunk.copy_from_slice(
            &(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[..size],
        );
    }
    let mut client = server.client();
    assert_eq!(client.call(&[b"SET", b"big", &value]).expect("it serves"), Reply::ok());
    assert_eq!(client.call(&[b"SET", b"after", b"1"]).expect("it serves"), Reply::ok());
    assert!(client.call(&[b"GET", b"big"]).expect("it serves") == Reply::Bulk(value.clone()));
    server.kill();
    let server = start.run().expect("the server recovers");
    let mut client = server.client();
    assert!(client.call(&[b"GET", b"big"]).expect("it serves") == Reply::Bulk(value));
    assert_eq!(client.call(&[b"GET", b"after"]).expect("it serves"), Reply::bulk(b"1"));
    // One byte more than the largest value is refused before it is read.
    let mut client = server.client();
    client.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$536870913\r\n").expect("it serves");
    let reply = client.receive().expect("the refusal is sent");
    assert!(reply.is_error_with("ERR Protocol error: invalid bulk length"), "{reply:?}");
    server.stop();
    verify_log(&directory.data());
}
