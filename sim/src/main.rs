//! The simulator's command line: many seeds, one seed again, the planted bugs, or what a real
//! server answered.
//!
//! ```text
//! sim run --seeds N [--first S] [--jobs J] [--plant NAME]
//! sim replay SEED [-v] [--plant NAME]
//! sim plants
//! sim check FILE
//! ```
//!
//! A failed assertion ends the process, so a hook says which seed it was; and the planted bugs
//! run in processes of their own.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the command line is the one impure file of a pure crate"
)]

use std::cell::Cell;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use sim::{Finding, MARKS, PLANTS, Planting, Report, check_recorded, run_seed};

/// From so many seeds on, a kind of fault that never happened is a failure.
const SEEDS_FOR_COVERAGE: u64 = 1_000;

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

struct Options {
    seeds: u64,
    first: u64,
    jobs: u64,
    verbose: bool,
    plant: Option<String>,
    word: Option<String>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let options = match parse(arguments) {
        Ok(options) => options,
        Err(why) => return usage(&why),
    };
    let planting = match &options.plant {
        None => Planting::default(),
        Some(name) => match PLANTS.iter().find(|plant| plant.name == name) {
            Some(plant) => plant.planting,
            None => return usage(&format!("no bug {name}; is the feature `planted` on?")),
        },
    };
    hook_panics(options.plant.clone());
    match (command.as_str(), &options.word) {
        ("run", None) => run(&options, planting),
        ("replay", Some(seed)) => match seed.parse() {
            Ok(seed) => replay(seed, &options, planting),
            Err(_) => usage("a seed is a number"),
        },
        ("plants", None) => plants(),
        ("check", Some(path)) => check(path),
        _ => usage("run, replay, plants or check?"),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options =
        Options { seeds: 100, first: 0, jobs: 1, verbose: false, plant: None, word: None };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().ok_or(format!("{argument} needs a number"))?;
            text.parse::<u64>().map_err(|_| format!("{text} is not a number"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--first" => options.first = number()?,
            "--jobs" => options.jobs = number()?.max(1),
            "--plant" => options.plant = arguments.next(),
            "-v" => options.verbose = true,
            _ if options.word.is_none() && !argument.starts_with('-') => {
                options.word = Some(argument);
            }
            _ => return Err(format!("{argument}?")),
        }
    }
    Ok(options)
}

fn usage(why: &str) -> ExitCode {
    eprintln!(
        "{why}\nsim run --seeds N [--first S] [--jobs J] [--plant NAME]\nsim replay SEED [-v] \
         [--plant NAME]\nsim plants\nsim check FILE"
    );
    ExitCode::from(2)
}

/// Runs many seeds; the first finding ends it.
fn run(options: &Options, planting: Planting) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(options.first);
    let end = options.first + options.seeds;
    let stop = AtomicBool::new(false);
    let results: Vec<(Report, Option<Finding>)> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..options.jobs).map(|_| scope.spawn(|| work(&next, end, &stop, planting))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a panic ends the process before"))
            .collect()
    });
    let mut total = Report::default();
    let mut first: Option<Finding> = None;
    for (report, finding) in results {
        total.merge(&report);
        if let Some(finding) = finding
            && first.as_ref().is_none_or(|first| finding.seed < first.seed)
        {
            first = Some(finding);
        }
    }
    print!("{total}");
    let took = started.elapsed();
    println!(
        "{:.1} s, {:.1} ms per seed and job",
        took.as_secs_f64(),
        took.as_secs_f64() * 1000.0 * options.jobs as f64 / total.seeds.max(1) as f64
    );
    if let Some(finding) = first {
        tell(finding.seed, options.plant.as_deref(), &finding.what);
        return ExitCode::FAILURE;
    }
    if total.gives_up_too_often() {
        println!("too many searches were given up");
        return ExitCode::FAILURE;
    }
    if SEEDS_FOR_COVERAGE <= total.seeds {
        let missing = total.missing(MARKS);
        if !missing.is_empty() {
            println!("never happened: {missing:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn work(
    next: &AtomicU64,
    end: u64,
    stop: &AtomicBool,
    planting: Planting,
) -> (Report, Option<Finding>) {
    let mut total = Report::default();
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if end <= seed {
            break;
        }
        SEED.set(seed);
        let outcome = run_seed(seed, planting, false);
        total.merge(&outcome.report);
        if outcome.finding.is_some() {
            stop.store(true, Ordering::Relaxed);
            return (total, outcome.finding);
        }
    }
    (total, None)
}

/// Runs one seed as it ran before.
fn replay(seed: u64, options: &Options, planting: Planting) -> ExitCode {
    SEED.set(seed);
    let started = Instant::now();
    let outcome = run_seed(seed, planting, options.verbose);
    print!("{}", outcome.report);
    println!(
        "trace {:016x}, {:.1} ms",
        outcome.trace_hash,
        started.elapsed().as_secs_f64() * 1000.0
    );
    match outcome.finding {
        None => ExitCode::SUCCESS,
        Some(finding) => {
            println!("at {:.3} ms", finding.time_us as f64 / 1000.0);
            tell(seed, options.plant.as_deref(), &finding.what);
            ExitCode::FAILURE
        }
    }
}

/// Plants each bug and counts the seeds until it is found.
fn plants() -> ExitCode {
    if PLANTS.is_empty() {
        return usage("nothing to plant: build with --features planted");
    }
    let program = std::env::current_exe().expect("a running program has a path");
    let mut missed = 0;
    for plant in PLANTS {
        let started = Instant::now();
        let output = Command::new(&program)
            .args(["run", "--plant", plant.name, "--seeds", &plant.seeds_max.to_string()])
            .output()
            .expect("this program can be started again");
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.lines().find_map(|line| line.strip_prefix("finding: "));
        match found {
            Some(what) if !output.status.success() => {
                let seed = what.strip_prefix("seed ").and_then(|what| what.split_once(':'));
                let number = seed.and_then(|(seed, _)| seed.parse::<u64>().ok()).unwrap_or(0);
                let what: String = what.chars().take(90).collect();
                let (name, took) = (plant.name, started.elapsed().as_secs_f64());
                println!("{name:<22} found: {:>3} seeds, {took:.1} s: {what}", number + 1);
            }
            _ => {
                missed += 1;
                println!("{:<24} NOT FOUND in {} seeds", plant.name, plant.seeds_max);
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Judges a history of the real binary.
fn check(path: &str) -> ExitCode {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return usage(&format!("{path}: {error}")),
    };
    match check_recorded(&text) {
        Ok(checked) => {
            println!(
                "{path}: {} operations, {} transactions and {} refused by a watch, {} without a \
                 reply of which {} are there, {} crashes: strictly serializable, nothing lost",
                checked.operations,
                checked.transactions - checked.aborted,
                checked.aborted,
                checked.unanswered,
                checked.unanswered_there,
                checked.crashes
            );
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("finding: {path}: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong and how to see it again.
fn tell(seed: u64, plant: Option<&str>, what: &str) {
    let (features, planting) = match plant {
        None => ("", String::new()),
        Some(name) => (" --features planted", format!(" --plant {name}")),
    };
    println!("finding: seed {seed}: {what}");
    println!("replay: cargo run --release -p sim{features} -- replay {seed} -v{planting}");
}

fn hook_panics(plant: Option<String>) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        let what = info.to_string().replace('\n', " ");
        tell(SEED.get(), plant.as_deref(), &what);
    }));
}
