//! `syscalls`: calls, groups of calls, and calls with a condition.

use super::error::{ReadError, quoted};
use super::located::{Located, Object, unknown};
use super::values::why;
use super::{Entry, SyscallRule, Syscalls};
use crate::syscalls::{self, Condition, Handler, Test, constants, groups};

/// The calls of a profile without the section.
pub(super) const NONE: Syscalls = Syscalls { exact: false, allow: Vec::new(), startup_only: Vec::new() };

pub(super) fn syscalls(place: &Located) -> Result<Syscalls, ReadError> {
    let object = place.object(&["exact", "allow", "startup_only"])?;
    Ok(Syscalls {
        exact: object.read("exact", Located::flag)?.unwrap_or(false),
        allow: object.list("allow", rule)?,
        startup_only: object.list("startup_only", rule)?,
    })
}

fn rule(item: &Located) -> Result<Entry<SyscallRule>, ReadError> {
    if let Some(name) = item.as_text() {
        let what = if name.starts_with('@') { group(item)? } else { SyscallRule::Call(call(item)?) };
        return Ok(Entry { what, why: None });
    }
    if !item.is_object() {
        return Err(item.not("a call's name, a group such as \"@core\", or an object"));
    }
    if item.any_object()?.get("group").is_some() {
        let object = item.object(&["group", "why"])?;
        return Ok(Entry { what: group(&object.need("group", "a group")?)?, why: why(&object)? });
    }
    let object = item.object(&["call", "arg", "in", "not_in", "mask", "equals", "why"])?;
    let name = call(&object.need("call", "a call's name, or \"group\"")?)?;
    let what = match condition(item, &object)? {
        Some(condition) => SyscallRule::When(name, condition),
        None => SyscallRule::Call(name),
    };
    Ok(Entry { what, why: why(&object)? })
}

fn group(place: &Located) -> Result<SyscallRule, ReadError> {
    let typed = place.string("a group such as \"@core\"")?;
    match groups::NAMES.iter().find(|name| **name == typed) {
        Some(name) => Ok(SyscallRule::Group(name)),
        None => Err(place.error(unknown("group of calls", typed, groups::NAMES.iter().copied()))),
    }
}

fn call(place: &Located) -> Result<&'static str, ReadError> {
    let typed = place.string("a call's name")?;
    if syscalls::handler(typed) == Handler::NotImplemented {
        return Err(place.error(format!(
            "{typed} cannot be granted: its flags lie in memory, where no filter can hold them; leave it out, it is \
             answered ENOSYS and libraries fall back to clone",
        )));
    }
    syscalls::known(typed).ok_or_else(|| place.error(unknown("system call", typed, syscalls::names())))
}

fn condition(item: &Located, object: &Object) -> Result<Option<Condition>, ReadError> {
    let test = match (object.get("in"), object.get("not_in"), object.get("mask"), object.get("equals")) {
        (None, None, None, None) => match object.get("arg") {
            None => return Ok(None),
            Some(arg) => {
                return Err(arg.error(
                    "has no test beside it; expected \"in\", \"not_in\", or \"mask\" and \"equals\"",
                ));
            }
        },
        (Some(list), None, None, None) => Test::In(values(&list)?),
        (None, Some(list), None, None) => Test::NotIn(values(&list)?),
        (None, None, Some(mask), Some(equals)) => {
            let (mask, wanted) = (value(&mask)?, value(&equals)?);
            if wanted & !mask != 0 {
                return Err(equals.error(format!(
                    "{wanted:#x} has bits that the mask {mask:#x} takes away; it would never be equal"
                )));
            }
            Test::Masked { mask, equals: wanted }
        }
        _ => {
            return Err(item.error(
                "has no single test; expected one of \"in\", \"not_in\", and \"mask\" with \"equals\"",
            ));
        }
    };
    let arg = object.need("arg", "the argument's number, 0 to 5")?.number(0..=5)? as u8;
    Ok(Some(Condition { arg, test }))
}

fn values(list: &Located) -> Result<Vec<u64>, ReadError> {
    list.some("name a value", value)
}

/// A number, or a constant by the kernel's name.
fn value(place: &Located) -> Result<u64, ReadError> {
    let Some(name) = place.as_text() else { return place.number(0..=u64::MAX) };
    constants::value(name).ok_or_else(|| {
        let hint = match name.parse::<u64>() {
            Ok(_) => format!("{} is a string; write the number without quotes", quoted(name)),
            Err(_) => unknown("constant", name, constants::names()),
        };
        place.error(hint)
    })
}
