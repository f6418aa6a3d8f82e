//! Every command of the server in one table: the engine's and the node's.

use std::sync::LazyLock;

use base::Map;
use engine::{Access, Args, Command, Runs, until_nul};

use crate::ask::{Answer, Question};
use crate::commands::{self, ChannelsCx, SessionCx};
use crate::error::{RequestError, around};
use crate::work::Effort;

/// How a command runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    /// On the keys among its arguments, or on all.
    Keys(engine::Run),
    /// On the connection and facts of its core.
    Session(SessionHandler),
    /// On what every core says.
    Node(NodeRun),
    /// On the channels of the node, and who has subscribed.
    Channels(ChannelsHandler),
    /// On what the connection has under way.
    Control(Control),
    /// By its subcommand; `alone` runs without one, where the arity allows that.
    Container { alone: Option<SessionHandler>, subcommands: &'static [Command<Run>] },
}

/// A handler on the connection and facts of its core.
pub(crate) type SessionHandler = fn(&mut SessionCx<'_>, Args<'_>) -> Result<(), RequestError>;

/// A handler on channels. It does what it does on this core, at once.
pub(crate) type ChannelsHandler = fn(&mut ChannelsCx<'_>, Args<'_>) -> Result<(), RequestError>;

/// A command about the node: what it asks each core, and what it makes of the answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeRun {
    pub(crate) ask: fn(&mut SessionCx<'_>, Args<'_>) -> Result<Question, RequestError>,
    pub(crate) reply: fn(&mut SessionCx<'_>, Args<'_>, Vec<Answer>) -> Result<(), RequestError>,
}

/// Commands about commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Discard,
    Exec,
    Multi,
    Reset,
    Unwatch,
    Watch,
}

impl Runs for Run {
    fn access(&self) -> Access {
        match self {
            Self::Keys(run) => run.access(),
            Self::Session(_)
            | Self::Node(_)
            | Self::Channels(_)
            | Self::Control(_)
            | Self::Container { .. } => Access::None,
        }
    }

    fn subcommands(&self) -> &'static [Command<Self>] {
        match self {
            Self::Container { subcommands, .. } => subcommands,
            Self::Keys(_)
            | Self::Session(_)
            | Self::Node(_)
            | Self::Channels(_)
            | Self::Control(_) => &[],
        }
    }
}

/// Commands by name. The same for every node of the process.
#[derive(Debug)]
pub(crate) struct Registry {
    commands: Vec<Command<Run>>,
    /// The first of them, which COMMAND lists.
    listed: usize,
    by_name: Map<&'static [u8], usize>,
    /// Containers, and the number of the first subcommand of each.
    containers: Vec<(usize, usize)>,
    /// What each of the commands looks at.
    efforts: Vec<Effort>,
}

/// The longest name that is looked up.
const NAME_SIZE_MAX: usize = 32;

impl Registry {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Registry> = LazyLock::new(Registry::new);
        &SHARED
    }

    fn new() -> Self {
        let of_engine = engine::FAMILIES.iter().flat_map(|family| family.iter()).map(on_slice);
        let of_node = commands::FAMILIES.iter().flat_map(|family| family.iter()).copied();
        let mut commands: Vec<_> = of_engine.chain(of_node).collect();
        commands.sort_by_key(|command| command.name);
        let listed = commands.len();
        commands.extend_from_slice(commands::NOT_OURS);
        let by_name: Map<_, _> = commands
            .iter()
            .enumerate()
            .map(|(at, command)| (command.name.as_bytes(), at))
            .collect();
        assert!(by_name.len() == commands.len(), "every name is declared once");
        let mut containers = Vec::new();
        let mut numbered = commands.len();
        for (at, command) in commands.iter().enumerate() {
            let count = command.run.subcommands().len();
            if 0 < count {
                containers.push((at, numbered));
                numbered += count;
            }
        }
        let efforts = commands.iter().map(|command| Effort::of(command.name)).collect();
        Self { commands, listed, by_name, containers, efforts }
    }

    /// Every command, sorted by name; subcommands are inside their containers.
    pub(crate) fn commands(&self) -> &[Command<Run>] {
        &self.commands[..self.listed]
    }

    /// What a command or subcommand looks at.
    pub(crate) fn effort(&self, command: &'static Command<Run>) -> Effort {
        match place_in(&self.commands, command) {
            Some(at) => self.efforts[at],
            None => Effort::of(command.name),
        }
    }

    /// A number for each command and subcommand, from zero.
    pub(crate) fn number(&self, command: &'static Command<Run>) -> usize {
        if let Some(at) = place_in(&self.commands, command) {
            return at;
        }
        let of_container = self.containers.iter().find_map(|(at, first)| {
            let place = place_in(self.commands[*at].run.subcommands(), command)?;
            Some(first + place)
        });
        of_container.expect("every command is found here")
    }

    /// The number of the command or subcommand that a request names, whatever is wrong with it.
    pub(crate) fn number_of(&'static self, name: &[u8], args: Args<'_>) -> Option<usize> {
        let command = self.find(name)?;
        let subcommand = args.first().and_then(|word| command.subcommand(word));
        Some(self.number(subcommand.unwrap_or(command)))
    }

    /// The name of the command of that number.
    pub(crate) fn name_of(&self, number: usize) -> &'static str {
        if let Some(command) = self.commands.get(number) {
            return command.name;
        }
        let container = self.containers.iter().rev().find(|(_, first)| *first <= number);
        let (at, first) = container.expect("every number is a command's");
        self.commands[*at].run.subcommands()[number - first].name
    }

    /// The command called `name`, in any case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&Command<Run>> {
        let mut lower = [0; NAME_SIZE_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.by_name.get(&*lower).map(|&at| &self.commands[at])
    }

    /// What the request `name args...` runs, and the arguments it runs with. The words are
    /// counted already.
    pub(crate) fn resolve<'a>(
        &'static self,
        name: &[u8],
        args: Args<'a>,
    ) -> Result<(&'static Command<Run>, Args<'a>), RequestError> {
        let command = self.find(name).ok_or_else(|| unknown(name, args))?;
        let words = 1 + args.len();
        match (command.run, args.split_first()) {
            (Run::Container { .. }, Some((word, rest))) => {
                let subcommand =
                    command.subcommand(word).ok_or_else(|| unknown_subcommand(command, word))?;
                subcommand.check_arity(words)?;
                Ok((subcommand, rest))
            }
            _ => {
                command.check_arity(words)?;
                Ok((command, args))
            }
        }
    }
}

