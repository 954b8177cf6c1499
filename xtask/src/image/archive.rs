//! A one-layer image in the format of `docker save`, the same bytes for the same content.

use anyhow::{Context, Result};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::hash;

/// The user and group of the image: no one on any machine, and never root.
const USER: u64 = 10_001;

/// One file or directory of the layer.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    path: String,
    mode: u32,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A root-owned file, so that the user can't change the program it runs.
    Program(Vec<u8>),
    /// A directory that belongs to the image's user.
    Directory,
}

impl Entry {
    /// An executable in the root of the image.
    pub(crate) fn program(path: &str, content: Vec<u8>) -> Entry {
        Entry {
            path: path.to_owned(),
            mode: 0o755,
            kind: Kind::Program(content),
        }
    }

    /// A directory in the root of the image that its user writes to.
    pub(crate) fn directory(path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            mode: 0o750,
            kind: Kind::Directory,
        }
    }
}

/// A layer and the configuration that goes with it.
#[derive(Debug)]
pub(crate) struct Archive {
    layer: Vec<u8>,
    config: Vec<u8>,
}

impl Archive {
    /// Lays the entries into one layer that starts `entrypoint`; directories become volumes.
    pub(crate) fn new(entries: &[Entry], entrypoint: &str) -> Result<Archive> {
        let layer = layer(entries)?;
        let volumes: serde_json::Map<String, serde_json::Value> = entries
            .iter()
            .filter(|entry| matches!(entry.kind, Kind::Directory))
            .map(|entry| (format!("/{}", entry.path), json!({})))
            .collect();
        let mut settings = json!({
            "User": format!("{USER}:{USER}"),
            "Entrypoint": [entrypoint],
            "WorkingDir": "/",
        });
        if !volumes.is_empty() {
            settings["Volumes"] = volumes.into();
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            // A fixed time keeps the image's id a function of its content.
            "created": "1970-01-01T00:00:00Z",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hash::hex(&layer))]},
        });
        Ok(Archive {
            config: config.to_string().into_bytes(),
            layer,
        })
    }

    /// The image's id: the SHA-256 of its configuration, which names the layer's.
    pub(crate) fn id(&self) -> String {
        hash::hex(&self.config)
    }

    /// The docker-archive with the given `name:tag` references.
    pub(crate) fn to_tar(&self, references: &[&str]) -> Result<Vec<u8>> {
        let config_name = format!("{}.json", self.id());
        let layer_name = format!("{}.tar", hash::hex(&self.layer));
        let manifest =
            json!([{"Config": config_name, "RepoTags": references, "Layers": [layer_name]}]);
        let mut tar = Builder::new(Vec::new());
        for (name, content) in [
            (config_name.as_str(), self.config.as_slice()),
            (layer_name.as_str(), self.layer.as_slice()),
            ("manifest.json", manifest.to_string().as_bytes()),
        ] {
            append(&mut tar, name, EntryType::Regular, 0o644, 0, content)?;
        }
        tar.into_inner().context("end the image's archive")
    }
}

fn layer(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        match &entry.kind {
            Kind::Program(content) => {
                append(
                    &mut tar,
                    &entry.path,
                    EntryType::Regular,
                    entry.mode,
                    0,
                    content,
                )?;
            }
            Kind::Directory => {
                let name = format!("{}/", entry.path);
                append(&mut tar, &name, EntryType::Directory, entry.mode, USER, &[])?;
            }
        }
    }
    tar.into_inner().context("end the image's layer")
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    name: &str,
    kind: EntryType,
    mode: u32,
    owner: u64,
    content: &[u8],
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content)
        .with_context(|| format!("add {name} to an image"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn image() -> Archive {
        let entries = [
            Entry::program("zookeeper-server", b"elf".to_vec()),
            Entry::directory("data"),
        ];
        Archive::new(&entries, "/zookeeper-server").expect("an archive in memory")
    }

    fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tar);
        let mut files = BTreeMap::new();
        for entry in archive.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a path").to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            files.insert(name, content);
        }
        files
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let references = ["a/b:1"];
        assert_eq!(
            image().to_tar(&references).expect("a tar"),
            image().to_tar(&references).expect("a tar")
        );
        let other = Archive::new(&[Entry::program("zookeeper-server", b"new".to_vec())], "/x")
            .expect("made");
        assert_ne!(image().id(), other.id());
    }

    #[test]
    fn the_manifest_names_the_configuration_the_layer_and_every_reference() {
        let tar = image().to_tar(&["a/b:1", "a/b:1-x"]).expect("a tar");
        let files = files(&tar);
        let manifest: serde_json::Value =
            serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        assert_eq!(manifest[0]["RepoTags"], json!(["a/b:1", "a/b:1-x"]));
        let config = &files[manifest[0]["Config"].as_str().expect("a name")];
        let layer = &files[manifest[0]["Layers"][0].as_str().expect("a name")];
        let config: serde_json::Value = serde_json::from_slice(config).expect("JSON");
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            format!("sha256:{}", hash::hex(layer))
        );
    }

    #[test]
    fn the_image_runs_as_a_user_who_owns_only_the_volumes() {
        let tar = image().to_tar(&["a/b:1"]).expect("a tar");
        let files = files(&tar);
        let manifest: serde_json::Value =
            serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        let config: serde_json::Value =
            serde_json::from_slice(&files[manifest[0]["Config"].as_str().expect("a name")])
                .expect("JSON");
        assert_eq!(config["config"]["User"], "10001:10001");
        assert_eq!(config["config"]["Volumes"], json!({"/data": {}}));
        let layer = &files[manifest[0]["Layers"][0].as_str().expect("a name")];
        let mut owners = BTreeMap::new();
        for entry in tar::Archive::new(layer.as_slice())
            .entries()
            .expect("a tar")
        {
            let entry = entry.expect("an entry");
            let header = entry.header();
            assert_eq!(header.mtime().expect("a time"), 0);
            owners.insert(
                entry.path().expect("a path").to_string_lossy().into_owned(),
                (header.uid().expect("a uid"), header.mode().expect("a mode")),
            );
        }
        assert_eq!(owners["zookeeper-server"], (0, 0o755));
        assert_eq!(owners["data/"], (10_001, 0o750));
    }
}
