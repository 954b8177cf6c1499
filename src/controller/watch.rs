//! What wakes the loop: watches of clusters and of all that they own.

use super::{Operator, ReconcileError};
use crate::crd::ZooKeeperCluster;
use crate::crd::names::LABEL_CLUSTER;
use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::Api;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

/// How many clusters are worked on at once.
const CONCURRENCY: u16 = 16;

/// Runs until `stop` ends; passes under way are finished first. Looks after these namespaces, or after
/// all where none is named.
pub async fn run(
    operator: Arc<Operator>,
    namespaces: &[String],
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let stop = stop.shared();
    if namespaces.is_empty() {
        return look_after(&operator, None, CONCURRENCY, stop).await;
    }
    // A Role cannot grant a watch of several namespaces at once.
    let share = CONCURRENCY / u16::try_from(namespaces.len()).unwrap_or(u16::MAX);
    join_all(namespaces.iter().map(|namespace| {
        let stop = stop.clone();
        look_after(&operator, Some(namespace), share.max(2), stop)
    }))
    .await;
}

async fn look_after(
    operator: &Arc<Operator>,
    namespace: Option<&String>,
    concurrency: u16,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    fn within<K>(client: &Client, namespace: Option<&String>) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
    let client = &operator.client;
    let ours = watcher::Config::default().labels(LABEL_CLUSTER);
    // Everything that a cluster owns carries its name; whatever happens to it, all of it is read.
    let touching = |operator: &Arc<Operator>| {
        let operator = operator.clone();
        move |labels: &BTreeMap<String, String>, namespace: Option<String>| {
            let cluster = ObjectRef::new(labels.get(LABEL_CLUSTER)?).within(&namespace?);
            operator.touch(cluster.clone());
            Some(cluster)
        }
    };
    macro_rules! watch {
        ($controller:expr, $($kind:ty),+) => {{
            $controller$(.watches(within::<$kind>(client, namespace), ours.clone(), {
                let touch = touching(operator);
                move |object: $kind| touch(object.labels(), object.namespace())
            }))+
        }};
    }
    let controller = Controller::new(
        within::<ZooKeeperCluster>(client, namespace),
        watcher::Config::default(),
    )
    .with_config(controller::Config::default().concurrency(concurrency));
    watch!(
        controller,
        StatefulSet,
        ConfigMap,
        Service,
        ServiceAccount,
        PersistentVolumeClaim,
        PodDisruptionBudget,
        NetworkPolicy,
        Pod
    )
    .graceful_shutdown_on(stop)
    .run(
        reconcile,
        |resource, error, operator| controller::Action::requeue(operator.failed(&resource, error)),
        operator.clone(),
    )
    .for_each(|result| {
        if let Err(controller::Error::ObjectNotFound(object)) = &result {
            operator.forget(object.namespace.as_deref().unwrap_or(""), &object.name);
        } else if let Err(error @ controller::Error::QueueError(_)) = &result {
            tracing::warn!(%error, "a watch failed; it is tried again");
        }
        std::future::ready(())
    })
    .await;
}

async fn reconcile(
    resource: Arc<ZooKeeperCluster>,
    operator: Arc<Operator>,
) -> Result<controller::Action, ReconcileError> {
    let begun = Instant::now();
    let result = operator.reconcile(&resource).await;
    operator.metrics.pass(result.is_ok(), begun.elapsed());
    let pause = result?;
    operator.succeeded(&resource);
    Ok(controller::Action::requeue(pause))
}
