//! Volumes that are to grow, and the template that is to follow them.

use super::drift::amount;
use super::membership::Roster;
use super::observed::Observed;
use crate::objects::{DATA_VOLUME, Kind, LOG_VOLUME, claim_name};
use crate::valid::{ValidCluster, ValidVolume};

/// A claim that asks for less than the spec does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Growth {
    /// The claim's name.
    pub claim: String,
    /// What it asks for now.
    pub from: String,
    /// What it is to ask for.
    pub to: String,
    /// The resourceVersion it was seen with.
    pub resource_version: String,
}

/// A claim whose storage class does not let it grow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fixed {
    /// The claim's name.
    pub claim: String,
    /// The class.
    pub storage_class: String,
    /// What it asks for.
    pub from: String,
    /// What the spec asks for.
    pub to: String,
}

/// A StatefulSet to be made again around its living pods, because Kubernetes lets
/// nobody change its volume templates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recreation {
    /// The StatefulSet's UID.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Which template has the old size.
    pub volume: String,
    /// The size that new members are to get.
    pub to: String,
}

fn volumes(cluster: &ValidCluster) -> impl Iterator<Item = (&'static str, &ValidVolume)> {
    let all = [
        (DATA_VOLUME, Some(&cluster.data)),
        (LOG_VOLUME, cluster.log.as_ref()),
    ];
    all.into_iter()
        .filter(|_| !cluster.ephemeral)
        .filter_map(|(name, volume)| Some((name, volume?)))
}

/// Every claim that is smaller than the spec says; those that cannot grow apart.
fn too_small(
    cluster: &ValidCluster,
    observed: &Observed,
    roster: &Roster,
) -> (Vec<Growth>, Vec<Fixed>) {
    let (mut growing, mut fixed) = (Vec::new(), Vec::new());
    for member in &roster.members {
        for (name, volume) in volumes(cluster) {
            let claim = claim_name(name, &member.pod);
            let Some(view) = observed.claims.get(&claim).filter(|view| !view.terminating) else {
                continue;
            };
            let Some(from) = view.requested.clone() else {
                continue;
            };
            let to = volume.size.clone();
            match (amount(&from), amount(&to)) {
                (Some(is), Some(wanted)) if is < wanted => {}
                _ => continue,
            }
            if view.expandable == Some(false) {
                let storage_class = view.storage_class.clone().unwrap_or_default();
                fixed.push(Fixed {
                    claim,
                    storage_class,
                    from,
                    to,
                });
            } else {
                growing.push(Growth {
                    claim,
                    from,
                    to,
                    resource_version: view.resource_version.clone(),
                });
            }
        }
    }
    (growing, fixed)
}

/// The first claim to grow. Growing is online: no pod restarts for it.
pub(super) fn growth(
    cluster: &ValidCluster,
    observed: &Observed,
    roster: &Roster,
) -> Option<Growth> {
    too_small(cluster, observed, roster).0.into_iter().next()
}

/// The first claim that is too small and cannot grow.
pub fn fixed(cluster: &ValidCluster, observed: &Observed, roster: &Roster) -> Option<Fixed> {
    too_small(cluster, observed, roster).1.into_iter().next()
}

/// The StatefulSet, where every claim has grown and its template has not.
pub(super) fn recreation(
    cluster: &ValidCluster,
    observed: &Observed,
    roster: &Roster,
) -> Option<Recreation> {
    let set = observed.objects.get(&Kind::StatefulSet)?;
    let (growing, fixed) = too_small(cluster, observed, roster);
    if !growing.is_empty() || !fixed.is_empty() {
        return None;
    }
    volumes(cluster).find_map(|(name, volume)| {
        let templates = set["spec"]["volumeClaimTemplates"].as_array()?;
        let template = templates.iter().find(|t| t["metadata"]["name"] == name)?;
        let is = template["spec"]["resources"]["requests"]["storage"].as_str()?;
        (amount(is)? < amount(&volume.size)?).then(|| Recreation {
            uid: set["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            resource_version: set["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            volume: name.to_owned(),
            to: volume.size.clone(),
        })
    })
}
