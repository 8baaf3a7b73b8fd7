//! From an operator as it is written to what it prints.

use std::ops::Range;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::address::Part;
use super::cel::{Expression, Mistake};
use super::error::TemplateError;
use super::grammar::Call;
use super::operator::{GrpcForm, Limited, NameFrom, Operator, PathFrom, Unit};
use super::table::{self, Kind, Row, Source, Special};
use super::time::TimeFormat;
use super::view::{Header, Point, Section, Text};

/// Operators of COALESCE within each other.
const MAX_DEPTH: usize = 8;

/// What a template is compiled for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The entries.
    pub source: Source,
    /// What has no value is left out (Envoy's `omit_empty_values`), instead of `-` in text and `null` in JSON.
    pub omit_empty: bool,
    /// Values in a template that is text are escaped as in a JSON string. Envoy and Kong Mesh do not do so.
    pub escape: bool,
    /// The time zone of the proxy, for START_TIME_LOCAL: entries do not tell it.
    pub zone: Option<TimeZone>,
}

impl Options {
    /// For entries of `source`, as Envoy prints them by default.
    pub fn new(source: Source) -> Self {
        Self { source, omit_empty: false, escape: false, zone: None }
    }
}

type Compiled<T> = Result<T, TemplateError>;

/// Compiles an operator.
pub(super) fn operator(call: &Call<'_>, options: &Options) -> Compiled<Limited> {
    compile(call, options, 0)
}

fn compile(call: &Call<'_>, options: &Options, depth: usize) -> Compiled<Limited> {
    let row = table::find(call.name).ok_or_else(|| unknown(call))?;
    check_syntax(call, row)?;
    if let Some(reason) = row.missing(options.source) {
        let message = match options.source {
            Source::Als => format!("entries of Envoy do not have {}", call.name),
            Source::Kong => format!("log messages of Kong do not have {}", call.name),
        };
        return Err(TemplateError::new(call.name_span(), message).help(reason));
    }
    let context = Context { call, options, depth };
    let operator = match &row.kind {
        Kind::Plain(build) => build(),
        Kind::Time { local } => context.time(*local)?,
        // Envoy ignores what is no number.
        Kind::Mask(peer) => {
            let bits = context.text().parse::<u64>().ok().map(|bits| u8::try_from(bits).unwrap_or(u8::MAX));
            Operator::Address(*peer, Part::WithoutPort(bits))
        }
        Kind::Header(section) => context.header(*section)?,
        Kind::Special(special) => context.special(*special)?,
        Kind::Unknown(_) => return Err(unknown(call)),
    };
    Ok(Limited { operator, length: call.length })
}

fn unknown(call: &Call<'_>) -> TemplateError {
    let names = table::rows().map(|row| row.name);
    let error = TemplateError::new(call.name_span(), format!("unknown operator `{}`", call.name))
        .envoy(format!("Not supported field in StreamInfo: {}", call.name));
    match super::suggest::closest(call.name, names) {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None => error,
    }
}

fn check_syntax(call: &Call<'_>, row: &Row) -> Compiled<()> {
    let name = call.name;
    if matches!(row.kind, Kind::Plain(_)) && (call.parameters.is_some() || call.length.is_some()) {
        let message = format!("{name} takes neither parameters nor a length");
        return Err(TemplateError::new(call.name_span().end..call.span.end - 1, message)
            .envoy(format!("{name} does not take any parameters or length")));
    }
    // FILTER_STATE has an error of its own.
    if row.needs_parameters && call.parameters.is_none() && name != "FILTER_STATE" {
        let message = format!("{name} needs parameters");
        let envoy = if name == "METADATA" {
            " is not supported type of metadata".to_owned()
        } else {
            format!("{name} requires parameters")
        };
        return Err(TemplateError::new(call.name_span(), message).help(usage(name)).envoy(envoy));
    }
    if call.length.is_some() && !row.takes_length && !matches!(row.kind, Kind::Unknown(_)) {
        return Err(TemplateError::new(call.span.clone(), format!("{name} does not take a length"))
            .envoy(format!("{name} does not allow length to be specified.")));
    }
    Ok(())
}

/// An example of an operator with parameters.
fn usage(name: &str) -> &'static str {
    match name {
        "REQ" | "REQUEST_HEADER" => "like %REQ(USER-AGENT)% or %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "RESP" | "RESPONSE_HEADER" => "like %RESP(CONTENT-TYPE)%",
        "TRAILER" | "RESPONSE_TRAILER" => "like %TRAILER(GRPC-STATUS)%",
        "DYNAMIC_METADATA" => "like %DYNAMIC_METADATA(NAMESPACE:KEY)%",
        "METADATA" => "like %METADATA(DYNAMIC:NAMESPACE:KEY)%",
        "COMMON_DURATION" => "like %COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%",
        "QUERY_PARAM" => "like %QUERY_PARAM(page)%",
        "COALESCE" => "like %COALESCE({\"operators\":[\"ROUTE_NAME\",{\"command\":\"REQ\",\"param\":\":path\"}]})%",
        _ => "",
    }
}

