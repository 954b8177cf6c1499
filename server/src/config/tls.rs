//! The keys of TLS, `ssl.…` for clients and `ssl.quorum.…` for members.
//! Source: `X509Util.java`, `ClientX509Util.java`, `QuorumX509Util.java`.

use super::error::ConfigError;
use super::source::Settings;
use std::path::PathBuf;
use std::time::Duration;

type Result<T> = std::result::Result<T, ConfigError>;

/// How a key or trust store is written. Source: `KeyStoreFileType.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// PEM blocks.
    Pem,
    /// Java's own or PKCS#12: as in Java, either is read under the name of the other.
    JksOrPkcs12,
}

/// A store on the disk, and what opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub kind: StoreKind,
    /// The password, empty for none.
    pub password: String,
    /// The file with the password, which counts more.
    pub password_path: Option<PathBuf>,
}

impl std::fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreFile")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Whether the other side has to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// It is not asked.
    None,
    /// It may; one that is not trusted is refused.
    Want,
    /// It must.
    #[default]
    Need,
}

/// One side's TLS: clients, or the other members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSide {
    /// The own key and certificates.
    pub key_store: Option<StoreFile>,
    /// Whom to trust.
    pub trust_store: Option<StoreFile>,
    /// What is asked of whoever connects.
    pub client_auth: ClientAuth,
    /// `enabledProtocols` or `protocol`: TLS 1.2.
    pub tls12: bool,
    /// Likewise TLS 1.3.
    pub tls13: bool,
    /// `ciphersuites` as given; `None` for all there are.
    pub cipher_suites: Option<Vec<String>>,
    /// `hostnameVerification`: whoever we connect to has to be the host that was meant.
    pub verify_server_host: bool,
    /// `clientHostnameVerification`: whoever connects has to come from the host it names.
    pub verify_client_host: bool,
    /// `handshakeDetectionTimeoutMillis`: how long a connection may take to show whether it is TLS.
    pub detection_timeout: Duration,
    /// Handshakes under way at once.
    pub handshakes_max: usize,
}

/// How the two sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// `ssl.`
    Clients,
    /// `ssl.quorum.`
    Quorum,
}

impl Side {
    fn prefix(self) -> &'static str {
        match self {
            Side::Clients => "ssl.",
            Side::Quorum => "ssl.quorum.",
        }
    }
}

/// Java has no bound unless `netty.server.outstandingHandshake.limit` sets one. A handshake costs
/// some 50 kB and a millisecond of a processor, so this many are what a member can bear at once.
const HANDSHAKES_MAX: usize = 1000;

pub(super) fn side(s: &mut Settings, side: Side) -> Result<TlsSide> {
    let prefix = side.prefix();
    let key = |name: &str| format!("{prefix}{name}");
    for name in ["crl", "ocsp"] {
        if s.flag(&key(name), false)? {
            return Err(s.missing(
                &key(name),
                "asks for certificates to be looked up as revoked, which is not there",
            ));
        }
    }
    if let Some(supplier) = s.take(&key("context.supplier.class")) {
        return Err(supplier.wrong("names a Java class, and there is no Java machine here"));
    }
    // What they choose between is all the same here.
    for name in ["sslProvider", "authProvider", "allowReverseDnsLookup"] {
        let _ = s.take(&key(name));
    }
    let client_auth = match s.take(&key("clientAuth")) {
        None => ClientAuth::Need,
        Some(auth) => match auth.value.to_ascii_lowercase().as_str() {
            "" | "need" => ClientAuth::Need,
            "want" => ClientAuth::Want,
            "none" => ClientAuth::None,
            _ => return Err(auth.wrong(format!("`{}` must be need, want or none", auth.value))),
        },
    };
    let (tls12, tls13) = protocols(s, &key("enabledProtocols"), &key("protocol"))?;
    let cipher_suites = s.take(&key("ciphersuites")).map(|suites| {
        let names = suites.value.split(',').map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    });
    let verify_server_host = s.flag(&key("hostnameVerification"), true)?;
    let verify_client = s.flag(&key("clientHostnameVerification"), side == Side::Quorum)?;
    let handshakes_max = match side {
        Side::Quorum => HANDSHAKES_MAX,
        Side::Clients => {
            let limit =
                s.number::<i32>("netty.server.outstandingHandshake.limit", (-1, i32::MAX))?;
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            limit.filter(|limit| *limit > 0).unwrap_or(HANDSHAKES_MAX)
        }
    };
    Ok(TlsSide {
        key_store: store(s, prefix, "keyStore")?,
        trust_store: store(s, prefix, "trustStore")?,
        client_auth,
        tls12,
        tls13,
        cipher_suites,
        verify_server_host,
        verify_client_host: verify_server_host && verify_client,
        detection_timeout: Duration::from_millis(s.number_or(
            &key("handshakeDetectionTimeoutMillis"),
            (1, 3_600_000),
            5000,
        )?),
        handshakes_max,
    })
}

/// Java's default is the newest alone on the client port; here 1.2 is spoken with those clients
/// that know nothing newer.
fn protocols(s: &mut Settings, enabled: &str, single: &str) -> Result<(bool, bool)> {
    let single = s.take(single);
    let Some(setting) = s.take(enabled).or(single) else {
        return Ok((true, true));
    };
    let names: Vec<&str> = setting.value.split(',').map(str::trim).collect();
    let tls12 = names.contains(&"TLSv1.2");
    let tls13 = names.contains(&"TLSv1.3");
    if names == ["TLS"] {
        return Ok((true, true));
    }
    if !tls12 && !tls13 {
        return Err(setting.wrong(format!(
            "`{}` has neither TLSv1.2 nor TLSv1.3, and there is nothing older here",
            setting.value
        )));
    }
    Ok((tls12, tls13))
}

fn store(s: &mut Settings, prefix: &str, what: &str) -> Result<Option<StoreFile>> {
    let key = |name: &str| format!("{prefix}{what}.{name}");
    let kind = s.take(&key("type"));
    let password = s.take(&key("password")).map(|setting| setting.value);
    let password_path = s.text(&key("passwordPath")).map(PathBuf::from);
    let Some(location) = s.take(&key("location")).filter(|at| !at.value.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(&location.value);
    let (named, from) = match &kind {
        Some(kind) if !kind.value.is_empty() => (kind.value.to_ascii_uppercase(), kind),
        _ => {
            let extension = path.extension().map(|e| e.to_string_lossy().into_owned());
            (
                extension.unwrap_or_default().to_ascii_uppercase(),
                &location,
            )
        }
    };
    let kind = match named.as_str() {
        "PEM" => StoreKind::Pem,
        "JKS" | "PKCS12" | "P12" | "PFX" => StoreKind::JksOrPkcs12,
        "BCFKS" => {
            return Err(from.wrong("BCFKS stores can't be read; JKS, PKCS12 and PEM ones can"));
        }
        _ => {
            return Err(from.wrong(format!(
                "`{}` does not tell how the store is written; {} must be JKS, PKCS12 or PEM",
                from.value,
                key("type")
            )));
        }
    };
    Ok(Some(StoreFile {
        path,
        kind,
        password: password.unwrap_or_default(),
        password_path,
    }))
}
