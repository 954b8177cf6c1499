//! `cargo xtask up`: from a fresh clone to a Ready three-member ensemble; and `down`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::cluster::{self, Cluster};
use crate::image::{self, Image};
use crate::kubectl::Target;
use crate::progress::{Progress, Step};
use crate::project::{IMAGE, Project};
use crate::run;

/// Where the chart is installed.
const OPERATOR_NAMESPACE: &str = "zookeeper-operator-system";

/// The Helm release and the Deployment that it makes.
const RELEASE: &str = "zookeeper-operator";

/// The example that is applied.
const EXAMPLE: &str = "deploy/examples/small.yaml";

/// The resource that the example makes, in the namespace `default`.
const EXAMPLE_NAME: &str = "demo";

/// An ensemble is Ready within seconds; a slow machine that pulls an image takes minutes.
const READY_MAX: Duration = Duration::from_secs(300);

/// What `up` is asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpOptions {
    /// Use this context of your kubeconfig instead of a local cluster
    #[arg(long)]
    context: Option<String>,
    /// Push the image to this registry, for a cluster that is not kind's, k3d's or minikube's
    #[arg(long, requires = "context")]
    registry: Option<String>,
    /// Stop when the cluster runs and has the image
    #[arg(long)]
    cluster_only: bool,
    /// With --cluster-only: without building the image
    #[arg(long, requires = "cluster_only", conflicts_with = "context")]
    no_image: bool,
    /// Stop when the operator runs
    #[arg(long)]
    no_example: bool,
    /// Keep the local cluster's data in memory: faster, for tests
    #[arg(long, conflicts_with = "context")]
    memory: bool,
}

/// Does what `up` promises; run again, it is quick.
pub(crate) fn up(
    project: &Project,
    progress: &Progress,
    instance: &str,
    options: &UpOptions,
) -> Result<()> {
    let (target, image) = match &options.context {
        Some(name) => {
            let target = Target::context(project, progress, name)?;
            let image = image::build(project, progress)?;
            let reference = give_to_context(progress, name, options.registry.as_deref(), &image)?;
            Target::remember_context(project, instance, name)?;
            (target, reference)
        }
        None => {
            let cluster = Cluster::up(project, progress, instance, options.memory)?;
            Target::forget_context(project, instance)?;
            if options.no_image {
                return Ok(());
            }
            let image = image::build(project, progress)?;
            give_to_local(progress, &cluster, &image)?;
            (Target::local(&cluster), image.unique_reference)
        }
    };
    if options.cluster_only {
        return Ok(());
    }
    install_operator(project, progress, &target, &image)?;
    if options.no_example {
        return Ok(());
    }
    apply_example(project, progress, &target, &image)?;
    show(&target, instance)
}

fn give_to_local(progress: &Progress, cluster: &Cluster, image: &Image) -> Result<()> {
    let marker = cluster.dir().join("image-id");
    if fs::read_to_string(&marker).is_ok_and(|id| id == image.id) {
        return Ok(());
    }
    progress.step(&format!("Import {}", image.unique_reference), |_| {
        cluster.import(&image.tar)
    })?;
    fs::write(&marker, &image.id).with_context(|| format!("write {}", marker.display()))
}

/// Brings the image into the user's cluster and returns the name it has there.
fn give_to_context(
    progress: &Progress,
    context: &str,
    registry: Option<&str>,
    image: &Image,
) -> Result<String> {
    if let Some(registry) = registry {
        let tag = image
            .unique_reference
            .rsplit(':')
            .next()
            .unwrap_or("latest");
        let name = IMAGE.rsplit('/').next().unwrap_or(IMAGE);
        let reference = format!("{}/{name}:{tag}", registry.trim_end_matches('/'));
        progress.step(&format!("Push {reference}"), |_| push(image, &reference))?;
        return Ok(reference);
    }
    let Some(mut load) = load_command(context, image) else {
        bail!(
            "{context} is no context of kind, k3d or minikube: name a registry that it pulls \
             from with --registry"
        );
    };
    progress.step(
        &format!("Load {} into {context}", image.unique_reference),
        |_| run::run(&mut load),
    )?;
    Ok(image.unique_reference.clone())
}

/// The command by which the maker of a context takes an image, told by the context's name.
fn load_command(context: &str, image: &Image) -> Option<Command> {
    let tar = image.tar.to_string_lossy().into_owned();
    let (program, arguments) = if let Some(name) = context.strip_prefix("kind-") {
        (
            "kind",
            vec![
                "load".into(),
                "image-archive".into(),
                tar,
                format!("--name={name}"),
            ],
        )
    } else if let Some(name) = context.strip_prefix("k3d-") {
        (
            "k3d",
            vec![
                "image".into(),
                "import".into(),
                tar,
                format!("--cluster={name}"),
            ],
        )
    } else if context == "minikube" {
        ("minikube", vec!["image".into(), "load".into(), tar])
    } else {
        return None;
    };
    let mut command = Command::new(program);
    command.args(arguments);
    Some(command)
}

