//! What a server tells of its process, and asks of its sockets.

#[path = "support/support.rs"]
mod support;

use std::time::Duration;

use support::{Client, Directory, Reply, Server, Start, wait_for};

fn text(reply: Reply) -> String {
    let Reply::Bulk(bytes) = reply else { panic!("no text: {reply:?}") };
    String::from_utf8(bytes).expect("INFO is text")
}

/// Microseconds of a line of INFO that tells seconds.
fn time_us(info: &str, name: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{info}"));
    let (seconds, rest) = line.split_once('.').expect("seconds and a fraction");
    assert_eq!(rest.len(), 6, "{name}:{line}");
    let number = |digits: &str| digits.parse::<u64>().expect("digits");
    number(seconds) * 1_000_000 + number(rest)
}

fn cpu(client: &mut Client) -> String {
    let info = text(client.call(&[b"INFO", b"cpu"]).expect("it serves"));
    assert!(info.starts_with("# CPU\r\n"), "{info}");
    info
}

/// Red when INFO tells zeros, or the time of another process or of nobody.
#[test]
fn info_tells_the_processor_time_spent_and_it_rises_with_work() {
    let directory = Directory::new("cpu");
    let server: Server = Start::new(&directory.data()).run().expect("the server starts");
    let mut client = server.client();
    let names = ["used_cpu_sys", "used_cpu_user"];
    let main = ["used_cpu_sys_main_thread", "used_cpu_user_main_thread"];
    let sum = |info: &str, names: [&str; 2]| names.map(|name| time_us(info, name)).iter().sum();
    let before = cpu(&mut client);
    let (mut all, mut of_main): (u64, u64) = (sum(&before, names), sum(&before, main));
    assert!(0 < all && 0 < of_main && of_main <= all, "{before}");
    for _ in 0..3 {
        // Work until it shows: how fast that is depends on the machine.
        let after = loop {
            for _ in 0..100 {
                client.call(&[b"SET", b"key", &[b'v'; 4000]]).expect("it serves");
            }
            let after = cpu(&mut client);
            if sum(&after, main) != of_main {
                break after;
            }
        };
        let (now, now_of_main) = (sum(&after, names), sum(&after, main));
        assert!(all < now && of_main < now_of_main, "{before}\n{after}");
        (all, of_main) = (now, now_of_main);
        for name in ["used_cpu_sys_children", "used_cpu_user_children"] {
            assert_eq!(time_us(&after, name), 0);
        }
    }
    let whole = text(client.call(&[b"INFO"]).expect("it serves"));
    assert!(0 < time_us(&whole, "used_cpu_user"));
}

/// The keepalive timer of the server's end of a connection, as /proc/net/tcp (proc_net(5)) shows
/// it: the hundredths of a second until it asks, if it will; none while something else is timed.
fn keepalive_timer(server_port: u16, client_port: u16) -> Option<Option<u64>> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel shows its sockets");
    let [server, client] = [server_port, client_port].map(|port| format!(":{port:04X}"));
    let mut rows = table.lines().map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1].ends_with(&server) && row[2].ends_with(&client));
    let row = row.expect("the connection is there");
    match row[5].split_once(':').expect("a timer and its time") {
        ("00", _) => Some(None),
        ("02", left) => Some(Some(u64::from_str_radix(left, 16).expect("hexadecimal"))),
        _ => None,
    }
}

/// Red when CONFIG SET changes nothing for the sockets, on whatever core, or zero does not end it.
#[test]
fn silent_connections_are_asked_after_the_time_that_is_set() {
    let directory = Directory::new("keepalive");
    let start = Start::new(&directory.data()).with(&["--cores", "2", "--tcp-keepalive", "7000"]);
    let server = start.run().expect("the server starts");
    let mut admin = server.client();
    for (seconds, hundredths) in [("7000", 700_000), ("0", 0), ("20000", 2_000_000)] {
        let words: [&[u8]; 4] = [b"CONFIG", b"SET", b"tcp-keepalive", seconds.as_bytes()];
        if seconds != "7000" {
            assert_eq!(admin.call(&words).expect("it serves"), Reply::ok());
        }
        // Enough that each core has some.
        for _ in 0..20 {
            let mut client = server.client();
            client.call(&[b"PING"]).expect("it serves");
            let left = wait_for("the reply is acknowledged", Duration::from_secs(60), || {
                keepalive_timer(server.port(), client.port())
            });
            let left = left.unwrap_or(0);
            assert!(hundredths / 2 <= left && left <= hundredths, "{left} of {hundredths}");
        }
    }
}
