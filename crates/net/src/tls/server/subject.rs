//! Who a client is, by its certificate: the subject, as text (RFC 4514).

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::tls::x509::{OBJECT_IDENTIFIER, SEQUENCE, SET, element, elements};

/// Tags of texts.
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;

/// The keywords of RFC 4514 (section 3) and that of a serial number, each with its object identifier as it is in a certificate.
const KEYWORDS: [(&str, &[u8]); 10] = [
    ("CN", &[0x55, 4, 3]),
    ("SERIALNUMBER", &[0x55, 4, 5]),
    ("C", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("STREET", &[0x55, 4, 9]),
    ("O", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("UID", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1]),
    ("DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25]),
];

/// The subject of `certificate`, such as `CN=edge.example.com,O=Example`. If it is empty, the first of its alternative names.
pub fn subject(certificate: &CertificateDer<'_>) -> String {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return "an unreadable certificate".to_owned() };
    let subject = distinguished_name(certificate.subject()).filter(|name| !name.is_empty());
    subject
        .or_else(|| certificate.valid_dns_names().next().map(str::to_owned))
        .or_else(|| certificate.valid_uri_names().next().map(str::to_owned))
        .unwrap_or_else(|| "a certificate without a name".to_owned())
}

/// The text of a name: the part that is written last in the certificate comes first.
fn distinguished_name(name: &[u8]) -> Option<String> {
    // Some readers keep the header of the sequence.
    let name = match element(name) {
        Some((SEQUENCE, content, [])) => content,
        _ => name,
    };
    let mut text = String::new();
    for set in elements(name, SET)?.into_iter().rev() {
        for (at, attribute) in elements(set, SEQUENCE)?.into_iter().enumerate() {
            if at > 0 {
                text.push('+');
            } else if !text.is_empty() {
                text.push(',');
            }
            write_attribute(attribute, &mut text)?;
        }
    }
    Some(text)
}

fn write_attribute(attribute: &[u8], text: &mut String) -> Option<()> {
    let (OBJECT_IDENTIFIER, identifier, value) = element(attribute)? else { return None };
    let (tag, content, []) = element(value)? else { return None };
    let readable = matches!(tag, UTF8_STRING | PRINTABLE_STRING | TELETEX_STRING | IA5_STRING);
    let value_text = str::from_utf8(content).ok().filter(|_| readable);
    let keyword = KEYWORDS.iter().find(|(_, known)| *known == identifier);
    match keyword {
        Some((keyword, _)) => text.push_str(keyword),
        None => text.push_str(&dotted(identifier)),
    }
    text.push('=');
    match value_text {
        Some(value) => write_escaped(value, text),
        None => {
            text.push('#');
            for byte in value {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
    Some(())
}

fn write_escaped(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        let special = matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (at == 0 && matches!(character, ' ' | '#'))
            || (at == last && character == ' ');
        if special {
            text.push('\\');
            text.push(character);
        } else if character.is_ascii_control() {
            let _ = write!(text, "\\{:02x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
}

/// An object identifier in numbers.
fn dotted(identifier: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number: u64 = 0;
    for byte in identifier {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(std::mem::take(&mut number));
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(hosts: &[&str], name: &[(DnType, &str)]) -> CertificateDer<'static> {
        let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in name {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    /// Scenario: certificates with a subject of several parts, with characters that have to be escaped, with an attribute without a keyword, with
    /// alternative names alone, with nothing. Guarantees: each is named as RFC 4514 writes it.
    #[test]
    fn subjects() {
        let name = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "A, B & \"C\""),
            (DnType::CommonName, "edge.example.com"),
        ];
        assert_eq!(subject(&certificate(&["x.example"], &name)), r#"CN=edge.example.com,O=A\, B & \"C\",C=DE"#);
        let custom = [(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "#a b ")];
        assert_eq!(subject(&certificate(&[], &custom)), r"1.2.840.113549.1.9.1=\#a b\ ");
        assert_eq!(subject(&certificate(&["first.example", "second.example"], &[])), "first.example");
        assert_eq!(subject(&certificate(&[], &[])), "a certificate without a name");
        assert_eq!(subject(&CertificateDer::from(vec![1, 2, 3])), "an unreadable certificate");
        assert_eq!(subject(&certificate(&[], &[(DnType::CommonName, "a\nb")])), r"CN=a\0ab");
    }

    proptest! {
        /// Scenario: any bytes as a name. Guarantees: none makes the reader panic.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = distinguished_name(&bytes);
        }

        /// Scenario: elements of DER in each other, with any tags and contents. Guarantees: none makes the reader panic.
        #[test]
        fn any_elements(parts in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..5)) {
            let wrap = |tag: u8, content: Vec<u8>| [vec![tag, content.len() as u8], content].concat();
            let attribute: Vec<u8> = parts.into_iter().flat_map(|(tag, content)| wrap(tag, content)).collect();
            let _ = distinguished_name(&wrap(SET, wrap(SEQUENCE, attribute)));
        }
    }
}
