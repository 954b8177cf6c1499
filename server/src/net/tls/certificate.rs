//! What is asked of a certificate besides what rustls asks.

use crate::auth::x509::rfc2253;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

/// The parts of a certificate that are looked at.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    parsed: X509Certificate<'a>,
}

impl<'a> Parts<'a> {
    /// `None` where it is no certificate.
    pub(super) fn of(certificate: &'a CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        rest.is_empty().then_some(Parts { parsed })
    }

    /// The subject as Java writes it.
    pub(super) fn subject(&self) -> String {
        rfc2253(self.parsed.subject())
    }

    /// The subject's bytes.
    pub(super) fn subject_der(&self) -> &[u8] {
        self.parsed.subject().as_raw()
    }

    /// The issuer's bytes.
    pub(super) fn issuer_der(&self) -> &[u8] {
        self.parsed.issuer().as_raw()
    }

    /// Whether the certificate is of the first version, without extensions. Java takes these;
    /// rustls does not.
    pub(super) fn is_version_1(&self) -> bool {
        self.parsed.version() == X509Version::V1
    }

    /// Whether it is good at that time: `Err(true)` where it is no more, `Err(false)` where it is
    /// not yet.
    pub(super) fn valid_at(&self, now: UnixTime) -> Result<(), bool> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = self.parsed.validity();
        if now > validity.not_after.timestamp() {
            Err(true)
        } else if now < validity.not_before.timestamp() {
            Err(false)
        } else {
            Ok(())
        }
    }

    /// Its public key.
    pub(super) fn public_key_info(&self) -> SubjectPublicKeyInfoDer<'_> {
        SubjectPublicKeyInfoDer::from(self.parsed.public_key().raw)
    }

    /// The key's bits, without what tells its kind.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.parsed.public_key().subject_public_key.data
    }

    /// The content of the key's AlgorithmIdentifier.
    pub(super) fn key_algorithm(&self) -> Option<&[u8]> {
        let (info, _) = content(self.parsed.public_key().raw)?;
        Some(content(info)?.0)
    }

    /// What is signed.
    pub(super) fn signed(&self) -> &[u8] {
        self.parsed.tbs_certificate.as_ref()
    }

    /// The signature over it.
    pub(super) fn signature(&self) -> &[u8] {
        &self.parsed.signature_value.data
    }

    /// The content of the signature's AlgorithmIdentifier.
    pub(super) fn signature_algorithm<'c>(certificate: &'c CertificateDer<'_>) -> Option<&'c [u8]> {
        let (outer, _) = content(certificate)?;
        let (_, behind_signed) = content(outer)?;
        Some(content(behind_signed)?.0)
    }
}

/// The content of the first value of DER, and what stands behind it.
fn content(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *first < 0x80 {
        return rest.split_at_checked(usize::from(*first));
    }
    let count = usize::from(*first & 0x7f);
    if count > 4 {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(count)?;
    let len = digits
        .iter()
        .fold(0, |len, digit| len << 8 | usize::from(*digit));
    rest.split_at_checked(len)
}
