//! Expressions of the router's language: reading and checking them.
//!
//! The `atc-router` crate, which is Kong's own, reads and evaluates them; what is here keeps hostile text from it.

use std::sync::LazyLock;

use atc_router::ast::{Expression, LogicalExpression, Predicate, Type, Value};
use atc_router::parser;
use atc_router::schema::Schema;
use atc_router::semantics::Validate;

use super::field::Field;

/// Maximum bytes of an expression.
const MAX_BYTES: usize = 1 << 20;
/// Maximum levels of parentheses: reading and evaluating are recursive.
const MAX_PARENTHESES: usize = 100;

/// Which router an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subsystem {
    /// Requests: http, https, grpc and grpcs.
    Http,
    /// L4 sessions: tcp, tls, tls_passthrough and udp.
    Stream,
}

impl Subsystem {
    /// The fields that its expressions can use.
    pub(super) fn schema(self) -> &'static Schema {
        match self {
            Self::Http => &HTTP,
            Self::Stream => &STREAM,
        }
    }
}

/// The fields of both (kong/router/fields.lua).
const COMMON: &[(&str, Type)] = &[
    ("net.protocol", Type::String),
    ("tls.sni", Type::String),
    ("net.src.ip", Type::IpAddr),
    ("net.src.port", Type::Int),
    ("net.dst.ip", Type::IpAddr),
    ("net.dst.port", Type::Int),
];

const OF_REQUESTS: &[(&str, Type)] = &[
    ("http.method", Type::String),
    ("http.host", Type::String),
    ("http.path", Type::String),
    ("http.path.segments.len", Type::Int),
    ("http.path.segments.*", Type::String),
    ("http.headers.*", Type::String),
    ("http.queries.*", Type::String),
];

static HTTP: LazyLock<Schema> = LazyLock::new(|| schema(&[COMMON, OF_REQUESTS]));
static STREAM: LazyLock<Schema> = LazyLock::new(|| schema(&[COMMON]));

fn schema(fields: &[&[(&str, Type)]]) -> Schema {
    let mut schema = Schema::default();
    for (name, ty) in fields.iter().copied().flatten() {
        let ty = match ty {
            Type::Int => Type::Int,
            Type::IpAddr => Type::IpAddr,
            _ => Type::String,
        };
        schema.add_field(name, ty);
    }
    schema
}

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpressionError {
    /// It is longer or nested deeper than Logphase evaluates. Kong has no such limit.
    #[error("{0}")]
    TooLarge(String),
    /// What the crate, and so Kong, says of it.
    #[error("{0}")]
    Invalid(String),
}

impl ExpressionError {
    /// The reason in one line, for people; the crate's own text draws the expression.
    pub(super) fn reason(&self) -> String {
        let text = self.to_string();
        let explained = text.lines().rev().find_map(|line| line.trim_start().strip_prefix("= "));
        // The last line of an error of a regular expression has the reason.
        let regex = text.lines().rev().find_map(|line| line.trim_start().strip_prefix("error: "));
        regex.or(explained).unwrap_or(&text).trim().to_owned()
    }
}

/// Reads and checks an expression for routes of `subsystem`.
pub(super) fn read(text: &str, subsystem: Subsystem) -> Result<Expression, ExpressionError> {
    read_for(text, subsystem.schema(), |name| Field::of(name).is_some())
}

/// Reads and checks an expression with the fields of `schema` that `known` accepts.
pub(super) fn read_for(
    text: &str,
    schema: &Schema,
    known: impl Fn(&str) -> bool,
) -> Result<Expression, ExpressionError> {
    if text.len() > MAX_BYTES {
        return Err(ExpressionError::TooLarge(format!("longer than {MAX_BYTES} bytes")));
    }
    if text.bytes().filter(|byte| *byte == b'(').count() > MAX_PARENTHESES && depth(text) > MAX_PARENTHESES {
        return Err(ExpressionError::TooLarge(format!("more than {MAX_PARENTHESES} levels of parentheses")));
    }
    let parsed = parser::parse(text).map_err(|error| ExpressionError::Invalid(error.to_string()))?;
    let mut expression = balanced(parsed);
    for_each_predicate(&mut expression, &mut |predicate| {
        if predicate.lhs.var_name == "net.port" {
            // The old name (kong/router/expressions.lua).
            "net.dst.port".clone_into(&mut predicate.lhs.var_name);
        }
    });
    expression.validate(schema).map_err(ExpressionError::Invalid)?;
    let mut illformed = None;
    for_each_predicate(&mut expression, &mut |predicate| {
        if !known(&predicate.lhs.var_name) {
            illformed = Some(predicate.lhs.var_name.clone());
        }
    });
    match illformed {
        None => Ok(expression),
        // Kong's wording (kong/db/schema/entities/routes.lua); no other field can be malformed.
        Some(_) => Err(ExpressionError::Invalid("illformed http.path.segments.* field".to_owned())),
    }
}

