//! Expressions of CEL, the Common Expression Language (cel.dev), with bounds: reading and evaluating them is recursive with large
//! frames, and loops multiply.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};
use cel::parser::PrattParser;

/// Bytes of an expression.
const MAX_BYTES: usize = 4096;
/// Levels of brackets.
const MAX_NESTING: u16 = 32;
/// Levels of an expression: a chain of operators has one for each.
const MAX_LEVELS: usize = 30;
/// Levels of `all`, `exists`, `map` and `filter` in each other: each multiplies the time by the length of a list.
const MAX_LOOPS: usize = 2;
/// Bytes of a compiled regular expression: it is compiled each time that it is used.
const MAX_REGEX: usize = 64 << 10;

/// Reads an expression.
///
/// # Errors
/// It is no CEL, or beyond a bound: what is wrong, in words.
pub fn parse(text: &str) -> Result<IdedExpr, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    // The crate's other parser needs a megabyte of stack for a dozen parentheses.
    let parsed = PrattParser::new().max_recursion_depth(MAX_NESTING).parse(text);
    let expression = parsed.map_err(|errors| {
        let first = errors.errors.first().and_then(|error| error.msg.lines().next()).unwrap_or_default().trim();
        if first.is_empty() { "it is not an expression".to_owned() } else { first.to_owned() }
    })?;
    bounded(&expression, 0, 0)?;
    Ok(expression)
}

fn bounded(expression: &IdedExpr, level: usize, loops: usize) -> Result<(), String> {
    if level == MAX_LEVELS {
        return Err(format!("more than {MAX_LEVELS} levels"));
    }
    let inner = |expression: &IdedExpr| bounded(expression, level + 1, loops);
    let entry = |entry: &EntryExpr| match entry {
        EntryExpr::MapEntry(entry) => inner(&entry.key).and_then(|()| inner(&entry.value)),
        EntryExpr::StructField(field) => inner(&field.value),
    };
    match &expression.expr {
        Expr::Call(call) => {
            if call.func_name == "matches" {
                pattern(call.args.last())?;
            }
            call.target.as_deref().map_or(Ok(()), inner)?;
            call.args.iter().try_for_each(inner)
        }
        Expr::Select(select) => inner(&select.operand),
        Expr::List(list) => list.elements.iter().try_for_each(inner),
        Expr::Map(map) => map.entries.iter().try_for_each(|found| entry(&found.expr)),
        Expr::Struct(structure) => structure.entries.iter().try_for_each(|found| entry(&found.expr)),
        Expr::Comprehension(of) => {
            if loops == MAX_LOOPS {
                return Err(format!("more than {MAX_LOOPS} levels of all, exists, map or filter in each other"));
            }
            inner(&of.iter_range)?;
            inner(&of.accu_init)?;
            let parts = [&of.loop_cond, &of.loop_step, &of.result];
            parts.into_iter().try_for_each(|part| bounded(part, level + 1, loops + 1))
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Ok(()),
    }
}

/// Checks the pattern of `matches`.
fn pattern(argument: Option<&IdedExpr>) -> Result<(), String> {
    let Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(pattern)), .. }) = argument else {
        return Err("the pattern of `matches` is not a text in quotes".to_owned());
    };
    let regex = regex::RegexBuilder::new(pattern.inner()).size_limit(MAX_REGEX).build();
    regex.map(drop).map_err(|error| {
        let error = error.to_string();
        format!("the pattern of `matches`: {}", error.lines().last().unwrap_or_default().trim())
    })
}

#[cfg(test)]
mod tests {
    use cel::{Context, Value};

    use super::{MAX_LEVELS, parse};

    /// Scenario: expressions at each bound and beyond it, and the deepest that are read, evaluated on a stack of 2 MB.
    /// Guarantees: what is beyond a bound is refused with the bound; what is read can be evaluated.
    #[test]
    fn bounds() {
        let chain = |count: usize| vec!["1"; count].join(" + ");
        let brackets = |count: usize| format!("{}1{}", "(".repeat(count), ")".repeat(count));
        let lists = |count: usize| format!("{}1{}", "[".repeat(count), "]".repeat(count));
        for (text, expected) in [
            (chain(MAX_LEVELS), ""),
            (brackets(20), ""),
            (lists(20), ""),
            ("[1].all(a, [1].all(b, true))".to_owned(), ""),
            ("'a'.matches('a+')".to_owned(), ""),
            (chain(MAX_LEVELS + 1), "more than 30 levels"),
            (chain(5000), "more than 4096 bytes"),
            (brackets(2000), ""),
            (lists(100), " "),
            ("[1].all(a, [1].all(b, [1].all(c, true)))".to_owned(), "more than 2 levels"),
            ("'a'.matches('(a{1000}){1000}')".to_owned(), "the pattern of `matches`"),
            ("'a'.matches(b)".to_owned(), "not a text in quotes"),
            ("1 +".to_owned(), ""),
        ] {
            let shown = text.clone();
            let parsed = std::thread::Builder::new()
                .stack_size(2 << 20)
                .spawn(move || {
                    let expression = parse(&text)?;
                    Value::resolve(&expression, &Context::default()).map(drop).map_err(|error| error.to_string())
                })
                .expect("a thread")
                .join()
                .expect("no panic");
            match parsed {
                Ok(()) => assert_eq!(expected, "", "{shown}"),
                Err(error) => assert!(error.contains(expected), "{error} for {expected}"),
            }
        }
    }
}
