//! What of a certificate can be read without trusting it (X.509, RFC 5280), in DER (X.690).

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version and the extensions of a certificate, which versions before the third lack.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// `id-ce-basicConstraints`.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// A certificate of any version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The last second in which it is valid, in seconds since 1970.
    pub not_after: i64,
    /// Its public key as `SubjectPublicKeyInfo`, with the header.
    pub public_key: &'a [u8],
    /// The object identifier of the kind of its key, without the header.
    pub key_kind: &'a [u8],
    /// Whether it says that it is one of an authority.
    pub is_authority: bool,
}

impl<'a> Certificate<'a> {
    /// Reads `certificate`, which is in DER; `None` if it is none.
    pub fn read(certificate: &'a [u8]) -> Option<Self> {
        let (SEQUENCE, certificate, []) = element(certificate)? else { return None };
        let (SEQUENCE, mut fields, _) = element(certificate)? else { return None };
        if let (VERSION, _, rest) = element(fields)? {
            fields = rest;
        }
        let (_serial, fields) = of_tag(INTEGER, fields)?;
        let (_signature, fields) = of_tag(SEQUENCE, fields)?;
        let (_issuer, fields) = of_tag(SEQUENCE, fields)?;
        let (validity, fields) = of_tag(SEQUENCE, fields)?;
        let (_subject, key) = of_tag(SEQUENCE, fields)?;
        let (info, mut rest) = of_tag(SEQUENCE, key)?;
        let (algorithm, _) = of_tag(SEQUENCE, info)?;
        let (key_kind, _) = of_tag(OBJECT_IDENTIFIER, algorithm)?;
        let public_key = &key[..key.len() - rest.len()];
        let mut is_authority = false;
        while let Some((tag, content, after)) = element(rest) {
            if tag == EXTENSIONS {
                is_authority = says_authority(of_tag(SEQUENCE, content)?.0)?;
            }
            rest = after;
        }
        let (_, _, not_after) = element(validity)?;
        Some(Self { not_after: time(not_after)?, public_key, key_kind, is_authority })
    }
}

/// Whether the basic constraints among `extensions` say that the certificate is one of an authority.
fn says_authority(extensions: &[u8]) -> Option<bool> {
    for extension in elements(extensions, SEQUENCE)? {
        let (identifier, mut rest) = of_tag(OBJECT_IDENTIFIER, extension)?;
        if identifier != BASIC_CONSTRAINTS {
            continue;
        }
        if let (BOOLEAN, _critical, after) = element(rest)? {
            rest = after;
        }
        let (constraints, _) = of_tag(SEQUENCE, of_tag(OCTET_STRING, rest)?.0)?;
        return Some(matches!(element(constraints), Some((BOOLEAN, [value], _)) if *value != 0));
    }
    Some(false)
}

/// The time in `bytes`, in seconds since 1970. Certificates have no other forms than `YYMMDDHHMMSSZ` and `YYYYMMDDHHMMSSZ` (RFC 5280,
/// section 4.1.2.5).
fn time(bytes: &[u8]) -> Option<i64> {
    let (tag, content, _) = element(bytes)?;
    let digits = content.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { year + 2000 } else { year + 1900 }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    // Days from the first of March, after which months have the same lengths in every year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const DAYS_BEFORE_1970: i64 = 719_468;
    Some(((days - DAYS_BEFORE_1970) * 24 + hour) * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// The content of the first element of `bytes`, whose tag is `tag`, and what follows it.
pub(super) fn of_tag(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The first element of `bytes`: its tag, its content, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (length, rest) =
            rest.split_at_checked(usize::from(length & 0x7f)).filter(|(length, _)| length.len() <= 4)?;
        (length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The contents of the elements in `bytes`, which all have the tag `tag`.
pub(super) fn elements(mut bytes: &[u8], tag: u8) -> Option<Vec<&[u8]>> {
    let mut contents = Vec::new();
    while !bytes.is_empty() {
        let (content, rest) = of_tag(tag, bytes)?;
        contents.push(content);
        bytes = rest;
    }
    Some(contents)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PublicKeyData, date_time_ymd};
    use rustls::pki_types::CertificateDer;

    use super::*;

    fn made(is_ca: IsCa, year: i32) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.not_after = date_time_ymd(year, 3, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().der().clone(), key)
    }

    /// Scenario: a certificate of an authority, others that are none, years in both forms of times. Guarantees: what is read is what they were made of.
    #[test]
    fn what_certificates_say() {
        let (certificate, key) = made(IsCa::Ca(BasicConstraints::Unconstrained), 2000);
        let read = Certificate::read(&certificate).unwrap();
        assert!(read.is_authority);
        assert_eq!(read.not_after, 951_868_800, "date -u -d 2000-03-01 +%s");
        assert_eq!(read.public_key, key.subject_public_key_info());
        let (certificate, _) = made(IsCa::Ca(BasicConstraints::Constrained(0)), 2060);
        let read = Certificate::read(&certificate).unwrap();
        assert!(read.is_authority);
        assert_eq!(read.not_after, 2_845_324_800, "date -u -d 2060-03-01 +%s");
        for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
            assert!(!Certificate::read(&made(is_ca, 2030).0).unwrap().is_authority);
        }
    }

    proptest! {
        /// Scenario: any bytes, and certificates with any byte replaced or any end missing. Guarantees: none makes the reader panic.
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let _ = Certificate::read(&bytes);
            let (certificate, _) = made(IsCa::NoCa, 2030);
            let mut changed = certificate.to_vec();
            let at = at.index(changed.len());
            changed[at] = byte;
            let _ = Certificate::read(&changed);
            changed.truncate(at);
            let _ = Certificate::read(&changed);
        }
    }
}
