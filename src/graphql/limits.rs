//! What one operation may ask for.

/// Bounds on the documents of clients. Everything is checked before anything is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the document, bytes. The parser's token count leaves out white space, so both are needed.
    pub bytes: usize,
    /// Tokens in the document.
    pub tokens: usize,
    /// Nested fields, the root field included. Introspection has a rule of its own.
    pub depth: usize,
    /// Fields of a response, fragments expanded, every list counted as one item: fragments multiply.
    pub expanded_fields: usize,
    /// Memory of the coerced variables of an operation, and of its coerced arguments: bytes, as `footprint` counts them.
    pub arguments: usize,
    /// Whether introspection is answered. `__typename` always is.
    pub introspection: bool,
    /// Errors reported for one document; a final one says how many were left out.
    pub errors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            tokens: 10_000,
            depth: 12,
            expanded_fields: 5_000,
            arguments: 256 * 1024,
            introspection: true,
            errors: 20,
        }
    }
}
