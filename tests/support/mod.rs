//! An API server in memory, just as much of one as the operator speaks to: get,
//! list, apply, merge patch and delete with preconditions, status, Events. And
//! what surrounds it: a StatefulSet controller, a kubelet, and an ensemble.

#![allow(unreachable_pub)] // Shared by test programs, each of which is a crate of its own.

mod ensemble;

use ensemble::Ensemble;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

pub const NAMESPACE: &str = "default";
pub const CREATED: &str = "2026-01-01T00:00:00Z";

#[derive(Clone, Default)]
pub struct World {
    /// Objects by their path.
    pub objects: BTreeMap<String, Value>,
    /// Writes that changed something or tried to, in order.
    pub writes: Vec<String>,
    /// Events' reasons and notes, in order.
    pub events: Vec<(String, String)>,
    /// The ensemble in the pods.
    pub ensemble: Ensemble,
    /// How many requests read something.
    pub reads: usize,
    /// How often a member was asked for its report.
    pub asked: usize,
    /// After so many more writes the operator is dead: nothing it asks for is answered.
    pub writes_left: Option<usize>,
    /// Whether the namespace is being deleted: nothing is made in it any more.
    pub ending: bool,
    /// Whether nothing may be made for another cause, such as a quota.
    pub forbidden: bool,
    counter: u64,
}

/// What the operator left on a StatefulSet by a patch stays when it applies the object.
const KEPT: [&str; 2] = [
    "zookeeper.ensemble.dev/restarting",
    "zookeeper.ensemble.dev/hand-over",
];

#[derive(Clone, Default)]
pub struct Fake(pub Arc<Mutex<World>>);

impl World {
    /// A new resourceVersion.
    pub fn version(&mut self) -> String {
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
        if !self.lives(*method != Method::GET) {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR);
        }
        self.reads += usize::from(*method == Method::GET);
        let makes = *method == Method::POST
            || (content_type.contains("apply-patch")
                && !path.ends_with("/status")
                && !self.objects.contains_key(path));
        let forbidden = self.forbidden && !path.ends_with("/events");
        if (self.ending || forbidden) && makes {
            self.writes.push(format!("refused {path}"));
            let (code, mut answer) = refusal(StatusCode::FORBIDDEN);
            if forbidden {
                return (code, answer);
            }
            answer["details"] = json!({"causes": [{"reason": "NamespaceTerminating",
                "message": "namespace default is being terminated", "field": "metadata.namespace"}]});
            return (code, answer);
        }
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
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                let path = format!("{path}/{name}");
                if self.objects.contains_key(&path) {
                    return refusal(StatusCode::CONFLICT);
                }
                self.writes.push(format!("create {path}"));
                self.insert(&path, body.clone());
                (StatusCode::CREATED, self.objects[&path].clone())
            }
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// Whether the operator is alive for one more request.
    pub fn lives(&mut self, writes: bool) -> bool {
        match &mut self.writes_left {
            Some(0) => false,
            Some(left) if writes => {
                *left -= 1;
                true
            }
            _ => true,
        }
    }

    fn get(&self, path: &str) -> (StatusCode, Value) {
        if ["/pods", "/persistentvolumeclaims", "/services"]
            .iter()
            .any(|list| path.ends_with(list))
        {
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
        let wanted = &body["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != old["metadata"]["resourceVersion"] {
            return refusal(StatusCode::CONFLICT);
        }
        for key in KEPT {
            let kept = &old["metadata"]["annotations"][key];
            if !kept.is_null() {
                object["metadata"]["annotations"][key] = kept.clone();
            }
        }
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
