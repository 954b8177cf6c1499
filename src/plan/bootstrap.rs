//! Whether an empty disk may vote: decided by the resource, never by DNS.

use super::observed::{MemberReport, MemberState, Observed};
use super::quorum::Ensemble;
use crate::objects::{
    BOOTSTRAP_FILE, DATA_VOLUME, Initialize, Kind, LOG_VOLUME, RECOVERY_FILE, claim_name,
};
use crate::valid::{Role, ServerId, ValidCluster};
use k8s_openapi::jiff::Timestamp;

/// Whether an empty disk may vote now, as the ensemble is made.
///
/// Only until the first quorum was seen. And not where volumes are left from an
/// earlier life: they hold its data, and a majority of empty disks would
/// outvote it. A person who knows better says so by the annotation.
pub fn may_bootstrap(cluster: &ValidCluster, observed: &Observed) -> bool {
    observed.cluster_id.is_none()
        && (cluster.bootstrap_wanted || older_claims(cluster, observed).is_empty())
}

/// The members' volumes that are older than the resource.
pub fn older_claims(cluster: &ValidCluster, observed: &Observed) -> Vec<String> {
    let Some(created) = cluster.created else {
        return Vec::new();
    };
    let expected = cluster
        .members
        .iter()
        .flat_map(|member| [DATA_VOLUME, LOG_VOLUME].map(|volume| claim_name(volume, &member.pod)));
    expected
        .filter(|name| {
            observed
                .claims
                .get(name)
                .and_then(|claim| claim.created)
                .is_some_and(|time| time < created)
        })
        .collect()
}

/// A recovery of the quorum that a person consented to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recovery {
    /// The consent, word for word.
    pub consent: String,
    /// Since when: pods made before know nothing of it.
    pub since: Timestamp,
    /// The empty disks that may vote.
    pub voting: Vec<ServerId>,
}

impl Recovery {
    /// As the ConfigMap keeps it, on two lines: the consent, and since when.
    pub fn text(&self) -> String {
        format!("{}\n{}\n", self.consent, self.since)
    }
}

/// The recovery written last, whether under way or over.
fn written(observed: &Observed) -> Option<Recovery> {
    let data = &observed.objects.get(&Kind::ConfigMap)?["data"];
    let (consent, since) = data[RECOVERY_FILE].as_str()?.trim_end().split_once('\n')?;
    let voting = data[BOOTSTRAP_FILE].as_str().unwrap_or_default().trim();
    Some(Recovery {
        consent: consent.to_owned(),
        since: since.parse().ok()?,
        voting: voting
            .split(',')
            .filter_map(|id| id.parse().ok().map(ServerId))
            .collect(),
    })
}

/// The voters that look for a leader, with what they say.
fn looking<'a>(
    observed: &'a Observed,
    ensemble: &'a Ensemble,
) -> impl Iterator<Item = (ServerId, &'a MemberReport)> {
    ensemble.voters.iter().filter_map(|id| {
        let report = observed.members.get(id)?.as_ref().ok()?;
        (report.state == MemberState::Looking).then_some((*id, report))
    })
}

/// The voters that say they have lost their data.
pub fn emptied(observed: &Observed, ensemble: &Ensemble) -> Vec<ServerId> {
    looking(observed, ensemble)
        .filter(|(_, report)| report.is_empty())
        .map(|(id, _)| id)
        .collect()
}

/// The recovery to write down: one that begins, goes on, or is over and remembered.
///
/// As many empty disks may vote as are missing to a majority beside those that
/// have data, and no more. So no quorum consists of empty disks alone: whoever
/// leads has the newest data that any of the survivors has.
pub fn recovery(
    cluster: &ValidCluster,
    observed: &Observed,
    ensemble: &Ensemble,
) -> Option<Recovery> {
    let last = written(observed);
    let led = ensemble.leader.is_some();
    if let Some(last) = last.as_ref().filter(|last| !last.voting.is_empty()) {
        // Who may vote is decided once: a second choice beside the first would be too many.
        return Some(Recovery {
            voting: if led { Vec::new() } else { last.voting.clone() },
            ..last.clone()
        });
    }
    let consent = cluster
        .recovery_consent
        .as_ref()
        .filter(|consent| last.as_ref().is_none_or(|last| last.consent != **consent));
    let (Some(consent), Some(_), false) = (consent, &observed.cluster_id, led) else {
        return last;
    };
    let emptied = emptied(observed, ensemble);
    let survivors = looking(observed, ensemble).count() - emptied.len();
    let missing = ensemble.majority().saturating_sub(survivors);
    if survivors == 0 || missing == 0 || missing > emptied.len() {
        return last;
    }
    Some(Recovery {
        consent: consent.clone(),
        since: observed.now,
        voting: emptied[..missing].to_vec(),
    })
}

/// Which empty disks may vote.
pub fn initialize(
    cluster: &ValidCluster,
    observed: &Observed,
    recovery: Option<&Recovery>,
) -> Initialize {
    let alone = cluster.members.len() == 1 && cluster.members[0].role == Role::Participant;
    if may_bootstrap(cluster, observed) || (cluster.ephemeral && alone) {
        return Initialize::All;
    }
    match recovery {
        Some(recovery) if !recovery.voting.is_empty() => Initialize::Only(recovery.voting.clone()),
        _ => Initialize::None,
    }
}
