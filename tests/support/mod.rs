//! An API server in memory, just as much of one as the operator speaks to: get,
//! list, apply, merge patch and delete with preconditions, status, Events. And
//! what surrounds it: a StatefulSet controller, a kubelet, and an ensemble.

#![allow(unreachable_pub)] // Shared by test programs, each of which is a crate of its own.

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use zookeeper_operator::observe::ReadMembers;
use zookeeper_operator::plan::observed::{Learner, MemberReport, MemberState, Role, Silence};
use zookeeper_operator::valid::Member;

pub const NAMESPACE: &str = "default";
pub const CREATED: &str = "2026-01-01T00:00:00Z";

#[derive(Default)]
pub struct World {
    /// Objects by their path.
    pub objects: BTreeMap<String, Value>,
    /// Writes that changed something or tried to, in order.
    pub writes: Vec<String>,
    /// Events' reasons and notes, in order.
    pub events: Vec<(String, String)>,
    counter: u64,
}

#[derive(Clone, Default)]
pub struct Fake(pub Arc<Mutex<World>>);

impl World {
    fn version(&mut self) -> String {
        self.counter += 1;
        self.counter.to_string()
    }

    pub fn insert(&mut self, path: &str, mut object: Value) {
        let version = self.version();
        object["metadata"]["uid"] = json!(format!("uid-{version}"));
        object["metadata"]["resourceVersion"] = json!(version);
        self.objects.insert(path.to_owned(), object);
    }

    fn handle(
        &mut self,
        method: &Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        match *method {
            Method::GET => self.get(path),
            Method::PATCH if content_type.contains("apply-patch") => self.apply(path, body),
            Method::PATCH => self.merge(path, body),
            Method::DELETE => self.delete(path, body),
            Method::POST if path.ends_with("/events") => {
                let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
                self.events.push((text("reason"), text("note")));
                (StatusCode::CREATED, body.clone())
            }
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn get(&self, path: &str) -> (StatusCode, Value) {
        if path.ends_with("/pods") || path.ends_with("/persistentvolumeclaims") {
            let prefix = format!("{path}/");
            let items: Vec<&Value> = self
                .objects
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix))
                .map(|(_, object)| object)
                .collect();
            return (
                StatusCode::OK,
                json!({"metadata": {"resourceVersion": "1"}, "items": items}),
            );
        }
        self.objects.get(path).map_or_else(
            || refusal(StatusCode::NOT_FOUND),
            |object| (StatusCode::OK, object.clone()),
        )
    }

    fn apply(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.writes.push(format!("apply {path}"));
        let version = self.version();
        if let Some(owner) = path.strip_suffix("/status") {
            let Some(object) = self.objects.get_mut(owner) else {
                return refusal(StatusCode::NOT_FOUND);
            };
            object["status"] = body["status"].clone();
            object["metadata"]["resourceVersion"] = json!(version);
            return (StatusCode::OK, object.clone());
        }
        let mut object = body.clone();
        let old = self.objects.get(path).cloned().unwrap_or(json!({}));
        let changed = old["spec"] != body["spec"];
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + i64::from(changed);
        let uid = old["metadata"]["uid"]
            .as_str()
            .map_or(format!("uid-{version}"), str::to_owned);
        object["metadata"]["uid"] = json!(uid);
        object["metadata"]["generation"] = json!(generation);
        object["metadata"]["resourceVersion"] = json!(version);
        object["status"] = old["status"].clone();
        self.objects.insert(path.to_owned(), object.clone());
        (StatusCode::OK, object)
    }

    fn merge(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.writes.push(format!("merge {path}"));
        let version = self.version();
        let Some(object) = self.objects.get_mut(path) else {
            return refusal(StatusCode::NOT_FOUND);
        };
        let wanted = &body["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != object["metadata"]["resourceVersion"] {
            return refusal(StatusCode::CONFLICT);
        }
        merge(object, body);
        object["metadata"]["resourceVersion"] = json!(version);
        (StatusCode::OK, object.clone())
    }

