//! What is there in the end: the same at every member, all that was acknowledged, and ephemerals of
//! living sessions alone.

use super::order::check_read;
use super::writes::Writes;
use crate::Outcome;
use crate::client::{Connection, Welcome};
use crate::codec::ephemeral_path;
use crate::ensemble::SESSION_TIMEOUT;
use crate::history::{Answer, History, Register, Request, SessionEnd, StepResult};
use crate::wire::{In, Out, Stat, code, op};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Requests under way at a time while a tree is read.
const WINDOW: usize = 200;

/// A node as a member shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its data.
    pub data: Vec<u8>,
    /// Every byte of its stat.
    pub stat_bytes: Vec<u8>,
    /// The same, read.
    pub stat: Stat,
}

/// A member's tree by path, without what members keep for themselves below `/zookeeper`.
pub type Tree = BTreeMap<String, Node>;

/// Reads a member's tree once it has caught up.
///
/// # Errors
/// Where the member does not answer.
pub fn read_tree(address: Ipv4Addr) -> io::Result<Tree> {
    let patience = Duration::from_secs(10);
    let opened = Connection::open(address, None, 0, SESSION_TIMEOUT, patience)?;
    let Welcome::Open(mut connection, _session) = opened else {
        return Err(io::Error::other("no session"));
    };
    let mut tree = Tree::new();
    let mut frame = Out::default();
    frame.int(0).int(op::SYNC).string("/");
    connection.send(&[frame])?;
    let synced = connection.receive()?;
    if synced.error != code::OK {
        return Err(io::Error::other(format!("sync: error {}", synced.error)));
    }
    let mut paths = VecDeque::from(["/".to_owned()]);
    while !paths.is_empty() {
        let batch = paths.drain(..paths.len().min(WINDOW)).collect::<Vec<_>>();
        let frames = batch
            .iter()
            .flat_map(|path| [op::GET_DATA, op::GET_CHILDREN].map(|kind| read(kind, path)))
            .collect::<Vec<_>>();
        connection.send(&frames)?;
        for path in batch {
            let data = connection.receive()?;
            let children = connection.receive()?;
            if data.error != code::OK || children.error != code::OK {
                return Err(io::Error::other(format!("{path} is gone")));
            }
            let mut body = In(&data.body);
            let bytes = body.buffer()?.to_vec();
            let stat_bytes = body.0.to_vec();
            let mut names = In(&children.body);
            for _ in 0..names.int()? {
                let parent = if path == "/" { "" } else { &path };
                let child = format!("{parent}/{}", names.string()?);
                if child != "/zookeeper" {
                    paths.push_back(child);
                }
            }
            let node = Node {
                data: bytes,
                stat: body.stat()?,
                stat_bytes,
            };
            tree.insert(path, node);
        }
    }
    let mut close = Out::default();
    close.int(0).int(op::CLOSE_SESSION);
    connection.send(&[close])?;
    connection.receive().map(|_closed| tree)
}

fn read(kind: i32, path: &str) -> Out {
    let mut frame = Out::default();
    frame.int(0).int(kind).string(path).boolean(false);
    frame
}

/// The tree that all members show once nothing moves any more, and no session is left but `alive`.
///
/// # Errors
/// Where members differ, or have ephemerals of other sessions, for the moment.
pub fn common_tree(addresses: &[Ipv4Addr], alive: &BTreeSet<i64>) -> Outcome<Tree> {
    let mut first: Option<Tree> = None;
    for (index, address) in addresses.iter().enumerate() {
        let member = index + 1;
        let tree = read_tree(*address).map_err(|error| format!("member {member}: {error}"))?;
        let left_behind = tree.iter().find(|(_, node)| {
            node.stat.ephemeral_owner != 0 && !alive.contains(&node.stat.ephemeral_owner)
        });
        if let Some((path, _)) = left_behind {
            return Err(format!("member {member}: {path}'s session is over"));
        }
        match &first {
            None => first = Some(tree),
            Some(first) => {
                if let Some(difference) = difference(first, &tree) {
                    return Err(format!("members 1 and {member} differ: {difference}"));
                }
            }
        }
    }
    first.ok_or_else(|| "an ensemble without members".to_owned())
}

