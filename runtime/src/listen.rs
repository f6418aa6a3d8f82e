//! Listening sockets.
//!
//! The first listener of an address is bound without SO_REUSEPORT, so that a port somebody else
//! serves is refused instead of shared silently. The option is set on it right afterwards, so that
//! the other cores of this process can join. A refusal names the holder of the port, found through
//! /proc: best effort, as another user's process hides its descriptors.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// As Redis: a client that is silent this long is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// The longest the kernel takes (MAX_TCP_KEEPIDLE).
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

/// An address cannot be listened on.
#[derive(Debug)]
pub struct ListenError {
    pub address: SocketAddr,
    pub error: io::Error,
    /// Who holds the port, if that is why and it could be found out.
    pub holder: Option<Holder>,
}

/// A process that listens on the wanted port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub process: u32,
    pub command: String,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address)?;
        match (&self.holder, self.error.kind()) {
            (Some(holder), _) => write!(
                f,
                "the port is in use by {} (process {}). Stop it or choose another port",
                holder.command, holder.process
            ),
            (None, io::ErrorKind::AddrInUse) => write!(
                f,
                "the port is in use by a process of another user or container \
                 (`ss -ltnp 'sport = :{}'` as root shows it). Stop it or choose another port",
                self.address.port()
            ),
            (None, io::ErrorKind::AddrNotAvailable) => {
                write!(f, "no interface of this machine has that address. Correct `bind`")
            }
            (None, io::ErrorKind::PermissionDenied) => write!(
                f,
                "{}. Ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port",
                self.error
            ),
            (None, _) => self.error.fmt(f),
        }
    }
}

impl Error for ListenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Listens on an address nobody listens on yet. Port 0 chooses a free one.
pub fn first(address: SocketAddr, backlog: u32) -> Result<TcpListener, ListenError> {
    open(address, backlog, Sharing::AfterBind).map_err(|error| {
        let holder =
            (error.kind() == io::ErrorKind::AddrInUse).then(|| find_holder(address)).flatten();
        ListenError { address, error, holder }
    })
}

/// Listens on an address this process listens on already: for further cores.
pub fn join(address: SocketAddr, backlog: u32) -> Result<TcpListener, ListenError> {
    assert_ne!(address.port(), 0, "joining needs the port the first listener got");
    open(address, backlog, Sharing::BeforeBind).map_err(|error| ListenError {
        address,
        error,
        holder: None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    BeforeBind,
    AfterBind,
}

fn open(address: SocketAddr, backlog: u32, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Binds over connections in TIME_WAIT, never over a listening socket (socket(7)).
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 and :: are separate addresses, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(true)?;
    }
    if sharing == Sharing::BeforeBind {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if sharing == Sharing::AfterBind {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit both.
    socket.set_tcp_nodelay(true)?;
    set_keepalive(&socket, Some(KEEPALIVE))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Whether, and how soon, silent connections are asked for a sign of life. Those that are accepted
/// from then on inherit it. A third of the time between further questions, and three of them, as
/// Redis does.
pub fn set_keepalive(socket: &impl AsFd, time: Option<Duration>) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let Some(time) = time else { return socket.set_keepalive(false) };
    let interval = (time / 3).max(Duration::from_secs(1));
    // The kernel knows times up to that.
    let [time, interval] = [time, interval].map(|time| time.min(KEEPALIVE_MAX));
    let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

/// The process that listens on the port of `address`.
fn find_holder(address: SocketAddr) -> Option<Holder> {
    let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address))
        .collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|&process| holds(process, &links))
        .map(|process| Holder { process, command: command(process) })
}

fn holds(process: u32, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
}

fn command(process: u32) -> String {
    match fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(name) => name.trim_end().to_owned(),
        Err(_) => "an unknown program".to_owned(),
    }
}

/// The inodes of the listening sockets in a table of /proc/net/tcp (proc_net(5)) that are in the
/// way of `address`.
///
/// ```text
///   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
///    0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 ..
/// ```
fn listening_inodes(table: &str, address: SocketAddr) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let inode = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (host, port) = fields.get(1)?.rsplit_once(':')?;
        let overlaps = u16::from_str_radix(port, 16).ok()? == address.port()
            && overlaps(parse_host(host)?, address.ip());
        if !overlaps || *fields.get(3)? != LISTEN {
            return None;
        }
        fields.get(9)?.parse().ok()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn overlaps(bound: IpAddr, wanted: IpAddr) -> bool {
    bound == wanted || bound.is_unspecified() || wanted.is_unspecified()
}

