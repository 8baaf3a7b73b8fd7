//! One definition per setting: [`settings_record!`] makes a record's type and its schema of the same rows.

use std::time::Duration;

use serde_json::Value;

use logphase_config::schema::{Check, Default, Field};

pub(crate) use super::queue::seconds;

/// Defines a record of settings: the struct that holds the values, the schema that they are read by, and which of them
/// take effect only at the start.
///
/// Each row is the setting's documentation, which the list of variables and README.md show too, perhaps a mark, its name,
/// its type, and a [`Field`] with all that the schema needs beside these. The marks are `@restart`, for a setting that a
/// reload cannot change, and `@record`, for a record that contains such settings. A member that is no setting can follow in `hidden`.
macro_rules! settings_record {
    (
        $(#[$attribute:meta])*
        pub struct $record:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)+)])?
                $(@$mark:ident)? $name:ident: $ty:ty = $field:expr;
            )*
            $(hidden { $(#[doc = $hidden_doc:literal])+ $hidden:ident: $hidden_ty:ty })?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        pub struct $record {
            $(
                $(#[doc = $doc])+
                $(#[serde($($serde)+)])?
                pub $name: $ty,
            )*
            $(
                $(#[doc = $hidden_doc])+
                #[serde(skip)]
                pub $hidden: $hidden_ty,
            )?
        }

        impl $record {
            /// The fields of its schema.
            pub(crate) const FIELDS: &[logphase_config::schema::Field] = &[$(
                $crate::options::record::setting(stringify!($name), stringify!($ty), concat!($($doc),+), $field),
            )*];
            /// Its schema.
            #[allow(dead_code, reason = "a record that is part of another has no schema of its own")]
            pub(crate) const RECORD: &logphase_config::schema::Record =
                &logphase_config::schema::Record::new(Self::FIELDS);
        }

        impl $crate::options::Restart for $record {
            #[allow(unused_variables, reason = "not every record has settings that need a restart")]
            fn changed(&self, new: &Self, path: &str, names: &mut Vec<String>) {
                $($crate::options::record::settings_record!(@changed $($mark)? self $name new path names);)*
            }
        }
    };
    (@changed $this:ident $name:ident $new:ident $path:ident $names:ident) => {};
    (@changed restart $this:ident $name:ident $new:ident $path:ident $names:ident) => {
        if $this.$name != $new.$name {
            $names.push(format!("{}{}", $path, stringify!($name)));
        }
    };
    (@changed record $this:ident $name:ident $new:ident $path:ident $names:ident) => {
        let path = format!("{}{}.", $path, stringify!($name));
        $crate::options::Restart::changed(&$this.$name, &$new.$name, &path, $names);
    };
}
pub(crate) use settings_record;

/// The field of a setting with the Rust type `ty`, which says whether it is secret.
pub(crate) const fn setting(name: &'static str, ty: &str, about: &'static str, field: Field) -> Field {
    Field { name, secret: field.secret || mentions(ty.as_bytes(), b"Secret"), ..field }.about(about)
}

const fn mentions(text: &[u8], word: &[u8]) -> bool {
    let mut start = 0;
    while start + word.len() <= text.len() {
        let mut at = 0;
        while at < word.len() && text[start + at] == word[at] {
            at += 1;
        }
        if at == word.len() {
            return true;
        }
        start += 1;
    }
    false
}

/// An address, `HOST:PORT`.
pub(crate) const ADDRESS: Field = Field::string("").checks(&[Check::Custom(address)]);

/// A name that requests may use for this service.
pub(crate) const ALLOWED_HOST: Field = Field::string("").checks(&[Check::Custom(crate::connections::allowed_host)]);

/// Any text, as an element of lists and maps.
pub(crate) const TEXT: Field = Field::string("");

/// A switch.
pub(crate) const fn boolean(default: bool) -> Field {
    Field::boolean("").required().default(Default::Boolean(default))
}

/// One of `choices`.
pub(crate) const fn choice(default: &'static str, checks: &'static [Check]) -> Field {
    Field::string("").required().default(Default::String(default)).checks(checks)
}

/// A list, empty by default.
pub(crate) const fn list(element: &'static Field) -> Field {
    Field::array("", element).required().default(Default::Strings(&[]))
}

/// A size in bytes, of at least one.
pub(crate) const fn size(default: i64) -> Field {
    Field::size("").required().default(Default::Integer(default)).checks(&[Check::GreaterThan(0.0)])
}

/// A whole number.
pub(crate) const fn count(default: i64, checks: &'static [Check]) -> Field {
    Field::integer("").required().default(Default::Integer(default)).checks(checks)
}

/// A duration; `default` in seconds.
pub(crate) const fn duration(default: i64, checks: &'static [Check]) -> Field {
    Field::duration("").required().default(Default::Integer(default)).checks(checks)
}

/// A number of milliseconds as a duration.
pub(crate) fn milliseconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count / 1000.0).unwrap_or(Duration::MAX)
}

/// `HOST:PORT`; the host is a name, an address, or an IPv6 address in brackets.
fn address(value: &Value) -> Result<(), String> {
    let invalid = || Err("expected HOST:PORT, like 127.0.0.1:9080 or [::1]:9080".to_owned());
    let Some((host, port)) = value.as_str().and_then(|text| text.rsplit_once(':')) else { return invalid() };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
    };
    if valid && port.parse::<u16>().is_ok() { Ok(()) } else { invalid() }
}
