//! Makes the instructions that work on much memory interruptible.
//!
//! A guest gives way, and is stopped, where its code looks at the epoch: at loops and calls. `memory.fill`, `memory.copy` and
//! `memory.init` are single instructions, however many megabytes they write, and `"x" * 40_000_000` is one of them. In the
//! code that is compiled each of them is a call of a function that does the same in chunks.

use std::collections::BTreeSet;
use std::ops::Range;

use wasm_encoder::{
    BlockType, CodeSection, ComponentSectionId, Encode, Function, InstructionSink, RawSection, Section, SectionId,
};
use wasmparser::{BinaryReaderError, Chunk, FunctionBody, Operator, Parser, Payload, SectionLimited, TypeRef};

/// What is done at once: some 60 µs if all of it is touched for the first time.
const CHUNK: i32 = 128 << 10;
/// Changes with what this module makes of a component.
pub(super) const VERSION: u32 = 1;

const DST: u32 = 0;
/// Where from; of `memory.fill` the byte.
const SRC: u32 = 1;
const LEN: u32 = 2;

/// An instruction that is replaced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Bulk {
    Fill,
    Copy,
    /// From this data segment.
    Init(u32),
}

/// A component that does the same as this one, and can be interrupted while it does.
pub(super) fn interruptible(component: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let (mut parser, mut at) = (Parser::new(0), 0);
    let mut made = Vec::with_capacity(component.len() + component.len() / 64);
    loop {
        let rest = component.get(at..).unwrap_or_default();
        let (consumed, payload) = match parser.parse(rest, true)? {
            Chunk::Parsed { consumed, payload } => (consumed, payload),
            // Not with all of it at hand.
            Chunk::NeedMoreData(_) => return Ok(component.to_vec()),
        };
        at += consumed;
        let nested = |range: &Range<usize>| component.get(range.clone()).unwrap_or_default();
        match payload {
            Payload::Version { range, .. } => made.extend(&component[range]),
            Payload::ModuleSection { unchecked_range, .. } => {
                at += unchecked_range.len();
                section(ComponentSectionId::CoreModule as u8, &module(nested(&unchecked_range))?, &mut made);
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                at += unchecked_range.len();
                section(ComponentSectionId::Component as u8, &interruptible(nested(&unchecked_range))?, &mut made);
            }
            Payload::End(_) => return Ok(made),
            other => copy_section(&other, component, &mut made),
        }
    }
}

fn section(id: u8, data: &[u8], made: &mut Vec<u8>) {
    RawSection { id, data }.append_to(made);
}

fn copy_section(payload: &Payload<'_>, bytes: &[u8], made: &mut Vec<u8>) {
    if let Some((id, range)) = payload.as_section() {
        section(id, bytes.get(range).unwrap_or_default(), made);
    }
}

/// A function of a module, and the instructions in it that are replaced.
struct Body {
    range: Range<usize>,
    replaced: Vec<(Range<usize>, Bulk)>,
}

/// What has to be known of a module before it is changed.
#[derive(Default)]
struct Survey {
    types: u32,
    functions: u32,
    bodies: Vec<Body>,
    /// Functions with these bodies are added, in this order.
    added: Vec<Bulk>,
}

fn survey(module: &[u8]) -> Result<Survey, BinaryReaderError> {
    let mut found = Survey::default();
    let mut added = BTreeSet::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(types) => found.types = types.count(),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    found.functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(functions) => found.functions += functions.count(),
            Payload::CodeSectionEntry(body) => {
                let replaced = bulk_instructions(&body)?;
                added.extend(replaced.iter().map(|(_, bulk)| *bulk));
                found.bodies.push(Body { range: body.range(), replaced });
            }
            _ => {}
        }
    }
    found.added = added.into_iter().collect();
    Ok(found)
}

fn bulk_instructions(body: &FunctionBody<'_>) -> Result<Vec<(Range<usize>, Bulk)>, BinaryReaderError> {
    let mut found = Vec::new();
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let (operator, start) = operators.read_with_offset()?;
        let bulk = match operator {
            Operator::MemoryFill { mem: 0 } => Bulk::Fill,
            Operator::MemoryCopy { dst_mem: 0, src_mem: 0 } => Bulk::Copy,
            Operator::MemoryInit { data_index, mem: 0 } => Bulk::Init(data_index),
            _ => continue,
        };
        found.push((start..operators.original_position(), bulk));
    }
    Ok(found)
}

