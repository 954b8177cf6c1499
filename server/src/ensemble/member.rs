//! One member, a `server.N`: its addresses, its role, and where its clients connect.
//! Source: `QuorumPeer.java` QuorumServer.

use crate::ids::ServerId;
use std::fmt;

/// A host, by name or number, and a port. Names are resolved anew at every use: in Kubernetes they
/// outlive their addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name, an IPv4 or an IPv6 address, the last without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// `host` at `port`.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        HostPort {
            host: host.into(),
            port,
        }
    }
}

/// `host:port`, an IPv6 address in brackets.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)
    }
}

struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

/// Whether a member votes. Source: `QuorumPeer.java` LearnerType.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It votes and may lead.
    Participant,
    /// It follows without a vote.
    Observer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Participant => "participant",
            Role::Observer => "observer",
        })
    }
}

/// Where a member listens for other members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    /// Name or number.
    pub host: String,
    /// Where the leader listens for learners.
    pub quorum_port: u16,
    /// Where votes are exchanged.
    pub election_port: u16,
}

impl PeerAddress {
    /// Where the leader listens for learners.
    #[must_use]
    pub fn quorum(&self) -> HostPort {
        HostPort::new(self.host.clone(), self.quorum_port)
    }

    /// Where votes are exchanged.
    #[must_use]
    pub fn election(&self) -> HostPort {
        HostPort::new(self.host.clone(), self.election_port)
    }
}

/// A member of the ensemble, one `server.N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its `N`.
    pub id: ServerId,
    /// Its addresses; more than one only with `multiAddress.enabled`, never none.
    pub addresses: Vec<PeerAddress>,
    /// Whether it votes.
    pub role: Role,
    /// Where its clients connect, where the list says it.
    pub client: Option<HostPort>,
    /// Whether `client` was filled in from the member's own `clientPort`; it is not written out then.
    pub client_from_static: bool,
}

impl Member {
    /// Reads the value of a `server.N`: `host:2888:3888[:role][|host:…][;[host:]2181]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(id: ServerId, text: &str, multi_address: bool) -> Result<Self, String> {
        let mut halves = text.split(';');
        let servers = halves.next().unwrap_or_default();
        let client = halves.next();
        if halves.next().is_some() || servers.trim().is_empty() {
            return Err(bad_form(text));
        }
        let client = match client {
            // Java drops trailing empty parts, so `host:1:2;` means no client address.
            None => None,
            Some(part) if part.trim().is_empty() => None,
            Some(part) => Some(parse_client(text, part)?),
        };
        let parts: Vec<&str> = servers.split('|').collect();
        if parts.len() > 1 && !multi_address {
            return Err(format!(
                "`{text}` has {} addresses; several are allowed with multiAddress.enabled=true only",
                parts.len()
            ));
        }
        let mut addresses = Vec::with_capacity(parts.len());
        let mut role = None;
        for part in parts {
            let (address, part_role) = parse_peer(text, part)?;
            if let Some(part_role) = part_role {
                if role.is_some_and(|role| role != part_role) {
                    return Err(format!("`{text}` names different roles for one server"));
                }
                role = Some(part_role);
            }
            addresses.push(address);
        }
        Ok(Member {
            id,
            addresses,
            role: role.unwrap_or(Role::Participant),
            client,
            client_from_static: false,
        })
    }

    /// The first address: the only one without `multiAddress.enabled`.
    #[must_use]
    pub fn address(&self) -> &PeerAddress {
        &self.addresses[0]
    }
}

fn bad_form(text: &str) -> String {
    format!("`{text}` must have the form host:2888:3888[:participant|observer][;[host:]2181]")
}

/// Splits at colons, but not inside of the brackets of an IPv6 address.
fn fields<'a>(whole: &str, text: &'a str) -> Result<Vec<&'a str>, String> {
    let text = text.trim();
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(text.split(':').collect());
    };
    let (host, behind) = rest
        .split_once(']')
        .ok_or_else(|| format!("`{whole}` opens a bracket that it does not close"))?;
    let ports = behind.strip_prefix(':').ok_or_else(|| bad_form(whole))?;
    let mut fields = vec![host];
    fields.extend(ports.split(':'));
    Ok(fields)
}

