//! Which objects differ from what they are to be.
//!
//! Comparing before writing is what makes a pass without changes write nothing.

use crate::crd::names::ANNOTATION_APPLIED_HASH;
use crate::objects::{Desired, Kind};
use serde_json::Value;
use std::collections::BTreeMap;

/// The objects to write or delete, in order.
pub(super) fn differing(desired: Vec<Desired>, living: &BTreeMap<Kind, Value>) -> Vec<Desired> {
    desired
        .into_iter()
        .filter(|want| match (&want.body, living.get(&want.kind)) {
            (Some(_), None) | (None, Some(_)) => true,
            (None, None) => false,
            (Some(body), Some(live)) => differs(body, live),
        })
        .collect()
}

/// A field we stopped wanting is told by the hash of what was last applied; one
/// that somebody else changed, by comparing every field we do want.
fn differs(body: &Value, live: &Value) -> bool {
    let hash = |object: &Value| object["metadata"]["annotations"][ANNOTATION_APPLIED_HASH].clone();
    hash(body) != hash(live) || !covers(live, body)
}

/// Whether `live` has every field of `want` with its value. What the API server
/// fills in beside them does not count.
fn covers(live: &Value, want: &Value) -> bool {
    match (live, want) {
        (Value::Object(live), Value::Object(want)) => want.iter().all(|(key, want)| {
            match live.get(key) {
                Some(live) if is_amounts(key) => same_amounts(live, want),
                Some(live) => covers(live, want),
                // The API server leaves out what is empty.
                None => matches!(want, Value::Null) || is_empty(want),
            }
        }),
        (Value::Array(live), Value::Array(want)) => {
            live.len() == want.len() && live.iter().zip(want).all(|(live, want)| covers(live, want))
        }
        (Value::String(live), Value::String(want)) => {
            // A quantity anywhere, such as a sidecar's sizeLimit, comes back the API server's way.
            live == want
                || (want.starts_with(|c: char| c.is_ascii_digit())
                    && amount(live).is_some_and(|live| Some(live) == amount(want)))
        }
        (live, want) => live == want,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
        || value == ""
        || value == &Value::Bool(false)
}

fn is_amounts(key: &str) -> bool {
    matches!(key, "requests" | "limits")
}

/// The API server writes quantities its own way: 1024Mi comes back as 1Gi.
fn same_amounts(live: &Value, want: &Value) -> bool {
    let (Some(live), Some(want)) = (live.as_object(), want.as_object()) else {
        return live == want;
    };
    live.len() == want.len()
        && want.iter().all(|(resource, want)| {
            live.get(resource).is_some_and(|live| {
                live == want
                    || matches!(
                        (amount(live.as_str().unwrap_or("")), amount(want.as_str().unwrap_or(""))),
                        (Some(live), Some(want)) if live == want
                    )
            })
        })
}

/// A Kubernetes quantity in thousandths; None where it is no plain one.
pub(super) fn amount(text: &str) -> Option<i128> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() > 18 || whole.is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits * factor / 10_i128.pow(u32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_api_server_fills_in_is_no_difference() {
        let want = json!({"spec": {"replicas": 3, "ports": [{"port": 1}], "labels": {}}});
        let live = json!({"spec": {"replicas": 3, "ports": [{"port": 1, "nodePort": 9}], "type": "x"}, "status": {}});
        assert!(covers(&live, &want));
    }

    #[test]
    fn a_changed_field_and_a_missing_element_are_differences() {
        assert!(!covers(&json!({"a": 1}), &json!({"a": 2})));
        assert!(!covers(&json!({"a": [1]}), &json!({"a": [1, 2]})));
        assert!(!covers(&json!({}), &json!({"a": "x"})));
    }

    #[test]
    fn quantities_are_compared_by_what_they_amount_to() {
        let covered = |live: &str, want: &str| {
            covers(
                &json!({"requests": {"memory": live}}),
                &json!({"requests": {"memory": want}}),
            )
        };
        assert!(covered("1Gi", "1024Mi"));
        assert!(covered("500m", "0.5"));
        assert!(!covered("1Gi", "1G"));
    }
}
