//! MONITOR: what is shown, to whom, and what is not.

use node::OutputLimit;

use crate::cores::Cores;

fn cores(count: u16) -> Cores {
    let mut node = Cores::new(count, 4);
    for core in 0..usize::from(count) {
        for client in 1..=3 {
            node.cores[core].connect(client);
        }
    }
    node
}

/// The lines a monitor received, without their times.
fn shown(node: &mut Cores, core: usize, client: u32) -> Vec<String> {
    let bytes =
        std::mem::take(&mut node.cores[core].clients.get_mut(&client).expect("it").received);
    let text = String::from_utf8(bytes).expect("lines are text");
    let lines = text.lines().map(|line| match line.split_once(" [") {
        Some((time, rest)) => {
            assert!(time.starts_with('+') && time.len() == 18, "{time}");
            format!("[{rest}")
        }
        None => line.to_owned(),
    });
    lines.collect()
}

#[test]
fn commands_of_all_cores_are_shown_to_the_monitors_of_all() {
    for count in [1, 2, 3] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        assert_eq!(node.ask(0, 1, "monitor"), "+OK");
        assert_eq!(node.ask(last, 2, "monitor\nmonitor"), "+OK");
        for core in 0..usize::from(count) {
            node.ask(core, 3, "Set b \"x \\\"\\n\"\nselect 2\nGET k3\nnope\nget\nconfig get port");
            let expected = [
                r#"[0 127.0.0.1:50000] "Set" "b" "x \"\n""#,
                r#"[2 127.0.0.1:50000] "select" "2""#,
                r#"[2 127.0.0.1:50000] "GET" "k3""#,
            ];
            assert_eq!(shown(&mut node, 0, 1), expected);
            assert_eq!(shown(&mut node, last, 2), expected);
            node.ask(core, 3, "select 0");
            shown(&mut node, 0, 1);
            shown(&mut node, last, 2);
        }
        let own = node.ask(0, 1, "ping\nreset\nping");
        assert!(own.starts_with("+PONG +17"), "{own}");
        assert!(own.ends_with("\"ping\" +RESET +PONG"), "{own}");
    }
}

#[test]
fn a_transaction_is_shown_as_it_executes_and_no_password_is() {
    for count in [1, 2] {
        let mut node = cores(count);
        node.ask(0, 1, "monitor");
        shown(&mut node, 0, 1);
        node.ask(0, 3, "multi\nset b 1\nset k3 2\nclient id\nexec\nmulti\nnope\nexec");
        let words = |node: &mut Cores| -> Vec<String> {
            let lines = shown(node, 0, 1);
            lines.iter().map(|line| line.split_once("] ").expect("a line").1.to_owned()).collect()
        };
        let expected = [
            r#""multi""#,
            r#""set" "b" "1""#,
            r#""set" "k3" "2""#,
            r#""client" "id""#,
            r#""exec""#,
            r#""multi""#,
            r#""exec""#,
        ];
        let mut lines = words(&mut node);
        // What executes once slices are borrowed is shown then.
        lines.sort_unstable();
        let mut sorted = expected.map(str::to_owned);
        sorted.sort_unstable();
        assert_eq!(lines, sorted);
        node.ask(0, 3, "auth secret\nauth me secret\nhello 2 auth default secret setname x");
        let expected = [
            r#""auth" "(redacted)""#,
            r#""auth" "(redacted)" "(redacted)""#,
            r#""hello" "2" "auth" "(redacted)" "(redacted)" "setname" "x""#,
        ];
        assert_eq!(words(&mut node), expected);
    }
}

/// Red when `deliver_published` cuts nobody off.
#[test]
fn a_monitor_that_does_not_read_is_cut_off() {
    let mut node = cores(2);
    let limit = OutputLimit { hard: 1_000, soft: 0, soft_s: 0 };
    node.cores[0].node.settings_mut().pubsub_output_limit = limit;
    node.ask(0, 1, "monitor");
    node.cores[0].clients.get_mut(&1).expect("it connected").stuck = true;
    for _ in 0..40 {
        assert_eq!(node.ask(1, 3, "ping"), "+PONG");
    }
    assert!(node.cores[0].clients[&1].closed);
}