fn port(whole: &str, text: &str) -> Result<u16, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` in `{whole}` is no port; a port is a number up to 65535"))
}

/// A name or an address. What no name may have would read as something else in the text that
/// members write of each other.
fn host<'a>(whole: &str, text: &'a str) -> Result<&'a str, String> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']');
    match text.find(is_odd) {
        _ if text.is_empty() => Err(bad_form(whole)),
        Some(_) => Err(format!("`{text}` in `{whole}` is no host")),
        None => Ok(text),
    }
}

fn parse_client(whole: &str, text: &str) -> Result<HostPort, String> {
    match fields(whole, text)?.as_slice() {
        [number] => Ok(HostPort::new("0.0.0.0", port(whole, number)?)),
        [name, number] => Ok(HostPort::new(host(whole, name)?, port(whole, number)?)),
        _ => Err(bad_form(whole)),
    }
}

fn parse_peer(whole: &str, text: &str) -> Result<(PeerAddress, Option<Role>), String> {
    let fields = fields(whole, text)?;
    let (name, quorum, election, role) = match fields.as_slice() {
        [name, quorum, election] => (*name, *quorum, *election, None),
        [name, quorum, election, role] => (*name, *quorum, *election, Some(*role)),
        _ => return Err(bad_form(whole)),
    };
    let address = PeerAddress {
        host: host(whole, name)?.to_owned(),
        quorum_port: port(whole, quorum)?,
        election_port: port(whole, election)?,
    };
    if address.quorum_port == address.election_port {
        return Err(format!(
            "`{whole}` has {quorum} for both the quorum and the election port; they must differ"
        ));
    }
    let role = match role.map(|role| role.trim().to_ascii_lowercase()).as_deref() {
        None => None,
        Some("participant") => Some(Role::Participant),
        Some("observer") => Some(Role::Observer),
        Some(other) => {
            return Err(format!(
                "`{other}` in `{whole}` must be participant or observer"
            ));
        }
    };
    Ok((address, role))
}

/// The value as Java writes it into `/zookeeper/config` and into messages.
/// Source: `QuorumPeer.java` QuorumServer.toString.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<&PeerAddress> = self.addresses.iter().collect();
        addresses.sort_by(|a, b| a.host.cmp(&b.host));
        for (index, address) in addresses.iter().enumerate() {
            if index > 0 {
                f.write_str("|")?;
            }
            write!(
                f,
                "{}:{}:{}",
                Bracketed(&address.host),
                address.quorum_port,
                address.election_port
            )?;
        }
        write!(f, ":{}", self.role)?;
        match &self.client {
            Some(client) if !self.client_from_static => write!(f, ";{client}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &str) -> Result<Member, String> {
        Member::parse(ServerId(1), text, false)
    }

    #[test]
    fn a_member_is_read_in_every_form_that_java_takes() {
        for (text, written) in [
            ("h:2888:3888", "h:2888:3888:participant"),
            ("h:2888:3888:observer", "h:2888:3888:observer"),
            ("h:2888:3888:OBSERVER", "h:2888:3888:observer"),
            ("h:2888:3888;2181", "h:2888:3888:participant;0.0.0.0:2181"),
            ("h:2888:3888;", "h:2888:3888:participant"),
            (
                "h:2888:3888:participant;c:2181",
                "h:2888:3888:participant;c:2181",
            ),
            (
                "[2001:db8::1]:2888:3888;[::]:2181",
                "[2001:db8::1]:2888:3888:participant;[::]:2181",
            ),
        ] {
            assert_eq!(member(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn a_members_bad_forms_are_refused_with_a_sentence() {
        const FORM: &str = "must have the form host:2888:3888[:participant|observer][;[host:]2181]";
        for (text, problem) in [
            ("", format!("`` {FORM}")),
            ("h", format!("`h` {FORM}")),
            ("h:2888", format!("`h:2888` {FORM}")),
            (":1:2", format!("`:1:2` {FORM}")),
            ("h:1:2:observer:x", format!("`h:1:2:observer:x` {FORM}")),
            ("h:1:2;3;4", format!("`h:1:2;3;4` {FORM}")),
            ("h:1:2;a:b:c", format!("`h:1:2;a:b:c` {FORM}")),
            ("[ ]:1:2", "` ` in `[ ]:1:2` is no host".to_owned()),
            ("a b:1:2", "`a b` in `a b:1:2` is no host".to_owned()),
            ("a:1:2;[\0]:3", "`\0` in `a:1:2;[\0]:3` is no host".to_owned()),
            ("a:1:2;[[]:3", "`[` in `a:1:2;[[]:3` is no host".to_owned()),
            ("[::1]", format!("`[::1]` {FORM}")),
            ("[::1:1:2", "`[::1:1:2` opens a bracket that it does not close".into()),
            (
                "h:99999:2",
                "`99999` in `h:99999:2` is no port; a port is a number up to 65535".into(),
            ),
            (
                "h:1:1",
                "`h:1:1` has 1 for both the quorum and the election port; they must differ".into(),
            ),
            ("h:1:2:voter", "`voter` in `h:1:2:voter` must be participant or observer".into()),
            (
                "a:1:2|b:1:2",
                "`a:1:2|b:1:2` has 2 addresses; several are allowed with multiAddress.enabled=true only"
                    .into(),
            ),
        ] {
            assert_eq!(member(text).unwrap_err(), problem, "{text}");
        }
    }

    #[test]
    fn several_addresses_are_read_and_written_sorted_with_multi_address() {
        let member = Member::parse(ServerId(1), "b:1:2:observer|a:3:4:observer;5", true).unwrap();
        assert_eq!(member.to_string(), "a:3:4|b:1:2:observer;0.0.0.0:5");
        assert!(Member::parse(ServerId(1), "b:1:2:observer|a:3:4:participant", true).is_err());
    }
}
