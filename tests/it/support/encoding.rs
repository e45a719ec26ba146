//! Pieces of the binary encoding of components.

pub const BOOL: u8 = 0x7f;
pub const U32: u8 = 0x79;
pub const U64: u8 = 0x77;
pub const STRING: u8 = 0x73;
pub const I32: u8 = 0x7f;
pub const I64: u8 = 0x7e;

pub fn lift(core: u8, kind: u8) -> Vec<u8> {
    // utf8, memory 0, realloc core function 1
    vec![0, 0, core, 3, 0, 3, 0, 4, 1, kind]
}

pub fn inline(name: &str, function: u8) -> Vec<u8> {
    [extern_name(name), vec![1, function]].concat()
}

pub fn export(name: &str, sort: u8, index: u8) -> Vec<u8> {
    [extern_name(name), vec![sort, index, 0]].concat()
}

pub fn export_instance(name: &str, index: u8) -> Vec<u8> {
    export(name, 5, index)
}

pub fn extern_name(name: &str) -> Vec<u8> {
    [vec![0], text(name)].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [unsigned(text.len() as u64), text.as_bytes().to_vec()].concat()
}

pub fn vec(items: &[Vec<u8>]) -> Vec<u8> {
    [unsigned(items.len() as u64), items.concat()].concat()
}

pub fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    bytes.extend(unsigned(content.len() as u64));
    bytes.extend(content);
}

/// LEB128.
pub fn unsigned(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// LEB128 of an `i32` or `i64` constant.
pub fn signed(value: u32) -> Vec<u8> {
    let mut value = i64::from(value.cast_signed());
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The top-level sections of a component, each with its head; what is in front of them is cut off.
pub fn sections(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = &bytes[8..];
    let mut sections = Vec::new();
    while rest.len() > 1 {
        let (mut size, mut at) = (0_u64, 1);
        loop {
            let byte = rest[at];
            size |= u64::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (section, others) = rest.split_at(at + usize::try_from(size).unwrap());
        sections.push(section);
        rest = others;
    }
    sections
}
