//! Whole trees, read through each member and compared field by field.

use crate::Outcome;
use crate::client::{Intended, connect};
use crate::ensemble::Ensemble;
use crate::member::Member;
use std::collections::BTreeMap;
use zookeeper_client::Client;

/// Requests under way at a time.
const WINDOW: usize = 200;

/// Holds the configuration.
const CONFIG: &str = "/zookeeper/config";

/// What one node is, as text: data, ACL and every field of its stat.
type Tree = BTreeMap<String, String>;

/// Everything below the root, as `member` has it after a sync.
async fn read(member: &Member) -> Outcome<Tree> {
    let client = connect(&member.address()).await?;
    client
        .sync("/")
        .await
        .intended(format!("sync at {member}"))?;
    read_by(&client).await.intended(member)
}

async fn read_by(client: &Client) -> Outcome<Tree> {
    let mut tree = Tree::new();
    let mut level = vec!["/".to_owned()];
    while !level.is_empty() {
        let mut below = Vec::new();
        for paths in level.chunks(WINDOW) {
            // All of them are sent before the first is awaited.
            let asked = paths
                .iter()
                .map(|path| {
                    (
                        path,
                        client.get_data(path),
                        client.get_acl(path),
                        client.list_children(path),
                    )
                })
                .collect::<Vec<_>>();
            for (path, data, acl, children) in asked {
                let (data, stat) = data.await.intended(format!("data of {path}"))?;
                let (acl, _) = acl.await.intended(format!("ACL of {path}"))?;
                let children = children.await.intended(format!("children of {path}"))?;
                let data = String::from_utf8_lossy(&data);
                let mut stat = stat;
                if path == CONFIG {
                    // Each member writes this node on its own, when it begins to serve.
                    stat.mtime = 0;
                }
                tree.insert(path.clone(), format!("{data:?} {acl:?} {stat:?}"));
                let parent = path.trim_end_matches('/');
                below.extend(children.iter().map(|name| format!("{parent}/{name}")));
            }
        }
        level = below;
    }
    Ok(tree)
}

/// Compares all running members' trees, and their own counts of digests that did not fit. Says how
/// many nodes there are.
pub(crate) async fn assert_equal_everywhere(ensemble: &Ensemble) -> Outcome<usize> {
    let running = ensemble.members.iter().filter(|member| member.is_running());
    let mut first: Option<(&Member, Tree)> = None;
    for member in running {
        let tree = read(member).await?;
        let mismatches = member.figure("zk_digest_mismatches_count")?;
        if mismatches != 0 {
            return Err(format!(
                "{member} counts {mismatches} digests that don't fit"
            ));
        }
        match &first {
            None => first = Some((member, tree)),
            Some((other, expected)) => compare((other, expected), (member, &tree))?,
        }
    }
    first
        .map(|(_, tree)| tree.len())
        .ok_or_else(|| "nobody runs".to_owned())
}

fn compare((one, ones): (&Member, &Tree), (other, others): (&Member, &Tree)) -> Outcome {
    let mut differences = Vec::new();
    for path in ones.keys().chain(others.keys()) {
        let (left, right) = (ones.get(path), others.get(path));
        if left != right {
            let difference = format!("  {path}\n    {one}: {left:?}\n    {other}: {right:?}");
            if !differences.contains(&difference) {
                differences.push(difference);
            }
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{one} and {other} differ in {} nodes:\n{}",
        differences.len(),
        differences[..differences.len().min(5)].join("\n")
    ))
}
