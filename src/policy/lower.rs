//! From what somebody wrote to what is evaluated.
//!
//! Conjuncts of the form `a == b`, with names or literals on both sides, become [`Equality`]s. What remains is checked
//! against the [vocabulary](super::vocabulary) and rewritten: names become slots, which are read without a search, and
//! comparisons become functions, so that they mean the same wherever they stand.

use cel::common::ast::{CallExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators};
use cel::parser::Expression;

use super::argument::Argument;
use super::claims::ClaimsRead;
use super::equality::Equality;
use super::error::FilterError;
use super::functions::{EQUAL, IN, ORDER};
use super::names::Names;
use super::operand::Operand;
use super::vocabulary::{HAS, HAS_USAGE, check_call};

/// What CEL evaluates by itself, beside the comparisons that are treated one by one.
const OPERATORS: [&str; 11] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::NEGATE,
    operators::INDEX,
];

/// Collects what a predicate amounts to.
pub(super) struct Lowering<'a> {
    names: Names<'a>,
    pub(super) equalities: Vec<Equality>,
    pub(super) conjuncts: Vec<Expression>,
    pub(super) slots: Vec<Operand>,
    pub(super) claims: ClaimsRead,
    /// How often what was lowered so far mentions `claims`.
    claim_mentions: usize,
}

type Lowered<T> = Result<T, FilterError>;

impl<'a> Lowering<'a> {
    pub(super) fn new(arguments: &'a [Argument]) -> Self {
        Self {
            names: Names(arguments),
            equalities: Vec::new(),
            conjuncts: Vec::new(),
            slots: Vec::new(),
            claims: ClaimsRead::none(),
            claim_mentions: 0,
        }
    }

    /// Takes apart what `&&` holds together at the top. CEL's `&&` has no order: false wins over errors, errors over
    /// true.
    pub(super) fn conjuncts(&mut self, expression: Expression) -> Lowered<()> {
        match expression.expr {
            Expr::Call(call) if call.func_name == operators::LOGICAL_AND => {
                call.args.into_iter().try_for_each(|side| self.conjuncts(side))
            }
            expr => {
                let expression = Expression { id: expression.id, expr };
                if let Some(equality) = self.equality(&expression.expr)? {
                    self.equalities.push(equality);
                    return Ok(());
                }
                let expression = self.lower(expression)?;
                self.conjuncts.push(expression);
                Ok(())
            }
        }
    }

    fn equality(&mut self, expr: &Expr) -> Lowered<Option<Equality>> {
        let Expr::Call(call) = expr else { return Ok(None) };
        let (operators::EQUALS, [left, right]) = (call.func_name.as_str(), &call.args[..]) else { return Ok(None) };
        let (Some(left), Some(right)) = (self.names.side(left)?, self.names.side(right)?) else { return Ok(None) };
        self.read_claims(&left);
        self.read_claims(&right);
        Ok(Some(Equality::of_where(left, right)))
    }

    fn lower(&mut self, expression: Expression) -> Lowered<Expression> {
        if let Some(operand) = self.names.operand(&expression)? {
            self.read_claims(&operand);
            return Ok(self.slot(expression.id, operand));
        }
        let expr = match expression.expr {
            expr @ (Expr::Literal(_) | Expr::Ident(_)) => expr,
            Expr::Select(select) => {
                let operand = Box::new(self.lower(*select.operand)?);
                Expr::Select(SelectExpr { operand, ..select })
            }
            Expr::Call(call) => self.call(call)?,
            Expr::List(list) => Expr::List(ListExpr { elements: self.all(list.elements)?, ..list }),
            Expr::Map(map) => Expr::Map(self.map(map)?),
            Expr::Struct(message) => {
                let reason = "because there are no message types; use a map: {\"a\": 1}";
                return Err(FilterError::NotAllowed { what: format!("`{}{{…}}` is", message.type_name), reason });
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                let reason = "because its cost has no bound; decide in the resolver";
                return Err(FilterError::NotAllowed { what: "macros are".to_owned(), reason });
            }
        };
        Ok(Expression { id: expression.id, expr })
    }

    fn all(&mut self, expressions: Vec<Expression>) -> Lowered<Vec<Expression>> {
        expressions.into_iter().map(|expression| self.lower(expression)).collect()
    }

