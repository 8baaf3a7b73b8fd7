//! Conditions in the router language.

use std::sync::LazyLock;

use atc_router::ast::{Expression, Type, Value};
use atc_router::context::{Context, Match};
use atc_router::interpreter::Execute;
use atc_router::schema::Schema;

use super::super::field::Field;
use super::super::language::{for_each_predicate, read_for};
use super::super::request::Request;
use super::entity_text;
use logphase_script::transaction::Transaction;

/// The fields of routes' expressions, without `net.protocol` and `tls.sni`, and those of entities.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = Schema::default();
    for name in ["http.method", "http.host", "http.path", "http.path.segments.*", "http.headers.*", "http.queries.*"] {
        schema.add_field(name, Type::String);
    }
    for name in ["net.src.port", "net.dst.port", "http.path.segments.len"] {
        schema.add_field(name, Type::Int);
    }
    for name in ["net.src.ip", "net.dst.ip"] {
        schema.add_field(name, Type::IpAddr);
    }
    for (entity, member) in ENTITIES {
        schema.add_field(&format!("{entity}.{member}"), Type::String);
    }
    schema.add_field("kong.ctx.shared.*", Type::String);
    schema
});

const ENTITIES: &[(&str, &str)] = &[
    ("consumer", "id"),
    ("consumer", "username"),
    ("consumer", "custom_id"),
    ("route", "id"),
    ("route", "name"),
    ("service", "id"),
    ("service", "name"),
];

/// What a predicate reads.
#[derive(Debug)]
enum Source {
    Request(Field),
    Entity(&'static str, &'static str),
    Shared(String),
}

impl Source {
    fn of(name: &str) -> Option<Self> {
        if let Some(key) = name.strip_prefix("kong.ctx.shared.") {
            return Some(Self::Shared(key.to_owned()));
        }
        let entity = ENTITIES.iter().find(|(entity, member)| name == format!("{entity}.{member}"));
        entity.map(|(entity, member)| Self::Entity(entity, member)).or_else(|| Field::of(name).map(Self::Request))
    }

    fn values(&self, transaction: &Transaction, request: &Request<'_>, mut add: impl FnMut(Value)) {
        let text = match self {
            Self::Request(field) => return field.values(request, add),
            Self::Entity(entity, member) => entity_text(transaction, entity, member),
            Self::Shared(key) => transaction.context("shared").and_then(|shared| {
                let value = shared.get(key)?;
                Some(value.text().map_or_else(|| String::from_utf8_lossy(value.raw()).into_owned(), Into::into))
            }),
        };
        text.into_iter().for_each(|text| add(Value::String(text)));
    }
}

/// An expression, and what it reads.
#[derive(Debug)]
pub(super) struct Compiled {
    expression: Expression,
    sources: Vec<(String, Source)>,
}

impl Compiled {
    /// `None` if `text` is not an expression of this language.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut expression = read_for(text, &SCHEMA, |name| Source::of(name).is_some()).ok()?;
        let mut sources: Vec<(String, Source)> = Vec::new();
        for_each_predicate(&mut expression, &mut |predicate| {
            let name = &predicate.lhs.var_name;
            if !sources.iter().any(|(known, _)| known == name)
                && let Some(source) = Source::of(name)
            {
                sources.push((name.clone(), source));
            }
        });
        Some(Self { expression, sources })
    }

    pub(super) fn holds(&self, transaction: &Transaction, request: &Request<'_>) -> bool {
        let mut context = Context::new(&SCHEMA);
        for (name, source) in &self.sources {
            source.values(transaction, request, |value| context.add_value(name, value));
        }
        self.expression.execute(&mut context, &mut Match::new())
    }
}
