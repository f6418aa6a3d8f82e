//! Clients whose replies are large, read or not, do not keep the others waiting.

use crate::cores::Cores;
use crate::world::World;

const MIB: usize = 1 << 20;
const SIZE: usize = 2 * MIB;

/// Two cores; `b` is the first's and `k3` the second's, each of `SIZE` bytes. Clients 1 to 8 of the
/// first core have not been seen before, client 9 is known for small replies.
fn cores() -> Cores {
    let mut node = Cores::new(2, 4);
    for core in &mut node.cores {
        for client in 1..=9 {
            core.connect(client);
        }
    }
    for key in ["b", "k3"] {
        assert_eq!(node.ask(0, 9, &format!("setrange {key} {} x", SIZE - 1)), format!(":{SIZE}"));
    }
    assert_eq!(node.ask(0, 9, &vec!["ping"; 50].join("\n")).matches("PONG").count(), 50);
    node
}

fn stick(world: &mut World, client: u32) {
    world.clients.get_mut(&client).expect("it connected").stuck = true;
}

/// Bytes that the clients 1 to 8 have received since the last call.
fn taken(world: &mut World) -> usize {
    (1..=8)
        .map(|client| {
            let client = world.clients.get_mut(&client).expect("it connected");
            std::mem::take(&mut client.received).len()
        })
        .sum()
}

/// Turns until the first core's client 9 has an answer; returns it and the bytes that the others
/// received meanwhile.
fn wait_for_answer(node: &mut Cores) -> (String, usize) {
    let mut size = taken(&mut node.cores[0]);
    for _ in 0..1000 {
        let answer = node.cores[0].received(9);
        if !answer.is_empty() {
            return (answer, size);
        }
        node.turn();
        size += taken(&mut node.cores[0]);
    }
    unreachable!("everybody is answered");
}

/// Red when `OutputRule::claim` never says Nothing (on the limit) or Later (before it), and, on the
/// others, when the jobs that wait keep a session from being opened.
#[test]
fn a_client_that_does_not_read_gets_no_more_of_its_jobs_run() {
    let mut node = cores();
    stick(&mut node.cores[0], 1);
    node.send(0, 1, &vec!["mget b k3"; 60].join("\n"));
    node.settle();
    let held = node.cores[0].node.output_size();
    assert!(held < 8 * SIZE, "{held} bytes at once");
    assert_eq!(node.ask(0, 9, "exists b k3"), ":2");
    for _ in 0..40 {
        node.cores[0].pass(500_000);
        node.settle();
    }
    let held = node.cores[0].node.output_size();
    assert!(held < base::limits::OUTPUT_SIZE_PAUSE + 4 * SIZE, "{held} bytes in the end");
    assert_eq!(node.ask(0, 9, "exists b k3"), ":2");
    // Nobody waits for its jobs once it is gone.
    node.cores[0].close(1);
    node.settle();
    assert_eq!(node.cores[0].node.output_size(), 0);
    assert_eq!(node.ask(0, 9, "exists b k3"), ":2");
}

/// Red when `claim` looks at the size of what waits only: what the first job makes cannot leave
/// before it has run.
#[test]
fn replies_behind_the_one_that_is_missing_do_not_keep_it_from_being_made() {
    let mut node = cores();
    let echo = format!("echo {}", "x".repeat(60_000));
    // Another client's session is under way, and stays so.
    node.send(0, 2, "exists b k3");
    node.parcels_stall = true;
    node.turn();
    node.send(0, 1, "mget b k3");
    for _ in 0..2000 {
        node.send(0, 1, &echo);
        node.cores[0].turn();
    }
    assert!(base::limits::OUTPUT_SIZE_PAUSE < node.cores[0].node.output_size());
    node.parcels_stall = false;
    for _ in 0..2000 {
        node.cores[0].pass(1000);
        node.turn();
    }
    let size = taken(&mut node.cores[0]);
    assert!(2 * SIZE + 2000 * 60_000 < size, "{size}");
}

/// Red when nobody is patient: the command waits behind one of each of the others.
#[test]
fn a_job_of_a_client_with_small_replies_goes_ahead_of_those_with_large_ones() {
    let mut node = cores();
    for client in 1..=8 {
        node.send(0, client, &vec!["mget b k3"; 20].join("\n"));
    }
    let mut all = 0;
    for _ in 0..10 {
        for _ in 0..7 {
            node.turn();
        }
        all += taken(&mut node.cores[0]);
        node.send(0, 9, "exists b k3");
        let (answer, size) = wait_for_answer(&mut node);
        assert_eq!(answer, ":2");
        assert!(size <= 4 * 2 * (SIZE + 100), "{size} bytes were made before it");
        all += size;
    }
    for _ in 0..100 {
        node.settle();
        all += taken(&mut node.cores[0]);
    }
    // Each is 2 * SIZE and what is around it.
    assert_eq!(all / (2 * SIZE), 160, "and those come all the same");
}

