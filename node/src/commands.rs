//! The commands that are not about the keys of one slice: a file for each family.

mod acl;
mod client;
mod cluster;
mod command;
mod config;
mod connection;
mod debug;
mod info;
mod latency;
mod monitor;
mod process;
mod pubsub;
mod replication;
mod scripting;
mod server;
mod slowlog;
mod transactions;

use base::Now;
use engine::Command;

use crate::error::RequestError;
use crate::node::Node;
use crate::pubsub::Publication;
use crate::registry::{Registry, Run};
use crate::reply::ReplyWriter;
use crate::session::{Client, Session, Standing};

/// Every family of the node.
pub(crate) const FAMILIES: &[&[Command<Run>]] = &[
    acl::FAMILY,
    client::FAMILY,
    cluster::FAMILY,
    command::FAMILY,
    config::FAMILY,
    connection::FAMILY,
    debug::FAMILY,
    latency::FAMILY,
    monitor::FAMILY,
    process::FAMILY,
    pubsub::FAMILY,
    replication::FAMILY,
    scripting::FAMILY,
    server::FAMILY,
    slowlog::FAMILY,
    transactions::FAMILY,
];

pub(crate) use connection::NOT_OURS;
pub(crate) use info::CoreFacts;
pub(crate) use pubsub::is_for_subscribers;

/// What a command on the connection or the node gets.
#[derive(Debug)]
pub(crate) struct SessionCx<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) standing: Standing,
    pub(crate) node: &'a Node,
    pub(crate) reply: ReplyWriter<'a>,
    pub(crate) now: Now,
}

/// The names of the commands and subcommands that are meant.
fn names_of(registry: &Registry, is_meant: impl Fn(&Command<Run>) -> bool) -> Vec<&'static str> {
    let all = registry.commands().iter().flat_map(|command| {
        std::iter::once(command).chain(engine::Runs::subcommands(&command.run))
    });
    all.filter(|command| is_meant(command)).map(|command| command.name).collect()
}

/// What a command about channels gets.
#[derive(Debug)]
pub(crate) struct ChannelsCx<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) session: &'a mut Session,
    pub(crate) reply: ReplyWriter<'a>,
    /// What it publishes, in order.
    pub(crate) publications: &'a mut Vec<Publication>,
    pub(crate) in_transaction: bool,
    /// The reply confirms a subscription or its end: who wants no replies gets it all the same.
    pub(crate) confirms: bool,
}

/// What a container says of a subcommand whose arity allows more words than it takes.
fn too_many_words(container: &str, subcommand: &str) -> RequestError {
    let container = container.to_ascii_uppercase();
    RequestError::Text(
        format!(
            "ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try \
             {container} HELP."
        )
        .into_bytes(),
    )
}

/// The lines that HELP prints for a container.
fn help(reply: &mut ReplyWriter<'_>, container: &str, subcommands: &[Command<Run>]) {
    use engine::ReplySink;

    reply.array(2 * subcommands.len() + 1);
    let title = container.to_ascii_uppercase();
    reply.simple(&format!("{title} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for subcommand in subcommands {
        let (_, name) = subcommand.name.split_once('|').expect("it names its container");
        reply.simple(&name.to_ascii_uppercase());
        reply.simple(&format!("    {}", subcommand.summary));
    }
}
