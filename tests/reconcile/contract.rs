//! What the operator writes is what the server reads: with the server's own parser.

use super::users::{path, put};
use super::{CONFIG, Scene, nothing_is_broken};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;
use zookeeper_operator::crd::rules::KNOWN_KEYS;
use zookeeper_server::auth::Users;
use zookeeper_server::auth::password_hash::PasswordHash;
use zookeeper_server::config::{IdNeed, ServerConfig, read_config};
use zookeeper_server::ensemble::Role;

/// The files of a pod: each volume is a folder.
struct Pod(TempDir);

impl Pod {
    /// As the operator made it, for the member with this id.
    fn new(scene: &Scene, id: u8) -> Self {
        let pod = Self(tempfile::tempdir().expect("a folder"));
        let text = |object: &Value, file: &str| object["data"][file].as_str().map(str::to_owned);
        let config = scene.object(CONFIG);
        let zoo_cfg = text(&config, "zoo.cfg").expect("a zoo.cfg");
        pod.write("conf/zoo.cfg", pod.inside(&zoo_cfg).as_bytes());
        pod.write("data/myid", id.to_string().as_bytes());
        let auth = scene.object(&path("demo-auth"));
        for file in ["superDigest", "users"] {
            if let Some(encoded) = text(&auth, file) {
                let bytes = STANDARD.decode(encoded).expect("base64");
                pod.write(&format!("auth/{file}"), &bytes);
            }
        }
        pod
    }

    /// Paths of the pod's as they are on this machine.
    fn inside(&self, text: &str) -> String {
        let root = self.0.path().display();
        ["/data", "/auth"].iter().fold(text.to_owned(), |text, at| {
            text.replace(&format!("={at}"), &format!("={root}{at}"))
        })
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder is made");
        fs::write(path, bytes).expect("a file is written");
    }

    fn read(&self) -> ServerConfig {
        read_config(&self.0.path().join("conf/zoo.cfg"), &[], IdNeed::Required)
            .expect("the server takes what the operator writes")
    }
}

async fn settled(spec: Value) -> Scene {
    // The ensemble of these tests counts its members from 1.
    let is_strange = spec["firstServerId"].is_u64();
    let mut scene = Scene::new(spec);
    put(&scene, "alice-zk", "password", r"back\slash = #sharp");
    if is_strange {
        scene.passes(4, &nothing_is_broken).await;
    } else {
        scene.settle().await;
    }
    scene
}

#[tokio::test]
async fn the_server_takes_every_configuration_that_the_operator_writes_without_a_word() {
    let specs = [
        json!({"replicas": 1}),
        json!({"replicas": 3}),
        json!({"replicas": 5, "observers": 2, "firstServerId": 10}),
        json!({"replicas": 3, "storage": {"log": {"size": "1Gi"}}}),
        json!({"replicas": 3, "storage": {"ephemeral": true}, "services": {"members": {"type": "NodePort"}}}),
        json!({"replicas": 3, "config": {
            "tickTime": 500, "snapCount": 5000, "maxClientCnxns": 0, "4lw.commands.whitelist": "*",
            "autopurge.purgeInterval": 1, "observerMasterPort": 2191, "jute.maxbuffer": 2097152,
        }}),
        json!({"replicas": 3, "auth": {
            "users": [{"name": "alice", "secretName": "alice-zk"}], "requireAuthentication": true,
        }}),
    ];
    for spec in specs {
        let number = |key: &str| spec[key].as_u64().unwrap_or(0);
        let (voters, observers) = (number("replicas"), number("observers"));
        let first = number("firstServerId").max(1);
        let scene = settled(spec.clone()).await;
        for id in first..first + voters + observers {
            let pod = Pod::new(&scene, u8::try_from(id).expect("a server id"));
            let config = pod.read();
            // An unknown key would be one: the operator writes none that says nothing.
            assert!(config.warnings.is_empty(), "{spec}: {:?}", config.warnings);
            assert!(config.is_distributed() && config.reconfig_enabled, "{spec}");
            let roles: BTreeMap<i64, Role> = config
                .ensemble
                .members
                .iter()
                .map(|(id, member)| (id.0, member.role))
                .collect();
            let wanted: BTreeMap<i64, Role> = (first..first + voters + observers)
                .map(|id| {
                    let role = if id < first + voters {
                        Role::Participant
                    } else {
                        Role::Observer
                    };
                    (i64::try_from(id).expect("small"), role)
                })
                .collect();
            assert_eq!(roles, wanted, "{spec}");
            assert_eq!(
                config.server_id.map(|own| own.0),
                i64::try_from(id).ok(),
                "{spec}"
            );
            assert_eq!(config.data_dir, pod.0.path().join("data"), "{spec}");
            let has_log = spec["storage"]["log"].is_object();
            assert_eq!(config.data_log_dir != config.data_dir, has_log, "{spec}");
        }
    }
}

#[tokio::test]
async fn the_server_reads_the_passwords_that_the_operator_wrote() {
    let users = json!([{"name": "alice", "secretName": "alice-zk"}]);
    let scene =
        settled(json!({"replicas": 3, "auth": {"users": users, "requireAuthentication": true}}))
            .await;
    let pod = Pod::new(&scene, 1);
    let config = pod.read();
    let enforced = config.auth.enforced_schemes.expect("a login is required");
    assert_eq!(enforced, ["sasl", "super"]);
    let file = config.auth.sasl_users_file.expect("a file of users");
    let users = Users::parse(&fs::read(file).expect("it is there"));
    assert_eq!(users.password("alice"), Some(r"back\slash = #sharp"));
    assert_eq!(users.len(), 1);
    // The digest is of the superuser's password.
    let drawn = scene.object(&path("demo-superuser"))["data"]["password"].clone();
    let drawn = STANDARD
        .decode(drawn.as_str().expect("drawn"))
        .expect("base64");
    let credentials = format!("super:{}", String::from_utf8(drawn).expect("UTF-8"));
    let file = config.auth.super_digest_file.expect("a file of the digest");
    let digest = fs::read_to_string(file).expect("it is there");
    let digest = digest.trim();
    assert_eq!(digest, PasswordHash::Sha1.id_of(&credentials));
}

#[tokio::test]
async fn every_key_whose_spelling_the_operator_corrects_is_one_that_the_server_knows() {
    let config: BTreeMap<&str, Value> = KNOWN_KEYS
        .into_iter()
        .map(|key| {
            let value = match key {
                "4lw.commands.whitelist" => json!("ruok"),
                "minSessionTimeout" => json!(4000),
                "maxSessionTimeout" => json!(40000),
                "preAllocSize" => json!(65536),
                "snapCount" => json!(1000),
                "tickTime" => json!(2000),
                "forceSync" => json!("yes"),
                "leaderServes" | "syncEnabled" => json!("true"),
                "localSessionsEnabled" | "localSessionsUpgradingEnabled" | "skipACL" => {
                    json!("false")
                }
                _ => json!(10),
            };
            (key, value)
        })
        .collect();
    let scene = settled(json!({"replicas": 3, "config": config})).await;
    let config = Pod::new(&scene, 2).read();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}
