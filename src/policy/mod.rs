//! Which events are for whom: channel templates, equalities and predicates, compiled once per field.
//!
//! A [`ChannelTemplate`] says where a subscription listens. A [`Filter`] says which of the channel's events it may see,
//! twice over: as [`Keys`], which an index looks up by hash, and as a [`Verdict`], which reads the whole predicate. The
//! keys are speed and only ever let through more than the predicate does; the verdict is security, and whatever goes
//! wrong while it is reached withholds the event.
//!
//! Everything here is a pure function of its arguments. Predicates are written in CEL; this is the only module that
//! names the crate.
//!
//! | values | rule |
//! |---|---|
//! | numbers | equal and ordered by value, across types and with any number of digits: `1` equals `1.0`, never `"1"` |
//! | arguments of type `ID` | `==` and `!=` compare by text: the number 123 equals the ID `"123"` |
//! | `match` | an argument that is null or not given does not restrict; an event without the value does not match |
//! | `where` | an argument that is not given is `null`, and `null == null`; a missing value of the event is an error |
//! | `claims` | an equality with null or a missing value on either side does not hold; nested, null is an error |

mod argument;
mod claims;
mod conjuncts;
mod datum;
mod equality;
mod error;
mod filter;
mod functions;
mod key;
mod lower;
mod names;
mod operand;
mod path;
mod predicate;
mod template;
mod value;
mod verdict;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use argument::{Argument, ArgumentKind};
pub use conjuncts::conjuncts;
pub use error::FilterError;
pub use filter::Filter;
pub use key::{Key, Keys};
pub use template::{ChannelTemplate, TemplateError};
pub use verdict::{EvaluationError, Verdict};
