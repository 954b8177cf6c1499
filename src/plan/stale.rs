//! Which pods are to be restarted sooner or later, and why.

use super::bootstrap::Recovery;
use super::membership::Roster;
use super::observed::{Observed, PodView};
use super::quorum::Ensemble;
use super::rollout::{IDLE_GRACE, stateful_set_is_observed};
use crate::objects::{Kind, template_hashes};
use crate::valid::Member;
use std::fmt;

/// Why a pod is to be restarted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It was made for another zoo.cfg.
    ConfigChanged,
    /// Its certificates are other ones than those it started with. The place is kept: nothing writes
    /// certificates yet.
    CertificatesChanged,
    /// It was made from another template: image, resources, placement.
    TemplateChanged,
    /// Its template was changed by someone else, as `kubectl rollout restart` does.
    RevisionChanged,
    /// A person annotated the pod.
    Requested,
    /// Its disk is empty, and may vote from the next start on.
    Recovery,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ConfigChanged => "its configuration changed",
            Self::CertificatesChanged => "its certificates changed",
            Self::TemplateChanged => "its pod template changed",
            Self::RevisionChanged => "the StatefulSet's revision changed",
            Self::Requested => "a restart was requested",
            Self::Recovery => "its empty disk is to vote, to recover the quorum",
        })
    }
}

/// The pods that are not what the newest template makes, and those to start again for a recovery.
pub fn stale(
    roster: &Roster,
    observed: &Observed,
    ensemble: &Ensemble,
    recovery: Option<&Recovery>,
) -> Vec<(String, Why)> {
    let Some(set) = observed.objects.get(&Kind::StatefulSet) else {
        return Vec::new();
    };
    let newest = template_hashes(set);
    let update_revision = set["status"]["updateRevision"]
        .as_str()
        .filter(|_| stateful_set_is_observed(observed));
    let why = |member: &Member, pod: &PodView| {
        if pod.config_hash.as_deref() != newest.config {
            Some(Why::ConfigChanged)
        } else if pod.certificates_hash.as_deref() != newest.certificates {
            Some(Why::CertificatesChanged)
        } else if pod.template_hash.as_deref() != newest.template {
            Some(Why::TemplateChanged)
        } else if update_revision.is_some() && pod.revision.as_deref() != update_revision {
            Some(Why::RevisionChanged)
        } else if pod.restart_requested {
            Some(Why::Requested)
        } else if recovery
            .is_some_and(|recovery| revives(observed, ensemble, recovery, member, pod))
        {
            Some(Why::Recovery)
        } else {
            None
        }
    };
    let members = roster.members.iter();
    members
        .filter_map(|member| {
            let why = why(member, observed.pods.get(&member.pod)?)?;
            Some((member.pod.clone(), why))
        })
        .collect()
}

/// Whether a pod is to start again so that its empty disk may vote: one that began before that was
/// decided, or whose kubelet had not heard of it.
fn revives(
    observed: &Observed,
    ensemble: &Ensemble,
    recovery: &Recovery,
    member: &Member,
    pod: &PodView,
) -> bool {
    let idle_long = pod
        .unready_since
        .is_some_and(|since| observed.now.duration_since(since) >= IDLE_GRACE);
    ensemble.leader.is_none()
        && recovery.voting.contains(&member.id)
        && (pod.created < recovery.since || idle_long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::names::{
        ANNOTATION_CERTIFICATES_HASH, ANNOTATION_CONFIG_HASH, ANNOTATION_TEMPLATE_HASH,
    };
    use crate::plan::observed::ContainerView;
    use crate::valid::{Role, ServerId};
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    fn pod(certificates: Option<&str>) -> PodView {
        PodView {
            uid: "uid".to_owned(),
            resource_version: "1".to_owned(),
            ip: None,
            node_ip: None,
            revision: None,
            config_hash: Some("config".to_owned()),
            certificates_hash: certificates.map(str::to_owned),
            template_hash: Some("template".to_owned()),
            restart_requested: false,
            created: Timestamp::UNIX_EPOCH,
            terminating: false,
            container: ContainerView::Running { ready: true },
            unready_since: None,
        }
    }

    #[test]
    fn certificates_are_one_more_reason_to_roll() {
        let member = Member {
            ordinal: 0,
            id: ServerId(1),
            pod: "demo-0".to_owned(),
            role: Role::Participant,
        };
        let roster = Roster {
            list: vec![(member.clone(), member.role)],
            members: vec![member],
        };
        let set = json!({"metadata": {"generation": 1}, "spec": {"template": {"metadata": {"annotations": {
            ANNOTATION_CONFIG_HASH: "config",
            ANNOTATION_CERTIFICATES_HASH: "new",
            ANNOTATION_TEMPLATE_HASH: "template",
        }}}}});
        let mut observed = Observed::nothing();
        observed.objects.insert(Kind::StatefulSet, set);
        for (certificates, why) in [
            (Some("new"), None),
            (Some("old"), Some(Why::CertificatesChanged)),
            (None, Some(Why::CertificatesChanged)),
        ] {
            observed.pods.insert("demo-0".to_owned(), pod(certificates));
            let stale = stale(&roster, &observed, &Ensemble::default(), None);
            assert_eq!(stale.first().map(|(_, why)| *why), why, "{certificates:?}");
        }
        assert_eq!(
            Why::CertificatesChanged.to_string(),
            "its certificates changed"
        );
    }
}
