//! TLS for the connection that listens for notifications. `sslmode` and `sslrootcert` mean the same as for
//! libpq, which makes all other connections, because both read the same URL.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateCheck {
    /// No check (`prefer`, `require`). The connection is encrypted, but the server may be an impostor.
    Unchecked,
    /// The issuer is checked (`verify-ca`).
    Authority,
    /// The issuer and the host name are checked (`verify-full`).
    Host,
}

/// Builds the TLS configuration of a client with this check. `root_file` is the PEM file of trusted root
/// certificates.
///
/// # Errors
/// One line for the operator if the file is missing or cannot be used.
pub fn client(check: CertificateCheck, root_file: Option<&str>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusted = match (check, root_file) {
        (CertificateCheck::Unchecked, _) => None,
        (_, None) => return Err("sslmode=verify-ca and verify-full need sslrootcert=FILE".into()),
        (_, Some(file)) => Some(TrustedRoots::read(file, &provider)?),
    };
    let verifier = Arc::new(Verifier { check, trusted, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The root certificates that the operator named in `sslrootcert`.
#[derive(Debug)]
struct TrustedRoots {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl TrustedRoots {
    fn read(file: &str, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let unusable = |error: &dyn std::fmt::Display| format!("sslrootcert {file}: {error}");
        let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = read.map_err(|error| unusable(&error))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| unusable(&error))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| unusable(&error))?;
        Ok(Self { certificates, verifier })
    }
}

#[derive(Debug)]
struct Verifier {
    check: CertificateCheck,
    trusted: Option<TrustedRoots>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        // A self-signed server certificate that is listed in the file. libpq accepts it, webpki never does.
        if trusted.certificates.iter().any(|certificate| certificate == end_entity) {
            if self.check == CertificateCheck::Host {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match trusted.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki checks the host name last, so the rest of the certificate is valid.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == CertificateCheck::Authority => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
