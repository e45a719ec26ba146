//! Writes the answer of an introspection query (specification §4), and stops where it would become too large.

use apollo_compiler::ast::{self, EnumValueDefinition, FieldDefinition, InputValueDefinition};
use apollo_compiler::schema::{DirectiveDefinition, ExtendedType};

use super::select::{Selected, Sets};
use crate::graphql::schema::Schema;

/// The answer has more bytes than it may.
pub(super) struct TooLarge;

type Written = Result<(), TooLarge>;

/// What a selection is answered from.
#[derive(Clone, Copy)]
enum Element<'s> {
    /// The root type of this name.
    Root(&'s str),
    Schema,
    Named(&'s ExtendedType),
    /// A list or non-null type; without its non-null mark if `bare`.
    Wrapped {
        ty: &'s ast::Type,
        bare: bool,
    },
    Field(&'s FieldDefinition),
    Input(&'s InputValueDefinition),
    EnumValue(&'s EnumValueDefinition),
    Directive(&'s DirectiveDefinition),
}

pub(super) struct Writer<'s, 'q> {
    schema: &'s Schema,
    sets: &'q Sets<'q>,
    most: usize,
    out: String,
}

impl<'s, 'q> Writer<'s, 'q> {
    /// A writer of at most so many bytes.
    pub(super) fn new(schema: &'s Schema, sets: &'q Sets<'q>, most: usize) -> Self {
        Self { schema, sets, most, out: String::new() }
    }

    /// The complete `ExecutionResult` of a query on the root type of this name.
    pub(super) fn answer(mut self, root_type: &'s str, root: usize) -> Result<String, TooLarge> {
        self.push("{\"data\":")?;
        self.object(Element::Root(root_type), root)?;
        self.push("}")?;
        Ok(self.out)
    }

    fn object(&mut self, element: Element<'s>, set: usize) -> Written {
        let sets = self.sets;
        self.push("{")?;
        for (index, selected) in sets.get(set).iter().enumerate() {
            self.push(if index == 0 { "" } else { "," })?;
            self.push(&selected.prefix)?;
            self.field(element, selected)?;
        }
        self.push("}")
    }

    fn field(&mut self, element: Element<'s>, selected: &Selected<'_>) -> Written {
        if selected.name == "__typename" {
            return self.text(element.type_name());
        }
        match element {
            Element::Root(_) => self.root(selected),
            Element::Schema => self.schema(selected),
            Element::Named(definition) => self.named(definition, selected),
            Element::Wrapped { ty, bare } => self.wrapped(ty, bare, selected),
            Element::Field(field) => match selected.name {
                "name" => self.text(&field.name),
                "description" => self.nullable(field.description.as_deref()),
                "args" => self.inputs(field.arguments.iter().map(|argument| &**argument), selected),
                "type" => self.ty(&field.ty, selected),
                _ => self.deprecation(&field.directives, selected),
            },
            Element::Input(input) => match selected.name {
                "name" => self.text(&input.name),
                "description" => self.nullable(input.description.as_deref()),
                "type" => self.ty(&input.ty, selected),
                "defaultValue" => match &input.default_value {
                    Some(value) => self.text(&value.serialize().no_indent().to_string()),
                    None => self.push("null"),
                },
                _ => self.deprecation(&input.directives, selected),
            },
            Element::EnumValue(value) => match selected.name {
                "name" => self.text(&value.value),
                "description" => self.nullable(value.description.as_deref()),
                _ => self.deprecation(&value.directives, selected),
            },
            Element::Directive(directive) => match selected.name {
                "name" => self.text(&directive.name),
                "description" => self.nullable(directive.description.as_deref()),
                "args" => self.inputs(directive.arguments.iter().map(|argument| &**argument), selected),
                "locations" => self.each(directive.locations.iter(), |writer, location| writer.text(location.name())),
                "isRepeatable" => self.boolean(directive.repeatable),
                _ => self.push("null"),
            },
        }
    }

    fn root(&mut self, selected: &Selected<'_>) -> Written {
        match selected.name {
            "__schema" => self.object(Element::Schema, selected.set),
            "__type" => self.definition(selected.type_name.as_deref(), selected.set),
            _ => self.push("null"),
        }
    }

    fn schema(&mut self, selected: &Selected<'_>) -> Written {
        let definitions = &self.schema.definitions;
        let root = &definitions.schema_definition;
        let set = selected.set;
        match selected.name {
            "description" => self.nullable(root.description.as_deref()),
            "types" => self.each(definitions.types.values(), |writer, ty| writer.object(Element::Named(ty), set)),
            "queryType" => self.definition(root.query.as_ref().map(|name| name.as_str()), set),
            "mutationType" => self.definition(root.mutation.as_ref().map(|name| name.as_str()), set),
            "subscriptionType" => self.definition(root.subscription.as_ref().map(|name| name.as_str()), set),
            "directives" => self.each(definitions.directive_definitions.values(), |writer, directive| {
                writer.object(Element::Directive(directive), set)
            }),
            _ => self.push("null"),
        }
    }

    fn named(&mut self, definition: &'s ExtendedType, selected: &Selected<'_>) -> Written {
        let (set, with_deprecated) = (selected.set, selected.with_deprecated);
        match (selected.name, definition) {
            ("kind", _) => self.text(kind(definition)),
            ("name", _) => self.text(definition.name()),
            ("description", _) => self.nullable(definition.description().map(apollo_compiler::Node::as_str)),
            ("fields", ExtendedType::Object(definition)) => {
                let fields =
                    definition.fields.values().filter(|field| with_deprecated || !is_deprecated(&field.directives));
                self.each(fields, |writer, field| writer.object(Element::Field(field), set))
            }
            ("fields", ExtendedType::Interface(definition)) => {
                let fields =
                    definition.fields.values().filter(|field| with_deprecated || !is_deprecated(&field.directives));
                self.each(fields, |writer, field| writer.object(Element::Field(field), set))
            }
            ("interfaces", ExtendedType::Object(definition)) => {
                self.definitions(definition.implements_interfaces.iter().map(|name| name.as_str()), set)
            }
            ("interfaces", ExtendedType::Interface(definition)) => {
                self.definitions(definition.implements_interfaces.iter().map(|name| name.as_str()), set)
            }
            ("possibleTypes", ExtendedType::Interface(definition)) => {
                let implementers = self.schema.implementers.get(&definition.name).into_iter();
                self.definitions(implementers.flat_map(|all| &all.objects).map(apollo_compiler::Name::as_str), set)
            }
            ("possibleTypes", ExtendedType::Union(definition)) => {
                self.definitions(definition.members.iter().map(|name| name.as_str()), set)
            }
            ("enumValues", ExtendedType::Enum(definition)) => {
                let values =
                    definition.values.values().filter(|value| with_deprecated || !is_deprecated(&value.directives));
                self.each(values, |writer, value| writer.object(Element::EnumValue(value), set))
            }
            ("inputFields", ExtendedType::InputObject(definition)) => {
                self.inputs(definition.fields.values().map(|field| &***field), selected)
            }
            ("specifiedByURL", ExtendedType::Scalar(definition)) => {
                let directive = definition.directives.get("specifiedBy");
                let url = directive.and_then(|directive| directive.specified_argument_by_name("url"));
                self.nullable(url.and_then(|url| url.as_str()))
            }
            _ => self.push("null"),
        }
    }

    fn wrapped(&mut self, ty: &'s ast::Type, bare: bool, selected: &Selected<'_>) -> Written {
        let is_non_null = ty.is_non_null() && !bare;
        match (selected.name, ty) {
            ("kind", _) => self.text(if is_non_null { "NON_NULL" } else { "LIST" }),
            ("ofType", ast::Type::Named(name) | ast::Type::NonNullNamed(name)) => {
                self.definition(Some(name), selected.set)
            }
            ("ofType", ast::Type::NonNullList(_)) if is_non_null => {
                self.object(Element::Wrapped { ty, bare: true }, selected.set)
            }
            ("ofType", ast::Type::List(item) | ast::Type::NonNullList(item)) => self.ty(item, selected),
            _ => self.push("null"),
        }
    }

    fn ty(&mut self, ty: &'s ast::Type, selected: &Selected<'_>) -> Written {
        match ty {
            ast::Type::Named(name) => self.definition(Some(name), selected.set),
            wrapped => self.object(Element::Wrapped { ty: wrapped, bare: false }, selected.set),
        }
    }

    fn definition(&mut self, name: Option<&str>, set: usize) -> Written {
        match name.and_then(|name| self.schema.definitions.types.get(name)) {
            Some(definition) => self.object(Element::Named(definition), set),
            None => self.push("null"),
        }
    }

    fn definitions<'n>(&mut self, names: impl Iterator<Item = &'n str>, set: usize) -> Written {
        let types = &self.schema.definitions.types;
        self.each(names.filter_map(|name| types.get(name)), |writer, ty| writer.object(Element::Named(ty), set))
    }

    fn inputs(&mut self, inputs: impl Iterator<Item = &'s InputValueDefinition>, selected: &Selected<'_>) -> Written {
        let inputs = inputs.filter(|input| selected.with_deprecated || !is_deprecated(&input.directives));
        self.each(inputs, |writer, input| writer.object(Element::Input(input), selected.set))
    }

    fn deprecation(&mut self, directives: &'s ast::DirectiveList, selected: &Selected<'_>) -> Written {
        let deprecated = directives.get("deprecated");
        match selected.name {
            "isDeprecated" => self.boolean(deprecated.is_some()),
            "deprecationReason" => {
                let reason = deprecated
                    .and_then(|directive| directive.argument_by_name("reason", &self.schema.definitions).ok());
                self.nullable(reason.and_then(|reason| reason.as_str()))
            }
            _ => self.push("null"),
        }
    }

    fn each<T>(&mut self, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T) -> Written) -> Written {
        self.push("[")?;
        for (index, item) in items.enumerate() {
            self.push(if index == 0 { "" } else { "," })?;
            write(self, item)?;
        }
        self.push("]")
    }

    fn boolean(&mut self, value: bool) -> Written {
        self.push(if value { "true" } else { "false" })
    }

    fn nullable(&mut self, text: Option<&str>) -> Written {
        match text {
            Some(text) => self.text(text),
            None => self.push("null"),
        }
    }

    fn text(&mut self, text: &str) -> Written {
        self.make_room(text.len())?;
        self.push(&serde_json::Value::from(text).to_string())
    }

    fn push(&mut self, text: &str) -> Written {
        self.make_room(text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    fn make_room(&self, bytes: usize) -> Written {
        if self.out.len() + bytes > self.most { Err(TooLarge) } else { Ok(()) }
    }
}

impl Element<'_> {
    fn type_name(&self) -> &str {
        match self {
            Self::Root(name) => name,
            Self::Schema => "__Schema",
            Self::Named(_) | Self::Wrapped { .. } => "__Type",
            Self::Field(_) => "__Field",
            Self::Input(_) => "__InputValue",
            Self::EnumValue(_) => "__EnumValue",
            Self::Directive(_) => "__Directive",
        }
    }
}

fn kind(definition: &ExtendedType) -> &'static str {
    match definition {
        ExtendedType::Scalar(_) => "SCALAR",
        ExtendedType::Object(_) => "OBJECT",
        ExtendedType::Interface(_) => "INTERFACE",
        ExtendedType::Union(_) => "UNION",
        ExtendedType::Enum(_) => "ENUM",
        ExtendedType::InputObject(_) => "INPUT_OBJECT",
    }
}

fn is_deprecated(directives: &ast::DirectiveList) -> bool {
    directives.get("deprecated").is_some()
}
