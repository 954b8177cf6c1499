//! What an ensemble owns, as it was at some time, and what was written since.

use crate::Outcome;
use crate::kube::Kube;
use serde_json::Value;
use std::collections::BTreeMap;

/// kind and name → the object.
pub(crate) type Objects = BTreeMap<String, Value>;

/// The most fields of one object that are named.
const FIELDS_SHOWN: usize = 8;

/// The resource of this name and all it owns.
pub(crate) fn owned(kube: &Kube, name: &str) -> Outcome<Objects> {
    let selector = format!("zookeeper.ensemble.dev/cluster={name}");
    let kinds =
        "statefulset,configmap,service,serviceaccount,poddisruptionbudget,networkpolicy,pod,pvc";
    let mut objects = kube.list(&[kinds, "--selector", &selector, "--show-managed-fields"])?;
    objects.push(kube.get(&["zk", name, "--show-managed-fields"])?);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(objects
        .into_iter()
        .map(|object| {
            let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
            (format!("{} {}", text(kind), text(name)), object)
        })
        .collect())
}

/// Every object that was written, made or removed since, with the fields that tell it.
pub(crate) fn written(before: &Objects, now: &Objects) -> Vec<String> {
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let mut written = Vec::new();
    for (name, old) in before {
        match now.get(name) {
            None => written.push(format!("{name} is gone")),
            Some(new) if version(old) != version(new) => {
                let mut fields = Vec::new();
                differences("", old, new, &mut fields);
                fields.truncate(FIELDS_SHOWN);
                written.push(format!("{name}: {}", fields.join("; ")));
            }
            Some(_) => {}
        }
    }
    let new = now.keys().filter(|name| !before.contains_key(*name));
    written.extend(new.map(|name| format!("{name} is new")));
    written
}

/// Every path below which `old` and `new` differ, with both values.
fn differences(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    if old == new || path == ".metadata.resourceVersion" {
        return;
    }
    match (old, new) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left.keys() {
                differences(&format!("{path}.{key}"), &old[key], &new[key], found);
            }
            for key in right.keys().filter(|key| !left.contains_key(*key)) {
                found.push(format!("{path}.{key} is new: {}", new[key]));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for index in 0..left.len() {
                let path = format!("{path}[{index}]");
                differences(&path, &old[index], &new[index], found);
            }
        }
        _ => found.push(format!("{path} was {old}, is {new}")),
    }
}
