//! `zookeeper-server snapshot compare`: what two snapshots have not in common.
//! Source for the thresholds: `SnapshotComparer.java`.

use super::disk::{Output, PrintError, Printing, snapshot_at};
use crate::storage::open_snapshot;
use crate::tree::{Database, NodeRef, Tree};
use clap::Args;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

/// Options of `snapshot compare`.
#[derive(Args)]
pub(super) struct Compare {
    /// The older snapshot, packed or not.
    left: PathBuf,
    /// The newer snapshot, packed or not.
    right: PathBuf,
    /// Print subtrees instead of nodes: those whose data grew or shrank by more than so many bytes.
    #[arg(long, value_name = "BYTES")]
    bytes: Option<u64>,
    /// Print subtrees instead of nodes: those that gained or lost more than so many nodes.
    #[arg(long, value_name = "NODES")]
    nodes: Option<u64>,
    #[command(flatten)]
    printing: Printing,
}

/// How a node, or a session, differs.
enum Difference {
    OnlyLeft,
    OnlyRight,
    /// Which of its parts differ.
    Changed(Vec<&'static str>),
}

impl Compare {
    /// True where both hold the same.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<bool, PrintError> {
        let (left, left_info) = open_snapshot(&snapshot_at(&self.left)?)?;
        let (right, right_info) = open_snapshot(&snapshot_at(&self.right)?)?;
        let mut counts = [0_u64; 3];
        let by_subtree = self.bytes.is_some() || self.nodes.is_some();
        let mut write = |what: &str, name: &str, difference: Difference| -> io::Result<()> {
            let (at, mark, word) = match &difference {
                Difference::OnlyLeft => (0, '-', "left"),
                Difference::OnlyRight => (1, '+', "right"),
                Difference::Changed(_) => (2, '~', "both"),
            };
            counts[at] += 1;
            if by_subtree {
                return Ok(());
            }
            let parts = match &difference {
                Difference::Changed(parts) => parts.as_slice(),
                _ => &[],
            };
            match self.printing.output {
                Output::Text => {
                    let session = if what == "session" { "session " } else { "" };
                    let space = if parts.is_empty() { "" } else { " " };
                    writeln!(out, "{mark} {session}{name}{space}{}", parts.join(" "))
                }
                Output::Json => {
                    writeln!(out, "{}", json!({what: name, "in": word, "changed": parts}))
                }
            }
        };
        compare_sessions(&left, &right, &mut |name, difference| {
            write("session", name, difference)
        })?;
        compare_trees(&left.tree, &right.tree, &mut |path, difference| {
            write("path", path, difference)
        })?;
        if by_subtree {
            self.write_subtrees(&left.tree, &right.tree, out)?;
        }
        let [only_left, only_right, changed] = counts;
        let (left_zxid, right_zxid) = (left_info.zxid, right_info.zxid);
        let (left_nodes, right_nodes) = (left_info.nodes, right_info.nodes);
        match self.printing.output {
            Output::Text => writeln!(
                out,
                "{left_zxid} with {left_nodes} nodes, {right_zxid} with {right_nodes}: {only_left} only left, {only_right} only right, {changed} changed"
            )?,
            Output::Json => {
                let line = json!({
                    "left": {"zxid": left_zxid.to_string(), "nodes": left_nodes},
                    "right": {"zxid": right_zxid.to_string(), "nodes": right_nodes},
                    "onlyLeft": only_left,
                    "onlyRight": only_right,
                    "changed": changed,
                });
                writeln!(out, "{line}")?;
            }
        }
        Ok(counts == [0; 3])
    }

    fn write_subtrees(&self, left: &Tree, right: &Tree, out: &mut dyn Write) -> io::Result<()> {
        let (left, right) = (subtrees(left), subtrees(right));
        let paths: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for path in paths {
            let before = left.get(path).copied().unwrap_or_default();
            let after = right.get(path).copied().unwrap_or_default();
            let grew = |limit: Option<u64>, before: u64, after: u64| {
                limit.is_some_and(|limit| before.abs_diff(after) > limit)
            };
            if !grew(self.bytes, before.bytes, after.bytes)
                && !grew(self.nodes, before.nodes, after.nodes)
            {
                continue;
            }
            match self.printing.output {
                Output::Text => writeln!(
                    out,
                    "{path} bytes {} to {} nodes {} to {}",
                    before.bytes, after.bytes, before.nodes, after.nodes
                )?,
                Output::Json => {
                    let side = |size: Subtree| -> Value {
                        json!({"bytes": size.bytes, "nodes": size.nodes})
                    };
                    let line = json!({"path": path, "left": side(before), "right": side(after)});
                    writeln!(out, "{line}")?;
                }
            }
        }
        Ok(())
    }
}

