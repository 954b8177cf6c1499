//! Volumes that are to grow.

use super::drift::amount;
use super::observed::Observed;
use crate::objects::{DATA_VOLUME, LOG_VOLUME, claim_name};
use crate::valid::ValidCluster;

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

/// The first claim to grow. Growing is online: no pod restarts for it.
pub(super) fn growth(cluster: &ValidCluster, observed: &Observed) -> Option<Growth> {
    let volumes = [
        (DATA_VOLUME, Some(&cluster.data)),
        (LOG_VOLUME, cluster.log.as_ref()),
    ];
    cluster.members.iter().find_map(|member| {
        volumes.iter().find_map(|(name, volume)| {
            let size = &volume.as_ref()?.size;
            let claim = claim_name(name, &member.pod);
            let view = observed.claims.get(&claim)?;
            let from = view.requested.clone()?;
            (amount(&from)? < amount(size)?).then(|| Growth {
                claim,
                from,
                to: size.clone(),
                resource_version: view.resource_version.clone(),
            })
        })
    })
}