    fn delete(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.writes.push(format!("delete {path}"));
        let Some(object) = self.objects.get(path) else {
            return refusal(StatusCode::NOT_FOUND);
        };
        for key in ["uid", "resourceVersion"] {
            let wanted = &body["preconditions"][key];
            assert!(
                wanted.is_string(),
                "a delete without a {key} precondition: {body}"
            );
            if *wanted != object["metadata"][key] {
                return refusal(StatusCode::CONFLICT);
            }
        }
        let object = self.objects.remove(path).expect("it was there");
        (StatusCode::OK, object)
    }

    /// The StatefulSet controller and the kubelet: every missing pod is made and
    /// gets ready. Those in `broken` cannot run.
    pub fn controllers(&mut self, name: &str, broken: &dyn Fn(&Value) -> bool) {
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{name}");
        let Some(set) = self.objects.get_mut(&path) else {
            return;
        };
        let revision = set["spec"]["template"]["metadata"]["annotations"]["zookeeper.ensemble.dev/template-hash"].clone();
        let status = json!({"observedGeneration": set["metadata"]["generation"], "updateRevision": revision});
        set["status"] = status;
        let (template, replicas) = (
            set["spec"]["template"].clone(),
            set["spec"]["replicas"].as_u64().unwrap_or(0),
        );
        for ordinal in 0..replicas {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}-{ordinal}");
            if self.objects.contains_key(&path) {
                continue;
            }
            let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
            pod["metadata"]["name"] = json!(format!("{name}-{ordinal}"));
            pod["metadata"]["namespace"] = json!(NAMESPACE);
            pod["metadata"]["creationTimestamp"] = json!(CREATED);
            pod["metadata"]["labels"]["controller-revision-hash"] = revision.clone();
            let state = if broken(&pod) {
                json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}})
            } else {
                json!({"running": {"startedAt": CREATED}})
            };
            let ready = !broken(&pod);
            pod["status"] = json!({
                "phase": "Running", "podIP": "127.0.0.1",
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": CREATED}],
                "containerStatuses": [{
                    "name": "zookeeper", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": state
                }]
            });
            self.insert(&path, pod);
        }
    }
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn refusal(code: StatusCode) -> (StatusCode, Value) {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    (
        code,
        json!({"kind": "Status", "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16()}),
    )
}

impl Fake {
    pub fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.expect("a body in memory").to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let content_type = parts
                    .headers
                    .get("content-type")
                    .and_then(|v| v.to_str().ok())
                    .unwrap_or("");
                let (status, answer) = fake.0.lock().expect("unpoisoned").handle(
                    &parts.method,
                    parts.uri.path(),
                    content_type,
                    &body,
                );
                let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, NAMESPACE)
    }
}

/// An ensemble in which every ready pod serves, and the highest id leads.
impl ReadMembers for Fake {
    fn read<'a>(
        &'a self,
        member: &'a Member,
        _: &'a str,
    ) -> BoxFuture<'a, Result<MemberReport, Silence>> {
        let world = self.0.lock().expect("unpoisoned");
        let prefix = format!("/api/v1/namespaces/{NAMESPACE}/pods/");
        let serving: Vec<u8> = world
            .objects
            .iter()
            .filter(|(path, pod)| {
                path.starts_with(&prefix) && pod["status"]["containerStatuses"][0]["ready"] == true
            })
            .filter_map(|(path, _)| path.rsplit('-').next()?.parse::<u8>().ok())
            .map(|ordinal| ordinal + 1)
            .collect();
        let id = member.id.0;
        let leader = serving.iter().max().copied();
        let report = if serving.contains(&id) {
            Ok(MemberReport {
                server_id: id,
                state: if leader == Some(id) {
                    MemberState::Leading
                } else {
                    MemberState::Following
                },
                role: Role::Participant,
                serving: true,
                leader_id: leader,
                version: "3.9.5-0.1.0".to_owned(),
                last_zxid: "0x100000001".to_owned(),
                config_version: "0x0".to_owned(),
                cluster_id: None,
                voters: vec![1, 2, 3],
                learners: serving
                    .iter()
                    .filter(|other| leader == Some(id) && **other != id)
                    .map(|other| Learner {
                        id: *other,
                        role: Role::Participant,
                        synced: true,
                    })
                    .collect(),
            })
        } else {
            Err(Silence::Unreachable("connection refused".to_owned()))
        };
        std::future::ready(report).boxed()
    }
}