fn compare_sessions(
    left: &Database,
    right: &Database,
    found: &mut dyn FnMut(&str, Difference) -> io::Result<()>,
) -> io::Result<()> {
    let ids: BTreeSet<_> = left
        .sessions()
        .keys()
        .chain(right.sessions().keys())
        .collect();
    for id in ids {
        let difference = match (left.sessions().get(id), right.sessions().get(id)) {
            (Some(_), None) => Difference::OnlyLeft,
            (None, Some(_)) => Difference::OnlyRight,
            (left, right) if left != right => Difference::Changed(vec!["timeout"]),
            _ => continue,
        };
        found(&id.to_string(), difference)?;
    }
    Ok(())
}

fn compare_trees(
    left: &Tree,
    right: &Tree,
    found: &mut dyn FnMut(&str, Difference) -> io::Result<()>,
) -> io::Result<()> {
    // On a stack of its own: a tree can be deeper than the process's.
    let mut open = vec![(left.get("/"), right.get("/"))];
    while let Some((left, right)) = open.pop() {
        let Some(path) = left.or(right).map(|node| node.path()) else {
            continue;
        };
        match (&left, &right) {
            (Some(_), None) => found(&path, Difference::OnlyLeft)?,
            (None, Some(_)) => found(&path, Difference::OnlyRight)?,
            (Some(left), Some(right)) => {
                let parts = changed_parts(left, right);
                if !parts.is_empty() {
                    found(&path, Difference::Changed(parts))?;
                }
            }
            (None, None) => {}
        }
        open.extend(pairs(left, right).into_iter().rev());
    }
    Ok(())
}

/// Children by name, those of the same name together, in the order of names.
fn pairs<'a>(
    left: Option<NodeRef<'a>>,
    right: Option<NodeRef<'a>>,
) -> Vec<(Option<NodeRef<'a>>, Option<NodeRef<'a>>)> {
    let sorted = |node: Option<NodeRef<'a>>| {
        let mut children: Vec<_> = node.into_iter().flat_map(|node| node.children()).collect();
        children.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        children.into_iter().peekable()
    };
    let (mut left, mut right) = (sorted(left), sorted(right));
    let mut pairs = Vec::new();
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => left.name().cmp(right.name()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return pairs,
        };
        pairs.push(match order {
            Ordering::Less => (left.next(), None),
            Ordering::Greater => (None, right.next()),
            Ordering::Equal => (left.next(), right.next()),
        });
    }
}

fn changed_parts(left: &NodeRef<'_>, right: &NodeRef<'_>) -> Vec<&'static str> {
    let (a, b) = (left.stat_persisted(), right.stat_persisted());
    [
        ("data", left.data() == right.data()),
        ("acl", left.acl() == right.acl()),
        ("czxid", a.czxid == b.czxid),
        ("mzxid", a.mzxid == b.mzxid),
        ("pzxid", a.pzxid == b.pzxid),
        ("ctime", a.ctime == b.ctime),
        ("mtime", a.mtime == b.mtime),
        ("version", a.version == b.version),
        ("cversion", a.cversion == b.cversion),
        ("aversion", a.aversion == b.aversion),
        ("ephemeralOwner", a.ephemeral_owner == b.ephemeral_owner),
    ]
    .into_iter()
    .filter_map(|(part, same)| (!same).then_some(part))
    .collect()
}

/// A node's data and that of all below it, and how many these are.
#[derive(Clone, Copy, Default)]
struct Subtree {
    bytes: u64,
    nodes: u64,
}

fn subtrees(tree: &Tree) -> BTreeMap<String, Subtree> {
    let mut sizes = BTreeMap::new();
    let mut open: Vec<NodeRef<'_>> = tree.get("/").into_iter().collect();
    while let Some(node) = open.pop() {
        let bytes = node.data().map_or(0, |data| data.len() as u64);
        let path = node.path();
        // Upwards: whoever is above has this node below it.
        let mut above = path.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            let parent = if parent.is_empty() { "/" } else { parent };
            if above == "/" {
                break;
            }
            let size: &mut Subtree = sizes.entry(parent.to_owned()).or_default();
            size.bytes += bytes;
            size.nodes += 1;
            above = parent;
        }
        sizes.entry(path).or_default().bytes += bytes;
        open.extend(node.children());
    }
    sizes
}
