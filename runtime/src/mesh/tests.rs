//! Order, bounds, and that no sleep is slept through.

use std::sync::atomic::AtomicU64;

use super::*;

#[test]
fn messages_of_a_pair_arrive_in_order_and_name_their_sender() {
    let mut ports = mesh::<u32>(3, 4);
    for number in 0..3 {
        ports[0].send(2, Box::new(number)).expect("there is room");
        ports[1].send(2, Box::new(10 + number)).expect("there is room");
    }
    let mut arrived = [Vec::new(), Vec::new()];
    while let Some((source, message)) = ports[2].poll() {
        arrived[source].push(*message);
    }
    assert_eq!(arrived, [vec![0, 1, 2], vec![10, 11, 12]]);
    assert!(ports[0].poll().is_none());
}

#[test]
fn a_full_ring_gives_the_message_back() {
    let mut ports = mesh::<u32>(2, 2);
    assert!(ports[0].send(1, Box::new(1)).is_ok());
    assert!(ports[0].send(1, Box::new(2)).is_ok());
    assert_eq!(ports[0].send(1, Box::new(3)).map_err(|message| *message), Err(3));
    assert_eq!(ports[1].poll().map(|(source, message)| (source, *message)), Some((0, 1)));
    assert!(ports[0].send(1, Box::new(3)).is_ok());
    let gone = ports.pop();
    drop(gone);
    assert!(ports[0].send(1, Box::new(4)).is_ok(), "a core that is gone does not stop the others");
}

#[test]
fn only_a_sleeper_is_owed_a_wake_up_and_only_once() {
    let mut ports = mesh::<u32>(2, 2);
    assert!(!ports[0].must_wake(1));
    assert!(ports[1].try_sleep());
    ports[0].send(1, Box::new(1)).expect("there is room");
    assert!(ports[0].must_wake(1));
    assert!(!ports[0].must_wake(1));
    ports[1].wake_up();
    assert!(!ports[1].try_sleep(), "there is a message");
    ports[1].wake_up();
    assert!(!ports[0].must_wake(1), "it went about its work");
}

/// Two threads in lockstep: one sends and asks whether to wake, the other announces its sleep, both
/// at the same moment as far as two processors can. A message that neither is told of would be
/// slept through. Stores to lines the other has just written fill the store buffers first, so that
/// the flag and the message leave theirs late.
///
/// Red when: a fence is missing (a processor loads before its earlier stores are visible); the
/// rings are looked into before the flag is set; the flag is looked at before the message is sent.
#[test]
fn of_a_sleeper_and_a_sender_at_least_one_sees_the_other() {
    const ROUNDS: u64 = 30_000;
    let mut ports = mesh::<u64>(2, 4);
    let mut receiver = ports.pop().expect("there are two");
    let mut sender = ports.pop().expect("there are two");
    let (ready, done, woken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (mut lost, mut arrived) = (0, 0);
    let lines: Vec<Flag> = (0..8).map(|_| Flag::default()).collect();
    // The two come together, one a little before the other: by turns which.
    let meet = |round: u64, delay: u64| {
        ready.fetch_add(1, Ordering::AcqRel);
        wait_for(&ready, 2 * round);
        for _ in 0..round % delay {
            std::hint::spin_loop();
        }
        for line in &lines {
            line.0.store(round.is_multiple_of(2), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                let message = Box::new(round);
                meet(round, 31);
                sender.send(1, message).expect("the ring is emptied each round");
                if sender.must_wake(1) {
                    woken.store(round, Ordering::Relaxed);
                }
                done.store(round, Ordering::Release);
            }
        });
        for round in 1..=ROUNDS {
            meet(round, 37);
            let sleeps = receiver.try_sleep();
            wait_for(&done, round);
            let wakes = woken.load(Ordering::Relaxed) == round;
            lost += u64::from(sleeps && !wakes);
            receiver.wake_up();
            arrived += u64::from(receiver.poll().is_some_and(|(_, message)| *message == round));
        }
    });
    assert_eq!(lost, 0, "rounds in which a core would have slept beside a message");
    assert_eq!(arrived, ROUNDS);
}

/// Gives the processor away now and then, as there may be only one.
fn wait_for(counter: &AtomicU64, value: u64) {
    let mut spins = 0_u32;
    while counter.load(Ordering::Acquire) < value {
        std::hint::spin_loop();
        spins = spins.wrapping_add(1);
        if spins.is_multiple_of(4096) {
            std::thread::yield_now();
        }
    }
}