/// The levels of parentheses outside of strings.
fn depth(text: &str) -> usize {
    let (mut level, mut deepest, mut rest) = (0_usize, 0, text.as_bytes());
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        match byte {
            b'(' => level += 1,
            b')' => level = level.saturating_sub(1),
            b'r' if rest.starts_with(b"#\"") => {
                let end = memchr::memmem::find(&rest[2..], b"\"#").map_or(rest.len(), |at| at + 4);
                rest = &rest[end..];
            }
            b'"' => {
                let mut escaped = false;
                let end = rest.iter().position(|&byte| {
                    let ends = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    ends
                });
                rest = &rest[end.map_or(rest.len(), |at| at + 1)..];
            }
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// The same expression with long chains of one operator as balanced trees: the parser nests `a || b || c` to the left, a
/// level for each term.
fn balanced(expression: Expression) -> Expression {
    let Expression::Logical(logical) = expression else { return expression };
    match *logical {
        LogicalExpression::Not(inner) => Expression::Logical(Box::new(LogicalExpression::Not(balanced(inner)))),
        chain => {
            let and = matches!(chain, LogicalExpression::And(..));
            let (mut terms, mut next) = (Vec::new(), chain);
            loop {
                match (and, next) {
                    (true, LogicalExpression::And(left, right)) | (false, LogicalExpression::Or(left, right)) => {
                        terms.push(balanced(right));
                        match left {
                            Expression::Logical(left) => next = *left,
                            left => {
                                terms.push(left);
                                break;
                            }
                        }
                    }
                    (_, other) => {
                        terms.push(balanced(Expression::Logical(Box::new(other))));
                        break;
                    }
                }
            }
            terms.reverse();
            tree(&mut terms.into_iter().map(Some).collect::<Vec<_>>(), and)
        }
    }
}

/// A balanced tree of `terms`, of which there is at least one.
fn tree(terms: &mut [Option<Expression>], and: bool) -> Expression {
    if let [one] = terms {
        return one.take().expect("each term is taken once");
    }
    let (left, right) = terms.split_at_mut(terms.len() / 2);
    let (left, right) = (tree(left, and), tree(right, and));
    Expression::Logical(Box::new(match and {
        true => LogicalExpression::And(left, right),
        false => LogicalExpression::Or(left, right),
    }))
}

/// Whether a regular expression of `expression` has groups.
pub(super) fn captures(expression: &Expression) -> bool {
    match expression {
        Expression::Predicate(predicate) => {
            matches!(&predicate.rhs, Value::Regex(regex) if regex.captures_len() > 1)
        }
        Expression::Logical(logical) => match logical.as_ref() {
            LogicalExpression::And(left, right) | LogicalExpression::Or(left, right) => {
                captures(left) || captures(right)
            }
            LogicalExpression::Not(inner) => captures(inner),
        },
    }
}

/// Calls `visit` for each predicate.
pub(super) fn for_each_predicate(expression: &mut Expression, visit: &mut impl FnMut(&mut Predicate)) {
    match expression {
        Expression::Predicate(predicate) => visit(predicate),
        Expression::Logical(logical) => match logical.as_mut() {
            LogicalExpression::And(left, right) | LogicalExpression::Or(left, right) => {
                for_each_predicate(left, visit);
                for_each_predicate(right, visit);
            }
            LogicalExpression::Not(inner) => for_each_predicate(inner, visit),
        },
    }
}
