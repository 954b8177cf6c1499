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

#[test]
fn every_field_of_the_spec_is_explained_and_every_choice_names_its_values_and_which_one_is_taken() {
    let crd = serde_json::to_value(crd::definition()).expect("JSON");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut visit = vec![
        ("spec".to_owned(), &schema["spec"]),
        ("status".to_owned(), &schema["status"]),
    ];
    let mut choices = 0;
    while let Some((path, field)) = visit.pop() {
        let said = field["description"].as_str().unwrap_or_default();
        assert!(said.len() > 10, "{path} is not explained: {said:?}");
        if let Some(values) = field["enum"].as_array() {
            choices += 1;
            for value in values.iter().filter_map(|value| value.as_str()) {
                assert!(
                    said.contains(value),
                    "{path} does not explain {value}: {said}"
                );
            }
            assert!(
                said.contains("Unset: "),
                "{path} does not say what unset means: {said}"
            );
        }
        for (name, inner) in field["properties"].as_object().into_iter().flatten() {
            visit.push((format!("{path}.{name}"), inner));
        }
        for (name, inner) in field["items"]["properties"]
            .as_object()
            .into_iter()
            .flatten()
        {
            // What Kubernetes' own types mean, it says itself.
            if inner["description"].is_string() {
                visit.push((format!("{path}.{name}"), inner));
            }
        }
    }
    assert!(choices >= 4, "only {choices} choices");
}
