//! What a predicate says about an event, and why it may fail to say anything.

use thiserror::Error;

/// Whether a subscription may see an event.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// It may.
    Deliver,
    /// It may not.
    Suppress,
    /// The predicate could not be evaluated, so it may not.
    Failed(EvaluationError),
}

/// Why a predicate could not be evaluated. Names what the predicate reads and types, never values: it goes to the log.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum EvaluationError {
    /// Something that the predicate reads is not there. To allow for that, test it with `has(…)` first.
    #[error("{0} is missing")]
    Missing(String),
    /// An operator or function was given types that it does not take.
    #[error("`{operator}` does not take ({types})")]
    Types {
        /// The operator or function.
        operator: String,
        /// Names of types, separated by commas.
        types: String,
    },
    /// A value of another type was needed.
    #[error("found {found} where {wanted} is needed")]
    Unexpected {
        /// Name of the type that was found.
        found: String,
        /// What was needed.
        wanted: String,
    },
    /// Division by zero, or a result beyond 64 bits.
    #[error("arithmetic failed: division by zero, or a result beyond 64 bits")]
    Arithmetic,
    /// A list is shorter than an index needs.
    #[error("a list has no element at the index")]
    OutOfBounds,
    /// A conversion such as `int("x")`.
    #[error("`{0}` failed for its argument")]
    Function(String),
    /// A comparison with claims found null on one of its sides, which counts as neither equal nor different.
    #[error("a comparison with claims found null, which is neither equal nor different; test with has(…) first")]
    NullClaim,
}
