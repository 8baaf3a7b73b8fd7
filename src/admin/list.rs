//! Lists of entities, with Kong's pages and filters.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use imbl::OrdSet;
use logphase_config::schema::is_uuid;
use logphase_script::parse_lua_number;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::kind::{KINDS, Kind};
use super::tables::{Entity, Tables};
use super::write::{bad_encoding, id_of};
use crate::entity::schema::TAG;

/// The largest page, and the default one.
const SIZES: (usize, usize) = (1000, 100);

/// How many tags a list can be filtered by.
const MAX_TAGS: usize = 5;

/// What a list is asked for.
#[derive(Debug, Default)]
pub(crate) struct Query {
    size: Option<String>,
    offset: Option<String>,
    tags: Option<String>,
    custom_id: Option<String>,
}

impl Query {
    /// Reads the arguments of a URL. Of two with one name, the first counts.
    pub(crate) fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "size" => &mut parsed.size,
                "offset" => &mut parsed.offset,
                "tags" => &mut parsed.tags,
                "custom_id" => &mut parsed.custom_id,
                _ => continue,
            };
            slot.get_or_insert_with(|| value.into_owned());
        }
        parsed
    }

    /// The size of the page, and the id that it begins after.
    ///
    /// # Errors
    /// An argument is wrong.
    pub(crate) fn page(&self) -> ApiResult<(usize, Option<String>)> {
        Ok((self.size()?, self.after()?))
    }

    /// The size of the page.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn size(&self) -> ApiResult<usize> {
        let Some(text) = &self.size else { return Ok(SIZES.1) };
        let Some(number) = parse_lua_number(text.as_bytes()) else {
            return Err(ApiError::size("size must be a number"));
        };
        if number.fract() != 0.0 || !(1.0..=SIZES.0 as f64).contains(&number) {
            return Err(ApiError::size("size must be an integer between 1 and 1000"));
        }
        Ok(number as usize)
    }

    /// Where the page begins, as it was sent.
    pub(crate) fn offset(&self) -> Option<&str> {
        self.offset.as_deref()
    }

    /// Checks the tags, by which lists below an entity are not filtered.
    ///
    /// # Errors
    /// They are no tags.
    pub(crate) fn check_tags(&self) -> ApiResult<()> {
        Tags::parse(self.tags.as_deref()).map(drop)
    }

    fn after(&self) -> ApiResult<Option<String>> {
        let Some(offset) = &self.offset else { return Ok(None) };
        let decoded = [&URL_SAFE_NO_PAD, &URL_SAFE, &STANDARD].into_iter().find_map(|base| base.decode(offset).ok());
        let Some(decoded) = decoded.filter(|_| !offset.is_empty()) else {
            return Err(ApiError::offset(offset, "bad base64 encoding"));
        };
        let key = serde_json::from_slice::<String>(&decoded).ok().filter(|id| is_uuid(id));
        key.map(Some).ok_or_else(|| ApiError::offset(offset, "bad json encoding"))
    }
}

/// Which tags entities must have.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    AllOf(Vec<String>),
    OneOf(Vec<String>),
}

impl Tags {
    fn parse(text: Option<&str>) -> ApiResult<Self> {
        let Some(text) = text else { return Ok(Self::Any) };
        if text.is_empty() {
            return Err(ApiError::option("tags", "cannot be null"));
        }
        let separators = [',', '/'].map(|separator| text.contains(separator));
        let separator = if separators[1] { '/' } else { ',' };
        // Kong lets one separator pass at the end.
        let tags: Vec<&str> = text.strip_suffix(separator).unwrap_or(text).split(separator).collect();
        let valid = separators != [true, true]
            && !text.chars().any(|c| c.is_ascii_control())
            && tags.iter().all(|tag| !tag.is_empty());
        if !valid {
            return Err(ApiError::option("tags", "invalid filter syntax"));
        }
        if tags.len() > MAX_TAGS {
            return Err(ApiError::option("tags", &format!("cannot query more than {MAX_TAGS} tags")));
        }
        let tags = tags.into_iter().map(str::to_owned).collect();
        Ok(if separator == '/' { Self::OneOf(tags) } else { Self::AllOf(tags) })
    }

    /// The ids of the entities that have them; `None` for all entities.
    fn ids(&self, kind: &'static Kind, tables: &Tables) -> Option<OrdSet<String>> {
        let ids = |tag: &String| tables.tagged(kind, tag).cloned().unwrap_or_default();
        match self {
            Self::Any => None,
            Self::OneOf(tags) => Some(tags.iter().flat_map(ids).collect()),
            Self::AllOf(tags) => tags.iter().map(ids).reduce(OrdSet::intersection),
        }
    }
}

