//! Users and the superuser, whose passwords are in Secrets.

use super::{CONFIG, NAMESPACE, SET, Scene, nothing_is_broken};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub(super) fn path(secret: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/secrets/{secret}")
}

/// A person makes a Secret, or changes it.
pub(super) fn put(scene: &Scene, secret: &str, key: &str, value: &str) {
    let object = json!({"metadata": {"name": secret}, "data": {key: STANDARD.encode(value)}});
    scene.world(|world| world.insert(&path(secret), object));
}

/// A file of the Secret that members mount.
pub(super) fn file(scene: &Scene, name: &str) -> String {
    let object = scene.object(&path("demo-auth"));
    let text = object["data"][name].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(text).expect("base64")).expect("UTF-8")
}

fn lines(scene: &Scene) -> Vec<String> {
    let text = file(scene, "users");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

fn with_users() -> Value {
    json!({"replicas": 3, "auth": {"users": [
        {"name": "bob@EXAMPLE", "secretName": "others", "key": "bob"},
        {"name": "alice", "secretName": "alice-zk"},
    ]}})
}

async fn scene() -> Scene {
    let mut scene = Scene::new(with_users());
    put(&scene, "alice-zk", "password", r"her \ secret");
    put(&scene, "others", "bob", "=his:secret #1");
    scene.settle().await;
    scene
}

#[tokio::test]
async fn users_are_given_to_the_members_and_a_new_password_restarts_nobody() {
    let mut scene = scene().await;
    assert_eq!(scene.condition("Ready").0, "True");
    assert_eq!(
        lines(&scene),
        [r"alice=her \\ secret", "bob@EXAMPLE==his:secret #1"]
    );
    let config = scene.object(CONFIG)["data"]["zoo.cfg"].clone();
    let config = config.as_str().expect("a text");
    assert!(
        config.contains("\nsasl.usersFile=/auth/users\n"),
        "{config}"
    );
    assert!(!config.contains("enforce.auth"), "{config}");
    // No watch tells of Secrets; the next look does.
    put(&scene, "alice-zk", "password", "another");
    scene.settle().await;
    assert_eq!(lines(&scene)[0], "alice=another");
    assert!(scene.restarts().is_empty(), "{:?}", scene.restarts());
    // The order in the spec says nothing.
    scene.edit(|cluster| {
        let users = cluster["spec"]["auth"]["users"].as_array_mut();
        users.expect("a list").reverse();
    });
    let writes = scene.world(|world| world.writes.len());
    scene.passes(1, &nothing_is_broken).await;
    let more: Vec<String> = scene.world(|world| world.writes[writes..].to_vec());
    assert!(
        more.iter().all(|write| write.ends_with("/status")),
        "{more:?}"
    );
}

#[tokio::test]
async fn a_password_stands_in_secrets_alone() {
    let mut scene = Scene::new(with_users());
    put(&scene, "alice-zk", "password", "her-very-own");
    put(&scene, "others", "bob", "his-very-own");
    scene.settle().await;
    put(&scene, "others", "bob", "his-very-own\n");
    scene.passes(2, &nothing_is_broken).await;
    scene.world(|world| {
        let told: Vec<String> = world
            .objects
            .iter()
            .filter(|(path, _)| !path.contains("/secrets/"))
            .map(|(_, object)| object.to_string())
            .chain(world.events.iter().map(|event| format!("{event:?}")))
            .collect();
        for text in told {
            for secret in ["her-very-own", "his-very-own"] {
                assert!(!text.contains(secret), "{text}");
                assert!(!text.contains(&STANDARD.encode(secret)), "{text}");
            }
        }
    });
}

#[tokio::test]
async fn a_users_secret_that_is_missing_is_named_and_taken_up_as_soon_as_it_is_there() {
    let mut scene = Scene::new(with_users());
    put(&scene, "alice-zk", "password", "her secret");
    scene.passes(8, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Degraded"),
        ("True".to_owned(), "SecretMissing".to_owned())
    );
    assert_eq!(scene.condition("QuorumAvailable").0, "True");
    let message = |scene: &Scene| {
        let conditions = scene.resource().status.and_then(|s| s.conditions);
        let degraded = conditions
            .into_iter()
            .flatten()
            .find(|c| c.type_ == "Degraded");
        degraded.expect("the condition").message
    };
    let said = message(&scene);
    assert!(
        said.starts_with(
            "the Secret others with a key `bob` for the user bob@EXAMPLE is not there"
        ),
        "{said}"
    );
    assert!(!said.contains("alice"), "{said}");
    assert_eq!(lines(&scene), ["alice=her secret"]);
    // Another key in it does not help.
    put(&scene, "others", "carol", "x");
    scene.passes(2, &nothing_is_broken).await;
    assert_eq!(message(&scene), said);
    put(&scene, "others", "bob", "his secret");
    scene.passes(1, &nothing_is_broken).await;
    assert_eq!(lines(&scene).len(), 2);
    scene.settle().await;
    assert_eq!(scene.condition("Ready").0, "True");
    assert!(scene.restarts().is_empty(), "{:?}", scene.restarts());
    // One Event for the trouble, and not one a pass.
    let told = scene.world(|world| {
        let reasons = world.events.iter().map(|(reason, _)| reason);
        reasons.filter(|reason| *reason == "SecretMissing").count()
    });
    assert_eq!(told, 1);
}

#[tokio::test]
async fn what_can_be_no_password_is_said_so_and_the_last_one_stays() {
    let mut scene = scene().await;
    let digest = file(&scene, "superDigest");
    for nonsense in ["", "two\nlines", " blank", "ends in a newline\n"] {
        put(&scene, "alice-zk", "password", nonsense);
        scene.passes(3, &nothing_is_broken).await;
        assert_eq!(
            scene.condition("Degraded"),
            ("True".to_owned(), "SecretMissing".to_owned()),
            "{nonsense:?}"
        );
        assert_eq!(lines(&scene)[0], r"alice=her \\ secret", "{nonsense:?}");
    }
    // Secrets that are gone change nothing either: neither the superuser's nor a user's.
    scene.world(|world| world.objects.remove(&path("alice-zk")));
    scene.edit(|cluster| {
        cluster["spec"]["auth"]["superuser"] = json!({"secretName": "nowhere"});
    });
    scene.passes(3, &nothing_is_broken).await;
    assert_eq!(lines(&scene)[0], r"alice=her \\ secret");
    assert_eq!(file(&scene, "superDigest"), digest);
    put(&scene, "alice-zk", "password", "new");
    scene.edit(|cluster| cluster["spec"]["auth"]["superuser"] = Value::Null);
    scene.settle().await;
    assert_eq!(lines(&scene)[0], "alice=new");
    assert_eq!(scene.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_required_login_leaves_the_superuser_a_door_and_goes_with_the_users() {
    let mut scene = scene().await;
    scene.edit(|cluster| cluster["spec"]["auth"]["requireAuthentication"] = json!(true));
    scene.settle().await;
    assert_eq!(scene.restarts().len(), 3, "{:?}", scene.restarts());
    let config = |scene: &Scene| scene.object(CONFIG)["data"]["zoo.cfg"].to_string();
    let text = config(&scene);
    assert!(
        text.contains("enforce.auth.enabled=true\\nenforce.auth.schemes=sasl,super\\n"),
        "{text}"
    );
    // The operator is the superuser: it changes the membership all the same.
    scene.edit(|cluster| cluster["spec"]["replicas"] = json!(5));
    scene.settle().await;
    assert_eq!(scene.object(SET)["spec"]["replicas"], 5);
    // Without users nobody could come in.
    scene.edit(|cluster| cluster["spec"]["auth"]["users"] = json!([]));
    scene.passes(2, &nothing_is_broken).await;
    assert_eq!(
        scene.condition("Degraded"),
        ("True".to_owned(), "InvalidSpec".to_owned())
    );
    scene.edit(|cluster| cluster["spec"]["auth"] = json!({}));
    scene.settle().await;
    let text = config(&scene);
    assert!(
        !text.contains("sasl") && !text.contains("enforce"),
        "{text}"
    );
    assert_eq!(file(&scene, "users"), "");
}

#[tokio::test]
async fn names_that_would_need_an_escape_or_come_twice_are_refused() {
    for names in [
        vec!["al ice"],
        vec!["a=b"],
        vec!["\"alice\""],
        vec!["super"],
        vec![""],
        vec!["-a"],
        vec!["alice", "alice"],
    ] {
        let users: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "secretName": "alice-zk"}))
            .collect();
        let scene = Scene::new(json!({"replicas": 3, "auth": {"users": users}}));
        scene.passes(1, &nothing_is_broken).await;
        assert_eq!(
            scene.condition("Ready"),
            ("False".to_owned(), "InvalidSpec".to_owned()),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn keys_of_tls_and_passwords_in_config_are_refused_with_the_place_where_they_belong() {
    for (key, place) in [
        ("secureClientPort", "spec.tls"),
        ("ssl.keyStore.location", "spec.tls"),
        ("SSLQuorum", "spec.tls"),
        ("sasl.user.alice", "auth.users"),
        ("SASLAuthenticationProvider.superPassword", "auth.users"),
    ] {
        let scene = Scene::new(json!({"replicas": 3, "config": {key: "1"}}));
        scene.passes(1, &nothing_is_broken).await;
        let conditions = scene.resource().status.and_then(|s| s.conditions);
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|c| c.type_ == "Ready");
        let ready = ready.expect("the condition");
        assert_eq!(ready.reason, "InvalidSpec", "{key}");
        assert!(ready.message.contains(place), "{}", ready.message);
    }
}
