//! What is printed when clients are welcome.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use node::Topology;
use tuning::{Needs, Storage};

use crate::config::Config;
use crate::data_dir::{DataDir, Generation};
use crate::replay::Summary;
use crate::shell::Banner;

/// What the start has found and decided.
pub struct Found {
    pub topology: Topology,
    pub generation: Generation,
    /// Where each core runs.
    pub cpus: Vec<usize>,
    pub summary: Summary,
    pub seconds: f64,
}

/// Gathers what there is to say, for the last core that comes to listen.
pub fn welcome(config: &Config, directory: &DataDir, found: Found) -> Banner {
    let durability = match config.durability {
        node::Durability::Local => {
            "local: a write is answered once it is on stable storage".to_owned()
        }
        node::Durability::Memory => format!(
            "memory: a write is answered at execution; a crash may lose at most the last {} ms",
            config.memory_durability_age_ms
        ),
    };
    let addresses: Vec<IpAddr> = config.bind.iter().map(|bind| bind.address).collect();
    let (port, path, is_new) = (config.port, directory.path().to_owned(), directory.is_new);
    let storage = tuning::storage(&path).ok();
    let needs = Needs { huge_pages: !config.disable_thp, ..Needs::default() };
    let mut findings = tuning::check(&needs);
    findings.extend(storage.iter().flat_map(Storage::findings));
    let older = directory.generations().len() - 1;
    Box::new(move || {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            text.push_str(&format!("{name:>12}  {value}\n"));
        };
        line("toroid", env!("CARGO_PKG_VERSION"));
        line("cores", &cores(&found));
        line("directory", &format!("{}{}", path.display(), if is_new { " (new)" } else { "" }));
        if let Some(storage) = &storage {
            line("disk", &storage.summary());
        }
        line("logs", &logs(found.generation, older));
        line("durability", &durability);
        let Found { summary, seconds, .. } = &found;
        line(
            "recovered",
            &format!(
                "{} keys by {} effects from {} frames ({:.1} MiB) in {seconds:.3} s",
                summary.keys,
                summary.effects,
                summary.frames,
                summary.bytes as f64 / f64::from(1 << 20),
            ),
        );
        for cut in &summary.cuts {
            line("torn tail", &format!("{cut}; nothing acknowledged was in it"));
        }
        for finding in &findings {
            line("warning", &finding.to_string());
        }
        for address in &addresses {
            line("listening", &SocketAddr::new(*address, port).to_string());
        }
        let host = addresses.first().map(ToString::to_string).unwrap_or_default();
        line("connect", &format!("redis-cli -h {host} -p {port}"));
        line("ready", &format!("pid {}", std::process::id()));
        let mut out = std::io::stdout().lock();
        // A closed standard output is not a reason to stop serving.
        let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(cause) = printed {
            tracing::warn!("cannot print the banner: {cause}");
        }
    })
}

fn cores(found: &Found) -> String {
    let (cores, slices) = (found.topology.cores(), found.topology.slices());
    let cpus: Vec<String> = found.cpus.iter().map(ToString::to_string).collect();
    let plural = if slices == 1 { "" } else { "s" };
    format!("{cores} (cpu {}), {slices} slice{plural}", cpus.join(" "))
}

fn logs(generation: Generation, older: usize) -> String {
    let Generation { number, cores } = generation;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let logs = format!("generation {number}, {cores} log{}", plural(usize::from(cores)));
    match older {
        0 => logs,
        _ => format!("{logs}; {older} older generation{} read at each start", plural(older)),
    }
}
