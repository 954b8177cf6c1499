//! What a member cut off from its quorum still does.

use crate::harness::{Ensemble, connect, create, wait_for};
use std::time::Duration;
use zookeeper_client::{Acls, Client, CreateMode, Error};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_quorum_serves_reads_to_those_who_ask_until_the_quorum_is_back() {
    let mut ensemble = Ensemble::serving(3, "readonlymode.enabled=true\n");
    let client = connect(&format!("127.0.0.1:{}", ensemble.members[0].client_port)).await;
    create(&client, "/kept", b"data").await.expect("a create");
    drop(client);

    ensemble.members[1].kill();
    ensemble.members[2].kill();
    let alone = &ensemble.members[0];
    wait_for("the read-only mode", || {
        (alone.mode()? == "read-only").then_some(())
    });
    assert_eq!(alone.ask("isro").as_deref(), Some("ro"));
    let address = format!("127.0.0.1:{}", alone.client_port);
    let reader = Client::connector()
        .with_readonly(true)
        .with_detached()
        .connect(&address)
        .await
        .expect("a read-only session");
    let (data, _) = reader.get_data("/kept").await.expect("the data");
    assert_eq!(data, b"data");
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let refused = reader.create("/more", b"", &options).await;
    assert!(
        matches!(refused, Err(Error::NotReadOnly)),
        "a write without a quorum: {refused:?}"
    );
    let everything = Client::connector()
        .with_connection_timeout(Duration::from_secs(1))
        .with_session_timeout(Duration::from_secs(2))
        .connect(&address)
        .await;
    assert!(
        everything.is_err(),
        "a client that did not ask for reads alone got in"
    );

    ensemble.members[1].start();
    wait_for("the whole service", || {
        let mode = ensemble.members[0].mode()?;
        ["leader", "follower"]
            .contains(&mode.as_str())
            .then_some(())
    });
    let client = connect(&address).await;
    create(&client, "/more", b"").await.expect("a create");
}
