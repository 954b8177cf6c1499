//! The committed CRD and its copy in the chart are what the types say.

use zookeeper_operator::crd;

#[test]
fn the_committed_crd_is_what_the_types_say() {
    let printed = crd::definition_yaml().expect("the CRD is YAML");
    for (committed, path) in [
        (
            include_str!("../crds/zookeeperclusters.yaml"),
            "crds/zookeeperclusters.yaml",
        ),
        (
            include_str!("../charts/zookeeper-operator/files/zookeeperclusters.yaml"),
            "charts/zookeeper-operator/files/zookeeperclusters.yaml",
        ),
    ] {
        assert!(
            committed == printed,
            "{path} is stale: run `zookeeper-operator crd > {path}`"
        );
    }
}

#[test]
fn every_rule_says_what_to_change_and_nothing_is_defaulted_into_the_spec() {
    let crd = serde_json::to_value(crd::definition()).expect("JSON");
    let mut rules = 0;
    let mut visit = vec![&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]];
    while let Some(value) = visit.pop() {
        if let Some(object) = value.as_object() {
            assert!(
                !object.contains_key("default"),
                "a default would be written into the user's spec: {value}"
            );
            for rule in object
                .get("x-kubernetes-validations")
                .and_then(|r| r.as_array())
                .into_iter()
                .flatten()
            {
                rules += 1;
                let sentence = rule["message"].as_str().unwrap_or_default();
                assert!(
                    sentence.len() > 30,
                    "the rule {} does not say what to change",
                    rule["rule"]
                );
            }
            visit.extend(object.values());
        } else if let Some(array) = value.as_array() {
            visit.extend(array);
        }
    }
    assert!(rules >= 18, "only {rules} rules");
}

#[test]
fn nothing_but_replicas_has_to_be_there() {
    let crd = serde_json::to_value(crd::definition()).expect("JSON");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    assert_eq!(spec["required"], serde_json::json!(["replicas"]));
    for part in ["storage", "pod", "services", "auth", "networkPolicy"] {
        let required = &spec["properties"][part]["required"];
        assert!(required.is_null(), "{part} requires {required}");
    }
}
