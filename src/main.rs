//! The program `zookeeper-operator`.

use clap::{Args, Parser, Subcommand};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeSet;
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zookeeper_operator::controller::{self, Operator};
use zookeeper_operator::ensemble::Network;
use zookeeper_operator::lease::{Election, LeaseLost};
use zookeeper_operator::metrics::Metrics;
use zookeeper_operator::observe::HttpMembers;
use zookeeper_operator::valid::Settings;
use zookeeper_operator::{crd, web};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs ZooKeeper ensembles on Kubernetes and keeps their quorum.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reconcile ZooKeeperClusters until stopped.
    Run(Run),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

#[derive(Args)]
struct Run {
    /// Look after these namespaces only, separated by commas; without it, after all.
    #[arg(long, env = "WATCH_NAMESPACE", value_delimiter = ',')]
    watch_namespace: Vec<String>,
    /// The server image of clusters that name none.
    #[arg(long, env = "DEFAULT_SERVER_IMAGE", default_value = concat!("ensemble.dev/zookeeper:", env!("CARGO_PKG_VERSION")))]
    default_image: String,
    /// The DNS domain of the Kubernetes cluster.
    #[arg(long, env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// The namespace this operator runs in. It holds the Lease by which one of
    /// several operators works; without it there is no election.
    #[arg(long, env = "POD_NAMESPACE")]
    operator_namespace: Option<String>,
    /// This operator's name in the Lease and in Events.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// How logs look. Unset: text on a terminal, JSON elsewhere.
    #[arg(long, env = "LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// What is logged, such as `info` or `zookeeper_operator=debug,warn`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("print the CRD: {0}")]
    Yaml(#[from] serde_norway::Error),
    #[error("print the CRD: {0}")]
    Print(std::io::Error),
    #[error("--log-level '{0}' is not a filter: try 'info'")]
    LogLevel(String),
    #[error("start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("find the Kubernetes cluster: {0}. Set KUBECONFIG, or run inside of one")]
    Cluster(Box<kube::Error>),
    #[error("listen on {address}: {source}. Choose another with --listen")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("wait for signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Crd => crd::definition_yaml()
            .map_err(Failure::from)
            .and_then(|yaml| {
                std::io::stdout()
                    .write_all(yaml.as_bytes())
                    .map_err(Failure::Print)
            }),
        // It waits for others nearly all the time. With one thread, nothing that comes has to be
        // handed to another one, which costs more than looking at it.
        Command::Run(run) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::Runtime)
            .and_then(|runtime| runtime.block_on(operate(run))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("zookeeper-operator: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn log(run: &Run) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(&run.log_level).map_err(|_| Failure::LogLevel(run.log_level.clone()))?;
    let terminal = std::io::stderr().is_terminal();
    let format = run.log_format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(terminal).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

async fn operate(run: Run) -> Result<(), Failure> {
    log(&run)?;
    let stop = stop_signal()?;
    let client = kube::Client::try_default()
        .await
        .map_err(|error| Failure::Cluster(Box::new(error)))?;
    let metrics = Arc::new(Metrics::default());
    let listener = web::bind(run.listen)
        .await
        .map_err(|source| Failure::Listen {
            address: run.listen,
            source,
        })?;
    tokio::spawn(web::serve(listener, metrics.clone()));
    let settings = Settings {
        default_image: run.default_image.clone(),
        cluster_domain: run.cluster_domain.clone(),
        operator_namespace: run.operator_namespace.clone(),
    };
    let operator = Arc::new(Operator::new(
        client.clone(),
        settings,
        Arc::new(HttpMembers),
        Arc::new(Network),
        metrics,
        run.identity.clone(),
        Arc::new(Timestamp::now),
    ));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        default_image = run.default_image,
        "starting"
    );
    // An empty variable names none.
    let namespaces: BTreeSet<String> = run.watch_namespace.into_iter().collect();
    let namespaces: Vec<String> = namespaces.into_iter().filter(|n| !n.is_empty()).collect();
    let Some(lease_namespace) = &run.operator_namespace else {
        controller::run(operator, &namespaces, stop).await;
        return Ok(());
    };
    let identity = run
        .identity
        .unwrap_or_else(|| format!("process-{}", std::process::id()));
    let mut election = Election::new(client, lease_namespace, identity);
    let mut stop = Box::pin(stop);
    tokio::select! {
        () = &mut stop => return Ok(()),
        () = election.acquire() => {}
    }
    let lost = tokio::select! {
        () = controller::run(operator, &namespaces, stop) => None,
        lost = election.hold() => Some(lost),
    };
    match lost {
        Some(lost) => Err(lost.into()),
        None => {
            election.release().await;
            Ok(())
        }
    }
}

/// Ends at SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + Sync + 'static, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}
