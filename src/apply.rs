//! The only writer: carries out one action, reports it as an Event, writes status.
//!
//! Objects go through server-side apply with one field manager. Everything that
//! takes something away names exactly what was seen, so that an old decision
//! hits nothing new.

use crate::crd::names::{ANNOTATION_HAND_OVER, ANNOTATION_RESTARTING, OPERATOR};
use crate::crd::{ZooKeeperCluster, ZooKeeperClusterStatus};
use crate::ensemble::{ChangeEnsemble, MembershipChange, Refused};
use crate::objects::{Desired, Kind, Password, superuser};
use crate::observe::{Clock, api};
use crate::plan::observed::Superuser;
use crate::plan::rollout::HANDING_OVER;
use crate::plan::scale::Change;
use crate::plan::{Action, Growth, HandOver, Reconfig, Recreation, Restart};
use crate::reasons::Told;
use crate::valid::ValidCluster;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::{
    Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams, Preconditions,
};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

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
    /// The ensemble did not do what it was asked for.
    #[error("{what}: {source}")]
    Ensemble {
        /// What it was asked for.
        what: String,
        /// What it said.
        source: Refused,
    },
    /// There is no randomness to draw a password from.
    #[error("draw a password: {0}")]
    Random(String),
}

impl ApplyError {
    /// Whether nothing can be made any more because the namespace is being deleted.
    /// Source: Kubernetes' admission plugin NamespaceLifecycle, which names the cause.
    pub fn namespace_is_ending(&self) -> bool {
        let Self::Write { source, .. } = self else {
            return false;
        };
        let kube::Error::Api(status) = source.as_ref() else {
            return false;
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403 && { causes }.any(|cause| cause.reason == "NamespaceTerminating")
    }
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
    ensemble: Arc<dyn ChangeEnsemble>,
    clock: Clock,
}

impl Writer {
    /// A writer that reports its Events through `recorder`.
    pub fn new(
        client: Client,
        recorder: Recorder,
        ensemble: Arc<dyn ChangeEnsemble>,
        clock: Clock,
    ) -> Self {
        Self {
            client,
            recorder,
            ensemble,
            clock,
        }
    }

    /// Carries out one action, as `superuser` where the ensemble is to do it.
    pub async fn carry_out(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        superuser: &Superuser,
        action: &Action,
    ) -> Result<Done, ApplyError> {
        match action {
            Action::Nothing | Action::Paused | Action::Wait(_) => Ok(Done::Nothing),
            Action::DrawSuperuser => self.draw_superuser(cluster).await,
            Action::Apply(objects) => {
                for object in objects {
                    if self.write_object(cluster, object).await? == Done::Outdated {
                        return Ok(Done::Outdated);
                    }
                }
                Ok(Done::Written)
            }
            Action::Grow(growth) => self.grow(resource, cluster, growth).await,
            Action::Recreate(recreation) => self.recreate(resource, cluster, recreation).await,
            Action::HandOver(asking) => {
                self.hand_over(resource, cluster, superuser.password(), asking)
                    .await
            }
            Action::Reconfig(reconfig) => {
                self.reconfigure(resource, cluster, superuser.password(), reconfig)
                    .await
            }
            Action::Restart(restart) => self.restart(resource, cluster, restart).await,
        }
    }

    /// Made once and never written again: whoever else is at it, one password wins.
    async fn draw_superuser(&self, cluster: &ValidCluster) -> Result<Done, ApplyError> {
        let mut random = [0_u8; 24];
        getrandom::fill(&mut random).map_err(|error| ApplyError::Random(error.to_string()))?;
        let mut password = String::new();
        for byte in random {
            write!(password, "{byte:02x}").expect("writing to a String cannot fail");
        }
        let secret = superuser(cluster, &Password(password));
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &cluster.namespace);
        let made = secrets
            .create(
                &PostParams {
                    field_manager: Some(OPERATOR.to_owned()),
                    ..PostParams::default()
                },
                &secret,
            )
            .await;
        let name = Kind::SuperuserSecret.name(&cluster.name);
        expected(made.map(drop)).map_err(write_error(format!(
            "create Secret {}/{name}",
            cluster.namespace
        )))
    }

