//! Plain values: copies of what scripts keep beyond a transaction.

use mlua::{Lua, Table, Value as Lv};

use super::super::convert::kind_name;
use super::super::deadline;
use super::super::interrupt::OUT_OF_TIME;
use super::super::state::State;

/// A value without functions, metatables or a VM.
#[derive(Debug)]
pub(super) enum Plain {
    Nil,
    /// `ngx.null`.
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<[u8]>),
    Table {
        members: Vec<(Plain, Plain)>,
        /// It came as a JSON array.
        array: bool,
    },
}

/// Why a value cannot be copied.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A kind that is not plain.
    Kind(&'static str),
    /// Too large or too deep to keep.
    Size,
    /// The script's time is over.
    Stopped(mlua::Error),
}

/// Levels of tables in one another.
const DEEPEST: usize = 32;

/// What a value takes beside its text.
const OVERHEAD: usize = 64;

impl Plain {
    /// Copies `value`, reading tables raw; takes what it needs from `room`, in bytes.
    pub(super) fn copy(state: &State, value: &Lv, room: &mut usize) -> Result<Self, Refusal> {
        Self::copy_at(state, value, room, 0)
    }

    fn copy_at(state: &State, value: &Lv, room: &mut usize, depth: usize) -> Result<Self, Refusal> {
        if deadline::is_over() {
            return Err(Refusal::Stopped(mlua::Error::runtime(OUT_OF_TIME)));
        }
        *room = room.checked_sub(OVERHEAD).ok_or(Refusal::Size)?;
        Ok(match value {
            Lv::Nil => Self::Nil,
            Lv::Boolean(value) => Self::Bool(*value),
            Lv::Integer(number) => Self::Number(*number as f64),
            Lv::Number(number) => Self::Number(*number),
            Lv::String(text) => {
                let bytes = text.as_bytes();
                *room = room.checked_sub(bytes.len()).ok_or(Refusal::Size)?;
                Self::Text((&*bytes).into())
            }
            Lv::LightUserData(pointer) if pointer.0.is_null() => Self::Null,
            Lv::Table(_) if depth == DEEPEST => return Err(Refusal::Size),
            Lv::Table(table) => Self::copy_table(state, table, room, depth + 1)?,
            other => return Err(Refusal::Kind(kind_name(other))),
        })
    }

    fn copy_table(state: &State, table: &Table, room: &mut usize, depth: usize) -> Result<Self, Refusal> {
        let mut members = Vec::new();
        let mut refusal = None;
        let read = table.for_each(|key: Lv, value: Lv| {
            let mut copy = |value: &Lv| Self::copy_at(state, value, room, depth);
            match copy(&key).and_then(|key| Ok((key, copy(&value)?))) {
                Ok(member) => members.push(member),
                Err(reason) => refusal = Some(reason),
            }
            if refusal.is_some() { Err(mlua::Error::runtime("")) } else { Ok(()) }
        });
        match (refusal, read) {
            (Some(refusal), _) => Err(refusal),
            (None, Err(error)) => Err(Refusal::Stopped(error)),
            (None, Ok(())) => {
                let array = table.metatable().is_some_and(|mark| mark == state.array_mark);
                Ok(Self::Table { members, array })
            }
        }
    }

    /// A new Lua value.
    pub(super) fn to_lua(&self, lua: &Lua, state: &State) -> mlua::Result<Lv> {
        Ok(match self {
            Self::Nil => Lv::Nil,
            Self::Null => Lv::NULL,
            Self::Bool(value) => Lv::Boolean(*value),
            Self::Number(number) => Lv::Number(*number),
            Self::Text(bytes) => Lv::String(lua.create_string(bytes)?),
            Self::Table { members, array } => {
                let table = lua.create_table_with_capacity(0, members.len())?;
                for (key, value) in members {
                    if deadline::is_over() {
                        return Err(mlua::Error::runtime(OUT_OF_TIME));
                    }
                    table.raw_set(key.to_lua(lua, state)?, value.to_lua(lua, state)?)?;
                }
                if *array {
                    table.set_metatable(Some(state.array_mark.clone()))?;
                }
                Lv::Table(table)
            }
        })
    }
}
