//! Decodes the arguments of notified calls, once for enforcing and for learning. A decoder
//! says which register is what, and reads what a pointer leads to; it decides nothing.

mod address;
mod attributes;
mod change;
mod exec;
mod mapping;
mod open;
mod path;
mod strings;

pub use self::address::AddressArgs;
pub use self::attributes::{Attribute, AttributeArgs};
pub use self::change::{Change, ChangeArgs};
pub use self::exec::Exec;
pub use self::mapping::MappingArgs;
pub use self::open::Open;
pub use self::path::PathArg;
pub use self::strings::{args, each};
