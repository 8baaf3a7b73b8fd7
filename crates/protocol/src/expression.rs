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
    walk(&expression, &mut |part, place| bounded(part, place).map(|()| true))?;
    Ok(expression)
}

/// Where a part of an expression stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'p, 'e> {
    /// The parts around it.
    level: usize,
    /// The `all`, `exists`, `map` and `filter` around it.
    loops: usize,
    /// The names that these bind.
    pub bound: &'p [&'e str],
}

/// Calls `each` for an expression and then for its parts, unless it returns false.
///
/// # Errors
/// The first error of `each`, which ends the walk.
pub fn walk<'e, E>(
    expression: &'e IdedExpr,
    each: &mut impl FnMut(&'e Expr, Place<'_, 'e>) -> Result<bool, E>,
) -> Result<(), E> {
    walk_from(expression, Place { level: 0, loops: 0, bound: &[] }, each)
}

fn walk_from<'e, E>(
    expression: &'e IdedExpr,
    place: Place<'_, 'e>,
    each: &mut impl FnMut(&'e Expr, Place<'_, 'e>) -> Result<bool, E>,
) -> Result<(), E> {
    if !each(&expression.expr, place)? {
        return Ok(());
    }
    let place = Place { level: place.level + 1, ..place };
    let mut parts: Vec<&IdedExpr> = Vec::new();
    let mut entry = |entry: &'e EntryExpr| match entry {
        EntryExpr::MapEntry(entry) => parts.extend([&entry.key, &entry.value]),
        EntryExpr::StructField(field) => parts.push(&field.value),
    };
    match &expression.expr {
        Expr::Map(map) => map.entries.iter().for_each(|found| entry(&found.expr)),
        Expr::Struct(structure) => structure.entries.iter().for_each(|found| entry(&found.expr)),
        Expr::Call(call) => parts.extend(call.target.as_deref().into_iter().chain(&call.args)),
        Expr::Select(select) => parts.push(&select.operand),
        Expr::List(list) => parts.extend(&list.elements),
        Expr::Comprehension(of) => {
            walk_from(&of.iter_range, place, each)?;
            walk_from(&of.accu_init, place, each)?;
            let own = [&of.iter_var, &of.accu_var].into_iter().chain(&of.iter_var2).map(String::as_str);
            let bound: Vec<&str> = place.bound.iter().copied().chain(own).collect();
            let place = Place { loops: place.loops + 1, bound: &bound, ..place };
            return [&of.loop_cond, &of.loop_step, &of.result]
                .into_iter()
                .try_for_each(|part| walk_from(part, place, each));
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
    parts.into_iter().try_for_each(|part| walk_from(part, place, each))
}

/// Checks one part.
fn bounded(part: &Expr, place: Place<'_, '_>) -> Result<(), String> {
    if place.level == MAX_LEVELS {
        return Err(format!("more than {MAX_LEVELS} levels"));
    }
    match part {
        Expr::Call(call) if call.func_name == "matches" => pattern(call.args.last()),
        Expr::Comprehension(_) if place.loops == MAX_LOOPS => {
            Err(format!("more than {MAX_LOOPS} levels of all, exists, map or filter in each other"))
        }
        _ => Ok(()),
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
