//! Expressions of CEL on what an entry tells: `%CEL(...)%` and `%TYPED_CEL(...)%`
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes>).

mod attributes;

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::Expr;
use cel::objects::Key;
use cel::{Context, Env, IdedExpr, Value};

use super::view::{Entry, Written};
use crate::expression;
use crate::json::{Writer, whole};

/// Levels of lists and maps that are printed; deeper ones are `null`.
const MAX_DEPTH: usize = 32;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled expression.
#[derive(Clone)]
pub(super) struct Expression {
    expression: Arc<IdedExpr>,
    /// The attributes that it reads.
    roots: Vec<&'static str>,
    /// In JSON, numbers and the like keep their type.
    typed: bool,
}

/// What is wrong with an expression.
pub(super) enum Mistake {
    /// It is none.
    Syntax(String),
    /// Entries do not have an attribute.
    Attribute(String),
}

impl Expression {
    /// Compiles an expression.
    pub(super) fn new(source: &str, typed: bool) -> Result<Self, Mistake> {
        let expression = expression::parse(source).map_err(Mistake::Syntax)?;
        let roots = roots(&expression)?;
        Ok(Self { expression: Arc::new(expression), roots, typed })
    }

    /// Appends the value of the expression. What fails has none.
    pub(super) fn write<E: Entry + ?Sized>(&self, entry: &E, out: &mut Vec<u8>) -> Written {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        for root in &self.roots {
            context.add_variable_from_value(*root, attributes::root(entry, root));
        }
        let Ok(value) = Value::resolve(&self.expression, &context) else { return Written::Absent };
        let mark = out.len();
        match &value {
            Value::Null | Value::Function(..) | Value::Opaque(_) | Value::Struct(_) => return Written::Absent,
            Value::String(text) => {
                out.extend_from_slice(text.as_bytes());
                return Written::Text;
            }
            Value::Bytes(bytes) => {
                out.extend_from_slice(bytes);
                return Written::Text;
            }
            _ => {
                // The writer begins a value without a comma behind a bracket, which is then taken away.
                out.push(b'[');
                write(&mut Writer(out), &value, 0);
                out.remove(mark);
            }
        }
        if self.typed { Written::Json } else { Written::Text }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("roots", &self.roots).field("typed", &self.typed).finish_non_exhaustive()
    }
}

fn write(json: &mut Writer<'_>, value: &Value, depth: usize) {
    match value {
        Value::Bool(value) => json.serialized(value),
        Value::Int(number) => json.serialized(number),
        Value::UInt(number) => json.serialized(number),
        Value::Float(number) => json.float(*number),
        Value::String(text) => json.text(text.as_bytes()),
        Value::Bytes(bytes) => json.text(bytes),
        Value::List(items) if depth < MAX_DEPTH => {
            json.open(b'[');
            items.iter().for_each(|item| write(json, item, depth + 1));
            json.close(b']');
        }
        Value::Map(map) if depth < MAX_DEPTH => {
            let name = |key: &Key| match key {
                Key::String(text) => text.to_string(),
                Key::Int(number) => number.to_string(),
                Key::Uint(number) => number.to_string(),
                Key::Bool(value) => value.to_string(),
            };
            let mut members: Vec<_> = map.map.iter().map(|(key, value)| (name(key), value)).collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            json.open(b'{');
            for (name, value) in members {
                json.foreign_name(name.as_bytes());
                write(json, value, depth + 1);
            }
            json.close(b'}');
        }
        _ => json.serialized(()),
    }
}

/// A number as CEL has those of JSON.
fn number(number: f64) -> Value {
    whole(number).map_or(Value::Float(number), Value::Int)
}

/// The attributes that an expression reads.
fn roots(expression: &IdedExpr) -> Result<Vec<&'static str>, Mistake> {
    let mut roots = Vec::new();
    expression::walk(expression, &mut |part, place| {
        let (root, member) = match part {
            Expr::Ident(root) => (root, None),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(root) => (root, Some(&*select.field)),
                _ => return Ok(true),
            },
            _ => return Ok(true),
        };
        if !place.bound.contains(&root.as_str()) {
            let root = attributes::find(root, member).map_err(Mistake::Attribute)?;
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        Ok(false)
    })?;
    Ok(roots)
}
