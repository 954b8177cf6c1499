//! Who a client is. Source: `ZooKeeperServer.java` processPacket and processSasl,
//! `AuthenticationHelper.java`, and the providers named at each scheme.

use super::connection::{CloseReason, ConnState, Connection, IDENTITIES_MAX};
use super::settings::AuthSettings;
use crate::auth::digest_md5::{CLIENTS, Exchange, Refused, Reply};
use crate::ids::{Xid, Zxid};
use crate::jute::{Reader, Record, text};
use crate::proto::auth::AuthPacket;
use crate::proto::reply::{Frame, write_bare_reply};
use crate::proto::{ErrorCode, Id};
use base64::Engine as _;
use std::net::IpAddr;
use tracing::{info, warn};

/// Random bytes in a challenge; in base 64 as many characters as the JDK's.
const NONCE_BYTES: usize = 30;

/// An address as Java prints it: IPv6 without its shortenings, IPv4-mapped as IPv4.
/// Source: `Inet6Address.getHostAddress`.
pub(crate) fn host_address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let parts: Vec<String> = ip
                .segments()
                .iter()
                .map(|part| format!("{part:x}"))
                .collect();
            parts.join(":")
        }
    }
}

/// The name to show for an identity. Source: `AuthenticationProvider.java` getUserName.
pub(crate) fn user_name(id: &Id) -> &str {
    match id.scheme.as_str() {
        "digest" => id.id.split(':').next().unwrap_or_default(),
        "ip" | "sasl" | "x509" => &id.id,
        // `world`, `super` and unknown schemes have no provider, so no name.
        _ => "",
    }
}

/// What is proven by a scheme and what was said with it, wherever it was said; `None` where that is
/// nothing. Source: `DigestAuthenticationProvider.java`, `IPAuthenticationProvider.java`.
pub(crate) fn identities(
    settings: &AuthSettings,
    scheme: &str,
    proof: &[u8],
    ip: IpAddr,
) -> Option<Vec<Id>> {
    match scheme {
        "digest" if settings.digest_enabled => {
            let digest = settings.digest_algorithm.id_of(&text(proof));
            let mut ids = Vec::new();
            if settings.current_super_digest().as_deref() == Some(digest.as_str()) {
                ids.push(Id::new("super", ""));
            }
            ids.push(Id::new("digest", digest));
            Some(ids)
        }
        "ip" => Some(vec![Id::new("ip", host_address(ip))]),
        _ => None,
    }
}

/// What a packet of the operation `auth` comes to.
enum Verdict {
    /// These are proven now.
    Proven(Vec<Id>),
    /// It proves nothing: the client has to know, and goes.
    Failed,
    /// The client means another ensemble: it goes without a word, to try another server.
    OtherEnsemble,
}

fn judge(settings: &AuthSettings, packet: &AuthPacket, ip: IpAddr, known: &[Id]) -> Verdict {
    if let Some(ids) = identities(settings, &packet.scheme, &packet.auth, ip) {
        return Verdict::Proven(ids);
    }
    match packet.scheme.as_str() {
        // The certificate was looked at when it came, so there is nothing to add.
        // Source: X509AuthenticationProvider.java.
        "x509" if known.iter().any(|id| id.scheme == "x509") => Verdict::Proven(Vec::new()),
        // Source: EnsembleAuthenticationProvider.java.
        "ensemble" if settings.ensemble_enabled => {
            let name = String::from_utf8_lossy(&packet.auth);
            let known = settings.ensemble_names.as_ref();
            let matches = known.is_none_or(|known| known.iter().any(|known| *known == name));
            if name.is_empty() || matches {
                Verdict::Proven(Vec::new())
            } else {
                Verdict::OtherEnsemble
            }
        }
        _ => Verdict::Failed,
    }
}

