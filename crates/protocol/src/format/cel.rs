//! Expressions of CEL on what an entry tells: `%CEL(...)%` and `%TYPED_CEL(...)%`
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes>).

mod attributes;

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr};
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
        let mut found = Found::default();
        found.visit(&expression);
        if let Some(missing) = found.missing {
            return Err(Mistake::Attribute(missing));
        }
        Ok(Self { expression: Arc::new(expression), roots: found.roots, typed })
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

/// The attributes of an expression.
#[derive(Default)]
struct Found {
    roots: Vec<&'static str>,
    /// The first that entries do not have.
    missing: Option<String>,
    /// Names that macros bind.
    bound: Vec<String>,
}

impl Found {
    fn visit(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => self.attribute(name, None),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(root) => self.attribute(root, Some(&select.field)),
                _ => self.visit(&select.operand),
            },
            Expr::Call(call) => {
                call.target.iter().for_each(|target| self.visit(target));
                call.args.iter().for_each(|argument| self.visit(argument));
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.member(&entry.expr)),
            Expr::Struct(structure) => structure.entries.iter().for_each(|entry| self.member(&entry.expr)),
            Expr::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range);
                self.visit(&comprehension.accu_init);
                let bound = self.bound.len();
                self.bound.push(comprehension.iter_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bound.push(comprehension.accu_var.clone());
                for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
                    self.visit(part);
                }
                self.bound.truncate(bound);
            }
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn member(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }

    fn attribute(&mut self, root: &str, member: Option<&str>) {
        if self.bound.iter().any(|bound| bound == root) {
            return;
        }
        match attributes::find(root, member) {
            Ok(root) if self.roots.contains(&root) => {}
            Ok(root) => self.roots.push(root),
            Err(name) => self.missing = self.missing.take().or(Some(name)),
        }
    }
}