/// Pushes with the first of skopeo, docker and podman that the machine has.
fn push(image: &Image, reference: &str) -> Result<()> {
    if run::find("skopeo").is_some() {
        let from = format!(
            "docker-archive:{}:{}",
            image.tar.display(),
            image.unique_reference
        );
        return run::run(Command::new("skopeo").args([
            "copy",
            &from,
            &format!("docker://{reference}"),
        ]));
    }
    let Some(engine) = ["docker", "podman"]
        .into_iter()
        .find(|engine| run::find(engine).is_some())
    else {
        bail!("to push the image install skopeo, docker or podman");
    };
    run::run(
        Command::new(engine)
            .args(["load", "--input"])
            .arg(&image.tar),
    )?;
    run::run(Command::new(engine).args(["tag", &image.unique_reference, reference]))?;
    run::run(Command::new(engine).args(["push", reference]))
}

fn install_operator(
    project: &Project,
    progress: &Progress,
    target: &Target,
    image: &str,
) -> Result<()> {
    let (repository, tag) = image
        .rsplit_once(':')
        .context("an image's name has a tag")?;
    progress.step("Install the operator", |_| {
        run::run(
            target
                .helm()
                .args(["upgrade", "--install", RELEASE])
                .arg(project.chart())
                .args(["--namespace", OPERATOR_NAMESPACE, "--create-namespace"])
                .args(["--set-string", &format!("image.repository={repository}")])
                .args(["--set-string", &format!("image.tag={tag}")]),
        )?;
        let seconds = READY_MAX.as_secs();
        run::run(target.kubectl().args([
            "rollout",
            "status",
            &format!("deployment/{RELEASE}"),
            &format!("--namespace={OPERATOR_NAMESPACE}"),
            &format!("--timeout={seconds}s"),
        ]))
    })
}

fn apply_example(
    project: &Project,
    progress: &Progress,
    target: &Target,
    image: &str,
) -> Result<()> {
    progress.step("Apply the example", |_| {
        run::run(
            target
                .kubectl()
                .args(["apply", "--filename"])
                .arg(project.root.join(EXAMPLE)),
        )
    })?;
    progress.step("Wait until the ensemble is Ready", |step| {
        wait_until_ready(target, image, step)
    })
}

