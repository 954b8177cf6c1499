//! Writes of every kind through one member, accepted and refused.

use crate::Outcome;
use crate::client::{Intended, connect_by, connector, ensure, open};
use crate::ensemble::Ensemble;
use crate::member::Member;
use std::time::Duration;
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission};

/// A refusal is what was wanted.
fn refused<T: std::fmt::Debug>(what: &str, answer: Result<T, Error>, with: &Error) -> Outcome {
    match answer {
        Err(error) if error == *with => Ok(()),
        other => Err(format!("{what}: {other:?} in place of {with:?}")),
    }
}

/// Writes through `member` under a node of its own. The returned session is alive and owns
/// ephemerals.
pub(crate) async fn write_everything(member: &Member, round: &str) -> Outcome<Client> {
    let client = connect_by(connector, &member.address()).await?;
    let base = format!("/{round}-{}", member.id);
    write_below(&client, &base, &member.address())
        .await
        .intended(format!("writing through {member}"))?;
    Ok(client)
}

async fn write_below(client: &Client, base: &str, address: &str) -> Outcome {
    nodes(client, base).await?;
    acls(client, base).await?;
    multi(client, base).await?;
    sessions(client, base, address).await?;
    client.sync(base).await.intended("sync")
}

async fn nodes(client: &Client, base: &str) -> Outcome {
    ensure(client, base).await?;
    for number in 0..3 {
        let path = format!("{base}/data");
        let made = client.create(&path, b"first", &open(CreateMode::Persistent));
        if number == 0 {
            made.await.intended("create")?;
        } else {
            refused("create again", made.await, &Error::NodeExists)?;
        }
        client
            .set_data(&path, format!("{number}").as_bytes(), Some(number))
            .await
            .intended("setData")?;
    }
    let path = format!("{base}/data");
    refused(
        "setData of an old version",
        client.set_data(&path, b"late", Some(0)).await,
        &Error::BadVersion,
    )?;
    for (mode, name) in [
        (CreateMode::PersistentSequential, "sequential-"),
        (CreateMode::Ephemeral, "ephemeral"),
        (CreateMode::EphemeralSequential, "both-"),
        (CreateMode::Container, "container"),
    ] {
        let path = format!("{base}/{name}");
        client
            .create(&path, name.as_bytes(), &open(mode))
            .await
            .intended(format!("create {path}"))?;
    }
    client
        .create(
            &format!("{base}/container/child"),
            &[0, 255, 1],
            &open(CreateMode::Persistent),
        )
        .await
        .intended("create in a container")?;
    let lasting = open(CreateMode::Persistent).with_ttl(Duration::from_secs(600));
    client
        .create(&format!("{base}/lasting"), b"", &lasting)
        .await
        .intended("create with a time to live")?;
    refused(
        "create below an ephemeral",
        client
            .create(
                &format!("{base}/ephemeral/child"),
                b"",
                &open(CreateMode::Persistent),
            )
            .await,
        &Error::NoChildrenForEphemerals,
    )?;
    refused(
        "delete of a parent",
        client.delete(base, None).await,
        &Error::NotEmpty,
    )?;
    ensure(client, &format!("{base}/deleted")).await?;
    client
        .delete(&format!("{base}/deleted"), Some(0))
        .await
        .intended("delete")?;
    refused(
        "delete of nothing",
        client.delete(&format!("{base}/deleted"), None).await,
        &Error::NoNode,
    )
}

async fn acls(client: &Client, base: &str) -> Outcome {
    let path = format!("{base}/owned");
    client
        .create(
            &path,
            b"mine",
            &CreateMode::Persistent.with_acls(Acls::creator_all()),
        )
        .await
        .intended("create with an ACL")?;
    let readable = [
        Acl::new(Permission::ALL, AuthId::authed()),
        Acl::new(Permission::READ, AuthId::anyone()),
    ];
    client
        .set_acl(&path, &readable, Some(0))
        .await
        .intended("setACL")?;
    refused(
        "setACL of an old version",
        client.set_acl(&path, &readable, Some(0)).await,
        &Error::BadVersion,
    )
}

async fn multi(client: &Client, base: &str) -> Outcome {
    let persistent = open(CreateMode::Persistent);
    let made = format!("{base}/made-together");
    let mut writer = client.new_multi_writer();
    let prepared = writer
        .add_create(&made, b"1", &persistent)
        .and_then(|()| writer.add_create(&format!("{made}/child"), b"", &persistent))
        .and_then(|()| writer.add_set_data(&made, b"2", Some(0)))
        .and_then(|()| writer.add_check_version(&made, 1))
        .and_then(|()| writer.add_delete(&format!("{made}/child"), None));
    prepared.intended("prepare a multi")?;
    writer.commit().await.intended("multi")?;
    let mut writer = client.new_multi_writer();
    let prepared = writer
        .add_create(&format!("{base}/never"), b"", &persistent)
        .and_then(|()| writer.add_delete(&format!("{base}/nothing"), None))
        .and_then(|()| writer.add_set_data(&made, b"3", None));
    prepared.intended("prepare a multi")?;
    match writer.commit().await {
        Err(_) => Ok(()),
        Ok(results) => Err(format!("a multi that must be refused: {results:?}")),
    }
}

/// Sessions that are opened and closed while `client`'s goes on.
async fn sessions(client: &Client, base: &str, address: &str) -> Outcome {
    for number in 0..2 {
        let path = format!("{base}/closed-{number}");
        let other = connect_by(connector, address).await?;
        other
            .create(&path, b"", &open(CreateMode::Ephemeral))
            .await
            .intended("create in a session that is closed")?;
        drop(other);
        wait_until_gone(client, &path).await?;
    }
    Ok(())
}

/// Waits until a node is gone, as seen through `client`.
pub(crate) async fn wait_until_gone(client: &Client, path: &str) -> Outcome {
    let deadline = std::time::Instant::now() + crate::member::PATIENCE;
    while client.check_stat(path).await.intended(path)?.is_some() {
        if std::time::Instant::now() >= deadline {
            return Err(format!("{path} is still there"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Makes a container, uses it once, and a node with a short life; whoever leads takes them away,
/// and every member sees it.
pub(crate) async fn outlive(ensemble: &Ensemble) -> Outcome {
    let mut nodes = Vec::new();
    for member in &ensemble.members {
        let client = connect_by(connector, &member.address()).await?;
        let container = format!("/used-{}", member.id);
        let child = format!("{container}/child");
        let short = format!("/short-{}", member.id);
        let life = open(CreateMode::Persistent).with_ttl(Duration::from_millis(200));
        for (path, options) in [
            (&container, open(CreateMode::Container)),
            (&child, open(CreateMode::Persistent)),
            (&short, life),
        ] {
            client
                .create(path, b"", &options)
                .await
                .intended(format!("create {path} through {member}"))?;
        }
        client.delete(&child, None).await.intended("delete")?;
        nodes.extend([container, short]);
    }
    for member in &ensemble.members {
        let client = connect_by(connector, &member.address()).await?;
        for path in &nodes {
            wait_until_gone(&client, path).await.intended(member)?;
        }
    }
    Ok(())
}
