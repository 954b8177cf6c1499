//! Whether an empty disk may vote: decided by the resource, never by DNS.

use super::observed::Observed;
use crate::objects::{DATA_VOLUME, LOG_VOLUME, claim_name};
use crate::valid::ValidCluster;

/// Whether an empty disk may vote now.
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
