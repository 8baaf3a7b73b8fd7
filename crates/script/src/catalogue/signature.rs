//! Types in Luau's notation, as far as the catalogue uses it.

use std::fmt;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type<'a> {
    /// A built-in or named type.
    Name(&'a str),
    /// One text, with its quotes.
    Literal(&'a str),
    /// `{T}`.
    List(Box<Self>),
    /// `{[K]: V}`.
    Map(Box<Self>, Box<Self>),
    /// `{name: T, ...}`.
    Record(Vec<(&'a str, Self)>),
    /// `(T) -> R`.
    Function(Box<Signature<'a>>),
    /// `A | B`.
    Union(Vec<Self>),
    /// `T?`.
    Optional(Box<Self>),
}

/// A parameter, or a type in a list of results, which has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its type.
    pub ty: Type<'a>,
}

/// A list of parameters or of results.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pack<'a> {
    /// The first ones.
    pub items: Vec<Parameter<'a>>,
    /// The type of any number of further ones.
    pub rest: Option<Type<'a>>,
}

/// What a function takes and returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Whether its first argument is the object that it is called on.
    pub method: bool,
    /// What it takes, without that object.
    pub parameters: Pack<'a>,
    /// What it returns.
    pub returns: Pack<'a>,
}

/// What a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A function.
    Function(Signature<'a>),
    /// A value.
    Value(Type<'a>),
}

/// Reads a signature of the catalogue: `(name: string): string?`, or a type.
///
/// # Errors
/// It is neither: the rest that cannot be read.
pub fn parse(text: &str) -> Result<Parsed<'_>, &str> {
    let mut reader = Reader { rest: text };
    let parsed = match text.starts_with('(') {
        true => {
            let parameters = reader.pack().ok_or(reader.rest)?;
            reader.take(":").then_some(()).ok_or(reader.rest)?;
            let returns = reader.returns().ok_or(reader.rest)?;
            Parsed::Function(signature(parameters, returns))
        }
        false => Parsed::Value(reader.ty().ok_or(reader.rest)?),
    };
    if reader.rest.is_empty() { Ok(parsed) } else { Err(reader.rest) }
}

fn signature<'a>(mut parameters: Pack<'a>, returns: Pack<'a>) -> Signature<'a> {
    let method = parameters.items.first().is_some_and(|first| first.name.is_none() && first.ty == Type::Name("self"));
    if method {
        parameters.items.remove(0);
    }
    Signature { method, parameters, returns }
}

struct Reader<'a> {
    /// What is left, without blanks in front.
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, mark: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(mark) else { return false };
        self.rest = rest.trim_start();
        true
    }

    fn word(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// `(name: T, T, ...T)`.
    fn pack(&mut self) -> Option<Pack<'a>> {
        let mut pack = Pack::default();
        if !self.take("(") {
            return None;
        }
        while !self.take(")") {
            if self.take("...") {
                pack.rest = Some(self.ty()?);
                return self.take(")").then_some(pack);
            }
            let before = self.rest;
            let name = self.word().filter(|_| self.take(":"));
            if name.is_none() {
                self.rest = before;
            }
            pack.items.push(Parameter { name, ty: self.ty()? });
            if !self.take(",") && !self.rest.starts_with(')') {
                return None;
            }
        }
        Some(pack)
    }

    /// A list of results, or one without parentheses.
    fn returns(&mut self) -> Option<Pack<'a>> {
        if self.take("...") {
            return Some(Pack { items: Vec::new(), rest: Some(self.ty()?) });
        }
        let before = self.rest;
        if let Some(pack) = self.pack()
            && !["?", "|", "->"].iter().any(|mark| self.rest.starts_with(mark))
        {
            return Some(pack);
        }
        self.rest = before;
        Some(Pack { items: vec![Parameter { name: None, ty: self.ty()? }], rest: None })
    }

    fn ty(&mut self) -> Option<Type<'a>> {
        let mut choices = vec![self.postfix()?];
        while self.take("|") {
            choices.push(self.postfix()?);
        }
        Some(if choices.len() == 1 { choices.remove(0) } else { Type::Union(choices) })
    }

    fn postfix(&mut self) -> Option<Type<'a>> {
        let ty = self.atom()?;
        Some(if self.take("?") { Type::Optional(Box::new(ty)) } else { ty })
    }

    fn atom(&mut self) -> Option<Type<'a>> {
        if self.rest.starts_with('(') {
            let mut pack = self.pack()?;
            if self.take("->") {
                return Some(Type::Function(Box::new(signature(pack, self.returns()?))));
            }
            return (pack.items.len() == 1 && pack.rest.is_none()).then(|| pack.items.remove(0).ty);
        }
        if self.take("{") {
            return self.table();
        }
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let end = quoted.find('"')? + 2;
            let (literal, rest) = self.rest.split_at(end);
            self.rest = rest.trim_start();
            return Some(Type::Literal(literal));
        }
        self.word().map(Type::Name)
    }

    fn table(&mut self) -> Option<Type<'a>> {
        if self.take("[") {
            let key = self.ty()?;
            let value = (self.take("]") && self.take(":")).then(|| self.ty())??;
            return self.take("}").then(|| Type::Map(Box::new(key), Box::new(value)));
        }
        let before = self.rest;
        let is_record = self.word().is_some() && self.take(":");
        self.rest = before;
        if !is_record {
            let element = self.ty()?;
            return self.take("}").then(|| Type::List(Box::new(element)));
        }
        let mut members = Vec::new();
        while !self.take("}") {
            let name = self.word()?;
            members.push((name, self.take(":").then(|| self.ty())??));
            if !self.take(",") && !self.rest.starts_with('}') {
                return None;
            }
        }
        Some(Type::Record(members))
    }
}

impl fmt::Display for Type<'_> {
    /// In Luau's notation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::Literal(text) => f.write_str(text),
            Self::List(element) => write!(f, "{{{element}}}"),
            Self::Map(key, value) => write!(f, "{{[{key}]: {value}}}"),
            Self::Record(members) => {
                let members: Vec<String> = members.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
                write!(f, "{{{}}}", members.join(", "))
            }
            Self::Function(signature) => write!(f, "{signature}"),
            Self::Union(choices) => {
                let choices: Vec<String> = choices.iter().map(Self::in_union).collect();
                f.write_str(&choices.join(" | "))
            }
            Self::Optional(inner) if matches!(**inner, Self::Union(_)) => write!(f, "({inner})?"),
            Self::Optional(inner) => write!(f, "{}?", inner.in_union()),
        }
    }
}

impl Type<'_> {
    fn in_union(&self) -> String {
        if matches!(self, Self::Function(_)) { format!("({self})") } else { self.to_string() }
    }
}

impl fmt::Display for Pack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.items.iter().map(ToString::to_string).collect();
        parts.extend(self.rest.as_ref().map(|rest| format!("...{rest}")));
        write!(f, "({})", parts.join(", "))
    }
}

impl fmt::Display for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{name}: {}", self.ty),
            None => write!(f, "{}", self.ty),
        }
    }
}

impl Pack<'_> {
    /// As the results of a function: without parentheses if there is one.
    pub(super) fn as_results(&self) -> String {
        match (&self.items[..], &self.rest) {
            ([one], None) => one.to_string(),
            ([], Some(rest)) => format!("...{rest}"),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Signature<'_> {
    /// As a type of Luau: `(name: string) -> string?`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parameters = self.parameters.clone();
        if self.method {
            parameters.items.insert(0, Parameter { name: Some("self"), ty: Type::Name("any") });
        }
        write!(f, "{parameters} -> {}", self.returns.as_results())
    }
}
