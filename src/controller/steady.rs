//! Clusters with nothing to do: how they were then, and how often they are looked at.

use super::{Operator, locked};
use crate::crd::ZooKeeperCluster;
use crate::observe::read_secrets;
use crate::plan::observed::{MemberReport, Secrets};
use crate::plan::{Action, Observed, Plan};
use crate::valid::{Member, ValidCluster};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a steady cluster is looked at, where there are few.
pub(super) const STEADY: Duration = Duration::from_secs(30);
/// How many looks a second there are at the most, where there are many.
const LOOKS_A_SECOND: u32 = 10;
/// How long a steady cluster's objects go unread unless a watch tells of a change. What no watch
/// tells of (a watch that lost something) is found then; Secrets that the spec names are read at
/// every look.
const UNREAD_MAX: Duration = Duration::from_secs(600);
/// How long on the average there is between two such readings, where there are many.
const BETWEEN_READINGS: Duration = Duration::from_secs(4);

/// How often steady clusters are looked at, and read again. A few are looked at often, since that
/// costs nothing; many share what it may cost. Whatever Kubernetes tells of, such as a pod that is no
/// longer ready, is acted on at once however many they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pace {
    /// The time between two looks at a cluster.
    pub(super) look: Duration,
    /// The time between two readings of all its objects.
    read: Duration,
}

impl Pace {
    /// For so many clusters.
    pub(super) fn of(clusters: usize) -> Self {
        let clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        Self {
            look: STEADY.max(Duration::from_secs(1) * clusters / LOOKS_A_SECOND),
            read: UNREAD_MAX.max(BETWEEN_READINGS * clusters),
        }
    }
}

/// A cluster with nothing to do.
pub(super) struct Steady {
    /// The version of the resource that was looked at, or that the operator made of it by telling so.
    resource_version: Option<String>,
    /// When everything was last read.
    read: Instant,
    /// Who led, its address and its word. It knows who follows it in sync, and whether a follower
    /// itself says so shows in its pod's readiness, of which a watch tells. None where there are no
    /// pods to ask.
    leader: Option<(Member, String, MemberReport)>,
    /// The passwords, where the spec names Secrets. No watch tells of those, which the operator may
    /// not list.
    secrets: Option<(ValidCluster, Secrets)>,
}

/// A word without what says nothing: the last transaction, which moves with every write and every
/// session, and the order in which a leader names its learners.
fn essence(mut word: MemberReport) -> MemberReport {
    word.last_zxid.clear();
    word.learners.sort_by_key(|learner| learner.id);
    word
}

impl Operator {
    /// How often steady clusters are looked at, as many as there are.
    pub(super) fn pace(&self) -> Pace {
        Pace::of(locked(&self.steady).len())
    }

    /// Whether nothing can have changed since nothing was to be done: no watch told of anything, and
    /// the leader says the same of itself and of those who follow it.
    pub(super) async fn is_still_steady(
        &self,
        resource: &ZooKeeperCluster,
        key: &ObjectRef<ZooKeeperCluster>,
    ) -> bool {
        let Some(steady) = locked(&self.steady).get(key).cloned() else {
            return false;
        };
        let unread_max = self.pace().read;
        // Spread, so that a thousand clusters that came together are not read together.
        let spread = RandomState::new().hash_one(key) % 256;
        let spread = unread_max / 4 * u32::try_from(spread).unwrap_or(0) / 256;
        if steady.resource_version != resource.metadata.resource_version
            || steady.read.elapsed() + spread > unread_max
        {
            return false;
        }
        if let Some((cluster, secrets)) = &steady.secrets
            && read_secrets(&self.client, cluster).await.ok().as_ref() != Some(secrets)
        {
            return false;
        }
        let Some((leader, address, before)) = &steady.leader else {
            return true;
        };
        let word = self.members.read(leader, address).await;
        word.is_ok_and(|word| essence(word) == *before)
    }

    /// Notes whether there is nothing to do, and how everything is then.
    pub(super) fn note_steady(
        &self,
        resource: &ZooKeeperCluster,
        resource_version: Option<String>,
        (cluster, observed, plan): (&ValidCluster, &Observed, &Plan),
        degraded: bool,
    ) {
        let key = ObjectRef::from_obj(resource);
        if degraded || !matches!(plan.action, Action::Nothing | Action::Paused) {
            locked(&self.steady).remove(&key);
            return;
        }
        let leader = plan.ensemble.leader.and_then(|id| {
            let member = plan.roster.members.iter().find(|member| member.id == id)?;
            let address = observed.pods.get(&member.pod)?.ip.clone()?;
            let word = observed.members.get(&id)?.as_ref().ok()?;
            Some((member.clone(), address, essence(word.clone())))
        });
        if leader.is_none() && !observed.pods.is_empty() {
            // Nobody speaks for all of them.
            locked(&self.steady).remove(&key);
            return;
        }
        let steady = Steady {
            resource_version,
            read: Instant::now(),
            leader,
            secrets: cluster
                .names_secrets()
                .then(|| (cluster.clone(), observed.secrets.clone())),
        };
        locked(&self.steady).insert(key, Arc::new(steady));
    }
}

/// Whether two versions of a resource ask for the same: that is in its spec, which the generation
/// counts, and in its annotations.
pub(super) fn asks_the_same(one: &ZooKeeperCluster, other: &ZooKeeperCluster) -> bool {
    one.uid() == other.uid()
        && one.metadata.generation == other.metadata.generation
        && one.annotations() == other.annotations()
        && one.labels() == other.labels()
        && one.metadata.deletion_timestamp == other.metadata.deletion_timestamp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_clusters_are_looked_at_twice_a_minute_and_a_thousand_share_ten_looks_a_second() {
        for few in [0, 1, 300] {
            assert_eq!(Pace::of(few).look, STEADY, "{few}");
        }
        assert_eq!(Pace::of(1).read, UNREAD_MAX);
        assert_eq!(Pace::of(1000).look, Duration::from_secs(100));
        assert_eq!(Pace::of(1000).read, Duration::from_secs(4000));
        // No number of them is too large to count with.
        assert!(Pace::of(usize::MAX).look > STEADY);
    }
}
