//! Users whose passwords are in Secrets: an ensemble of its own, in which nobody else is served.
//!
//! Two cases. A new password takes its time: the operator looks at Secrets every half minute, and the
//! kubelet brings what it wrote to the members. What is shown in between does not wait for it.

use crate::Outcome;
use crate::ensemble::{self, Member};
use crate::resource::manifest;
use crate::suite::Suite;
use crate::wait::{ensure, until};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

const NAME: &str = "guarded";
const SECRET: &str = "guarded-users";
const FIRST: &str = r"first = #\secret";
const SECOND: &str = "second:secret";
/// Half a minute until the operator looks, and what a kubelet takes; a busy machine takes longer.
const TAKEN_UP_MAX: Duration = Duration::from_secs(180);

/// The ensemble, once its user has a new password.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    since: Instant,
    member: Member,
    service: String,
}

fn put(suite: &Suite, password: &str) -> Outcome {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": {"alice": password},
    });
    suite.kube.apply(&secret)
}

/// What a client is told that logs in by these words, or by none.
fn told(suite: &Suite, service: &str, login: &[&str]) -> Outcome<String> {
    let environment = &suite.environment;
    let mut netns = std::ffi::OsString::from("--net=");
    netns.push(&environment.netns);
    let mut command = Command::new("nsenter");
    command
        .arg(netns)
        .arg(&environment.python)
        .arg(environment.project.join("tests/e2e/login.py"))
        .arg(service)
        .args(login);
    let output = crate::kube::output(&mut command, None)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("login.py: {said}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// They are served by their password, and nobody else is.
pub(super) fn log_in(suite: &mut Suite) -> Outcome {
    suite.apply_example()?;
    put(suite, FIRST)?;
    suite.kube.apply(&manifest(
        NAME,
        &json!({
            "replicas": 1,
            "storage": {"data": {"size": "1Gi"}},
            "auth": {
                "users": [{"name": "alice", "secretName": SECRET, "key": "alice"}],
                "requireAuthentication": true,
            },
        }),
    ))?;
    let ensemble = ensemble::await_named(&suite.kube, &suite.environment, NAME)?;
    let service = ensemble.service.clone();
    until("alice is served", Duration::from_secs(60), || {
        // kube-proxy hears of a service a moment after everybody else.
        let told = told(suite, &service, &["alice", FIRST])?;
        ensure(told == "served", || told)
    })?;
    for (login, refused) in [
        (&["alice", SECOND][..], "refused"),
        (&["bob", FIRST], "refused"),
        (&[], "refused SessionClosedRequireSaslError"),
    ] {
        let told = told(suite, &service, login)?;
        ensure(told.starts_with(refused), || format!("{login:?}: {told}"))?;
    }
    put(suite, SECOND)?;
    suite.changed = Some(Changed {
        since: Instant::now(),
        member: ensemble.members[0].clone(),
        service,
    });
    Ok(())
}

/// The new password counts, the old one does not, and nobody was restarted for it.
pub(super) fn new_password(suite: &mut Suite) -> Outcome {
    if suite.changed.is_none() {
        log_in(suite)?;
    }
    let changed = suite.changed.take().ok_or("no password was changed")?;
    let waited = changed.since.elapsed();
    until("the new password counts", TAKEN_UP_MAX, || {
        let told = told(suite, &changed.service, &["alice", SECOND])?;
        ensure(told == "served", || told)
    })?;
    note!(
        "  counts after {:.1} s, {:.1} s of which passed elsewhere",
        changed.since.elapsed().as_secs_f32(),
        waited.as_secs_f32()
    );
    let old = told(suite, &changed.service, &["alice", FIRST])?;
    ensure(old.starts_with("refused"), || format!("the old one: {old}"))?;
    let now = ensemble::await_named(&suite.kube, &suite.environment, NAME)?;
    ensure(now.members == [changed.member.clone()], || {
        format!("{:?} became {:?}", changed.member, now.members)
    })?;
    let delete = ["delete", "zk", NAME, "--wait=false"];
    suite.kube.run(&delete).map(drop)
}
