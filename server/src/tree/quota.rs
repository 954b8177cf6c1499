//! Quotas: limits and counts as nodes below `/zookeeper/quota`.
//! Source: `Quotas.java`, `StatsTrack.java`, `PathTrie.java`.

use crate::jute::text;
use std::collections::{BTreeMap, HashSet};

/// Where limits and counts are. Source: `Quotas.java` quotaZookeeper.
pub const QUOTA_ROOT: &str = "/zookeeper/quota";
/// The node with a subtree's limits.
pub const LIMIT_NODE: &str = "zookeeper_limits";
/// The node with a subtree's counts.
pub const STAT_NODE: &str = "zookeeper_stats";

/// The node with the limits of `path`.
#[must_use]
pub fn limit_path(path: &str) -> String {
    format!("{QUOTA_ROOT}{path}/{LIMIT_NODE}")
}

/// The node with the counts of `path`.
#[must_use]
pub fn stat_path(path: &str) -> String {
    format!("{QUOTA_ROOT}{path}/{STAT_NODE}")
}

/// The subtree that a node below [`QUOTA_ROOT`] is about, given its parent; `None` for the root,
/// which can have no quota, and for any other place.
#[must_use]
pub(crate) fn subject(parent: &str) -> Option<&str> {
    parent
        .strip_prefix(QUOTA_ROOT)
        .filter(|rest| rest.starts_with('/'))
}

/// The subtrees with a limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas {
    paths: HashSet<Box<str>>,
}

impl Quotas {
    pub(crate) fn add(&mut self, path: &str) {
        self.paths.insert(path.into());
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.paths.remove(path);
    }

    /// The deepest subtree with a limit that holds `path`.
    /// Source: `PathTrie.java` findMaxPrefix.
    pub(crate) fn deepest<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.paths.is_empty() {
            return None;
        }
        let mut prefix = path;
        while !prefix.is_empty() {
            if self.paths.contains(prefix) {
                return Some(prefix);
            }
            prefix = prefix.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        None
    }
}

/// Counts or limits as a node's data has them: `count=2,bytes=30`, with further keys behind
/// `=;`. Source: `StatsTrack.java`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsTrack {
    values: BTreeMap<String, i64>,
}

impl StatsTrack {
    /// Counts of one's own making.
    #[must_use]
    pub fn counted(count: i64, bytes: i64) -> Self {
        let values = [("count".to_owned(), count), ("bytes".to_owned(), bytes)];
        StatsTrack {
            values: values.into(),
        }
    }