impl ConnState {
    /// Adds identities; false where that would be too many.
    pub(crate) fn add_identities(&mut self, ids: Vec<Id>) -> bool {
        let mut all = self.auth.to_vec();
        for id in ids {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        if all.len() > IDENTITIES_MAX {
            return false;
        }
        self.auth = all.into();
        true
    }

    /// Whether the client has proven one of the schemes that are asked of it.
    pub(super) fn is_authenticated(&self, settings: &AuthSettings) -> bool {
        settings.enforced_schemes.as_ref().is_none_or(|schemes| {
            let proven = |id: &Id| schemes.contains(&id.scheme);
            self.auth.iter().any(proven)
        })
    }

    /// Refuses a request of a client that has proven nothing.
    pub(super) fn refuse_unauthenticated(&mut self, connection: &Connection, xid: Xid) {
        warn!(peer = %connection.peer, session = %self.session,
            "closing a client's connection: it has proven none of enforce.auth.schemes");
        self.fail_authentication(xid, ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH);
    }

    fn fail_authentication(&mut self, xid: Xid, error: ErrorCode) {
        write_bare_reply(&mut self.out, xid, Zxid::ZERO, error);
        self.out_packets += 1;
        self.close(CloseReason::AuthFailed);
    }

    /// Serves the operation `auth`. The reply does not wait for earlier requests.
    pub(super) fn authenticate(
        &mut self,
        settings: &AuthSettings,
        connection: &Connection,
        xid: Xid,
        body: &[u8],
    ) {
        let Ok(packet) = AuthPacket::read(&mut Reader::new(body)) else {
            self.close(CloseReason::BadPacket);
            return;
        };
        let peer = connection.peer;
        let proven = match judge(settings, &packet, peer.ip(), &self.auth) {
            Verdict::Proven(ids) => self.add_identities(ids),
            Verdict::Failed => false,
            Verdict::OtherEnsemble => {
                warn!(%peer, "closing a client's connection: it means another ensemble (ensembleAuthName)");
                self.close(CloseReason::AuthFailed);
                return;
            }
        };
        if proven {
            write_bare_reply(&mut self.out, xid, Zxid::ZERO, ErrorCode::OK);
            self.out_packets += 1;
        } else {
            info!(%peer, scheme = %packet.scheme.escape_debug(), "a client's credentials are refused");
            self.fail_authentication(xid, ErrorCode::AUTH_FAILED);
        }
    }

    /// Serves the operation `sasl`. Without users to log in, Java answers every token with none.
    pub(super) fn sasl(
        &mut self,
        settings: &AuthSettings,
        connection: &Connection,
        xid: Xid,
        body: &[u8],
    ) {
        let Ok(Some(token)) = Reader::new(body).buffer_or_null() else {
            self.close(CloseReason::BadPacket);
            return;
        };
        let Some(users) = settings.current_sasl_users() else {
            self.sasl_reply(xid, ErrorCode::OK, None);
            return;
        };
        let exchange = match &mut self.sasl {
            Some(exchange) => exchange,
            none => match nonce() {
                Ok(nonce) => none.insert(Box::new(Exchange::new(CLIENTS, nonce))),
                Err(error) => {
                    warn!(%error, "no random numbers for a challenge");
                    self.close(CloseReason::AuthFailed);
                    return;
                }
            },
        };
        match exchange.respond(&users, token) {
            Ok(Reply::Challenge(challenge)) => {
                self.sasl_reply(xid, ErrorCode::OK, Some(&challenge));
            }
            Ok(Reply::Proven { user, message }) => {
                info!(peer = %connection.peer, session = %self.session, user = %user.escape_debug(),
                    "a client has logged in by SASL");
                let is_super = settings.sasl_super_users.contains(&user);
                let mut ids = vec![Id::new("sasl", user)];
                if is_super {
                    ids.push(Id::new("super", ""));
                }
                if self.add_identities(ids) {
                    self.sasl_reply(xid, ErrorCode::OK, Some(&message));
                } else {
                    self.fail_authentication(xid, ErrorCode::AUTH_FAILED);
                }
            }
            Err(refused) => self.refuse_sasl(settings, connection, xid, &refused),
        }
    }

    fn refuse_sasl(
        &mut self,
        settings: &AuthSettings,
        connection: &Connection,
        xid: Xid,
        refused: &Refused,
    ) {
        let required = settings
            .enforced_schemes
            .as_ref()
            .is_some_and(|schemes| schemes.iter().any(|scheme| scheme == "sasl"));
        warn!(peer = %connection.peer, session = %self.session, reason = %refused.to_string().escape_debug(),
            "a client has failed to log in by SASL");
        if settings.allow_sasl_failed_clients && !required {
            self.sasl_reply(xid, ErrorCode::OK, None);
            return;
        }
        let error = if required {
            ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH
        } else {
            ErrorCode::AUTH_FAILED
        };
        self.sasl_reply(xid, error, None);
        self.close(CloseReason::AuthFailed);
    }

    /// Source: `zookeeper.jute` SetSASLResponse, which stands behind an error too.
    fn sasl_reply(&mut self, xid: Xid, error: ErrorCode, token: Option<&[u8]>) {
        let frame = Frame::reply(&mut self.out, xid, Zxid::ZERO, error);
        self.out.buffer_or_null(token);
        frame.end(&mut self.out);
        self.out_packets += 1;
    }
}

/// What nobody can guess, and what comes once.
fn nonce() -> rustix::io::Result<String> {
    let mut bytes = [0; NONCE_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}