    async fn write_object(
        &self,
        cluster: &ValidCluster,
        object: &Desired,
    ) -> Result<Done, ApplyError> {
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
            let mut version = object.resource_version.clone();
            if object.new {
                // Bare, so that every field is the apply's alone, and can be taken away by one.
                let bare = DynamicObject {
                    types: None,
                    metadata: ObjectMeta {
                        name: Some(object.name.clone()),
                        ..ObjectMeta::default()
                    },
                    data: json!({"apiVersion": api_version, "kind": kind}),
                };
                match objects.create(&PostParams::default(), &bare).await {
                    Ok(made) => version = made.resource_version(),
                    Err(error) => {
                        return expected(Err(error)).map_err(write_error(what("create")));
                    }
                }
            }
            if let Some(version) = &version {
                body["metadata"]["resourceVersion"] = json!(version);
            }
            let written = objects
                .patch(
                    &object.name,
                    &PatchParams::apply(OPERATOR).force(),
                    &Patch::Apply(&body),
                )
                .await;
            let done = expected(written.map(drop)).map_err(write_error(what("apply")))?;
            if done == Done::Written {
                tracing::info!(
                    namespace = cluster.namespace,
                    name = object.name,
                    kind,
                    "applied"
                );
            }
            return Ok(done);
        }
        // Only what is our own is taken away; someone else's object of this name stays.
        let living = objects
            .get_opt(&object.name)
            .await
            .map_err(write_error(what("read")))?;
        let Some(living) =
            living.filter(|living| living.owner_references().contains(&cluster.owner))
        else {
            return Ok(Done::Nothing);
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
        expected(deleted.map(drop)).map_err(write_error(what("delete")))
    }

    /// Deletes the StatefulSet and orphans its pods: the next pass makes it again with the new
    /// volume templates, and it takes the pods over.
    async fn recreate(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        recreation: &Recreation,
    ) -> Result<Done, ApplyError> {
        let sets = api(&self.client, &cluster.namespace, Kind::StatefulSet);
        let exactly = Preconditions {
            uid: Some(recreation.uid.clone()),
            resource_version: Some(recreation.resource_version.clone()),
        };
        let orphaning = DeleteParams::orphan().preconditions(exactly);
        let deleted = sets.delete(&cluster.name, &orphaning).await;
        let done = expected(deleted.map(drop)).map_err(write_error(format!(
            "delete StatefulSet {}/{} without its pods",
            cluster.namespace, cluster.name
        )))?;
        if done == Done::Written {
            let note = format!(
                "the StatefulSet is made again around its living pods, so that new members get {} \
                 for {}",
                recreation.to, recreation.volume
            );
            self.note(
                resource,
                Told::RecreatingStatefulSet.name(),
                "GrowVolume",
                note,
            )
            .await;
        }
        Ok(done)
    }

    /// Announces on the StatefulSet what is about to happen to a pod, against the resourceVersion
    /// that it was decided on: of two who decided, one goes on.
    async fn announce(
        &self,
        cluster: &ValidCluster,
        annotation: &str,
        pod_uid: &str,
        at: Timestamp,
        resource_version: Option<&str>,
    ) -> Result<Done, ApplyError> {
        let announcement = json!({"metadata": {
            "resourceVersion": resource_version,
            "annotations": {annotation: format!("{pod_uid} {at}")}
        }});
        let sets = api(&self.client, &cluster.namespace, Kind::StatefulSet);
        let written = sets
            .patch(&cluster.name, &manager(), &Patch::Merge(&announcement))
            .await;
        expected(written.map(drop)).map_err(write_error(format!(
            "annotate StatefulSet {}/{}",
            cluster.namespace, cluster.name
        )))
    }

