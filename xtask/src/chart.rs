//! The chart is valid, and renders what its values ask for.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::run;

/// What is off by itself.
const MONITORING: [&str; 4] = [
    "serviceMonitor",
    "podMonitor",
    "prometheusRule",
    "dashboard",
];

/// Lints the chart, and renders it in every way that its values lead to.
pub(crate) fn check(helm: &Path, chart: &Path, log: &Path) -> Result<()> {
    run::run_logged(
        Command::new(helm).args(["lint", "--strict"]).arg(chart),
        log,
    )?;
    let template = |values: &[String]| {
        let mut command = Command::new(helm);
        command
            .args(["template", "zookeeper-operator", "--include-crds"])
            .args(["--namespace", "operators"])
            .arg(chart);
        for value in values {
            command.args(["--set-json", value]);
        }
        run::output(&mut command)
    };
    let plain = template(&[])?;
    ensure!(
        has_kind(&plain, "ClusterRole") && has_kind(&plain, "ClusterRoleBinding"),
        "without watchNamespaces the operator has no right in all namespaces"
    );
    ensure!(
        !plain.contains("WATCH_NAMESPACE"),
        "without watchNamespaces the operator looks after some alone"
    );
    let monitoring = MONITORING.map(|part| format!("monitoring.{part}.enabled=true"));
    // The older name of a single one goes along with the list.
    for (values, wanted) in [
        (vec![r#"watchNamespace="one""#], vec!["one"]),
        (vec![r#"watchNamespaces=["two","one"]"#], vec!["one", "two"]),
        (
            vec![
                r#"watchNamespace="one""#,
                r#"watchNamespaces=["three","one"]"#,
            ],
            vec!["one", "three"],
        ),
    ] {
        let values: Vec<String> = values
            .into_iter()
            .map(str::to_owned)
            .chain(monitoring.clone())
            .collect();
        check_namespaced(&template(&values)?, &wanted)
            .map_err(|fault| fault.context(format!("with {values:?}")))?;
    }
    if template(&[r#"watchNamespaces=["No Name"]"#.to_owned()]).is_ok() {
        bail!("the chart takes `No Name` for a namespace");
    }
    Ok(())
}

/// The rights are in these namespaces, and nowhere else.
fn check_namespaced(rendered: &str, wanted: &[&str]) -> Result<()> {
    ensure!(
        !has_kind(rendered, "ClusterRole") && !has_kind(rendered, "ClusterRoleBinding"),
        "a right in all namespaces is left"
    );
    for kind in ["Role", "RoleBinding"] {
        let found: BTreeSet<&str> = documents(rendered, kind)
            .filter(|document| !document.contains("-lease\n"))
            .filter_map(|document| field(document, "  namespace: "))
            .collect();
        let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
        ensure!(found == wanted, "{kind}s are in {found:?}");
    }
    let named = format!("value: {:?}", wanted.join(","));
    ensure!(
        rendered.contains(&named),
        "the operator is not told `{named}`"
    );
    ensure!(
        has_kind(rendered, "PodMonitor"),
        "nobody scrapes the members"
    );
    for monitor in documents(rendered, "PodMonitor") {
        ensure!(
            wanted
                .iter()
                .all(|namespace| monitor.contains(&format!("- {namespace}\n"))),
            "the members' monitor looks elsewhere: {monitor}"
        );
    }
    Ok(())
}

fn documents<'a>(rendered: &'a str, kind: &str) -> impl Iterator<Item = &'a str> {
    let line = format!("kind: {kind}\n");
    rendered.split("\n---\n").filter(move |document| {
        document.contains(&format!("\n{line}")) || document.starts_with(&line)
    })
}

fn has_kind(rendered: &str, kind: &str) -> bool {
    documents(rendered, kind).next().is_some()
}

fn field<'a>(document: &'a str, key: &str) -> Option<&'a str> {
    document.lines().find_map(|line| line.strip_prefix(key))
}
