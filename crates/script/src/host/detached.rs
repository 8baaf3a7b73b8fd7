//! Copies of Lua values that scripts keep beyond a transaction.

use mlua::{Lua, Table, Value as Lv};

use crate::runtime::{check, kind_name, work};

/// A value detached from its VM, without functions and metatables.
#[derive(Debug)]
pub(crate) enum Detached {
    Nil,
    /// `ngx.null`.
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<[u8]>),
    Table {
        members: Vec<(Detached, Detached)>,
        /// It was read from a JSON array.
        array: bool,
    },
}

/// Why a value cannot be detached.
#[derive(Debug)]
pub(crate) enum DetachError {
    /// Its type, or that of a member, has no detached form.
    Unsupported(&'static str),
    /// It is too large or too deep.
    TooLarge,
    /// The script has to stop.
    Stopped(mlua::Error),
}

/// Levels of nested tables.
const MAX_DEPTH: usize = 32;

/// Overhead of a value in addition to its text, in bytes.
const OVERHEAD: usize = 64;

impl Detached {
    /// Copies `value`, reading tables raw. Takes the bytes that it needs from `room`.
    ///
    /// # Errors
    /// See [`DetachError`].
    pub(crate) fn copy(array_mark: &Table, value: &Lv, room: &mut usize) -> Result<Self, DetachError> {
        Self::copy_at(array_mark, value, room, 0)
    }

    fn copy_at(array_mark: &Table, value: &Lv, room: &mut usize, depth: usize) -> Result<Self, DetachError> {
        check().map_err(DetachError::Stopped)?;
        *room = room.checked_sub(OVERHEAD).ok_or(DetachError::TooLarge)?;
        Ok(match value {
            Lv::Nil => Self::Nil,
            Lv::Boolean(value) => Self::Bool(*value),
            Lv::Integer(number) => Self::Number(*number as f64),
            Lv::Number(number) => Self::Number(*number),
            Lv::String(text) => {
                let bytes = text.as_bytes();
                work(bytes.len());
                *room = room.checked_sub(bytes.len()).ok_or(DetachError::TooLarge)?;
                Self::Text((&*bytes).into())
            }
            Lv::LightUserData(pointer) if pointer.0.is_null() => Self::Null,
            Lv::Table(_) if depth == MAX_DEPTH => return Err(DetachError::TooLarge),
            Lv::Table(table) => Self::copy_table(array_mark, table, room, depth + 1)?,
            other => return Err(DetachError::Unsupported(kind_name(other))),
        })
    }

    fn copy_table(array_mark: &Table, table: &Table, room: &mut usize, depth: usize) -> Result<Self, DetachError> {
        let mut members = Vec::new();
        let mut failure = None;
        let read = table.for_each(|key: Lv, value: Lv| {
            let mut copy = |value: &Lv| Self::copy_at(array_mark, value, room, depth);
            match copy(&key).and_then(|key| Ok((key, copy(&value)?))) {
                Ok(member) => members.push(member),
                Err(reason) => failure = Some(reason),
            }
            if failure.is_some() { Err(mlua::Error::runtime("")) } else { Ok(()) }
        });
        match (failure, read) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(DetachError::Stopped(error)),
            (None, Ok(())) => {
                let array = table.metatable().is_some_and(|mark| mark == *array_mark);
                Ok(Self::Table { members, array })
            }
        }
    }

    /// Creates a Lua value.
    ///
    /// # Errors
    /// The script has to stop, or the VM failed.
    pub(crate) fn to_lua(&self, lua: &Lua, array_mark: &Table) -> mlua::Result<Lv> {
        Ok(match self {
            Self::Nil => Lv::Nil,
            Self::Null => Lv::NULL,
            Self::Bool(value) => Lv::Boolean(*value),
            Self::Number(number) => Lv::Number(*number),
            Self::Text(bytes) => Lv::String(lua.create_string(bytes)?),
            Self::Table { members, array } => {
                let table = lua.create_table_with_capacity(0, members.len())?;
                for (key, value) in members {
                    check()?;
                    table.raw_set(key.to_lua(lua, array_mark)?, value.to_lua(lua, array_mark)?)?;
                }
                if *array {
                    table.set_metatable(Some(array_mark.clone()))?;
                }
                Lv::Table(table)
            }
        })
    }
}
