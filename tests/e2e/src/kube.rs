//! kubectl and Helm as processes: what a person types is what is tested.

use crate::Outcome;
use crate::environment::Environment;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// kubectl and Helm with the cluster's kubeconfig, in one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Kube {
    environment: Environment,
    /// The namespace of this run.
    pub(crate) namespace: String,
}

impl Kube {
    pub(crate) fn new(environment: &Environment, namespace: &str) -> Self {
        Self {
            environment: environment.clone(),
            namespace: namespace.to_owned(),
        }
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.environment.kubectl);
        command
            .arg("--kubeconfig")
            .arg(&self.environment.kubeconfig)
            .args(["--namespace", &self.namespace, "--request-timeout=60s"])
            .args(arguments);
        command
    }

    /// Runs kubectl; its standard output.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome<String> {
        succeeded(&mut self.kubectl(arguments), None)
    }

    /// Runs kubectl; all that it printed, its remarks among it.
    pub(crate) fn said(&self, arguments: &[&str]) -> Outcome<String> {
        let output = output(&mut self.kubectl(arguments), None)?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        match output.status.success() {
            true => Ok(text),
            false => Err(format!("kubectl {arguments:?}: {text}")),
        }
    }

    /// Runs kubectl with `input`; its standard output.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Outcome<String> {
        succeeded(&mut self.kubectl(arguments), Some(input))
    }

    /// `kubectl get … -o json`.
    pub(crate) fn get(&self, arguments: &[&str]) -> Outcome<Value> {
        let mut all = vec!["get", "--output=json"];
        all.extend(arguments);
        let text = self.run(&all)?;
        serde_json::from_str(&text)
            .map_err(|error| format!("kubectl {arguments:?} printed no JSON: {error}"))
    }

    /// The items of `kubectl get … -o json`.
    pub(crate) fn list(&self, arguments: &[&str]) -> Outcome<Vec<Value>> {
        Ok(self.get(arguments)?["items"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    }

    /// What kubectl says while it refuses; that it does not refuse is the error.
    pub(crate) fn refused(&self, arguments: &[&str], input: &str) -> Outcome<String> {
        let output = output(&mut self.kubectl(arguments), Some(input))?;
        if output.status.success() {
            return Err(format!(
                "kubectl {arguments:?} took this, which makes no sense:\n{input}"
            ));
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs Helm against the operator's namespace.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(&self.environment.helm);
        command
            .arg("--kubeconfig")
            .arg(&self.environment.kubeconfig)
            .args(["--namespace", crate::operator::NAMESPACE])
            .args(arguments);
        succeeded(&mut command, None)
    }
}

fn succeeded(command: &mut Command, input: Option<&str>) -> Outcome<String> {
    let output = output(command, input)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let arguments: Vec<_> = command
            .get_args()
            .map(|part| part.to_string_lossy())
            .collect();
        return Err(format!(
            "{} {} ended with {}: {}",
            command.get_program().to_string_lossy(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(text)
}

/// Runs it to its end; every program used here bounds its own time.
pub(crate) fn output(command: &mut Command, input: Option<&str>) -> Outcome<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start {name}: {error}"))?;
    let mut stdin = child.stdin.take().ok_or("its standard input is a pipe")?;
    // A program that ends early closes the pipe; its own message says more.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    child
        .wait_with_output()
        .map_err(|error| format!("wait for {name}: {error}"))
}

/// A condition's status, reason and message.
pub(crate) fn condition(resource: &Value, type_: &str) -> Option<(String, String, String)> {
    let all = resource["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}