    /// Reads a node's data, `None` where Java would throw.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let data = text(data);
        let mut values = BTreeMap::new();
        // `String.split` leaves out what is empty at the end, and nothing else.
        let text = data.trim_end_matches([',', ';']);
        if text.is_empty() {
            return Some(StatsTrack { values });
        }
        let starts_empty = text.starts_with([',', ';']);
        let pairs = text.split([',', ';']).filter(|pair| !pair.is_empty());
        for pair in starts_empty.then_some("").into_iter().chain(pairs) {
            let mut parts = pair.trim_end_matches('=').split('=');
            let (key, value) = (parts.next()?, parts.next()?);
            let value = if value.is_empty() {
                -1
            } else {
                value.parse().ok()?
            };
            values.insert(key.to_owned(), value);
        }
        Some(StatsTrack { values })
    }

    fn get(&self, key: &str) -> i64 {
        self.values.get(key).copied().unwrap_or(-1)
    }

    /// Nodes, or the soft limit on them; -1 is none.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.get("count")
    }

    /// Bytes of data, or the soft limit on them; -1 is none.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.get("bytes")
    }

    /// The hard limit on nodes, -1 for none.
    #[must_use]
    pub fn count_hard_limit(&self) -> i64 {
        self.get("countHardLimit")
    }

    /// The hard limit on bytes, -1 for none.
    #[must_use]
    pub fn byte_hard_limit(&self) -> i64 {
        self.get("byteHardLimit")
    }

    /// Adds to both counts.
    pub fn add(&mut self, count: i64, bytes: i64) {
        let (count, bytes) = (
            self.count().wrapping_add(count),
            self.bytes().wrapping_add(bytes),
        );
        self.values.insert("count".to_owned(), count);
        self.values.insert("bytes".to_owned(), bytes);
    }

    /// The node's data: count and bytes first, the rest by name behind an extra `=`, which makes
    /// old readers ignore it. Source: `StatsTrack.java` toString.
    #[must_use]
    pub fn to_data(&self) -> String {
        let mut text = format!("count={},bytes={}", self.count(), self.bytes());
        let rest = self
            .values
            .iter()
            .filter(|(key, _)| *key != "count" && *key != "bytes");
        for (at, (key, value)) in rest.enumerate() {
            let separator = if at == 0 { "=;" } else { ";" };
            text.push_str(&format!("{separator}{key}={value}"));
        }
        text
    }

    /// Whether a change is anything that `self` has a limit on, soft or hard.
    /// Source: `ZooKeeperServer.java` checkQuota.
    #[must_use]
    pub fn limits(&self, count_diff: i64, bytes_diff: i64) -> bool {
        let on_count = self.count() > -1 || self.count_hard_limit() > -1;
        let on_bytes = self.bytes() > -1 || self.byte_hard_limit() > -1;
        (count_diff != 0 && on_count) || (bytes_diff != 0 && on_bytes)
    }

    /// Whether a change breaks a hard limit that `self` sets, given what is `used` now.
    /// Source: `ZooKeeperServer.java` checkQuota.
    #[must_use]
    pub fn is_exceeded(&self, used: &StatsTrack, count_diff: i64, bytes_diff: i64) -> bool {
        let over = |hard: i64, now: i64, diff: i64| {
            diff != 0 && hard > -1 && now.wrapping_add(diff) > hard
        };
        over(self.count_hard_limit(), used.count(), count_diff)
            || over(self.byte_hard_limit(), used.bytes(), bytes_diff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_java_writes_them() {
        let text = "count=4,bytes=5=;byteHardLimit=10;countHardLimit=20";
        let mut stats = StatsTrack::parse(text.as_bytes()).expect("it is well formed");
        assert_eq!(stats.to_data(), text);
        assert_eq!(
            (stats.count_hard_limit(), stats.byte_hard_limit()),
            (20, 10)
        );
        stats.add(1, -2);
        assert_eq!((stats.count(), stats.bytes()), (5, 3));
        assert_eq!(StatsTrack::default().to_data(), "count=-1,bytes=-1");
        assert_eq!(StatsTrack::parse(b"count"), None);
        assert_eq!(StatsTrack::parse(b"count=x"), None);
    }

    #[test]
    fn what_is_empty_counts_where_java_splits_it() {
        for good in [
            &b""[..],
            b",",
            b";;",
            b"count=1,",
            b"count=1,;bytes=2",
            b"a==5",
            b"a=1=",
        ] {
            assert!(StatsTrack::parse(good).is_some(), "{}", good.escape_ascii());
        }
        for bad in [&b",count=1"[..], b"count=", b"=", b"count=,bytes=1"] {
            assert_eq!(StatsTrack::parse(bad), None, "{}", bad.escape_ascii());
        }
        let twice = StatsTrack::parse(b"count==5").expect("the value is empty");
        assert_eq!(twice.count(), -1);
    }

    #[test]
    fn only_hard_limits_stop_a_write() {
        let used = StatsTrack::counted(3, 100);
        let soft = StatsTrack::parse(b"count=1,bytes=1").expect("well formed");
        assert!(!soft.is_exceeded(&used, 1, 1));
        let hard = StatsTrack::parse(b"count=-1,bytes=-1=;byteHardLimit=101;countHardLimit=3")
            .expect("well formed");
        assert!(hard.is_exceeded(&used, 1, 0));
        assert!(!hard.is_exceeded(&used, 0, 1));
        assert!(hard.is_exceeded(&used, 0, 2));
    }

    #[test]
    fn the_deepest_quota_counts() {
        let mut quotas = Quotas::default();
        quotas.add("/a");
        quotas.add("/a/b");
        assert_eq!(quotas.deepest("/a/b/c"), Some("/a/b"));
        assert_eq!(quotas.deepest("/a/bc"), Some("/a"));
        assert_eq!(quotas.deepest("/ab"), None);
        quotas.remove("/a");
        assert_eq!(quotas.deepest("/a/x"), None);
    }
}
