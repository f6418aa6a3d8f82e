//! What a server tells of its process, and asks of its sockets.

#[path = "support/support.rs"]
mod support;

use support::{Client, Directory, Reply, Server, Start};

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
