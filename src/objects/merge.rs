//! Strategic merge, as `kubectl patch` does it: objects field by field, and lists
//! of things that have a name element by element.

use serde_json::{Map, Value};

/// Tells a patch's element to go, or to replace: `$patch: delete`, `$patch: replace`.
const DIRECTIVE: &str = "$patch";

/// By which field the elements of a list are told apart; None: the list is one value.
/// Source: the `patchMergeKey` tags of Kubernetes' `core/v1/types.go`.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims" => "name",
        "ports" => "containerPort",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}

/// Lays `patch` over `base`. A null takes a field away.
pub(super) fn strategic_merge(base: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *base, patch) else {
        *base = patch.clone();
        return;
    };
    if changes.get(DIRECTIVE).is_some_and(|word| word == "replace") {
        fields.clear();
    }
    for (name, change) in changes {
        if name == DIRECTIVE {
            continue;
        }
        match (fields.get_mut(name), change) {
            (_, Value::Null) => drop(fields.remove(name)),
            (Some(Value::Array(elements)), Value::Array(changes)) => match merge_key(name) {
                Some(key) => merge_lists(elements, changes, key),
                None => changes.clone_into(elements),
            },
            (Some(old @ Value::Object(_)), Value::Object(_)) => strategic_merge(old, change),
            (_, change) => drop(fields.insert(name.clone(), without_directives(change))),
        }
    }
}

fn merge_lists(elements: &mut Vec<Value>, changes: &[Value], key: &str) {
    for change in changes {
        let found = elements
            .iter()
            .position(|element| !change[key].is_null() && element[key] == change[key]);
        match (found, change[DIRECTIVE].as_str()) {
            (Some(index), Some("delete")) => drop(elements.remove(index)),
            (Some(index), _) => strategic_merge(&mut elements[index], change),
            (None, Some("delete")) => {}
            (None, _) => elements.push(without_directives(change)),
        }
    }
}

fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(name, value)| name.as_str() != DIRECTIVE && !value.is_null())
                .map(|(name, value)| (name.clone(), without_directives(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(elements) => elements.iter().map(without_directives).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(base: Value, patch: &Value) -> Value {
        let mut base = base;
        strategic_merge(&mut base, patch);
        base
    }

    #[test]
    fn a_container_of_a_known_name_is_changed_and_one_of_a_new_name_is_added() {
        let base = json!({"containers": [{"name": "zookeeper", "image": "a", "env": [{"name": "A", "value": "1"}]}]});
        let patch = json!({"containers": [
            {"name": "zookeeper", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]},
            {"name": "sidecar", "image": "b"}
        ]});
        let whole = merged(base, &patch);
        assert_eq!(
            whole,
            json!({"containers": [
                {"name": "zookeeper", "image": "a", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]},
                {"name": "sidecar", "image": "b"}
            ]})
        );
    }

    #[test]
    fn a_list_without_a_key_is_replaced_and_a_null_takes_a_field_away() {
        let base = json!({"tolerations": [{"key": "a"}], "priorityClassName": "high", "dnsPolicy": "Default"});
        let patch = json!({"tolerations": [{"key": "b"}], "priorityClassName": null});
        assert_eq!(
            merged(base, &patch),
            json!({"tolerations": [{"key": "b"}], "dnsPolicy": "Default"})
        );
    }

    #[test]
    fn directives_delete_and_replace_and_are_never_left_behind() {
        let base =
            json!({"volumes": [{"name": "a"}, {"name": "b"}], "securityContext": {"runAsUser": 1}});
        let patch = json!({
            "volumes": [{"name": "a", "$patch": "delete"}, {"name": "c", "emptyDir": {}}],
            "securityContext": {"$patch": "replace", "fsGroup": 2}
        });
        assert_eq!(
            merged(base, &patch),
            json!({"volumes": [{"name": "b"}, {"name": "c", "emptyDir": {}}], "securityContext": {"fsGroup": 2}})
        );
    }
}