fn difference(one: &Tree, other: &Tree) -> Option<String> {
    let paths = one.keys().chain(other.keys()).collect::<BTreeSet<_>>();
    paths.into_iter().find_map(|path| {
        let (one, other) = (one.get(path), other.get(path));
        (one != other).then(|| format!("{path}: {one:?} and {other:?}"))
    })
}

/// Whether the tree has all that was acknowledged.
#[must_use]
pub fn check(history: &History, tree: &Tree) -> Vec<String> {
    let writes = Writes::of(history);
    let mut breaches = Vec::new();
    let alive = history
        .clients
        .iter()
        .flat_map(|client| &client.sessions)
        .filter(|(_, end)| *end == SessionEnd::Lives)
        .map(|(session, _)| *session)
        .collect::<BTreeSet<_>>();
    for operation in history.operations() {
        let path = match (&operation.request, operation.reply()) {
            (Request::Record { name }, Some((_, Answer::Created(_)))) => format!("/ledger/{name}"),
            (Request::Sequential { ephemeral }, Some((_, Answer::Created(path)))) => {
                if *ephemeral && !alive.contains(&operation.session) {
                    continue;
                }
                path.clone()
            }
            (Request::Ephemeral, Some((_, Answer::Created(_)))) => {
                if !alive.contains(&operation.session) {
                    continue;
                }
                ephemeral_path(operation.session)
            }
            _ => continue,
        };
        let zxid = operation.reply().map_or(0, |(zxid, _)| zxid);
        match tree.get(&path) {
            None => breaches.push(format!(
                "{path} was acknowledged and is lost: {operation:?}"
            )),
            Some(node) if node.stat.czxid != zxid => breaches.push(format!(
                "{path} was acknowledged at {zxid:x} and is of {:x}",
                node.stat.czxid
            )),
            Some(_) => {}
        }
    }
    for register in writes.changes.keys() {
        let result = match tree.get(&register.path()) {
            None => StepResult::Missing,
            Some(node) => match value_of(&node.data) {
                Some(value) => StepResult::Value(value, node.stat),
                None => {
                    breaches.push(format!("{register:?} has {:?}", node.data));
                    continue;
                }
            },
        };
        if let Some(what) = check_read(*register, i64::MAX, u64::MAX, result, &writes) {
            breaches.push(format!("in the end, {register:?}: {what}"));
        }
    }
    for path in tree.keys() {
        if let Some(register) = Register::of_path(path)
            && let Some(node) = tree.get(path)
            && !value_of(&node.data).is_some_and(|value| writes.writer.contains_key(&value))
        {
            breaches.push(format!(
                "{register:?} has what nobody wrote: {:?}",
                node.data
            ));
        }
    }
    breaches
}

fn value_of(data: &[u8]) -> Option<u64> {
    std::str::from_utf8(data).ok()?.parse().ok()
}

/// Sequential nodes have names of their own, which grow in the order of their transactions.
#[must_use]
pub fn check_sequence(history: &History) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut by_zxid = BTreeMap::new();
    for operation in history.operations() {
        if let (Request::Sequential { .. }, Some((zxid, Answer::Created(path)))) =
            (&operation.request, operation.reply())
        {
            by_zxid.insert(zxid, path);
        }
    }
    let mut last: Option<(u64, &String)> = None;
    for path in by_zxid.into_values() {
        let number = path
            .strip_prefix("/sequence/n-")
            .filter(|digits| digits.len() == 10)
            .and_then(|digits| digits.parse::<u64>().ok());
        let Some(number) = number else {
            breaches.push(format!("{path} is no sequential node's name"));
            continue;
        };
        if let Some((before, other)) = last.filter(|(before, _)| *before >= number) {
            breaches.push(format!("{other} ({before}) came before {path} ({number})"));
        }
        last = Some((number, path));
    }
    breaches
}
