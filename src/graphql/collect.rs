//! Compiles a selection set into a [`Selection`]: the specification's `CollectFields` (§6.3.2), done once per
//! subscription instead of once per event, for every object type that can occur.
//!
//! Fragments multiply: 26 of them can select 2²⁵ fields. What was compiled is remembered by the set of syntax nodes it
//! came from, so that such a document is counted, and refused, in the time it takes to read it.

use std::sync::Arc;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::{self, DirectiveList};
use apollo_compiler::collections::{HashMap, HashSet};
use apollo_compiler::executable::{self, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value};

use super::error::GraphqlError;
use super::limits::Limits;
use super::schema::Schema;
use super::selection::{Composite, Field, Kind, Leaf, Object, Selection, Source, Type};

/// Steps of compilation per field that may be selected: an interface has many possible types, a list is read for each.
const STEPS_PER_FIELD: usize = 32;
/// Bytes of the compiled form per field that may be selected. A long alias is kept for each type that a value can have.
const BYTES_PER_FIELD: usize = 512;
/// Fragments inside fragments, without a field between them: collecting recurses once per level.
const MAX_FRAGMENTS: usize = 100;

/// What the compilation of one operation needs and remembers.
pub(super) struct Collector<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    variables: &'a Map<String, Value>,
    limits: &'a Limits,
    composites: IndexSet<Composite>,
    /// By type and by the addresses of the selection sets that apply to it.
    compiled: HashMap<(&'a str, Vec<usize>), Extent>,
    steps: usize,
    /// Bytes of what was compiled.
    bytes: usize,
    /// Objects around the one that is being compiled.
    level: usize,
}

/// A compiled selection and how large it is.
#[derive(Clone, Copy)]
struct Extent {
    composite: u32,
    /// Fields of a response, at most.
    fields: usize,
    /// Levels of fields.
    levels: usize,
}

type Group<'a> = IndexMap<&'a str, Vec<&'a executable::Field>>;

/// Compiles the selection of a subscription's only root field.
pub(super) fn collect(
    schema: &Schema,
    document: &ExecutableDocument,
    root: &executable::Field,
    owner: &str,
    variables: &Map<String, Value>,
    limits: &Limits,
) -> Result<Selection, GraphqlError> {
    let mut collector = Collector {
        schema,
        document,
        variables,
        limits,
        composites: IndexSet::new(),
        compiled: HashMap::default(),
        steps: 0,
        bytes: 0,
        level: 0,
    };
    let at = || root.name.location().and_then(|span| span.line_column(&document.sources));
    let (ty, _, levels) = collector.ty(root.ty(), &[root]).map_err(|error| error.at(at()))?;
    if levels >= limits.depth {
        return Err(collector.too_deep().at(at()));
    }
    let key = root.response_key().as_str();
    let root = Field {
        key: key.into(),
        name: root.name.as_str().into(),
        prefix: format!("{{\"{key}\":").into(),
        source: Some(Source { member: 0, ty }),
    };
    Ok(Selection::new(owner, root, collector.composites.into_iter().collect()))
}

