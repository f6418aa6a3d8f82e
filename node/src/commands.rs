//! The commands that are not about the keys of one slice: a file for each family.

mod client;
mod command;
mod connection;
mod info;
mod monitor;
mod pubsub;
mod server;
mod transactions;

use base::Now;
use engine::Command;

use crate::node::Node;
use crate::pubsub::Publication;
use crate::registry::Run;
use crate::reply::ReplyWriter;
use crate::session::{Client, Session};

/// Every family of the node.
pub(crate) const FAMILIES: &[&[Command<Run>]] = &[
    client::FAMILY,
    command::FAMILY,
    connection::FAMILY,
    monitor::FAMILY,
    pubsub::FAMILY,
    server::FAMILY,
    transactions::FAMILY,
];

pub(crate) use connection::NOT_OURS;
pub(crate) use info::CoreFacts;
pub(crate) use pubsub::is_for_subscribers;

/// What a command on the connection or the node gets.
#[derive(Debug)]
pub(crate) struct SessionCx<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) node: &'a Node,
    pub(crate) reply: ReplyWriter<'a>,
    pub(crate) now: Now,
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
