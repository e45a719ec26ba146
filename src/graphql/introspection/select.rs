//! Compiles the selection of an introspection query: fragments expanded, conditions decided, fields of one response key
//! merged. Done once per query, so that answering costs nothing for what is not written.

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::{self, DirectiveList};
use apollo_compiler::collections::{HashMap, HashSet};
use apollo_compiler::executable::{Field, Selection, SelectionSet};
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// A field to answer.
pub(super) struct Selected<'a> {
    /// `"key":`
    pub(super) prefix: String,
    pub(super) name: &'a str,
    /// The argument `includeDeprecated`.
    pub(super) with_deprecated: bool,
    /// The argument `name` of `__type`.
    pub(super) type_name: Option<String>,
    /// The selection below; an index into [`Sets`].
    pub(super) set: usize,
}

/// The compiled selection sets of one query, each distinct one once.
pub(super) struct Sets<'a>(Vec<Vec<Selected<'a>>>);

impl<'a> Sets<'a> {
    /// Compiles the whole query; also the index of its root. Recurses as deep as the query, which is checked before.
    pub(super) fn compile(
        document: &'a ExecutableDocument,
        root: &'a SelectionSet,
        variables: &Map<String, Value>,
    ) -> (Self, usize) {
        let mut compiler = Compiler { document, variables, sets: Vec::new(), known: HashMap::default() };
        let root = compiler.compile(&[root]);
        (Self(compiler.sets), root)
    }

    pub(super) fn get(&self, index: usize) -> &[Selected<'a>] {
        &self.0[index]
    }
}

struct Compiler<'a, 'v> {
    document: &'a ExecutableDocument,
    variables: &'v Map<String, Value>,
    sets: Vec<Vec<Selected<'a>>>,
    /// By the addresses of the syntax nodes that were merged.
    known: HashMap<Vec<usize>, usize>,
}

impl<'a> Compiler<'a, '_> {
    fn compile(&mut self, sets: &[&'a SelectionSet]) -> usize {
        let nodes: Vec<_> = sets.iter().filter(|set| !set.selections.is_empty()).collect();
        let key: Vec<usize> = nodes.iter().map(|set| std::ptr::from_ref(**set).addr()).collect();
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let mut groups: IndexMap<&'a str, Vec<&'a Field>> = IndexMap::new();
        let mut visited = HashSet::default();
        for set in nodes {
            self.group(set, &mut visited, &mut groups);
        }
        let selected = groups.into_iter().map(|(key, fields)| self.field(key, &fields)).collect();
        self.sets.push(selected);
        self.known.insert(key, self.sets.len() - 1);
        self.sets.len() - 1
    }

    fn field(&mut self, key: &str, fields: &[&'a Field]) -> Selected<'a> {
        let below: Vec<_> = fields.iter().map(|field| &field.selection_set).collect();
        // Validation has seen to it that fields of one key have equal arguments.
        let argument = |name| fields[0].specified_argument_by_name(name).map(|value| &**value);
        let with_deprecated = argument("includeDeprecated").is_some_and(|value| self.boolean(value) == Some(true));
        let type_name = match argument("name") {
            Some(ast::Value::String(name)) => Some(name.clone()),
            Some(ast::Value::Variable(name)) => {
                self.variables.get(name.as_str()).and_then(Value::as_str).map(str::to_owned)
            }
            _ => None,
        };
        let set = self.compile(&below);
        Selected { prefix: format!("\"{key}\":"), name: fields[0].name.as_str(), with_deprecated, type_name, set }
    }

    fn group(
        &self,
        set: &'a SelectionSet,
        visited: &mut HashSet<&'a str>,
        groups: &mut IndexMap<&'a str, Vec<&'a Field>>,
    ) {
        for selection in &set.selections {
            if !self.is_included(selection.directives()) {
                continue;
            }
            // Every type here is an object, so that a fragment which is valid applies.
            match selection {
                Selection::Field(field) => groups.entry(field.response_key().as_str()).or_default().push(field),
                Selection::InlineFragment(fragment) => self.group(&fragment.selection_set, visited, groups),
                Selection::FragmentSpread(spread) => {
                    if visited.insert(spread.fragment_name.as_str())
                        && let Some(fragment) = self.document.fragments.get(&spread.fragment_name)
                    {
                        self.group(&fragment.selection_set, visited, groups);
                    }
                }
            }
        }
    }

    fn is_included(&self, directives: &DirectiveList) -> bool {
        let condition = |name| self.boolean(directives.get(name)?.specified_argument_by_name("if")?);
        condition("skip") != Some(true) && condition("include") != Some(false)
    }

    fn boolean(&self, value: &ast::Value) -> Option<bool> {
        match value {
            ast::Value::Boolean(value) => Some(*value),
            ast::Value::Variable(name) => self.variables.get(name.as_str())?.as_bool(),
            _ => None,
        }
    }
}
