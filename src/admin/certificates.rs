//! Certificates and their keys, as Kong checks them (kong/db/schema/typedefs.lua, kong/db/schema/entities/certificates.lua).

use logphase_config::schema::is_vault_reference;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys};
use serde_json::{Map, Value, json};

use super::error::{ApiError, ApiResult};
use super::kind::Kind;

const NOT_A_CERTIFICATE: &str = "invalid certificate: not a PEM certificate";

/// Checks the certificates of `entity`, which is of `kind`. A CA certificate gets its digest.
///
/// # Errors
/// A certificate or a key is none, or they do not belong together.
pub(super) fn check(kind: &Kind, entity: &mut Map<String, Value>) -> ApiResult<()> {
    match kind.name {
        "certificates" => {
            let mut fields = Map::new();
            for (certificate, key) in [("cert", "key"), ("cert_alt", "key_alt")] {
                check_pair(entity, certificate, key, &mut fields);
            }
            if fields.is_empty() { Ok(()) } else { Err(ApiError::schema(Value::Object(fields))) }
        }
        "ca_certificates" => add_digest(entity),
        _ => Ok(()),
    }
}

/// Checks a certificate and its key, and writes what is wrong to `fields`. References to vaults are not read here.
fn check_pair(entity: &Map<String, Value>, certificate: &str, key: &str, fields: &mut Map<String, Value>) {
    let pem = |name: &str| entity.get(name).and_then(Value::as_str).filter(|text| !is_vault_reference(text));
    let chain = pem(certificate).map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()));
    // A key with a passphrase cannot be read without it.
    let readable = entity.get("passphrase").is_none_or(Value::is_null);
    let secret = pem(key).filter(|_| readable).map(|pem| PrivateKeyDer::from_pem_slice(pem.as_bytes()));
    if matches!(chain, Some(Err(_))) {
        fields.insert(certificate.to_owned(), NOT_A_CERTIFICATE.into());
    }
    if matches!(secret, Some(Err(_))) {
        fields.insert(key.to_owned(), "invalid key: not a PEM private key".into());
    }
    let (Some(Ok(chain)), Some(Ok(secret))) = (chain, secret) else { return };
    // Keys of kinds that TLS does not use here are not compared.
    let Ok(secret) = any_supported_type(&secret) else { return };
    match CertifiedKey::new(vec![chain], secret).keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            fields.insert("@entity".to_owned(), json!(["certificate does not match key"]));
        }
        Err(Error::InvalidCertificate(CertificateError::BadEncoding)) => {
            fields.insert(certificate.to_owned(), NOT_A_CERTIFICATE.into());
        }
        _ => {}
    }
}

/// Adds the SHA-256 of a CA certificate, as Kong computes it.
fn add_digest(entity: &mut Map<String, Value>) -> ApiResult<()> {
    let pem = entity.get("cert").and_then(Value::as_str).unwrap_or_default();
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
        return Err(ApiError::schema(json!({ "cert": NOT_A_CERTIFICATE })));
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    entity.insert("cert_digest".to_owned(), digest.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::kind;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn refused(name: &str, entity: Value) -> Value {
        let Value::Object(mut entity) = entity else { panic!("no object") };
        let kind = kind::find(name).expect("a kind");
        check(kind, &mut entity).map_or_else(|error| error.body["fields"].clone(), |()| Value::Null)
    }

    /// Scenario: a certificate with its key, with another one's, with no PEM, with references to vaults. Guarantees: each is judged as
    /// Kong does.
    #[test]
    fn judges_pairs() {
        let ((cert, key), (_, other)) = (pair(), pair());
        assert_eq!(refused("certificates", json!({"cert": cert, "key": key})), Value::Null);
        let mismatch = json!({"@entity": ["certificate does not match key"]});
        assert_eq!(refused("certificates", json!({"cert": cert, "key": other})), mismatch);
        let fields = refused("certificates", json!({"cert": "x", "key": "y"}));
        assert_eq!(fields, json!({"cert": NOT_A_CERTIFICATE, "key": "invalid key: not a PEM private key"}));
        let reference = json!({"cert": "{vault://env/cert}", "key": "{vault://env/key}", "cert_alt": null});
        assert_eq!(refused("certificates", reference), Value::Null);
        assert_eq!(refused("ca_certificates", json!({"cert": "x"})), json!({"cert": NOT_A_CERTIFICATE}));
    }
}
