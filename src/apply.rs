//! The only writer: carries out one action, reports it as an Event, writes status.
//!
//! Objects go through server-side apply with one field manager. Everything that
//! takes something away names exactly what was seen, so that an old decision
//! hits nothing new.

use crate::crd::names::{ANNOTATION_RESTARTING, OPERATOR};
use crate::crd::{ZooKeeperCluster, ZooKeeperClusterStatus};
use crate::objects::{Desired, Kind};
use crate::observe::api;
use crate::plan::{Action, Growth, Restart};
use crate::valid::ValidCluster;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server did not take it.
    #[error("{what}: {source}")]
    Write {
        /// What was to be written.
        what: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

/// What became of an action.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Done {
    /// There was nothing to write.
    Nothing,
    /// It was carried out.
    Written,
    /// Something changed since it was decided, so it was left undone.
    Outdated,
}

/// Writes for the operator.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    recorder: Recorder,
}

impl Writer {
    /// A writer that reports its Events through `recorder`.
    pub fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, recorder }
    }

    /// Carries out one action.
    pub async fn carry_out(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        action: &Action,
    ) -> Result<Done, ApplyError> {
        match action {
            Action::Nothing | Action::Paused | Action::Wait(_) => Ok(Done::Nothing),
            Action::Apply(objects) => {
                for object in objects {
                    self.write_object(cluster, object).await?;
                }
                Ok(Done::Written)
            }
            Action::Grow(growth) => self.grow(resource, cluster, growth).await,
            Action::Restart(restart) => self.restart(resource, cluster, restart).await,
        }
    }

    async fn write_object(
        &self,
        cluster: &ValidCluster,
        object: &Desired,
    ) -> Result<(), ApplyError> {
        let objects = api(&self.client, &cluster.namespace, object.kind);
        let what = |verb| {
            format!(
                "{verb} {} {}/{}",
                object.kind.resource().1,
                cluster.namespace,
                object.name
            )
        };
        if let Some(body) = &object.body {
            let (api_version, kind, _) = object.kind.resource();
            let mut body = body.clone();
            body["apiVersion"] = json!(api_version);
            body["kind"] = json!(kind);
            objects
                .patch(
                    &object.name,
                    &PatchParams::apply(OPERATOR).force(),
                    &Patch::Apply(&body),
                )
                .await
                .map_err(write_error(what("apply")))?;
            tracing::info!(
                namespace = cluster.namespace,
                name = object.name,
                kind,
                "applied"
            );
            return Ok(());
        }
        // Only what is our own is taken away; someone else's object of this name stays.
        let living = objects
            .get_opt(&object.name)
            .await
            .map_err(write_error(what("read")))?;
        let Some(living) =
            living.filter(|living| living.owner_references().contains(&cluster.owner))
        else {
            return Ok(());
        };
        let exactly = Preconditions {
            uid: living.uid(),
            resource_version: living.resource_version(),
        };
        let deleted = objects
            .delete(
                &object.name,
                &DeleteParams::default().preconditions(exactly),
            )
            .await;
        expected(deleted.map(drop))
            .map_err(write_error(what("delete")))
            .map(drop)
    }

    /// Asks for a larger volume; whether it can grow is up to its storage class.
    async fn grow(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        growth: &Growth,
    ) -> Result<Done, ApplyError> {
        let claims: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &cluster.namespace);
        let patch = json!({
            "metadata": {"resourceVersion": growth.resource_version},
            "spec": {"resources": {"requests": {"storage": growth.to}}}
        });
        let written = claims
            .patch(&growth.claim, &manager(), &Patch::Merge(&patch))
            .await;
        let what = format!(
            "grow volume {} from {} to {}",
            growth.claim, growth.from, growth.to
        );
        let done = expected(written.map(drop)).map_err(write_error(what))?;
        if done == Done::Written {
            let note = format!(
                "{} grows from {} to {}",
                growth.claim, growth.from, growth.to
            );
            self.tell(
                resource,
                EventType::Normal,
                "GrowingVolume",
                "GrowVolume",
                note,
                None,
            )
            .await;
        }
        Ok(done)
    }

    /// Announces the restart on the StatefulSet, then deletes the pod.
    ///
    /// The announcement names the resourceVersion that the decision rests on. A
    /// restart by anyone, in any process, changes it; so a decision made on an
    /// older view, or by an operator that lost its lease, ends here.
    async fn restart(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        restart: &Restart,
    ) -> Result<Done, ApplyError> {
        let announcement = json!({"metadata": {
            "resourceVersion": restart.stateful_set_version,
            "annotations": {ANNOTATION_RESTARTING: format!("{} {}", restart.uid, Timestamp::now())}
        }});
        let announced = api(&self.client, &cluster.namespace, Kind::StatefulSet)
            .patch(&cluster.name, &manager(), &Patch::Merge(&announcement))
            .await;
        let what = format!(
            "announce the restart of {}/{}",
            cluster.namespace, restart.pod
        );
        if expected(announced.map(drop)).map_err(write_error(what))? == Done::Outdated {
            return Ok(Done::Outdated);
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let exactly = Preconditions {
            uid: Some(restart.uid.clone()),
            resource_version: Some(restart.resource_version.clone()),
        };
        let deleted = pods
            .delete(
                &restart.pod,
                &DeleteParams::default().preconditions(exactly),
            )
            .await;
        let what = format!("delete pod {}/{}", cluster.namespace, restart.pod);
        let done = expected(deleted.map(drop)).map_err(write_error(what))?;
        if done == Done::Written {
            let Restart {
                pod,
                id,
                role,
                why,
                because,
                ..
            } = restart;
            let note = format!("{pod} (server {id}, {role}) restarts because {why}: {because}");
            tracing::info!(namespace = cluster.namespace, name = cluster.name, pod, role, %why, "restarting member");
            let related = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.clone()),
                namespace: Some(cluster.namespace.clone()),
                uid: Some(restart.uid.clone()),
                ..ObjectReference::default()
            };
            self.tell(
                resource,
                EventType::Normal,
                "RestartingMember",
                "RestartMember",
                note,
                Some(related),
            )
            .await;
        }
        Ok(done)
    }

    /// Writes status.
    pub async fn write_status(
        &self,
        resource: &ZooKeeperCluster,
        status: &ZooKeeperClusterStatus,
    ) -> Result<(), ApplyError> {
        let namespace = resource.namespace().unwrap_or_default();
        let name = resource.name_any();
        let clusters: Api<ZooKeeperCluster> = Api::namespaced(self.client.clone(), &namespace);
        let body = json!({
            "apiVersion": ZooKeeperCluster::api_version(&()),
            "kind": ZooKeeperCluster::kind(&()),
            // The UID keeps a status from reaching a namesake made in the meantime.
            "metadata": {"name": name, "namespace": namespace, "uid": resource.uid()},
            "status": status,
        });
        let params = PatchParams::apply(OPERATOR).force();
        let written = clusters
            .patch_status(&name, &params, &Patch::Apply(&body))
            .await;
        expected(written.map(drop)).map_err(write_error(format!(
            "write the status of {namespace}/{name}"
        )))?;
        Ok(())
    }

    /// Records an Event. One that cannot be recorded is a pity, and no more.
    pub async fn tell(
        &self,
        resource: &ZooKeeperCluster,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
        secondary: Option<ObjectReference>,
    ) {
        // The API server takes notes of at most 1 kB.
        let note = Some(note.chars().take(900).collect());
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note,
            action: action.to_owned(),
            secondary,
        };
        if let Err(error) = self
            .recorder
            .publish(&event, &resource.object_ref(&()))
            .await
        {
            tracing::warn!(%error, reason, "an Event could not be recorded");
        }
    }
}

fn manager() -> PatchParams {
    PatchParams {
        field_manager: Some(OPERATOR.to_owned()),
        ..PatchParams::default()
    }
}

fn write_error(what: String) -> impl FnOnce(kube::Error) -> ApplyError {
    move |source| ApplyError::Write {
        what,
        source: Box::new(source),
    }
}

/// A conflict, or an object that is gone, says that the decision is outdated: no fault.
fn expected(result: Result<(), kube::Error>) -> Result<Done, kube::Error> {
    match result {
        Ok(()) => Ok(Done::Written),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Done::Outdated),
        Err(error) => Err(error),
    }
}