fn wait_until_ready(target: &Target, image: &str, step: &Step) -> Result<()> {
    let deadline = Instant::now() + READY_MAX;
    loop {
        let resource = get(target, "zookeeperclusters.zookeeper.ensemble.dev")?.unwrap_or_default();
        let seen = Readiness::of(&resource);
        // Members of an earlier image are Ready too, until the operator gets round to them.
        let rolled = match get(target, "statefulsets.apps")? {
            Some(set) => !resource["spec"]["image"].is_null() || runs(&set, image),
            None => false,
        };
        if seen.ready && rolled {
            return Ok(());
        }
        step.detail(&seen.text);
        if Instant::now() > deadline {
            bail!(
                "{EXAMPLE_NAME} is not Ready after {} s: {}\nlook at: cargo xtask kubectl describe \
                 zk {EXAMPLE_NAME}",
                READY_MAX.as_secs(),
                seen.text
            );
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// The example's object of a kind, if it is there.
fn get(target: &Target, kind: &str) -> Result<Option<Value>> {
    let text = run::output(target.kubectl().args([
        "get",
        kind,
        EXAMPLE_NAME,
        "--namespace=default",
        "--ignore-not-found",
        "--output=json",
    ]))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let value = serde_json::from_str(&text).context("read what kubectl prints")?;
    Ok(Some(value))
}

/// Whether every pod of a StatefulSet is of its latest template, and that one has the image.
fn runs(set: &Value, image: &str) -> bool {
    let containers = set["spec"]["template"]["spec"]["containers"].as_array();
    let asked =
        containers.is_some_and(|all| all.iter().any(|container| container["image"] == image));
    let status = &set["status"];
    asked
        && status["observedGeneration"] == set["metadata"]["generation"]
        && status["updatedReplicas"] == set["spec"]["replicas"]
}

/// How far a resource is, from its status.
#[derive(Debug, PartialEq, Eq)]
struct Readiness {
    ready: bool,
    text: String,
}

impl Readiness {
    fn of(resource: &Value) -> Readiness {
        let status = &resource["status"];
        let condition = status["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
        // A status that an older generation left says nothing of what was asked for since.
        let current = status["observedGeneration"] == resource["metadata"]["generation"];
        let count = |name: &str| status[name].as_u64().unwrap_or(0);
        let message = condition
            .and_then(|condition| condition["message"].as_str())
            .unwrap_or("no status yet");
        Readiness {
            ready: current && condition.is_some_and(|condition| condition["status"] == "True"),
            text: format!(
                "{} of {} members ready, {message}",
                count("readyReplicas"),
                count("replicas")
            ),
        }
    }
}

fn show(target: &Target, instance: &str) -> Result<()> {
    let table = run::output(target.kubectl().args([
        "get",
        "zookeeperclusters.zookeeper.ensemble.dev,pods",
        "--namespace=default",
    ]))?;
    let option = match instance {
        crate::DEFAULT_INSTANCE => String::new(),
        other => format!(" --instance {other}"),
    };
    println!("{table}");
    println!("in the cluster:    {EXAMPLE_NAME}-client.default.svc:2181");
    println!(
        "on this machine:   cargo xtask{option} kubectl port-forward service/{EXAMPLE_NAME}-client 2181"
    );
    println!("kubectl:           cargo xtask{option} kubectl get zk");
    println!("to end it:         cargo xtask{option} down");
    Ok(())
}

/// Takes away what `up` made.
pub(crate) fn down(project: &Project, progress: &Progress, instance: &str) -> Result<()> {
    if let Some(name) = Target::remembered_context(project, instance) {
        let target = Target::context(project, progress, &name)?;
        remove_from_context(project, progress, &target)?;
        return Target::forget_context(project, instance);
    }
    cluster::down(project, progress, instance)
}

fn remove_from_context(project: &Project, progress: &Progress, target: &Target) -> Result<()> {
    progress.step("Remove the example and the operator", |_| {
        let example: PathBuf = project.root.join(EXAMPLE);
        let crd = run::succeeds(target.kubectl().args([
            "get",
            "crd",
            "zookeeperclusters.zookeeper.ensemble.dev",
        ]));
        if crd {
            run::run(
                target
                    .kubectl()
                    .args(["delete", "--ignore-not-found", "--filename"])
                    .arg(example),
            )?;
        }
        run::run(target.helm().args([
            "uninstall",
            RELEASE,
            "--ignore-not-found",
            "--namespace",
            OPERATOR_NAMESPACE,
        ]))
    })?;
    progress.note("the CRD and kept volumes stay: other ensembles of the cluster may use them");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image() -> Image {
        Image {
            tar: "/t/zookeeper.tar".into(),
            id: "id".into(),
            unique_reference: "ensemble.dev/zookeeper:1-abc".into(),
        }
    }

    #[test]
    fn the_context_s_name_tells_who_takes_the_image() {
        let shown = |context| load_command(context, &image()).map(|command| run::shown(&command));
        assert_eq!(
            shown("kind-dev").as_deref(),
            Some("kind load image-archive /t/zookeeper.tar --name=dev")
        );
        assert_eq!(
            shown("k3d-dev").as_deref(),
            Some("k3d image import /t/zookeeper.tar --cluster=dev")
        );
        assert_eq!(
            shown("minikube").as_deref(),
            Some("minikube image load /t/zookeeper.tar")
        );
        assert_eq!(shown("production"), None);
    }

    #[test]
    fn members_of_an_earlier_image_do_not_count() {
        let mut set = json!({
            "metadata": {"generation": 2},
            "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "a:2"}]}}},
            "status": {"observedGeneration": 2, "updatedReplicas": 2},
        });
        assert!(!runs(&set, "a:2"), "one pod is of the earlier template");
        set["status"]["updatedReplicas"] = json!(3);
        assert!(runs(&set, "a:2"));
        assert!(!runs(&set, "a:3"), "the operator has not asked for it yet");
    }

    #[test]
    fn a_status_of_an_older_generation_is_not_ready() {
        let mut resource = json!({
            "metadata": {"generation": 2},
            "status": {
                "observedGeneration": 1, "readyReplicas": 3, "replicas": 3,
                "conditions": [{"type": "Ready", "status": "True", "message": "all serve"}],
            },
        });
        assert!(!Readiness::of(&resource).ready);
        resource["status"]["observedGeneration"] = json!(2);
        let seen = Readiness::of(&resource);
        assert!(seen.ready);
        assert_eq!(seen.text, "3 of 3 members ready, all serve");
        assert!(!Readiness::of(&json!({"metadata": {"generation": 1}})).ready);
    }
}
