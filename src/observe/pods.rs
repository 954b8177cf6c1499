//! A pod, as far as it decides anything.

use crate::crd::names::{
    ANNOTATION_CERTIFICATES_HASH, ANNOTATION_CONFIG_HASH, ANNOTATION_RESTART_POD,
    ANNOTATION_TEMPLATE_HASH, LABEL_REVISION,
};
use crate::plan::observed::{ContainerView, PodView};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

/// Reduces a pod to what decides about it.
pub(super) fn view(pod: &Pod) -> PodView {
    let annotation = |key: &str| pod.annotations().get(key).cloned();
    let created = pod
        .creation_timestamp()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let ready = condition(pod, "Ready").filter(|condition| condition.status == "True");
    // Without the condition, the pod has not been ready since it was made.
    let unready_since = ready.is_none().then(|| {
        condition(pod, "Ready")
            .and_then(|c| c.last_transition_time.as_ref())
            .map_or(created, |time| time.0)
    });
    PodView {
        uid: pod.uid().unwrap_or_default(),
        resource_version: pod.resource_version().unwrap_or_default(),
        ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
        node_ip: pod
            .status
            .as_ref()
            .and_then(|status| status.host_ip.clone()),
        revision: pod.labels().get(LABEL_REVISION).cloned(),
        config_hash: annotation(ANNOTATION_CONFIG_HASH),
        certificates_hash: annotation(ANNOTATION_CERTIFICATES_HASH),
        template_hash: annotation(ANNOTATION_TEMPLATE_HASH),
        restart_requested: annotation(ANNOTATION_RESTART_POD).is_some(),
        created,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        container: container(pod),
        unready_since,
    }
}

fn condition<'a>(
    pod: &'a Pod,
    type_: &str,
) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    pod.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Reasons to wait that pass by themselves.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn container(pod: &Pod) -> ContainerView {
    let Some(status) = &pod.status else {
        return ContainerView::Starting;
    };
    let stuck = |reason: &str, message: Option<&String>| ContainerView::Stuck {
        reason: reason.to_owned(),
        message: message.cloned().unwrap_or_default(),
    };
    if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        let reason = status.reason.as_deref().unwrap_or("PodFinished");
        return stuck(reason, status.message.as_ref());
    }
    if let Some(unscheduled) = condition(pod, "PodScheduled").filter(|c| c.status == "False") {
        return stuck(
            unscheduled.reason.as_deref().unwrap_or("Unschedulable"),
            unscheduled.message.as_ref(),
        );
    }
    let all = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    for container in all {
        let Some(waiting) = container
            .state
            .as_ref()
            .and_then(|state| state.waiting.as_ref())
        else {
            continue;
        };
        let reason = waiting.reason.as_deref().unwrap_or("ContainerCreating");
        if !STARTING.contains(&reason) {
            // What the program last said is worth more than "back-off 40s restarting".
            let last = container
                .last_state
                .as_ref()
                .and_then(|state| state.terminated.as_ref());
            let words = last
                .and_then(|last| last.message.as_ref())
                .or(waiting.message.as_ref());
            let own = [crate::objects::CONTAINER, crate::objects::INIT_CONTAINER];
            if own.contains(&container.name.as_str()) {
                return stuck(reason, words);
            }
            // One that the spec's overrides brought.
            let words = words.map_or("", String::as_str);
            return stuck(
                reason,
                Some(&format!("container {}: {words}", container.name)),
            );
        }
    }
    match status
        .container_statuses
        .iter()
        .flatten()
        .find(|c| c.name == crate::objects::CONTAINER)
    {
        Some(server)
            if server
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some()) =>
        {
            ContainerView::Running {
                ready: server.ready,
            }
        }
        _ => ContainerView::Starting,
    }
}