/// Addresses are printed as 32-bit words in the machine's order.
fn parse_host(text: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = text.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            for (target, source) in bytes.chunks_exact_mut(4).zip(words) {
                target.copy_from_slice(&source);
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_occupied_port_is_refused_and_its_holder_is_named() {
        let occupant = first(loopback(0), 511).expect("some port is free");
        let address = occupant.local_addr().expect("it is bound");
        let error = first(address, 511).expect_err("the port is taken");
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
        let holder = error.holder.clone().expect("our own descriptors can be read");
        assert_eq!(holder.process, std::process::id());
        assert!(error.to_string().contains(&format!("process {}", holder.process)));
    }

    #[test]
    fn a_wildcard_address_does_not_hide_an_occupied_port_either() {
        let occupant = first(loopback(0), 511).expect("some port is free");
        let port = occupant.local_addr().expect("it is bound").port();
        let wildcard = SocketAddr::from(([0, 0, 0, 0], port));
        let error = first(wildcard, 511).expect_err("the port is taken on one address");
        assert_eq!(error.holder.map(|holder| holder.process), Some(std::process::id()));
    }

    #[test]
    fn further_cores_join_the_first_listener() {
        let leader = first(loopback(0), 511).expect("some port is free");
        let address = leader.local_addr().expect("it is bound");
        let follower = join(address, 511).expect("the first listener allows it");
        assert_eq!(follower.local_addr().expect("it is bound"), address);
    }

    #[test]
    fn accepted_connections_inherit_what_is_set_on_the_listener() {
        let listener = first(loopback(0), 511).expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let _client = std::net::TcpStream::connect(address).expect("somebody listens");
        let (accepted, _) = listener.accept().expect("a client has connected");
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().expect("it can be read"));
        assert!(accepted.keepalive().expect("it can be read"));
        assert_eq!(accepted.tcp_keepalive_time().expect("it can be read"), KEEPALIVE);
    }

    /// Red when the interval or the retries stay the kernel's, or zero keeps what was.
    #[test]
    fn what_is_asked_of_silent_connections_changes_for_new_ones() {
        let listener = first(loopback(0), 511).expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases = [
            (seconds(60), Some((60, 20))),
            (None, None),
            (seconds(2), Some((2, 1))),
            (seconds(1 << 31), Some((32_767, 32_767))),
        ];
        for (time, expected) in cases {
            set_keepalive(&listener, time).expect("the kernel takes it");
            let _client = std::net::TcpStream::connect(address).expect("somebody listens");
            let (accepted, _) = listener.accept().expect("a client has connected");
            let accepted = SockRef::from(&accepted);
            assert_eq!(accepted.keepalive().expect("it can be read"), expected.is_some());
            let Some((idle, interval)) = expected else { continue };
            let time = accepted.tcp_keepalive_time().expect("it can be read");
            let between = accepted.tcp_keepalive_interval().expect("it can be read");
            assert_eq!((time.as_secs(), between.as_secs()), (idle, interval));
            assert_eq!(accepted.tcp_keepalive_retries().expect("it can be read"), 3);
        }
    }

    #[test]
    fn an_address_of_another_machine_is_explained() {
        // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
        let error = first(SocketAddr::from(([192, 0, 2, 1], 0)), 511).expect_err("not ours");
        assert!(error.to_string().contains("no interface"));
    }

    #[test]
    fn the_table_of_sockets_yields_listening_inodes_of_the_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
            0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n\
            1: 0100007F:18EB 0100007F:D431 01 00000000:00000000 00:00000000 00000000 0 0 4712 1\n\
            2: 00000000:18EC 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4713 1\n";
        assert_eq!(listening_inodes(table, loopback(0x18eb)), vec![4711]);
        assert_eq!(listening_inodes(table, loopback(0x18ec)), vec![4713]);
        assert!(listening_inodes(table, SocketAddr::from(([10, 0, 0, 1], 0x18eb))).is_empty());
    }

    #[test]
    fn addresses_of_version_six_are_read_in_words() {
        let parsed = parse_host("00000000000000000000000001000000");
        if cfg!(target_endian = "little") {
            assert_eq!(parsed, Some(IpAddr::from(std::net::Ipv6Addr::LOCALHOST)));
        } else {
            assert!(parsed.is_some());
        }
        assert_eq!(parse_host("0100"), None);
    }
}
