//! Conditions of plugins: Kong 3.14's are expressions of its router language, those of 3.15 are CEL
//! (developer.konghq.com/gateway/plugins/conditions).
//!
//! Kong evaluates them before its access phase. Here they are evaluated on the finished transaction, so that they can use what is
//! known of it. An expression that both languages accept is one of the router language, in which an absent field makes a
//! comparison false; in CEL it is an error, and the plugin does not run.

mod cel;
mod language;

use logphase_script::transaction::{Transaction, Value, View};

use super::language::Subsystem;
use super::request::Request;

/// A condition that can be evaluated.
#[derive(Debug)]
pub struct Condition(Kind);

#[derive(Debug)]
enum Kind {
    Expression(language::Compiled),
    Cel(Box<cel::Compiled>),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// It is in neither language, or uses a field that a finished transaction does not have: what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, String> {
        if let Some(expression) = language::Compiled::new(text) {
            return Ok(Self(Kind::Expression(expression)));
        }
        Ok(Self(Kind::Cel(Box::new(cel::Compiled::new(text)?))))
    }

    /// Whether it holds for `transaction`, whose consumer is in `groups` besides those that the transaction names. Kong evaluates
    /// conditions only of requests: for a session it holds.
    ///
    /// # Errors
    /// It cannot be evaluated, like a CEL expression that reads an absent field. In Kong the client then gets the status 500.
    pub fn holds(&self, transaction: &Transaction, groups: &[String]) -> Result<bool, String> {
        let Some(request) = Request::new(transaction).filter(|request| request.subsystem == Subsystem::Http) else {
            return Ok(true);
        };
        match &self.0 {
            Kind::Expression(expression) => Ok(expression.holds(transaction, &request)),
            Kind::Cel(program) => program.holds(transaction, &request, groups),
        }
    }
}

/// The member `name` of the object `entity` of a transaction, as text.
fn entity_text(transaction: &Transaction, entity: &str, name: &str) -> Option<String> {
    Some(transaction.get(entity)?.get(name)?.text()?.into_owned())
}

/// The elements of a list; none of anything else.
fn elements(view: Option<View<'_>>) -> Vec<View<'_>> {
    match view.map(View::value) {
        Some(Value::Array(elements)) => elements.into_iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