struct Context<'a> {
    call: &'a Call<'a>,
    options: &'a Options,
    depth: usize,
}

impl Context<'_> {
    fn text(&self) -> &str {
        self.call.parameters.map_or("", |(text, _)| text)
    }

    fn span(&self) -> Range<usize> {
        self.call.parameters_span()
    }

    fn error(&self, message: impl Into<String>) -> TemplateError {
        TemplateError::new(self.span(), message)
    }

    fn time(&self, local: bool) -> Compiled<Operator> {
        let zone = if local { self.options.zone.clone() } else { None };
        if local && zone.is_none() {
            return Err(TemplateError::new(self.call.name_span(), "entries do not tell the time zone of the proxy")
                .help("give its time zone, or use START_TIME, which is in UTC"));
        }
        let format = TimeFormat::new(self.text(), zone);
        format.map(Operator::Start).ok_or_else(|| {
            self.error("`%n` is a line end, which Envoy does not allow in a time")
                .envoy("Invalid header configuration. Format string contains newline.")
        })
    }

    fn header(&self, section: Section) -> Compiled<Operator> {
        let token = self.text();
        let (name, alternative) = token.split_once('?').map_or((token, None), |(name, other)| (name, Some(other)));
        if alternative.is_some_and(|other| other.contains('?')) {
            return Err(self
                .error("more than one alternative header")
                .help("a header has one alternative: %REQ(X?Y)%; COALESCE takes any number of operators")
                .envoy(format!("More than 1 alternative header specified in token: {token}")));
        }
        let alternative = alternative.filter(|other| !other.is_empty());
        for name in [Some(name), alternative].into_iter().flatten() {
            self.check_header_name(name)?;
        }
        Ok(Operator::Header(Header::new(section, name), alternative.map(|other| Header::new(section, other))))
    }

    /// The characters of a token (RFC 9110, section 5.6.2), and the colon of a pseudo header.
    fn check_header_name(&self, name: &str) -> Compiled<()> {
        let token = name.strip_prefix(':').unwrap_or(name);
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        match token.bytes().all(valid) {
            true => Ok(()),
            false => Err(self
                .error(format!("`{name}` is not the name of a header"))
                .envoy("Invalid header configuration. Format string contains invalid characters.")),
        }
    }

    fn special(&self, special: Special) -> Compiled<Operator> {
        match special {
            Special::CodeDetails => {
                let underscores = self.text() != "ALLOW_WHITESPACES";
                Ok(Operator::Text { text: Text::ResponseCodeDetails, underscores })
            }
            Special::CommonDuration => self.common_duration(),
            Special::GrpcStatus => self.grpc_status(),
            Special::Path => self.path(),
            Special::QueryParam => Ok(Operator::QueryParameter(self.text().to_owned())),
            Special::QueryParams => {
                let decoded = self.choose(self.text(), &["", "ORIG", "DECODED"])? == 2;
                Ok(Operator::Query { decoded })
            }
            Special::DynamicMetadata => Ok(Operator::Metadata(path(self.text()))),
            Special::Metadata => self.metadata(),
            Special::FilterState => self.filter_state(),
            Special::ServerName => self.server_name(),
            Special::Coalesce => self.coalesce(),
            Special::Cel { typed } => self.expression(typed),
        }
    }

    /// Which of `choices` an option is; an empty first one is the default.
    fn choose(&self, option: &str, choices: &[&str]) -> Compiled<usize> {
        choices.iter().position(|choice| *choice == option).ok_or_else(|| {
            let named: Vec<_> = choices.iter().filter(|choice| !choice.is_empty()).copied().collect();
            let name = self.call.name;
            self.error(format!("`{option}` is no option of {name}"))
                .help(format!("the options are {}", named.join(", ")))
                .envoy(format!("Invalid {name} option: '{option}', only '{}' are allowed", named.join("'/'")))
        })
    }

    /// The two options; a third one counts for nothing, as in Envoy.
    fn options(&self) -> (&str, &str) {
        let mut options = self.text().split(':');
        (options.next().unwrap_or(""), options.next().unwrap_or(""))
    }

    fn path(&self) -> Compiled<Operator> {
        let (query, from) = self.options();
        let query = self.choose(query, &["", "WQ", "NQ"])? != 2;
        let from = match self.choose(from, &["", "ORIG", "PATH", "ORIG_OR_PATH"])? {
            1 => PathFrom::Original,
            2 => PathFrom::Path,
            _ => PathFrom::OriginalOrPath,
        };
        Ok(Operator::Path { query, from })
    }

    fn server_name(&self) -> Compiled<Operator> {
        let (first, host) = self.options();
        let from = match self.choose(first, &["", "SNI_ONLY", "SNI_FIRST", "HOST_FIRST"])? {
            2 => NameFrom::SniThenHost,
            3 => NameFrom::HostThenSni,
            _ => NameFrom::Sni,
        };
        let header = |name| Header::new(Section::Request, name);
        let (original, host_header) = (header("x-envoy-original-host"), header(":authority"));
        let hosts = match self.choose(host, &["", "ORIG_OR_HOST", "HOST", "ORIG"])? {
            _ if from == NameFrom::Sni => Vec::new(),
            2 => vec![host_header],
            3 => vec![original],
            _ => vec![original, host_header],
        };
        Ok(Operator::ServerName { from, hosts })
    }

    fn grpc_status(&self) -> Compiled<Operator> {
        let form = match self.text() {
            "" | "CAMEL_STRING" => GrpcForm::Camel,
            "SNAKE_STRING" => GrpcForm::Snake,
            "NUMBER" => GrpcForm::Number,
            other => {
                return Err(self
                    .error(format!("`{other}` is no form of a gRPC status"))
                    .help("the forms are CAMEL_STRING, SNAKE_STRING, NUMBER")
                    .envoy(format!(
                        "GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: {other}"
                    )));
            }
        };
        Ok(Operator::grpc_status(form))
    }

    fn common_duration(&self) -> Compiled<Operator> {
        let parts: Vec<_> = self.text().split(':').collect();
        let (from, to, unit) = match parts[..] {
            [from, to] => (from, to, "ms"),
            [from, to, unit] => (from, to, unit),
            _ => {
                return Err(self
                    .error("expected two points of time and a unit")
                    .help(usage(self.call.name))
                    .envoy(format!("Invalid common duration configuration: {}.", self.text())));
            }
        };
        let unit = match unit {
            "ms" => Unit::Milliseconds,
            "us" => Unit::Microseconds,
            "ns" => Unit::Nanoseconds,
            _ => {
                return Err(self
                    .error(format!("`{unit}` is no unit of a duration"))
                    .help("the units are ms, us, ns")
                    .envoy(format!("Invalid common duration precision: {unit}.")));
            }
        };
        Ok(Operator::Between { from: self.point(from)?, to: self.point(to)?, unit })
    }

    fn point(&self, name: &str) -> Compiled<Point> {
        const POINTS: [(&str, Point); 8] = [
            ("DS_RX_BEG", Point::Start),
            ("DS_RX_END", Point::LastReceived),
            ("US_TX_BEG", Point::FirstUpstreamSent),
            ("US_TX_END", Point::LastUpstreamSent),
            ("US_RX_BEG", Point::FirstUpstreamReceived),
            ("US_RX_END", Point::LastUpstreamReceived),
            ("DS_TX_BEG", Point::FirstSent),
            ("DS_TX_END", Point::LastSent),
        ];
        let found = POINTS.iter().find(|(known, _)| *known == name).map(|(_, point)| *point);
        found.ok_or_else(|| {
            let names: Vec<_> = POINTS.iter().map(|(known, _)| *known).collect();
            self.error(format!("entries of Envoy do not have the time `{name}`"))
                .help(format!("Envoy's access log service sends {}", names.join(", ")))
        })
    }

    fn metadata(&self) -> Compiled<Operator> {
        let (kind, rest) = self.text().split_once(':').unwrap_or((self.text(), ""));
        match kind {
            "DYNAMIC" => Ok(Operator::Metadata(path(rest))),
            "CLUSTER" | "ROUTE" | "UPSTREAM_HOST" | "LISTENER" | "LISTENER_FILTER_CHAIN" | "VIRTUAL_HOST" => Err(self
                .error(format!("entries do not have metadata of the type {kind}"))
                .help("Envoy's access log service sends dynamic metadata only: %METADATA(DYNAMIC:NAMESPACE:KEY)%")),
            _ => Err(self
                .error(format!("`{kind}` is no type of metadata"))
                .help("the type that entries have is DYNAMIC")
                .envoy(format!("{kind} is not supported type of metadata"))),
        }
    }

    fn filter_state(&self) -> Compiled<Operator> {
        let mut parts = self.text().splitn(3, ':');
        let (key, kind, field) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next());
        if key.is_empty() {
            return Err(self
                .error("the key of the filter state is missing")
                .help("like %FILTER_STATE(my.key:PLAIN)%")
                .envoy("Invalid filter state configuration, key cannot be empty."));
        }
        let plain = match kind {
            "" | "TYPED" => false,
            "PLAIN" => true,
            "FIELD" if field.is_some_and(|field| !field.is_empty()) => {
                return Err(self.error("entries do not have fields of the filter state").help(
                    "Envoy's access log service sends the objects of filter_state_objects_to_log as a whole: PLAIN or TYPED",
                ));
            }
            "FIELD" => return Err(self.field_error()),
            other => {
                return Err(self
                    .error(format!("`{other}` is no form of the filter state"))
                    .help("the forms are PLAIN, TYPED")
                    .envoy("Invalid filter state serialize type, only support PLAIN/TYPED/FIELD."));
            }
        };
        if field.is_some() {
            return Err(self.field_error());
        }
        Ok(Operator::FilterState { key: key.to_owned(), plain })
    }

    fn expression(&self, typed: bool) -> Compiled<Operator> {
        Expression::new(self.text(), typed).map(Operator::Cel).map_err(|mistake| match mistake {
            Mistake::Syntax(text) => {
                let error = self.error(format!("not an expression of CEL: {text}"));
                error.help("like %CEL(request.headers['x-team'])%").envoy("Not able to parse expression: ")
            }
            Mistake::Attribute(name) => self
                .error(format!("entries do not have the attribute `{name}`"))
                .help("docs/access-log-format.md lists those that they have"),
        })
    }

    fn field_error(&self) -> TemplateError {
        self.error("FIELD, and only FIELD, is followed by the name of a field")
            .envoy("Invalid filter state serialize type, FIELD should be used with the field name.")
    }

    fn coalesce(&self) -> Compiled<Operator> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("COALESCE within COALESCE too often"));
        }
        let json: Value = serde_json::from_str(self.text()).map_err(|error| {
            let at = self.span().start + json_offset(self.text(), error.line(), error.column());
            TemplateError::new(at..self.span().end, format!("the parameter of COALESCE is not JSON: {error}"))
                .help(usage("COALESCE"))
                .envoy("COALESCE: failed to parse JSON configuration: ")
        })?;
        let Some(list) = json.get("operators") else {
            return Err(self
                .error("COALESCE needs a JSON object with `operators`")
                .help(usage("COALESCE"))
                .envoy("COALESCE: JSON configuration must contain 'operators' array"));
        };
        let Some(list) = list.as_array() else {
            return Err(self.error("`operators` is not an array").envoy("COALESCE: 'operators' must be an array"));
        };
        if list.is_empty() {
            let error = self.error("`operators` is empty");
            return Err(error.envoy("COALESCE: 'operators' array must not be empty"));
        }
        let compiled = list.iter().enumerate().map(|(index, item)| self.member(index, item));
        compiled.collect::<Compiled<_>>().map(Operator::Coalesce)
    }

    /// An operator of COALESCE. Its errors have the place of the whole parameter: its text may have had escapes.
    fn member(&self, index: usize, item: &Value) -> Compiled<Limited> {
        let refuse = |message: String, envoy: &str| {
            let envoy = format!("COALESCE: failed to parse operator at index {index}: {envoy}");
            self.error(format!("operators[{index}]: {message}")).envoy(envoy)
        };
        let text = |name: &str| match item.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(refuse(format!("`{name}` is not a string"), &format!("'{name}' field must be a string"))),
        };
        let command = match item {
            Value::String(name) => name.as_str(),
            Value::Object(_) => text("command")?.ok_or_else(|| {
                refuse("`command` is missing".to_owned(), "operator object must have 'command' field")
            })?,
            _ => {
                let envoy = "operator entry must be either a string (command name) or an object with 'command' field";
                return Err(refuse("neither the name of an operator nor an object".to_owned(), envoy));
            }
        };
        let length = match item.get("max_length") {
            None => None,
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => match number.as_u64() {
                Some(length) => usize::try_from(length).ok(),
                None => {
                    return Err(refuse(
                        "`max_length` is negative".to_owned(),
                        "'max_length' must be a positive integer",
                    ));
                }
            },
            Some(_) => {
                return Err(refuse(
                    "`max_length` is not an integer".to_owned(),
                    "'max_length' field must be an integer",
                ));
            }
        };
        let parameters = text("param")?.filter(|text| !text.is_empty()).map(|text| (text, 0));
        let call = Call { name: command, parameters, length, span: self.call.span.clone() };
        compile(&call, self.options, self.depth + 1).map_err(|error| {
            let envoy = match error.envoy.strip_prefix("Not supported field in StreamInfo: ") {
                Some(name) => format!("unknown command: '{name}'"),
                None => error.envoy.clone(),
            };
            let wrapped = refuse(error.message, &envoy).help(error.help);
            if error.envoy.is_empty() { wrapped.envoy("") } else { wrapped }
        })
    }
}

/// The keys of a path of metadata.
fn path(text: &str) -> Vec<String> {
    text.split(':').map(str::to_owned).collect()
}

/// The byte of a line and column, both from 1.
fn json_offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}
