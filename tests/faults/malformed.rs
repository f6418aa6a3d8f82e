//! Bytes that are no request: answered as Redis answers them, and nobody else notices.

use std::time::Duration;

use crate::support::{Chance, Client, Directory, Reply, Server, resident_size};

/// What must come back. `Closed`: the text, then the end of the connection.
enum Answer {
    Open(&'static [u8]),
    Closed(&'static [u8]),
    /// The bytes are not RESP at all, or servers differ: any answer, but no crash and no hang.
    Any,
}

use Answer::{Any, Closed, Open};

const MULTIBULK: Answer = Closed(b"-ERR Protocol error: invalid multibulk length\r\n");
const BULK: Answer = Closed(b"-ERR Protocol error: invalid bulk length\r\n");
const QUOTES: Answer = Closed(b"-ERR Protocol error: unbalanced quotes in request\r\n");
const PONG: Answer = Open(b"+PONG\r\n");
const NOTHING: Answer = Open(b"");

/// The texts are those of Redis 7.2.
fn table() -> Vec<(Vec<u8>, Answer)> {
    let long = |start: &[u8], fill: u8| [start, vec![fill; 70_000].as_slice()].concat();
    vec![
        (b"*-1\r\n".to_vec(), NOTHING),
        (b"*0\r\n".to_vec(), NOTHING),
        (b"*-5\r\n".to_vec(), NOTHING),
        (b"*0\r\n*1\r\n$4\r\nPING\r\n".to_vec(), PONG),
        (b"*-1\r\n*1\r\n$4\r\nPING\r\n".to_vec(), PONG),
        (b"*1\r\n:1\r\n".to_vec(), Closed(b"-ERR Protocol error: expected '$', got ':'\r\n")),
        (b"*1\r\nPING\r\n".to_vec(), Closed(b"-ERR Protocol error: expected '$', got 'P'\r\n")),
        (b"*a\r\n".to_vec(), MULTIBULK),
        (b"*\r\n".to_vec(), MULTIBULK),
        (b"*1 \r\n".to_vec(), MULTIBULK),
        (b"* 1\r\n$4\r\nPING\r\n".to_vec(), MULTIBULK),
        (b"*+1\r\n$4\r\nPING\r\n".to_vec(), MULTIBULK),
        (b"*01\r\n$4\r\nPING\r\n".to_vec(), MULTIBULK),
        (b"*2147483648\r\n".to_vec(), MULTIBULK),
        (b"*99999999999999999999\r\n".to_vec(), MULTIBULK),
        (b"*1048576\r\n".to_vec(), NOTHING),
        (b"*1048576\r\n$4\r\nPING\r\n".to_vec(), NOTHING),
        (b"*1\r\n$-1\r\n".to_vec(), BULK),
        (b"*1\r\n$a\r\n".to_vec(), BULK),
        (b"*1\r\n$\r\n".to_vec(), BULK),
        (b"*1\r\n$04\r\nPING\r\n".to_vec(), BULK),
        (b"*1\r\n$+4\r\nPING\r\n".to_vec(), BULK),
        (b"*1\r\n$536870913\r\n".to_vec(), BULK),
        (b"*1\r\n$99999999999999999999\r\n".to_vec(), BULK),
        // Announced, never sent: nothing may be reserved for it at once, and nothing is answered.
        (b"*2\r\n$3\r\nGET\r\n$536870912\r\n".to_vec(), NOTHING),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n".to_vec(), NOTHING),
        (b"*1\r\n$4\r\nPI".to_vec(), NOTHING),
        (b"*".to_vec(), NOTHING),
        (b"*1".to_vec(), NOTHING),
        (b"PI".to_vec(), NOTHING),
        (b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI".to_vec(), PONG),
        (
            b"*1\r\n$4\r\nPING\r\n*x\r\n".to_vec(),
            Closed(b"+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"),
        ),
        (b"'PING\r\n".to_vec(), QUOTES),
        (b"\"PI\"NG\r\n".to_vec(), QUOTES),
        (b"\"PING\"x\r\n".to_vec(), QUOTES),
        (b"\r\n\r\n".to_vec(), NOTHING),
        (b"   \r\n".to_vec(), NOTHING),
        (b"PING\n".to_vec(), PONG),
        (b"PING\r\n".to_vec(), PONG),
        (b"ping \"\\x41\\n\"\r\n".to_vec(), Open(b"$2\r\nA\n\r\n")),
        (b"GET\r\n".to_vec(), Open(b"-ERR wrong number of arguments for 'get' command\r\n")),
        (
            b"*1\r\n$3\r\nGET\r\n".to_vec(),
            Open(b"-ERR wrong number of arguments for 'get' command\r\n"),
        ),
        (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n".to_vec(), Open(b"$-1\r\n")),
        (
            b"NOSUCH a b\r\n".to_vec(),
            Open(b"-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n"),
        ),
        (
            b"*1\r\n$0\r\n\r\n".to_vec(),
            Open(b"-ERR unknown command '', with args beginning with: \r\n"),
        ),
        // A line break inside a name must not become one inside the reply.
        (
            b"*1\r\n$4\r\nPI\r\n\r\n".to_vec(),
            Open(b"-ERR unknown command 'PI  ', with args beginning with: \r\n"),
        ),
        (long(b"*", b'9'), Closed(b"-ERR Protocol error: too big mbulk count string\r\n")),
        (long(b"*1\r\n$", b'1'), Closed(b"-ERR Protocol error: too big bulk count string\r\n")),
        (long(b"", b'x'), Closed(b"-ERR Protocol error: too big inline request\r\n")),
        (b"+OK\r\n".to_vec(), Any),
        (b"-ERR\r\n:5\r\n_\r\n%1\r\n".to_vec(), Any),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Any),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Any),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n".to_vec(), Any),
        (b"\x00\x00\x00\r\n".to_vec(), Any),
        (b"\xff\xfe\r\n".to_vec(), Any),
        (b"*1\n$4\nPING\n".to_vec(), Any),
        (b"PING\rPING\r\n".to_vec(), Any),
        (b"*1\r\n$4\r\nPINGxx".to_vec(), Any),
        (vec![0; 70_000], Any),
    ]
}

fn check(server: &Server, bytes: &[u8], answer: &Answer) {
    let mut client = server.client();
    // The peer may have closed already when the last bytes leave: that is an answer too.
    let sent = client.send(bytes);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    match answer {
        Open(expected) => {
            sent.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
            let got = client.exactly(expected.len()).unwrap_or_else(|error| {
                panic!("{shown:?}: {error}");
            });
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(expected),
                "the answer to {shown:?}"
            );
        }
        Closed(expected) => {
            // A reset may swallow the text when more was sent than the server read.
            match client.drain(1 << 20) {
                Ok(got) => assert_eq!(
                    String::from_utf8_lossy(&got),
                    String::from_utf8_lossy(expected),
                    "the answer to {shown:?}"
                ),
                Err(error) => assert!(
                    1000 < bytes.len() && error.kind() == std::io::ErrorKind::ConnectionReset,
                    "{shown:?} is answered and closed, not {error}"
                ),
            }
        }
        Any => {}
    }
}

fn is_well(server: &Server) {
    let reply = server.client().call(&[b"PING"]).expect("the server accepts and answers");
    assert_eq!(reply, Reply::Simple("PONG".to_owned()));
}

/// Red when: a length is parsed leniently; a protocol error leaves the connection open; an
/// announced length is reserved before its bytes arrive.
#[test]
fn malformed_requests_get_the_texts_of_redis_and_hurt_nobody() {
    let directory = Directory::new("malformed");
    let mut server = Server::start(&directory.data());
    let mut bystander = server.client();
    for (bytes, answer) in table() {
        check(&server, &bytes, &answer);
        is_well(&server);
        let reply = bystander.call(&[b"PING"]).expect("another connection is untouched");
        assert_eq!(reply, Reply::Simple("PONG".to_owned()));
    }
    assert!(server.is_alive());
    server.stop();
}

/// The same bytes cut at every place: a decoder that resumes wrongly answers differently.
///
/// Red when: the decoder forgets its place between two receives, or takes the first part for a
/// request.
#[test]
fn a_request_in_two_pieces_is_the_same_request() {
    let directory = Directory::new("pieces");
    let server = Server::start(&directory.data());
    let request = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nva\r\nl\r\n\
        PING\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
    for cut in 1..request.len() {
        let mut client = server.client();
        client.send(&request[..cut]).expect("it serves");
        // An answered PING on another connection: the server's loop has turned since.
        is_well(&server);
        client.send(&request[cut..]).expect("it serves");
        let got =
            client.exactly(5 + 7 + 11).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!(
            String::from_utf8_lossy(&got),
            "+OK\r\n+PONG\r\n$5\r\nva\r\nl\r\n",
            "cut at {cut}"
        );
    }
    server.stop();
}

/// Red when: a closed connection's buffers are not given back; random bytes reach an assertion.
#[test]
fn random_bytes_neither_crash_the_server_nor_make_it_grow() {
    let directory = Directory::new("random");
    let server = Server::start(&directory.data());
    let seed = Chance::seed_of_run();
    println!("random bytes: seed {seed}");
    let mut chance = Chance::new(seed);
    let table = table();
    let mut storm = |rounds: u32| {
        for _ in 0..rounds {
            let mut client = server.client();
            let mut bytes = match chance.below(3) {
                0 => {
                    let size = chance.below(3000) as usize;
                    chance.bytes(size)
                }
                1 => chance.pick(&table).0.clone(),
                _ => b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n".repeat(20),
            };
            for _ in 0..chance.below(4) {
                if !bytes.is_empty() {
                    let at = chance.below(bytes.len() as u64) as usize;
                    bytes[at] = chance.next() as u8;
                }
            }
            // The server may close at any time; what matters is the PING below.
            let _ = client.send(&bytes);
        }
        is_well(&server);
    };
    storm(2000);
    let before = resident_size(server.pid());
    storm(6000);
    let after = resident_size(server.pid());
    println!("resident memory: {before} before, {after} after 6000 hostile connections");
    assert!(after < before + (48 << 20), "it grew from {before} to {after}");
    server.stop();
}

/// Red when: a connection that is never finished holds back others, or is given memory for what it
/// announced.
#[test]
fn a_thousand_unfinished_requests_cost_little() {
    let directory = Directory::new("unfinished");
    let server = Server::start(&directory.data());
    is_well(&server);
    let before = resident_size(server.pid());
    let mut open: Vec<Client> = (0..1000).map(|_| server.client()).collect();
    for client in &mut open {
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc").expect("it serves");
    }
    is_well(&server);
    std::thread::sleep(Duration::from_millis(100));
    let after = resident_size(server.pid());
    println!("resident memory: {before} before, {after} with 1000 announcements of 512 MB");
    assert!(after < before + (256 << 20), "it grew from {before} to {after}");
    server.stop();
}
