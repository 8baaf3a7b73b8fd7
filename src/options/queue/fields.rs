//! The table of options as fields of schemas.

use std::time::Duration;

use serde_json::{Map, Value};

use logphase_config::schema::{Check, Default, Field, Problem, Record, Type};

use super::ROWS;

/// One option.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) checks: &'static [Check],
    pub(super) about: &'static str,
    /// The same, with the unit that a bare number has.
    pub(super) about_in_seconds: &'static str,
    pub(super) default: Default,
    /// In Kong, for an option that it has.
    pub(super) kong_default: Default,
    pub(super) scope: Scope,
}

/// What an option's value is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A whole number.
    Integer,
    /// Bytes. Kong has only numbers for its own options.
    Size,
    /// A duration. Kong has only numbers of seconds.
    Duration,
    /// One of several words.
    Choice,
    /// Yes or no.
    Boolean,
}

/// Where an option can be set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everywhere; Kong's plugins have it too.
    Kong,
    /// Everywhere; Kong's plugins lack it.
    Plugin,
    /// In the settings only, for all plugins or for one.
    Settings,
}

/// Which schema a field is for.
#[derive(Clone, Copy)]
enum Form {
    /// `queue` of the settings, which has all defaults.
    Settings,
    /// `plugins.NAME.queue` of the settings.
    Override,
    /// A plugin's `config.queue`; the settings decide the options that it does not set.
    Plugin,
    /// The same of a plugin that has a queue in Kong: with Kong's defaults.
    PluginWithDefaults,
}

/// The fields of the settings' `queue`.
pub const SETTINGS_FIELDS: [Field; ROWS.len()] = fields(Form::Settings);

static OVERRIDE_FIELDS: [Field; ROWS.len()] = fields(Form::Override);
static PLUGIN_FIELDS: [Field; PLUGIN_ROWS] = fields(Form::Plugin);
static PLUGIN_FIELDS_WITH_DEFAULTS: [Field; PLUGIN_ROWS] = fields(Form::PluginWithDefaults);

/// Kong's default of `max_batch_size` for opentelemetry.
const LARGE_BATCH: i64 = 200;
static PLUGIN_FIELDS_OF_LARGE_BATCHES: [Field; PLUGIN_ROWS] = {
    let mut fields = fields(Form::PluginWithDefaults);
    fields[0] = fields[0].default(Default::Integer(LARGE_BATCH));
    fields
};

/// `plugins.NAME.queue` of the settings.
pub static OVERRIDE: Record = Record { fields: &OVERRIDE_FIELDS, checks: &[retry_delays] };
/// A plugin's `config.queue`; the settings decide the options that it does not set.
pub static PLUGIN: Record = Record { fields: &PLUGIN_FIELDS, checks: &[retry_delays] };
/// `config.queue` of a plugin that has a queue in Kong, with Kong's defaults but for `max_retry_time`. Kong's 60 seconds
/// would cost messages whenever a receiver is away for longer.
pub static PLUGIN_WITH_DEFAULTS: Record = Record { fields: &PLUGIN_FIELDS_WITH_DEFAULTS, checks: &[retry_delays] };

/// The same of a plugin whose batches have up to 200 entries in Kong.
pub static PLUGIN_WITH_LARGE_BATCHES: Record =
    Record { fields: &PLUGIN_FIELDS_OF_LARGE_BATCHES, checks: &[retry_delays] };

/// Options that a plugin's own configuration may have.
const PLUGIN_ROWS: usize = {
    let (mut at, mut count) = (0, 0);
    while at < ROWS.len() {
        if !matches!(ROWS[at].scope, Scope::Settings) {
            assert!(at == count, "the table has the options of plugins first");
            count += 1;
        }
        at += 1;
    }
    count
};

/// The first `N` options, in `form`.
const fn fields<const N: usize>(form: Form) -> [Field; N] {
    let mut fields = [Field::any(""); N];
    let mut at = 0;
    while at < N {
        fields[at] = ROWS[at].field(form);
        at += 1;
    }
    fields
}

impl Row {
    const fn field(&self, form: Form) -> Field {
        let field = match self.kind {
            Kind::Integer => Field::integer(self.name),
            Kind::Size => Field::size(self.name),
            Kind::Duration => Field::duration(self.name),
            Kind::Choice => Field::string(self.name),
            Kind::Boolean => Field::boolean(self.name),
        };
        let field = field.checks(self.checks).about(self.about);
        match form {
            Form::Override => field,
            Form::Settings if matches!(self.default, Default::None) => field,
            Form::Settings => field.required().default(self.default),
            Form::Plugin => self.in_plugin(field),
            Form::PluginWithDefaults if matches!(self.scope, Scope::Kong) => {
                self.in_plugin(field).default(self.kong_default)
            }
            Form::PluginWithDefaults => self.in_plugin(field),
        }
    }

    /// As a plugin has it, where durations are numbers, and so are the sizes that Kong knows.
    const fn in_plugin(&self, mut field: Field) -> Field {
        match self.kind {
            Kind::Duration => {
                field.ty = Type::Number;
                field = field.about(self.about_in_seconds);
            }
            Kind::Size if matches!(self.scope, Scope::Kong) => field.ty = Type::Integer,
            _ => {}
        }
        if matches!(self.scope, Scope::Kong) { field } else { field.extension() }
    }
}

/// A duration as the default of a field.
pub(super) const fn duration(duration: Duration) -> Default {
    match duration.subsec_nanos() {
        0 => Default::Integer(duration.as_secs() as i64),
        _ => Default::Number(duration.as_secs_f64()),
    }
}

/// The first pause between retries must not be longer than the longest.
///
/// # Errors
/// It is.
pub fn retry_delays(queue: &Map<String, Value>) -> Result<(), Problem> {
    let number = |name: &str| queue.get(name).and_then(Value::as_f64);
    match (number("initial_retry_delay"), number("max_retry_delay")) {
        (Some(initial), Some(longest)) if initial > longest => Err(Problem {
            field: "initial_retry_delay",
            message: "`initial_retry_delay` is longer than `max_retry_delay`".into(),
            kong: "must be at most max_retry_delay".into(),
        }),
        _ => Ok(()),
    }
}