    fn map(&mut self, mut map: MapExpr) -> Lowered<MapExpr> {
        for entry in &mut map.entries {
            if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                entry.key = self.lower(std::mem::take(&mut entry.key))?;
                entry.value = self.lower(std::mem::take(&mut entry.value))?;
            }
        }
        Ok(map)
    }

    fn call(&mut self, mut call: CallExpr) -> Lowered<Expr> {
        match call.func_name.as_str() {
            operators::EQUALS => self.compare(call, EQUAL),
            operators::NOT_EQUALS => {
                let expr = self.compare(call, EQUAL)?;
                Ok(function(operators::LOGICAL_NOT, vec![Expression { id: 0, expr }]))
            }
            operators::IN => self.compare(call, IN),
            HAS => self.has(&call),
            name => {
                if let Some((_, own)) = ORDER.iter().find(|(operator, _)| *operator == name) {
                    return Ok(function(own, self.all(call.args)?));
                }
                if !OPERATORS.contains(&name) {
                    check_call(name, call.target.is_some(), call.args.len())?;
                }
                if let Some(target) = call.target.take() {
                    call.target = Some(Box::new(self.lower(*target)?));
                }
                call.args = self.all(call.args)?;
                Ok(Expr::Call(call))
            }
        }
    }

    /// `==` below the top or with something else than names and literals, and `in`. With claims in one of the sides it is
    /// guarded: null fails.
    fn compare(&mut self, call: CallExpr, own: &str) -> Lowered<Expr> {
        let mut as_id = false;
        for side in &call.args {
            as_id |= self.names.operand(side)?.is_some_and(|operand| operand.is_id());
        }
        let before = self.claim_mentions;
        let mut sides = self.all(call.args)?;
        let guarded = self.claim_mentions > before;
        sides.extend([boolean(as_id), boolean(guarded)]);
        Ok(function(own, sides))
    }

    /// Of an argument: whether it is given and not null, as both are one in CEL. Of anything else: whether it is there.
    fn has(&mut self, call: &CallExpr) -> Lowered<Expr> {
        let usage = || FilterError::Usage { name: HAS, usage: HAS_USAGE };
        let (None, [member]) = (&call.target, &call.args[..]) else { return Err(usage()) };
        let Some(operand) = self.names.operand(member)? else {
            let Expr::Select(select) = &member.expr else { return Err(usage()) };
            let operand = Box::new(self.lower((*select.operand).clone())?);
            return Ok(Expr::Select(SelectExpr { operand, field: select.field.clone(), test: true }));
        };
        self.read_claims(&operand);
        let (outer, field) = match &operand {
            Operand::Argument { path, .. } if path.is_empty() => {
                let null = Expression { id: 0, expr: Expr::Literal(LiteralValue::Null) };
                let slot = self.slot(member.id, operand);
                return Ok(function(operators::NOT_EQUALS, vec![slot, null]));
            }
            Operand::Envelope(_) => return Ok(boolean(true).expr),
            Operand::Data(path) if path.is_empty() => return Ok(boolean(true).expr),
            Operand::Argument { name, kind, path } => {
                let (path, field) = path.split_last().ok_or_else(usage)?;
                (Operand::Argument { name: name.clone(), kind: *kind, path }, field.to_owned())
            }
            Operand::Data(path) => {
                let (path, field) = path.split_last().ok_or_else(usage)?;
                (Operand::Data(path), field.to_owned())
            }
            Operand::Claim(path) => {
                let (path, field) = path.split_last().ok_or_else(usage)?;
                (Operand::Claim(path), field.to_owned())
            }
            Operand::Literal(_) => return Err(usage()),
        };
        let operand = Box::new(self.slot(member.id, outer));
        Ok(Expr::Select(SelectExpr { operand, field, test: true }))
    }

    fn read_claims(&mut self, operand: &Operand) {
        if let Operand::Claim(path) = operand {
            self.claims.add(path);
        }
    }

    /// The name under which the predicate finds the operand; see [`slot`](super::predicate::slot).
    fn slot(&mut self, id: u64, operand: Operand) -> Expression {
        self.claim_mentions += usize::from(operand.reads_claims());
        let index = self.slots.iter().position(|slot| *slot == operand).unwrap_or_else(|| {
            self.slots.push(operand);
            self.slots.len() - 1
        });
        Expression { id, expr: Expr::Ident(format!("@{index}")) }
    }
}

fn boolean(value: bool) -> Expression {
    Expression { id: 0, expr: Expr::Literal(LiteralValue::Boolean(value.into())) }
}

fn function(name: &str, args: Vec<Expression>) -> Expr {
    Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args })
}