fn module(module: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let Survey { types, functions, bodies, added } = survey(module)?;
    if added.is_empty() {
        return Ok(module.to_vec());
    }
    let mut made = Vec::with_capacity(module.len() + module.len() / 64);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::Version { range, .. } => made.extend(&module[range]),
            Payload::TypeSection(old) => {
                let mut data = longer(&old, 1, module);
                // (func (param i32 i32 i32))
                data.extend([0x60, 3, 0x7f, 0x7f, 0x7f, 0]);
                section(SectionId::Type as u8, &data, &mut made);
            }
            Payload::FunctionSection(old) => {
                let mut data = longer(&old, added.len(), module);
                for _ in &added {
                    types.encode(&mut data);
                }
                section(SectionId::Function as u8, &data, &mut made);
            }
            Payload::CodeSectionStart { .. } => {
                let mut code = CodeSection::new();
                for body in &bodies {
                    code.raw(&changed(body, module, functions, &added));
                }
                for bulk in &added {
                    code.function(&in_chunks(*bulk));
                }
                code.append_to(&mut made);
            }
            other => copy_section(&other, module, &mut made),
        }
    }
    Ok(made)
}

/// The content of a section to which so many items are about to be added.
fn longer<T>(old: &SectionLimited<'_, T>, more: usize, module: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    (old.count() as usize + more).encode(&mut data);
    data.extend(&module[old.original_position()..old.range().end]);
    data
}

/// The function with its instructions replaced by calls of those that are added behind `functions`.
fn changed(body: &Body, module: &[u8], functions: u32, added: &[Bulk]) -> Vec<u8> {
    let mut made = Vec::with_capacity(body.range.len() + 8);
    let mut at = body.range.start;
    for (range, bulk) in &body.replaced {
        made.extend(&module[at..range.start]);
        let place = added.iter().zip(functions..).find(|(known, _)| *known == bulk);
        if let Some((_, function)) = place {
            InstructionSink::new(&mut made).call(function);
        }
        at = range.end;
    }
    made.extend(&module[at..body.range.end]);
    made
}

/// `(func (param $dst i32) (param $src i32) (param $len i32))`: what the instruction does, in chunks if it is long.
fn in_chunks(bulk: Bulk) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    // Most are short.
    code.local_get(LEN).i32_const(CHUNK).i32_gt_u().if_(BlockType::Empty);
    // All or nothing, as it was: a part that is written before the trap would be another result.
    trap_if_beyond(&mut code, DST);
    match bulk {
        Bulk::Copy => {
            trap_if_beyond(&mut code, SRC);
            // The chunks must not overwrite what is still to be read.
            code.local_get(DST).local_get(SRC).i32_le_u().if_(BlockType::Empty);
            forwards(&mut code, bulk);
            code.else_();
            backwards(&mut code, bulk);
            code.end();
        }
        Bulk::Fill | Bulk::Init(_) => forwards(&mut code, bulk),
    }
    code.end();
    once(code.local_get(DST).local_get(SRC).local_get(LEN), bulk).end();
    function
}

fn once<'a, 'b>(code: &'a mut InstructionSink<'b>, bulk: Bulk) -> &'a mut InstructionSink<'b> {
    match bulk {
        Bulk::Fill => code.memory_fill(0),
        Bulk::Copy => code.memory_copy(0, 0),
        Bulk::Init(segment) => code.memory_init(0, segment),
    }
}

/// Traps if what is `LEN` long there reaches beyond the memory's end.
fn trap_if_beyond(code: &mut InstructionSink<'_>, start: u32) {
    code.local_get(start).i64_extend_i32_u().local_get(LEN).i64_extend_i32_u().i64_add();
    code.memory_size(0).i64_extend_i32_u().i64_const(16).i64_shl();
    code.i64_gt_u().if_(BlockType::Empty).unreachable().end();
}

/// Chunks from the beginning, until no more than one is left.
fn forwards(code: &mut InstructionSink<'_>, bulk: Bulk) {
    code.loop_(BlockType::Empty);
    once(code.local_get(DST).local_get(SRC).i32_const(CHUNK), bulk);
    code.local_get(DST).i32_const(CHUNK).i32_add().local_set(DST);
    if bulk != Bulk::Fill {
        code.local_get(SRC).i32_const(CHUNK).i32_add().local_set(SRC);
    }
    code.local_get(LEN).i32_const(CHUNK).i32_sub().local_tee(LEN);
    code.i32_const(CHUNK).i32_gt_u().br_if(0).end();
}

/// Chunks from the end, until no more than one is left at the beginning.
fn backwards(code: &mut InstructionSink<'_>, bulk: Bulk) {
    code.loop_(BlockType::Empty);
    code.local_get(LEN).i32_const(CHUNK).i32_sub().local_set(LEN);
    code.local_get(DST).local_get(LEN).i32_add().local_get(SRC).local_get(LEN).i32_add().i32_const(CHUNK);
    once(code, bulk);
    code.local_get(LEN).i32_const(CHUNK).i32_gt_u().br_if(0).end();
}

#[cfg(test)]
mod tests;