fn on_slice(command: &Command<engine::Run>) -> Command<Run> {
    let Command { name, summary, since, complexity, group, arity, keys, acl, flags, tips, run } =
        *command;
    let run = match run {
        // Once for the process: the registry is never dropped.
        engine::Run::Container(subcommands) => {
            let subcommands = subcommands.iter().map(on_slice).collect::<Vec<_>>();
            Run::Container { alone: None, subcommands: subcommands.leak() }
        }
        run => Run::Keys(run),
    };
    Command { name, summary, since, complexity, group, arity, keys, acl, flags, tips, run }
}

/// Where `command` lies among `commands`, if it is one of them.
fn place_in(commands: &[Command<Run>], command: &Command<Run>) -> Option<usize> {
    let range = commands.as_ptr_range();
    let command = std::ptr::from_ref(command);
    range
        .contains(&command)
        .then(|| (command.addr() - range.start.addr()) / size_of::<Command<Run>>())
}

fn unknown(name: &[u8], args: Args<'_>) -> RequestError {
    // Redis shows the arguments until the text of them has about 128 bytes.
    let mut seen = Vec::new();
    for arg in args.iter().map(|arg| until_nul(arg)) {
        if 128 <= seen.len() {
            break;
        }
        let room = 128 - seen.len();
        seen.push(b'\'');
        seen.extend_from_slice(&arg[..arg.len().min(room)]);
        seen.extend_from_slice(b"' ");
    }
    let name = until_nul(name);
    let name = &name[..name.len().min(128)];
    let words: [&[u8]; 4] =
        [b"ERR unknown command '", name, b"', with args beginning with: ", &seen];
    RequestError::Text(words.concat())
}

fn unknown_subcommand(command: &Command<Run>, word: &[u8]) -> RequestError {
    let container = command.name.to_ascii_uppercase();
    around("ERR unknown subcommand '", word, &format!("'. Try {container} HELP."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        let registry = Registry::shared();
        for name in ["get", "GET", "gEt", "client", "exec"] {
            let found = registry.find(name.as_bytes()).expect("it is a command");
            assert!(found.name.eq_ignore_ascii_case(name));
        }
        for name in ["", "ge", "gett", "client|id", &"x".repeat(100)] {
            assert!(registry.find(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn every_name_fits_the_lookup_and_every_subcommand_names_its_container() {
        for command in Registry::shared().commands() {
            assert!(command.name.len() <= NAME_SIZE_MAX);
            for subcommand in command.run.subcommands() {
                let (container, _) = subcommand.name.split_once('|').expect("it has two words");
                assert_eq!(container, command.name);
            }
        }
    }

    #[test]
    fn what_is_not_known_is_said_in_the_words_of_redis() {
        let registry = Registry::shared();
        let error = registry.resolve(b"FOO", &[b"a", b"b"]).expect_err("there is none");
        assert_eq!(
            error.text(),
            &b"ERR unknown command 'FOO', with args beginning with: 'a' 'b' "[..]
        );
        let error = registry.resolve(b"F\0O", &[b"a\0b", b"\0"]).expect_err("there is none");
        assert_eq!(
            error.text(),
            &b"ERR unknown command 'F', with args beginning with: 'a' '' "[..]
        );
        let error = registry.resolve(b"client", &[b"a\0b"]).expect_err("there is none");
        assert_eq!(error.text(), &b"ERR unknown subcommand 'a'. Try CLIENT HELP."[..]);
        let error = registry.resolve(b"client", &[b"nope"]).expect_err("there is none");
        assert_eq!(error.text(), &b"ERR unknown subcommand 'nope'. Try CLIENT HELP."[..]);
        let error = registry.resolve(b"client", &[]).expect_err("a word is missing");
        assert_eq!(error.text(), &b"ERR wrong number of arguments for 'client' command"[..]);
    }
}