    /// Asks the leader to hand over. One that cannot is restarted a moment later all the same, so
    /// a refusal is no failure.
    async fn hand_over(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        password: Option<&Password>,
        asking: &HandOver,
    ) -> Result<Done, ApplyError> {
        let Some(password) = password else {
            return Ok(Done::Nothing);
        };
        let now = (self.clock)();
        let done = self
            .announce(
                cluster,
                ANNOTATION_HAND_OVER,
                &asking.uid,
                now,
                Some(&asking.stateful_set_version),
            )
            .await?;
        if done != Done::Written {
            return Ok(done);
        }
        let pod = &asking.member.pod;
        match self.ensemble.hand_over(&asking.address, password).await {
            Ok(()) => {
                let note = format!("{pod} leads, and was asked to hand over before it goes");
                self.note(resource, Told::HandingOver.name(), "HandOver", note)
                    .await;
            }
            Err(refused) => {
                tracing::warn!(namespace = cluster.namespace, name = cluster.name, pod, %refused, "the leader did not hand over");
                // Its time is over: it hands over as well when it is told to end.
                self.announce(
                    cluster,
                    ANNOTATION_HAND_OVER,
                    &asking.uid,
                    now - HANDING_OVER,
                    None,
                )
                .await?;
            }
        }
        Ok(Done::Written)
    }

    /// Asks the ensemble for another membership, from the version that was seen and no other.
    async fn reconfigure(
        &self,
        resource: &ZooKeeperCluster,
        cluster: &ValidCluster,
        password: Option<&Password>,
        reconfig: &Reconfig,
    ) -> Result<Done, ApplyError> {
        let what = || format!("change the membership so that {reconfig}");
        let Some(password) = password else {
            let source = Refused::Refused("the superuser's password is not known".to_owned());
            return Err(ApplyError::Ensemble {
                what: what(),
                source,
            });
        };
        let role = match reconfig.change {
            Change::Join(role) => role,
            Change::Leave => reconfig.member.role,
        };
        let change = MembershipChange {
            id: reconfig.member.id.0,
            address: cluster.address(&reconfig.member, role),
            change: reconfig.change,
            from_version: reconfig.from_version,
        };
        let (_, address) = &reconfig.leader;
        match self.ensemble.reconfigure(address, password, &change).await {
            Ok(()) => {
                tracing::info!(namespace = cluster.namespace, name = cluster.name, %reconfig, "the membership changed");
                let note = reconfig.to_string();
                self.note(
                    resource,
                    Told::MembershipChanged.name(),
                    "Reconfigure",
                    note,
                )
                .await;
                Ok(Done::Written)
            }
            Err(Refused::Outdated) => Ok(Done::Outdated),
            Err(Refused::Unanswered(why)) => {
                // It may have been done: the members say so at the next look, or it is asked for anew.
                tracing::warn!(namespace = cluster.namespace, name = cluster.name, %reconfig, why, "no answer to a change of the membership");
                Ok(Done::Outdated)
            }
            Err(source) => Err(ApplyError::Ensemble {
                what: what(),
                source,
            }),
        }
    }

    async fn note(
        &self,
        resource: &ZooKeeperCluster,
        reason: &'static str,
        action: &'static str,
        note: String,
    ) {
        self.tell(resource, EventType::Normal, reason, action, note, None)
            .await;
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
                Told::GrowingVolume.name(),
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
        let announced = self
            .announce(
                cluster,
                ANNOTATION_RESTARTING,
                &restart.uid,
                (self.clock)(),
                Some(&restart.stateful_set_version),
            )
            .await?;
        if announced == Done::Outdated {
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
                Told::RestartingMember.name(),
                "RestartMember",
                note,
                Some(related),
            )
            .await;
        }
        Ok(done)
    }

    /// Writes status. Returns the resource as it is with it; None where it is gone, or another one.
    pub async fn write_status(
        &self,
        resource: &ZooKeeperCluster,
        status: &ZooKeeperClusterStatus,
    ) -> Result<Option<ZooKeeperCluster>, ApplyError> {
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
        match written {
            Ok(written) => Ok(Some(written)),
            Err(error) => expected(Err(error))
                .map(|_| None)
                .map_err(write_error(format!(
                    "write the status of {namespace}/{name}"
                ))),
        }
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
