//! Writes, told apart by what they say rather than by when.

use http::Method;
use serde_json::Value;

/// Fields that differ between two tries of one write.
const TIMES: [&str; 5] = [
    "resourceVersion",
    "lastTransitionTime",
    "eventTime",
    "zxid",
    "managedFields",
];

/// A write to the API server.
#[derive(Debug)]
pub(super) struct Write {
    /// What it is, for people: verb and object.
    pub(super) name: String,
    /// What makes it this write: all it says, without times and versions.
    pub(super) told: String,
    deleted_pod: Option<String>,
}

impl Write {
    /// The write that this request is, if it is one. That an operator renews its Lease is no step of
    /// anything.
    pub(super) fn of(method: &Method, path: &str, body: &[u8]) -> Option<Self> {
        if method == Method::GET || path.contains("/leases") {
            return None;
        }
        let (_, object) = path.split_once("/namespaces/")?;
        let object = object.split_once('/').map_or(object, |(_, object)| object);
        let mut said: Value = serde_json::from_slice(body).unwrap_or_default();
        if object.starts_with("events") {
            // Its name is made of the time.
            said["metadata"] = Value::Null;
        }
        if object.starts_with("secrets") {
            // A password that is drawn is another one at each try.
            for drawn in ["data", "stringData"] {
                said[drawn] = Value::Null;
            }
        }
        timeless(&mut said);
        let name = format!("{method} {object}");
        Some(Self {
            told: format!("{name} {said}"),
            deleted_pod: object
                .strip_prefix("pods/")
                .filter(|_| method == Method::DELETE)
                .map(str::to_owned),
            name,
        })
    }

    /// The pod that it deletes.
    pub(super) fn deleted_pod(&self) -> Option<&str> {
        self.deleted_pod.as_deref()
    }
}

/// Takes away what differs between two tries of one write.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !TIMES.contains(&name.as_str()));
            fields.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        Value::String(text) if text.split(' ').any(is_time) => {
            let words: Vec<&str> = text.split(' ').filter(|word| !is_time(word)).collect();
            *text = words.join(" ");
        }
        _ => {}
    }
}

/// Whether a word is a time as Kubernetes writes it.
fn is_time(word: &str) -> bool {
    word.len() > 10
        && word.ends_with('Z')
        && word.as_bytes()[10] == b'T'
        && word.as_bytes()[..4].iter().all(u8::is_ascii_digit)
}
