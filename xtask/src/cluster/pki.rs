//! The cluster's keys, certificates, tokens and kubeconfigs.
//!
//! The API server and its calls to kubelets use certificates of the cluster's own authority; its
//! clients use tokens, which take no tool to make.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::addresses::{Addresses, NODES};
use crate::run;

/// Who may talk to the API server: name, user and group.
fn clients() -> Vec<(String, String, &'static str)> {
    let mut clients = vec![
        ("admin".to_owned(), "admin".to_owned(), "system:masters"),
        (
            "controller-manager".into(),
            "system:kube-controller-manager".into(),
            "system:masters",
        ),
        ("scheduler".into(), "system:kube-scheduler".into(), ""),
        (
            "proxy".into(),
            "system:kube-proxy".into(),
            "system:node-proxier",
        ),
        ("dns".into(), "system:coredns".into(), ""),
    ];
    for node in 1..=NODES {
        clients.push((
            format!("node{node}"),
            format!("system:node:node{node}"),
            "system:nodes",
        ));
    }
    clients
}

/// The folder of keys and kubeconfigs.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    dir: PathBuf,
}

impl Pki {
    /// Keys in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Pki {
        Pki { dir }
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    /// The kubeconfig of one client.
    pub(crate) fn kubeconfig(&self, client: &str) -> String {
        self.file(&format!("{client}.kubeconfig"))
    }

    /// Makes everything, once.
    pub(crate) fn make(&self, at: Addresses) -> Result<()> {
        let complete = self.dir.join("complete");
        if complete.exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir).with_context(|| format!("make {}", self.dir.display()))?;
        self.write("openssl.cnf", &openssl_config(at))?;
        self.certificate("ca", "/CN=local-cluster", false)?;
        self.certificate("apiserver", "/CN=kube-apiserver", true)?;
        self.certificate(
            "kubelet-client",
            "/O=system:masters/CN=kube-apiserver",
            true,
        )?;
        self.certificate("service-accounts", "/CN=service-accounts", true)?;
        let authority = fs::read(self.dir.join("ca.crt")).context("read the new authority")?;
        let mut tokens = String::new();
        for (client, user, group) in clients() {
            let token = random_token()?;
            tokens.push_str(&format!("{token},{user},{client},\"{group}\"\n"));
            let server = format!("https://{}:6443", at.control());
            let path = self.kubeconfig(&client);
            self.write(&path, &kubeconfig(&server, &authority, &token))?;
        }
        self.write("tokens.csv", &tokens)?;
        fs::write(&complete, "").with_context(|| format!("write {}", complete.display()))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("protect {}", path.display()))
    }

    fn certificate(&self, name: &str, subject: &str, signed: bool) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args([
                "-noenc",
                "-days",
                "3650",
                "-subj",
                subject,
                "-extensions",
                name,
            ])
            .args(["-config", "openssl.cnf"])
            .args([
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.crt"),
            ])
            .current_dir(&self.dir);
        if signed {
            openssl.args(["-CA", "ca.crt", "-CAkey", "ca.key"]);
        }
        run::run(&mut openssl)
    }
}

fn openssl_config(at: Addresses) -> String {
    format!(
        "[req]\n\
         distinguished_name = name\n\
         [name]\n\
         [ca]\n\
         basicConstraints = critical, CA:true\n\
         keyUsage = critical, keyCertSign, cRLSign, digitalSignature\n\
         subjectKeyIdentifier = hash\n\
         [apiserver]\n\
         extendedKeyUsage = serverAuth\n\
         subjectAltName = DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, \
         DNS:kubernetes.default.svc.cluster.local, DNS:localhost, IP:127.0.0.1, IP:{}, IP:{}\n\
         [kubelet-client]\n\
         extendedKeyUsage = clientAuth\n\
         [service-accounts]\n\
         keyUsage = digitalSignature\n",
        at.control(),
        at.api_service()
    )
}

fn kubeconfig(server: &str, authority: &[u8], token: &str) -> String {
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": {
            "server": server,
            "certificate-authority-data": base64(authority),
        }}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
        "users": [{"name": "local", "user": {"token": token}}],
    });
    format!("{text:#}\n")
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 24];
    File::open(Path::new("/dev/urandom"))
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Base64 of RFC 4648 section 4, which is how a kubeconfig carries a certificate.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= group.len() {
                char::from(DIGITS[index])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_rfc_shows() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_kubeconfig_names_its_server_and_is_valid_json() {
        let text = kubeconfig("https://198.18.0.1:6443", b"ca", "t");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            value["clusters"][0]["cluster"]["server"],
            "https://198.18.0.1:6443"
        );
        assert_eq!(value["current-context"], value["contexts"][0]["name"]);
    }

    #[test]
    fn every_node_has_an_identity_of_its_own() {
        let nodes: Vec<String> = clients()
            .into_iter()
            .filter(|client| client.2 == "system:nodes")
            .map(|client| client.1)
            .collect();
        assert_eq!(
            nodes,
            [
                "system:node:node1",
                "system:node:node2",
                "system:node:node3"
            ]
        );
    }
}
