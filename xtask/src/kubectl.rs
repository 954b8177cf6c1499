//! kubectl and Helm against the cluster that `up` uses.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::progress::Progress;
use crate::project::Project;
use crate::run;
use crate::tools::Tools;

/// The cluster that `up` used last.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A cluster of the user's, by the name of its kubeconfig context.
    Context {
        name: String,
        kubectl: PathBuf,
        helm: PathBuf,
    },
    /// The local cluster.
    Local {
        kubeconfig: PathBuf,
        kubectl: PathBuf,
        helm: PathBuf,
    },
}

impl Target {
    /// The cluster that the instance's last `up` used.
    pub(crate) fn current(
        project: &Project,
        progress: &Progress,
        instance: &str,
    ) -> Result<Target> {
        match Target::remembered_context(project, instance) {
            Some(name) => Target::context(project, progress, &name),
            None => Ok(Target::local(&Cluster::existing(project, instance)?)),
        }
    }

    /// The local cluster.
    pub(crate) fn local(cluster: &Cluster) -> Target {
        Target::Local {
            kubeconfig: cluster.kubeconfig(),
            kubectl: cluster.tool("kubectl"),
            helm: cluster.tool("helm"),
        }
    }

    /// A cluster of the user's, with the user's tools where there are any.
    pub(crate) fn context(project: &Project, progress: &Progress, name: &str) -> Result<Target> {
        let (kubectl, helm) = match (run::find("kubectl"), run::find("helm")) {
            (Some(kubectl), Some(helm)) => (kubectl, helm),
            (kubectl, helm) => {
                let tools = Tools::ready(project, progress).context(
                    "install kubectl and helm, or Go so that they can be built from their modules",
                )?;
                (
                    kubectl.unwrap_or_else(|| tools.path("kubectl")),
                    helm.unwrap_or_else(|| tools.path("helm")),
                )
            }
        };
        Ok(Target::Context {
            name: name.to_owned(),
            kubectl,
            helm,
        })
    }

    /// The context that the instance stands for, if it is no local cluster.
    pub(crate) fn remembered_context(project: &Project, instance: &str) -> Option<String> {
        let text = fs::read_to_string(context_file(project, instance)).ok()?;
        Some(text.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// Lets `kubectl`, `helm` and `down` find the user's cluster again.
    pub(crate) fn remember_context(project: &Project, instance: &str, name: &str) -> Result<()> {
        let path = context_file(project, instance);
        fs::create_dir_all(&project.state)
            .with_context(|| format!("make {}", project.state.display()))?;
        fs::write(&path, name).with_context(|| format!("write {}", path.display()))
    }

    /// Ends what [`Target::remember_context`] began.
    pub(crate) fn forget_context(project: &Project, instance: &str) -> Result<()> {
        let path = context_file(project, instance);
        match path.exists() {
            true => fs::remove_file(&path).with_context(|| format!("remove {}", path.display())),
            false => Ok(()),
        }
    }

    /// kubectl against the cluster.
    pub(crate) fn kubectl(&self) -> Command {
        match self {
            Target::Context { name, kubectl, .. } => {
                let mut command = Command::new(kubectl);
                command.arg(format!("--context={name}"));
                command
            }
            // By the environment, so that kubectl still finds its plugins by the first argument.
            Target::Local {
                kubeconfig,
                kubectl,
                ..
            } => with_config(kubectl, kubeconfig),
        }
    }

    /// Helm against the cluster.
    pub(crate) fn helm(&self) -> Command {
        match self {
            Target::Context { name, helm, .. } => {
                let mut command = Command::new(helm);
                command.arg(format!("--kube-context={name}"));
                command
            }
            Target::Local {
                kubeconfig, helm, ..
            } => with_config(helm, kubeconfig),
        }
    }
}

fn with_config(program: &Path, kubeconfig: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", kubeconfig);
    command
}

fn context_file(project: &Project, instance: &str) -> PathBuf {
    project.state.join(format!("{instance}.context"))
}

/// Becomes the command with the user's arguments; returns only when that fails.
pub(crate) fn become_command(mut command: Command, arguments: &[OsString]) -> Result<()> {
    let failure = command.args(arguments).exec();
    bail!("start {}: {failure}", run::shown(&command))
}
