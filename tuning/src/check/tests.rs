//! Each check against a machine that has one thing wrong, and against one that has nothing wrong.

use super::*;
use crate::host::tests::host;

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max open files            65536                65536                files
Max locked memory         8388608              8388608              bytes
";

/// A machine with nothing wrong.
const GOOD: &[(&str, &str)] = &[
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("proc/sys/vm/overcommit_memory", "0\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"),
    ("proc/self/limits", LIMITS),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm\n"),
];

/// The findings of a good machine with one file changed.
fn check_with(path: &str, text: &str) -> Vec<Finding> {
    assert!(GOOD.iter().any(|(known, _)| *known == path), "{path} is in the fixture");
    let files: Vec<(&str, &str)> = GOOD
        .iter()
        .map(|(known, good)| (*known, if *known == path { text } else { good }))
        .collect();
    let (host, _files) = host(&files);
    host.check(&Needs::default())
}

#[track_caller]
fn expect_one(findings: &[Finding], what: &str, fix: &str) {
    let [finding] = findings else { panic!("one finding is expected, not {findings:?}") };
    assert!(finding.what.contains(what), "{finding}");
    assert!(finding.fix.contains(fix), "{finding}");
}

#[test]
fn a_good_machine_and_an_empty_one_have_no_findings() {
    let (good, _good_files) = host(GOOD);
    assert_eq!(good.check(&Needs::default()), []);
    let (empty, _empty_files) = host(&[]);
    assert_eq!(empty.check(&Needs::default()), []);
}

#[test]
fn huge_pages_everywhere_are_found() {
    let findings =
        check_with("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    expect_one(&findings, "huge pages", "echo madvise >");
    let path = "sys/kernel/mm/transparent_hugepage/enabled";
    let (host, _files) = host(&[(path, "[always] madvise never\n")]);
    assert_eq!(host.check(&Needs { huge_pages: false, ..Needs::default() }), []);
}

#[test]
fn refused_overcommit_is_found_and_the_other_modes_are_not() {
    let path = "proc/sys/vm/overcommit_memory";
    expect_one(&check_with(path, "2\n"), "overcommit_memory is 2", "sysctl");
    assert_eq!(check_with(path, "1\n"), []);
}

#[test]
fn a_short_accept_queue_is_found() {
    let path = "proc/sys/net/core/somaxconn";
    expect_one(&check_with(path, "128\n"), "somaxconn is 128", "somaxconn=");
    assert_eq!(check_with(path, "511\n"), []);
}

#[test]
fn swap_is_found_with_its_areas() {
    let swaps = "Filename Type Size Used Priority\n/dev/vdb partition 1 0 -2\n/swap file 1 0 -3\n";
    expect_one(&check_with("proc/swaps", swaps), "/dev/vdb, /swap", "swapoff");
}

#[test]
fn one_slow_governor_among_the_cores_is_found() {
    let path = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";
    expect_one(&check_with(path, "powersave\n"), "1 core(s)", "cpupower");
}

#[test]
fn a_slow_clock_is_found_with_the_fast_one_that_is_there() {
    let path = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    expect_one(&check_with(path, "hpet\n"), "hpet", "echo tsc >");
    assert_eq!(check_with(path, "kvm-clock\n"), []);
}

#[test]
fn few_open_files_are_found_and_the_fix_depends_on_the_hard_limit() {
    let limits = |hard: &str| LIMITS.replace("65536                65536", &format!("1024 {hard}"));
    let path = "proc/self/limits";
    expect_one(&check_with(path, &limits("1048576")), "RLIMIT_NOFILE is 1024", "ulimit -n 10128");
    expect_one(&check_with(path, &limits("4096")), "at most 4096", "maxclients 3968");
}

#[test]
fn little_locked_memory_is_found_and_none_at_all_is_no_limit() {
    let limits = |size: &str| LIMITS.replace("8388608              8388608", size);
    let path = "proc/self/limits";
    expect_one(&check_with(path, &limits("65536 65536")), "RLIMIT_MEMLOCK is 65536", "ulimit -l");
    assert_eq!(check_with(path, &limits("unlimited unlimited")), []);
}

#[test]
fn a_finding_prints_what_why_and_the_fix() {
    let finding = Finding::new("swap is on", "it is slow", "swapoff -a");
    assert_eq!(finding.to_string(), "swap is on: it is slow. Fix: swapoff -a");
}