impl<'a> Collector<'a> {
    /// The type of a field whose syntax nodes these are, with the fields and the levels below it.
    fn ty(&mut self, ty: &'a ast::Type, nodes: &[&'a executable::Field]) -> Result<(Type, usize, usize), GraphqlError> {
        let non_null = ty.is_non_null();
        if ty.is_list() {
            let (item, fields, levels) = self.ty(ty.item_type(), nodes)?;
            return Ok((Type { non_null, kind: Kind::List(Box::new(item)) }, fields, levels));
        }
        let name = ty.inner_named_type().as_str();
        let (kind, fields, levels) = match self.schema.definitions.types.get(name) {
            Some(ExtendedType::Object(_) | ExtendedType::Interface(_) | ExtendedType::Union(_)) => {
                let sets: Vec<_> = nodes.iter().map(|node| &node.selection_set).collect();
                let extent = self.composite(name, &sets)?;
                (Kind::Composite(extent.composite), extent.fields, extent.levels)
            }
            _ => match self.schema.enums.get(name) {
                Some(ty) => (Kind::Leaf(Leaf::Enum(Arc::clone(ty))), 0, 0),
                None => (Kind::Leaf(Leaf::of_scalar(name)), 0, 0),
            },
        };
        Ok((Type { non_null, kind }, fields, levels))
    }

    fn composite(&mut self, name: &'a str, sets: &[&'a SelectionSet]) -> Result<Extent, GraphqlError> {
        let key = (name, sets.iter().map(|set| std::ptr::from_ref(*set) as usize).collect());
        if let Some(extent) = self.compiled.get(&key) {
            return Ok(*extent);
        }
        // Checked on the way down, too, because it bounds the recursion.
        self.level += 1;
        if self.level > self.limits.depth {
            return Err(self.too_deep());
        }
        let (is_abstract, possible) = self.possible_types(name);
        let mut types = Vec::with_capacity(possible.len());
        let (mut fields, mut levels) = (0, 0);
        for object in possible {
            let mut groups = Group::new();
            let mut visited = HashSet::default();
            for set in sets {
                self.group(object, set, 0, &mut visited, &mut groups)?;
            }
            let (object, below, depth) = self.object(object, &groups)?;
            types.push(object);
            fields = fields.max(below);
            levels = levels.max(depth);
        }
        self.level -= 1;
        let composite = Composite { name: name.into(), is_abstract, types: types.into() };
        let (index, _) = self.composites.insert_full(composite);
        let extent = Extent { composite: u32::try_from(index).unwrap_or(u32::MAX), fields, levels };
        self.compiled.insert(key, extent);
        Ok(extent)
    }

    /// The object types that a value of this type can have, by name.
    fn possible_types(&self, name: &str) -> (bool, Vec<&'a str>) {
        let schema: &'a Schema = self.schema;
        let mut names: Vec<&'a str> = match schema.definitions.types.get_key_value(name) {
            Some((_, ExtendedType::Union(union))) => union.members.iter().map(|member| member.name.as_str()).collect(),
            Some((name, ExtendedType::Interface(_))) => schema
                .implementers
                .get(name)
                .into_iter()
                .flat_map(|implementers| implementers.objects.iter().map(apollo_compiler::Name::as_str))
                .collect(),
            Some((name, _)) => return (false, vec![name.as_str()]),
            None => Vec::new(),
        };
        names.sort_unstable();
        (true, names)
    }

    /// Groups the fields of a selection set that apply to an object type by response key, in document order.
    fn group(
        &mut self,
        object: &str,
        set: &'a SelectionSet,
        inside: usize,
        visited: &mut HashSet<&'a str>,
        groups: &mut Group<'a>,
    ) -> Result<(), GraphqlError> {
        if inside > MAX_FRAGMENTS {
            return Err(GraphqlError::new(format!("fragments are nested deeper than {MAX_FRAGMENTS} levels")));
        }
        for selection in &set.selections {
            self.step()?;
            if !self.is_included(selection.directives()) {
                continue;
            }
            match selection {
                executable::Selection::Field(field) => {
                    groups.entry(field.response_key().as_str()).or_default().push(&**field);
                }
                executable::Selection::InlineFragment(fragment) => {
                    let condition = fragment.type_condition.as_ref();
                    if condition.is_none_or(|condition| self.applies(condition, object)) {
                        self.group(object, &fragment.selection_set, inside + 1, visited, groups)?;
                    }
                }
                executable::Selection::FragmentSpread(spread) => {
                    if !visited.insert(spread.fragment_name.as_str()) {
                        continue;
                    }
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name)
                        && self.applies(fragment.type_condition(), object)
                    {
                        self.group(object, &fragment.selection_set, inside + 1, visited, groups)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn object(&mut self, name: &'a str, groups: &Group<'a>) -> Result<(Object, usize, usize), GraphqlError> {
        let schema: &'a Schema = self.schema;
        let mut fields = Vec::with_capacity(groups.len());
        let mut members: IndexSet<&str> = IndexSet::new();
        let (mut count, mut levels) = (groups.len(), usize::from(!groups.is_empty()));
        for (key, nodes) in groups {
            let field = nodes[0].name.as_str();
            let start = if fields.is_empty() { '{' } else { ',' };
            if field == "__typename" {
                let prefix = format!("{start}\"{key}\":\"{name}\"").into();
                let field = Field { key: (*key).into(), name: field.into(), prefix, source: None };
                self.charge(field.bytes())?;
                fields.push(field);
                continue;
            }
            // The object's own definition: it may be narrower than the one of the interface that was selected from.
            let Ok(definition) = schema.definitions.type_field(name, field) else { continue };
            let (ty, below, depth) = self.ty(&definition.ty, nodes)?;
            count = count.saturating_add(below);
            levels = levels.max(depth + 1);
            if count > self.limits.expanded_fields {
                return Err(self.too_many());
            }
            let member = u32::try_from(members.insert_full(field).0).unwrap_or(u32::MAX);
            let prefix = format!("{start}\"{key}\":").into();
            let field = Field { key: (*key).into(), name: field.into(), prefix, source: Some(Source { member, ty }) };
            self.charge(field.bytes())?;
            fields.push(field);
        }
        let mut sorted: Vec<(&str, u32)> = members.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        let object = Object {
            name: name.into(),
            fields: fields.into(),
            members: members.into_iter().map(Into::into).collect(),
            sorted: sorted.into_iter().map(|(_, member)| member).collect(),
        };
        Ok((object, count, levels))
    }

    fn applies(&self, condition: &str, object: &str) -> bool {
        condition == object || self.schema.definitions.is_subtype(condition, object)
    }

    /// `@skip` and `@include`, with the variables' values.
    fn is_included(&self, directives: &DirectiveList) -> bool {
        let condition = |name| {
            let value = directives.get(name)?.specified_argument_by_name("if")?;
            match &**value {
                ast::Value::Boolean(value) => Some(*value),
                ast::Value::Variable(name) => self.variables.get(name.as_str())?.as_bool(),
                _ => None,
            }
        };
        condition("skip") != Some(true) && condition("include") != Some(false)
    }

    fn step(&mut self) -> Result<(), GraphqlError> {
        self.steps += 1;
        if self.steps > self.limits.expanded_fields.saturating_mul(STEPS_PER_FIELD) {
            return Err(self.too_many());
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), GraphqlError> {
        self.bytes += bytes;
        let most = self.limits.expanded_fields.saturating_mul(BYTES_PER_FIELD);
        if self.bytes > most {
            let message = format!(
                "the operation's selection takes more than {most} bytes, {BYTES_PER_FIELD} for each field of [limits] document.fields: select less, under shorter aliases or on fewer types"
            );
            return Err(GraphqlError::new(message));
        }
        Ok(())
    }

    fn too_deep(&self) -> GraphqlError {
        GraphqlError::new(format!("the operation is nested deeper than {} levels", self.limits.depth))
    }

    fn too_many(&self) -> GraphqlError {
        GraphqlError::new(format!(
            "the operation selects more than {} fields once its fragments are expanded",
            self.limits.expanded_fields
        ))
    }
}

impl Leaf {
    fn of_scalar(name: &str) -> Self {
        match name {
            "Int" => Self::Int,
            "Float" => Self::Float,
            "String" => Self::String,
            "Boolean" => Self::Boolean,
            "ID" => Self::Id,
            _ => Self::Custom,
        }
    }
}
