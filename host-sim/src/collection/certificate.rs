//! The leader's certificate, which signs itself, and TLS 1.3 with it. Owners do not ask an authority: the task has its hash.

use std::{fs, path::Path, sync::Arc};

use ::ring::digest::{SHA256, digest};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    version::TLS13,
};
use zeroize::Zeroizing;

use crate::{
    data::{file::check_writable, key_file::write_new_text},
    error::Failure,
};

fn unmade(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("the certificate cannot be made: {error}"),
        "check that the machine gives random numbers",
    )
}

/// Makes a certificate, and writes it with its key to a new file that no other user may read. Returns its hash.
pub fn create(path: &Path) -> Result<[u8; 32], Failure> {
    check_writable(path)?;
    let key = KeyPair::generate().map_err(unmade)?;
    let mut params = CertificateParams::new([]).map_err(unmade)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "ringlet");
    let certificate = params.self_signed(&key).map_err(unmade)?;
    let text = Zeroizing::new(certificate.pem() + &Zeroizing::new(key.serialize_pem()));
    write_new_text(path, &text)?;
    Ok(hash(certificate.der()))
}

fn unread(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("{} holds no certificate: {why}", path.display()),
        "make one with `ringlet collect certificate`",
    )
}

fn text(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = fs::read(path).map_err(|error| unread(path, error))?;
    Ok(Zeroizing::new(text))
}

fn certificate(path: &Path, text: &[u8]) -> Result<CertificateDer<'static>, Failure> {
    CertificateDer::from_pem_slice(text).map_err(|error: pem::Error| unread(path, error))
}

/// SHA-256 of a certificate.
pub fn hash(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, certificate).as_ref());
    hash
}

/// The hash of the certificate in a file, which may hold its key too.
pub fn hash_of(path: &Path) -> Result<[u8; 32], Failure> {
    Ok(hash(&certificate(path, &text(path)?)?))
}

/// TLS of the leader with the certificate in a file, which must have this hash.
pub fn server(path: &Path, wanted: [u8; 32]) -> Result<Arc<ServerConfig>, Failure> {
    let text = text(path)?;
    let certificate = certificate(path, &text)?;
    if hash(&certificate) != wanted {
        return Err(Failure::new(
            format!("the certificate in {} is not the task's", path.display()),
            "give the one for which the task was made",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| unread(path, error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unread(path, error))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|error| unread(path, error))?;
    // Owners come once. Tickets would take more bytes than they save.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Accepts the certificate with a hash, and no other.
#[derive(Debug)]
struct Pinned {
    hash: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match hash(certificate) == self.hash {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::General(
                "its certificate is not the task's".to_owned(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 is needed".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

/// TLS of an owner, to a leader whose certificate has this hash.
pub fn client(hash: [u8; 32]) -> Result<Arc<ClientConfig>, Failure> {
    let provider = Arc::new(ring::default_provider());
    let pinned = Pinned {
        hash,
        provider: provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(unmade)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    // The hash says who the leader is. Its name would take bytes.
    config.enable_sni = false;
    Ok(Arc::new(config))
}
