//! The two servers to be put side by side.

use crate::Outcome;
use std::path::PathBuf;

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// Java's class path with Apache ZooKeeper on it.
    pub(crate) classpath: String,
    /// Our server's binary.
    pub(crate) server: PathBuf,
    /// Whether the long matrix is wanted.
    pub(crate) long: bool,
}

impl Environment {
    /// Reads the environment; what is missing is an error, never a reason to skip.
    pub(crate) fn read() -> Outcome<Self> {
        let read = |name: &str, what: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{name} is not set: it has to name {what}"))
        };
        let classpath = read(
            "INTEROP_JAVA_CLASSPATH",
            "the jars of Apache ZooKeeper, such as '/jars/*'; tests/interop/pom.xml gets them",
        )?;
        let server = PathBuf::from(read(
            "INTEROP_SERVER",
            "the zookeeper-server binary to be tested",
        )?);
        if !server.is_file() {
            return Err(format!(
                "INTEROP_SERVER names {}, which is no file",
                server.display()
            ));
        }
        if !has_zookeeper(&classpath) {
            return Err(format!(
                "INTEROP_JAVA_CLASSPATH is '{classpath}', and no jar of Apache ZooKeeper is there"
            ));
        }
        let long = match std::env::var("INTEROP_FORM").as_deref() {
            Err(_) | Ok("" | "short") => false,
            Ok("long") => true,
            Ok(other) => return Err(format!("INTEROP_FORM is '{other}', not short or long")),
        };
        Ok(Environment {
            classpath,
            server,
            long,
        })
    }
}

fn has_zookeeper(classpath: &str) -> bool {
    let is_the_jar = |name: &str| name.starts_with("zookeeper-") && name.ends_with(".jar");
    classpath.split(':').any(|entry| {
        let Some(directory) = entry.strip_suffix('*') else {
            return PathBuf::from(entry).is_file()
                && entry.rsplit('/').next().is_some_and(is_the_jar);
        };
        std::fs::read_dir(directory).is_ok_and(|files| {
            files
                .flatten()
                .any(|file| is_the_jar(&file.file_name().to_string_lossy()))
        })
    })
}