/// The page of the collection of `kind` that `query` asks for; `path` is that of the collection.
///
/// # Errors
/// An argument is wrong.
pub(crate) fn collection(
    kind: &'static Kind,
    tables: &Tables,
    query: &Query,
    path: &str,
    show: &dyn Fn(&Entity) -> Value,
) -> ApiResult<Value> {
    let (size, after) = query.page()?;
    let tags = Tags::parse(query.tags.as_deref())?;
    if kind.name == "consumers"
        && let Some(custom_id) = &query.custom_id
    {
        if custom_id.is_empty() {
            return Err(ApiError::plain(hyper::StatusCode::BAD_REQUEST, "custom_id must be an unempty string"));
        }
        let found: Vec<Value> = tables.by_value(kind, "custom_id", custom_id).into_iter().map(show).collect();
        return Ok(json!({"data": found, "next": null}));
    }
    let mut arguments = Vec::new();
    arguments.extend(query.tags.as_ref().map(|tags| ("tags", tags.clone())));
    arguments.extend(query.size.as_ref().map(|size| ("size", size.clone())));
    Ok(match tags.ids(kind, tables) {
        Some(ids) => {
            let ids = ids.into_iter().filter(|id| after.as_ref().is_none_or(|after| id > after));
            page(ids.filter_map(|id| tables.get(kind, &id)), size, path, &arguments, show)
        }
        None => page(tables.after(kind, after.as_deref()), size, path, &arguments, show),
    })
}

/// The page of the entities of `kind` whose `field` refers to `parent`.
///
/// # Errors
/// An argument is wrong.
pub(crate) fn children(
    (kind, field): (&'static Kind, &'static str),
    parent: &str,
    tables: &Tables,
    query: &Query,
    path: &str,
    show: &dyn Fn(&Entity) -> Value,
) -> ApiResult<Value> {
    let (size, after) = query.page()?;
    query.check_tags()?;
    let ids = tables.referring(kind, field, parent).into_iter().flatten();
    let ids = ids.filter(|id| after.as_ref().is_none_or(|after| *id > after));
    Ok(page(ids.filter_map(|id| tables.get(kind, id)), size, path, &[], show))
}

/// What `ngx.escape_uri` leaves as it is in a part of a URI.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as a part of a URI.
pub(crate) fn escaped(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, UNRESERVED)
}

/// The offset of what follows the entity `id`.
pub(crate) fn offset_of(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(Value::from(id).to_string())
}

fn page<'a>(
    mut entities: impl Iterator<Item = &'a Entity>,
    size: usize,
    path: &str,
    arguments: &[(&str, String)],
    show: &dyn Fn(&Entity) -> Value,
) -> Value {
    let page: Vec<&Entity> = entities.by_ref().take(size).collect();
    let more = entities.next().is_some();
    let data: Vec<Value> = page.iter().map(|entity| show(entity)).collect();
    let Some(last) = page.last().filter(|_| more) else { return json!({"data": data, "next": null}) };
    let offset = offset_of(&id_of(last));
    let mut next = format!("{path}?offset={}", escaped(&offset));
    for (name, value) in arguments {
        next.push_str(&format!("&{name}={}", escaped(value)));
    }
    json!({"data": data, "offset": offset, "next": next})
}

/// The answer to a write of tags: they are written with their entities.
pub(crate) fn no_tags() -> ApiError {
    ApiError::schema(json!({"tags": "does not support insert/upsert/update/delete operations"}))
}

/// `/tags`, or `/tags/TAG` if `tag` is given.
///
/// # Errors
/// An argument is wrong.
pub(crate) fn tags(tables: &Tables, query: &Query, tag: Option<&str>, path: &str) -> ApiResult<Value> {
    if let Some(tag) = tag
        && let Some(wording) =
            bad_encoding(tag).or_else(|| TAG.checks.iter().find_map(|check| check.run(&tag.into()).err()))
    {
        return Err(ApiError::invalid_unique("tag", wording));
    }
    let size = query.size()?;
    let from: usize = match &query.offset {
        None => 0,
        Some(offset) => {
            let decoded = URL_SAFE_NO_PAD.decode(offset).ok();
            let number = decoded.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
            number.ok_or_else(|| ApiError::offset(offset, "bad base64 encoding"))?
        }
    };
    let named = KINDS.iter().filter(|kind| kind.listed || kind.name == "targets").flat_map(|kind| {
        let with = tables.tags(kind).filter(move |(found, _)| tag.is_none_or(|tag| *found == tag));
        with.map(move |(tag, id)| json!({"tag": tag, "entity_name": kind.name, "entity_id": id}))
    });
    let mut rest = named.skip(from);
    let data: Vec<Value> = rest.by_ref().take(size).collect();
    if rest.next().is_none() {
        return Ok(json!({"data": data, "next": null}));
    }
    let offset = URL_SAFE_NO_PAD.encode((from + size).to_string());
    Ok(json!({"data": data, "offset": offset, "next": format!("{path}?offset={offset}")}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: filters of tags, as Kong reads them. Guarantees: commas mean all, slashes any; everything else is refused in
    /// Kong's words.
    #[test]
    fn tag_filters() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let parse = |text| Tags::parse(Some(text)).map_err(|error| error.body["options"]["tags"].clone());
        assert_eq!(parse("a,b"), Ok(Tags::AllOf(names(&["a", "b"]))));
        assert_eq!(parse("a/b"), Ok(Tags::OneOf(names(&["a", "b"]))));
        assert_eq!(parse("a b"), Ok(Tags::AllOf(names(&["a b"]))));
        for (text, why) in [
            ("", "cannot be null"),
            ("a,b/c", "invalid filter syntax"),
            (",a", "invalid filter syntax"),
            ("a\u{1}", "invalid filter syntax"),
            ("1,2,3,4,5,6", "cannot query more than 5 tags"),
        ] {
            assert_eq!(parse(text), Err(json!(why)), "{text:?}");
        }
    }
}
