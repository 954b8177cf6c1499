//! Whose certificates are good.
//!
//! rustls's own check (webpki) decides nearly all of it. Two things that Java lets pass and webpki
//! does not are let pass here, too, since people's ensembles live by them: a certificate that itself
//! stands in the trust store, whatever it says it is for (what `openssl req -x509` and `keytool
//! -genkeypair` make), and a certificate of version 1 right below a trusted one (kazoo's own tests
//! use these).

use super::certificate::Parts;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    RootCertStore, SignatureScheme,
};
use std::sync::Arc;

/// The certificates of a trust store.
#[derive(Debug)]
pub(super) struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// `None` where no certificate can be used.
    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        (added > 0).then_some(Trust {
            certificates,
            roots: Arc::new(roots),
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// Decides where webpki need not be asked; `None` where it has to be.
    fn decide(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Option<Result<(), Error>> {
        let Some(parts) = Parts::of(certificate) else {
            return Some(Err(CertificateError::BadEncoding.into()));
        };
        let trusted = self.certificates.iter().any(|known| known == certificate);
        if !trusted && !parts.is_version_1() {
            return None;
        }
        if let Err(expired) = parts.valid_at(now) {
            let error = if expired {
                CertificateError::Expired
            } else {
                CertificateError::NotValidYet
            };
            return Some(Err(error.into()));
        }
        if trusted || self.has_signed(certificate, &parts) {
            return Some(Ok(()));
        }
        Some(Err(CertificateError::UnknownIssuer.into()))
    }

    /// Whether one of ours has signed it.
    fn has_signed(&self, certificate: &CertificateDer<'_>, parts: &Parts<'_>) -> bool {
        let Some(signature_algorithm) = Parts::signature_algorithm(certificate) else {
            return false;
        };
        self.certificates
            .iter()
            .filter_map(Parts::of)
            .any(|issuer| {
                issuer.subject_der() == parts.issuer_der()
                    && self.algorithms.all.iter().any(|algorithm| {
                        algorithm.signature_alg_id().as_ref() == signature_algorithm
                            && verifies(*algorithm, &issuer, parts.signed(), parts.signature())
                    })
            })
    }

    /// Whether the holder of a version 1 certificate has signed the handshake of TLS 1.2.
    fn version_1_signature(
        &self,
        message: &[u8],
        parts: &Parts<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = self.algorithms.mapping.iter();
        let mut known = known.filter(|(scheme, _)| *scheme == signed.scheme);
        let Some((_, algorithms)) = known.next() else {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        };
        let mut algorithms = algorithms.iter();
        let good =
            algorithms.any(|algorithm| verifies(*algorithm, parts, message, signed.signature()));
        if good {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match Parts::of(certificate) {
            Some(parts) if parts.is_version_1() => {
                self.version_1_signature(message, &parts, signed)
            }
            _ => verify_tls12_signature(message, certificate, signed, &self.algorithms),
        }
    }

    fn tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match Parts::of(certificate) {
            Some(parts) if parts.is_version_1() => verify_tls13_signature_with_raw_key(
                message,
                &parts.public_key_info(),
                signed,
                &self.algorithms,
            ),
            _ => verify_tls13_signature(message, certificate, signed, &self.algorithms),
        }
    }
}

/// Whether the holder of a certificate's key has signed the message by that algorithm.
fn verifies(
    algorithm: &dyn SignatureVerificationAlgorithm,
    signer: &Parts<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    Some(algorithm.public_key_alg_id().as_ref()) == signer.key_algorithm()
        && algorithm
            .verify_signature(signer.public_key(), message, signature)
            .is_ok()
}

/// Checks whoever connects to us.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    trust: Trust,
    webpki: Arc<dyn ClientCertVerifier>,
    required: bool,
}

impl ClientVerifier {
    pub(super) fn new(
        trust: Trust,
        required: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let roots = Arc::clone(&trust.roots);
        let webpki = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(ClientVerifier {
            trust,
            webpki,
            required,
        })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.trust.decide(end_entity, now) {
            Some(decided) => decided.map(|()| ClientCertVerified::assertion()),
            None => self
                .webpki
                .verify_client_cert(end_entity, intermediates, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}
