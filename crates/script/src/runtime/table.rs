//! Tables read raw: no metamethod runs.

use mlua::{Table, Value as Lv};

/// Makes `table` read-only.
pub(crate) fn frozen(table: Table) -> Table {
    table.set_readonly(true);
    table
}

/// Why the members of a table could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There are more than asked for.
    TooMany,
    /// The VM's own error, such as a refused allocation.
    Lua(mlua::Error),
}

/// The members of `table`, at most `limit` of them.
///
/// # Errors
/// The table has more, or the VM failed.
pub(crate) fn read_members(table: &Table, limit: usize) -> Result<Vec<(Lv, Lv)>, ReadError> {
    let mut members = Vec::new();
    let mut too_many = false;
    let read = table.for_each(|key: Lv, value: Lv| {
        too_many = members.len() >= limit;
        if too_many {
            return Err(mlua::Error::runtime(""));
        }
        members.push((key, value));
        Ok(())
    });
    match read {
        Ok(()) => Ok(members),
        Err(_) if too_many => Err(ReadError::TooMany),
        Err(error) => Err(ReadError::Lua(error)),
    }
}

/// The index that `key` is in a sequence, from 1.
pub(crate) fn sequence_index(key: &Lv) -> Option<usize> {
    match key {
        Lv::Integer(index) => usize::try_from(*index).ok().filter(|index| *index > 0),
        Lv::Number(index) if index.trunc() == *index && *index >= 1.0 && *index < 2_147_483_648.0 => {
            Some(*index as usize)
        }
        _ => None,
    }
}

/// The highest index, if all keys are indices.
pub(crate) fn array_length(members: &[(Lv, Lv)]) -> Option<usize> {
    members.iter().try_fold(0, |highest, (key, _)| sequence_index(key).map(|index| highest.max(index)))
}