/// Red when a session that its small replies cut short runs none of the patient.
#[test]
fn jobs_with_large_replies_are_not_starved_by_small_ones() {
    let mut node = cores();
    assert_eq!(node.ask(0, 9, "setrange foo 30000 x\nsetrange a 30000 x"), ":30001 :30001");
    // So many that one job of each makes more than a session may.
    let prompt = 10..=40;
    for client in prompt.clone() {
        node.cores[0].connect(client);
        node.send(0, client, &vec!["ping"; 50].join("\n"));
    }
    node.settle();
    let many = ["mget foo a"; 4].join("\n");
    for client in prompt.clone() {
        node.send(0, client, &many);
    }
    node.send(0, 1, "mget b k3");
    for _ in 0..100 {
        node.turn();
        for client in prompt.clone() {
            // They always have some to do.
            let received = &mut node.cores[0].clients.get_mut(&client).expect("it is").received;
            if 60_000 < std::mem::take(received).len() {
                node.send(0, client, &many);
            }
        }
    }
    assert!(2 * SIZE < node.cores[0].clients[&1].received.len(), "it was served meanwhile");
}

/// Red when `Share::admits` always does.
#[test]
fn a_turn_makes_so_much_for_clients_with_large_replies_and_the_next_goes_on() {
    let mut world = World::new();
    for client in 1..=9 {
        world.connect(client);
    }
    assert_eq!(world.ask(9, &format!("setrange b {} x", SIZE - 1)), format!(":{SIZE}"));
    world.ask(9, &vec!["ping"; 50].join("\n"));
    let request = vec!["get b"; 20].join("\r\n") + "\r\n";
    for client in 1..=8 {
        world.send_bytes(client, request.as_bytes());
    }
    let mut all = 0;
    for turn in 0..1000 {
        world.send_bytes(9, b"ping\r\n");
        world.turn();
        assert_eq!(world.received(9), "+PONG", "turn {turn}");
        let size = taken(&mut world) + world.node.output_size();
        assert!(size <= 4 * (SIZE + 100), "{size} bytes in turn {turn}");
        all += size - world.node.output_size();
        if 8 * 20 * SIZE < all {
            return;
        }
    }
    unreachable!("everything is answered: {all}");
}

/// Red when `take_request` puts nothing off.
#[test]
fn what_other_cores_ask_for_in_one_parcel_is_done_over_many_turns() {
    let mut node = cores();
    for client in 1..=8 {
        node.send(0, client, &["get k3"; 10].join("\n"));
    }
    node.turn();
    let mut all = 0;
    let mut size = 0;
    for turn in 0..1000 {
        // A request of a client with small replies overtakes them.
        if turn % 4 == 0 {
            node.send(0, 9, "exists k3");
        }
        node.turn();
        if turn % 4 == 3 {
            assert_eq!(node.cores[0].received(9), ":1", "turn {turn}");
        }
        size = taken(&mut node.cores[0]);
        assert!(size <= 3 * (SIZE + 100), "{size} bytes in turn {turn}");
        all += size;
        if 80 * SIZE < all {
            return;
        }
    }
    unreachable!("everything is answered: {all}, {size}");
}

/// Red when `grant_loans` does not look for requests that were put off, and when a request of a
/// client that has some is not put behind them.
#[test]
fn what_is_put_off_keeps_its_order_with_what_its_client_sends_later() {
    let mut node = cores();
    for client in 2..=8 {
        node.send(0, client, &["get k3"; 10].join("\n"));
    }
    node.send(0, 1, "get k3\nget k3");
    node.turn();
    node.turn();
    let sent = "set k3 1\nget k3\nincr k3\nmget b k3\nset b 1\nincr k3\nmget b k3\nget k3";
    node.send(0, 1, sent);
    let mut received = Vec::new();
    for _ in 0..40 {
        node.settle();
        let client = node.cores[0].clients.get_mut(&1).expect("it connected");
        received.append(&mut client.received);
        taken(&mut node.cores[0]);
    }
    let text = String::from_utf8_lossy(&received).replace("\r\n", " ");
    let text: Vec<&str> = text.split(' ').filter(|word| word.len() < 100).collect();
    let first = format!("${SIZE}");
    let expected = [
        &first, &first, "+OK", "$1", "1", ":2", "*2", &first, "$1", "2", "+OK", ":3", "*2", "$1",
        "1", "$1", "3", "$1", "3", "",
    ];
    assert_eq!(text, expected);
}
