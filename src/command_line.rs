//! The command line: which tool, with which arguments.
//!
//! Every directive of the configuration is a flag of `serve`; both come from one table. Flags
//! win over the file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{Change, Config, DIRECTIVES, Directive, Place};
use crate::exit::{Failure, Status};
use crate::{serve, verify, wal_tool};

/// Runs what the command line asks for.
pub fn run() -> Result<Status, Failure> {
    let matches = match command().try_get_matches_from(with_default(std::env::args_os())) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version come this way too, and are not failures.
            let status = if error.use_stderr() { Status::Usage } else { Status::Done };
            return match error.print() {
                Ok(()) => Ok(status),
                Err(cause) => Err(Failure::new(Status::Failed, cause)),
            };
        }
    };
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(&config(matches)?),
        Some(("verify", matches)) => verify::run(directory(matches)),
        Some(("wal", matches)) => {
            let (verb, matches) = matches.subcommand().expect("clap asks for a verb");
            let directory = directory(matches);
            match verb {
                "inspect" => wal_tool::inspect(directory),
                "verify" => wal_tool::verify(directory),
                "dump" => wal_tool::dump(directory),
                other => unreachable!("clap knows no verb {other}"),
            }
        }
        _ => unreachable!("there is a default subcommand"),
    }
}

fn directory(matches: &ArgMatches) -> &PathBuf {
    matches.get_one("DIR").expect("it has a default")
}

/// `toroid` alone, and `toroid --port 7000` or `toroid FILE`, are `toroid serve ...`.
fn with_default(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.collect();
    let known = ["serve", "verify", "wal", "help", "--help", "-h", "--version", "-V"];
    let named = arguments.get(1).is_some_and(|first| known.iter().any(|name| first == name));
    if !named {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

fn command() -> Command {
    let verb = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(
            Arg::new("DIR")
                .help("The data directory")
                .value_parser(clap::value_parser!(PathBuf))
                .default_value("./toroid-data"),
        )
    };
    Command::new("toroid")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A durable, Redis-compatible, in-memory database")
        .after_help("Without a subcommand, `toroid` is `toroid serve`.")
        .subcommand_required(true)
        .subcommand(serve_command())
        .subcommand(
            verb("verify", "Checks a whole data directory, offline and read-only").after_help(
                "Reads every log and every byte of every snapshot, then replays them as a start \
                 would, in memory. Exits with 0 only if nothing is wrong, with 5 for damage, with \
                 4 if DIR cannot be used, for example because a server runs there.",
            ),
        )
        .subcommand(
            Command::new("wal")
                .about("Looks into a log, offline and read-only")
                .subcommand_required(true)
                .subcommand(verb("inspect", "Prints segments, frames, gaps and their reasons"))
                .subcommand(verb("verify", "Checks everything; exits with 0 only if all is well"))
                .subcommand(verb("dump", "Prints every record")),
        )
}

fn serve_command() -> Command {
    let mut command = Command::new("serve")
        .about("Runs the server")
        .after_help("FILE is in redis.conf syntax and knows the same directives. Flags win.")
        .arg(
            Arg::new("FILE")
                .help("A configuration file")
                .value_parser(clap::value_parser!(PathBuf)),
        );
    for directive in DIRECTIVES {
        command = command.arg(
            Arg::new(directive.name)
                .long(directive.name)
                .value_name(directive.hint)
                .help(help(directive))
                .value_parser(ValueParser::os_string())
                .allow_hyphen_values(true)
                .num_args(1)
                .action(ArgAction::Append),
        );
    }
    for setting in of_the_node() {
        command = command.arg(
            Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.hint)
                .help(format!(
                    "{} [default: {}, can change while running]",
                    setting.doc,
                    setting.default_value()
                ))
                .value_parser(ValueParser::os_string())
                .allow_hyphen_values(true)
                .num_args(1)
                .action(ArgAction::Append),
        );
    }
    command
}

/// The settings that no directive here is the start of.
fn of_the_node() -> impl Iterator<Item = &'static node::Setting> {
    let is_here = |name| DIRECTIVES.iter().any(|directive| directive.name == name);
    node::SETTINGS.iter().filter(move |setting| !is_here(setting.name))
}

fn help(directive: &Directive) -> String {
    let change = match directive.change {
        Change::AtStart => "",
        Change::Running => ", can change while running",
    };
    format!("{} [default: {}{change}]", directive.doc, directive.default)
}

fn config(matches: &ArgMatches) -> Result<Config, Failure> {
    let usage =
        |error| Failure::new(Status::Usage, format!("cannot use the configuration: {error}"));
    let mut config = Config::new();
    if let Some(file) = matches.get_one::<PathBuf>("FILE") {
        config.read_file(file).map_err(usage)?;
    }
    for directive in DIRECTIVES {
        let Some(values) = matches.get_many::<OsString>(directive.name) else { continue };
        let values: Vec<Vec<u8>> = values.map(|value| value.as_encoded_bytes().to_vec()).collect();
        // A flag given again replaces what it said before; only bind gathers.
        let last = match directive.name {
            "bind" => &values[..],
            _ => &values[values.len() - 1..],
        };
        config.set(directive.name, last, Place::Flag).map_err(usage)?;
    }
    for setting in of_the_node() {
        let Some(values) = matches.get_many::<OsString>(setting.name) else { continue };
        for value in values {
            let value = value.as_encoded_bytes().to_vec();
            config.set(setting.name, &[value], Place::Flag).map_err(usage)?;
        }
    }
    config.check().map_err(usage)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Config {
        let words = words.iter().map(OsString::from);
        let matches = command()
            .try_get_matches_from(with_default(words))
            .expect("the command line is well formed");
        let (_, matches) = matches.subcommand().expect("there is a subcommand");
        config(matches).expect("the configuration is valid")
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn no_subcommand_means_serve() {
        assert_eq!(parse(&["toroid"]).port, 6379);
        assert_eq!(parse(&["toroid", "--port", "7000"]).port, 7000);
        assert_eq!(parse(&["toroid", "serve", "--port", "1", "--port", "2"]).port, 2);
        assert_eq!(parse(&["toroid", "--bind", "127.0.0.1", "--bind", "-::1"]).bind.len(), 2);
    }
}
