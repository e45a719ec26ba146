//! Channel templates: `orders:{order_id}` and the arguments of a subscription become the channel it listens to.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::event::Channel;

/// What a value's text never contains unescaped, beside white space and control characters. One of these between two
/// placeholders keeps their values apart.
const ESCAPED: [char; 6] = [':', '%', '*', '{', '}', '/'];

/// A channel, or one per combination of arguments. Different values always name different channels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelTemplate {
    pieces: Pieces,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Pieces {
    Fixed(Channel),
    /// Each text is followed by the value of an argument; the last text is alone.
    Open(Vec<(Box<str>, Box<str>)>, Box<str>),
}

/// Why a template is wrong, or why arguments do not name a channel.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TemplateError {
    /// Nothing at all.
    #[error("the channel has no name; write for example `users` or `orders:{{order_id}}`")]
    Empty,
    /// Braces do not pair.
    #[error("`{template}` has a brace without its partner; placeholders are written {{argument}}")]
    Unpaired {
        /// The template.
        template: String,
    },
    /// A placeholder that is no name.
    #[error("`{template}` has the placeholder {{{name}}}, which is not the name of an argument")]
    BadName {
        /// The template.
        template: String,
        /// What stands between the braces.
        name: String,
    },
    /// Two placeholders whose values could run into each other.
    #[error(
        "`{template}` needs `:` or `/` between {{{first}}} and {{{second}}}, or different values name the same channel"
    )]
    Ambiguous {
        /// The template.
        template: String,
        /// The placeholder before.
        first: String,
        /// The placeholder after.
        second: String,
    },
    /// An argument is null or was not given.
    #[error("argument `{argument}` is part of the channel's name and must not be null")]
    Null {
        /// The argument.
        argument: String,
    },
    /// An argument is the empty text.
    #[error("argument `{argument}` is part of the channel's name and must not be empty")]
    EmptyValue {
        /// The argument.
        argument: String,
    },
    /// An argument is a list or an object.
    #[error("argument `{argument}` is part of the channel's name and must not be a list or an object")]
    Compound {
        /// The argument.
        argument: String,
    },
    /// The channel would have a name that is too long.
    #[error("the arguments make a channel's name of {bytes} bytes, and {max} are allowed", max = Channel::MAX_BYTES)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl ChannelTemplate {
    /// Reads a template. `{name}` stands for the value of an argument, everything else for itself.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        if template.is_empty() {
            return Err(TemplateError::Empty);
        }
        let unpaired = || TemplateError::Unpaired { template: template.to_owned() };
        let mut open: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(unpaired)?;
            if text.contains('}') || name.contains('{') {
                return Err(unpaired());
            }
            if !is_name(name) {
                return Err(TemplateError::BadName { template: template.to_owned(), name: name.to_owned() });
            }
            if let Some((_, first)) = open.last()
                && !text.contains(is_escaped)
            {
                let (first, second) = (first.to_string(), name.to_owned());
                return Err(TemplateError::Ambiguous { template: template.to_owned(), first, second });
            }
            open.push((text.into(), name.into()));
            rest = after;
        }
        if rest.contains('}') {
            return Err(unpaired());
        }
        let fixed = open.is_empty();
        let pieces = if fixed { Pieces::Fixed(Channel::new(template)) } else { Pieces::Open(open, rest.into()) };
        Ok(Self { pieces })
    }

    /// Names of the arguments it takes, in the order of the template.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        let open = match &self.pieces {
            Pieces::Fixed(_) => &[][..],
            Pieces::Open(open, _) => open,
        };
        open.iter().map(|(_, name)| &**name)
    }

    /// The channel for these arguments.
    ///
    /// Text keeps its letters, digits and most punctuation; `:`, `%`, `*`, `{`, `}`, `/`, white space and control
    /// characters become `%` and two hexadecimal digits per byte of UTF-8. Publishers must do the same.
    pub fn expand(&self, arguments: &Map<String, Value>) -> Result<Channel, TemplateError> {
        let (open, last) = match &self.pieces {
            Pieces::Fixed(channel) => return Ok(channel.clone()),
            Pieces::Open(open, last) => (open, last),
        };
        let mut name = String::new();
        for (text, argument) in open {
            name.push_str(text);
            let argument = &**argument;
            // Writing to a string does not fail.
            let _ = match arguments.get(argument).unwrap_or(&Value::Null) {
                Value::Null => return Err(TemplateError::Null { argument: argument.to_owned() }),
                Value::String(text) if text.is_empty() => {
                    return Err(TemplateError::EmptyValue { argument: argument.to_owned() });
                }
                Value::Array(_) | Value::Object(_) => {
                    return Err(TemplateError::Compound { argument: argument.to_owned() });
                }
                Value::String(text) => escape(text, &mut name),
                Value::Bool(value) => write!(name, "{value}"),
                Value::Number(value) => write!(name, "{value}"),
            };
        }
        name.push_str(last);
        if name.len() > Channel::MAX_BYTES {
            return Err(TemplateError::TooLong { bytes: name.len() });
        }
        Ok(Channel::new(&name))
    }
}

/// Whether it is a name by GraphQL's grammar.
fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(word) && text.starts_with(|c: char| !c.is_ascii_digit())
}

fn is_escaped(c: char) -> bool {
    ESCAPED.contains(&c) || c.is_whitespace() || c.is_control()
}

fn escape(text: &str, out: &mut String) -> std::fmt::Result {
    for c in text.chars() {
        if is_escaped(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                write!(out, "%{byte:02X}")?;
            }
        } else {
            out.push(c);
        }
    }
    Ok(())
}
