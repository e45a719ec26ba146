//! Components made by hand, byte by byte: small enough to be compiled in milliseconds, and free to say what no Python
//! guest could.
//!
//! One is described by a [`Handmade`]: what it declares, and what its code does. The encoding is that of the component
//! model's `Binary.md`; indices are noted where they come into being.

use super::encoding::{
    BOOL, I32, I64, STRING, U32, U64, export, export_instance, extern_name, inline, lift, section, signed, text,
    unsigned, vec, words,
};

/// A module of the contract with one core module of a few instructions.
#[derive(Clone)]
pub struct Handmade {
    pub schema: Vec<u8>,
    pub fields: Vec<Field>,
    pub capabilities: Vec<String>,
    pub extensions: Option<String>,
    /// How many fields it says to have, if not as many as it has.
    pub fields_claimed: Option<u32>,
    pub describe: Act,
    pub resolve: Act,
    /// Runs when it is instantiated.
    pub start: Act,
    /// Least pages of its memory, besides what its own texts take.
    pub pages: u64,
    /// More core modules, which do nothing but exist.
    pub idle: Vec<Idle>,
    /// A component inside, which calls a function of the outer one.
    pub composed: bool,
}

/// A core module that does nothing, and how often it is instantiated.
#[derive(Clone, Default)]
pub struct Idle {
    pub instances: usize,
    pub tables: usize,
    /// Least elements of each of its tables.
    pub elements: u64,
    /// Elements of a passive segment; it has none if this is 0.
    pub segment: usize,
    /// Least pages of its memory; `None`: it has no memory.
    pub pages: Option<u64>,
    /// Data in the first and in the last page of its memory, which makes the compiled form as large as that.
    pub wide: bool,
}

/// One field of its manifest.
#[derive(Clone, Default)]
pub struct Field {
    pub name: String,
    pub channel: String,
    pub events: Vec<String>,
    pub matches: Vec<(String, String)>,
    pub predicate: Option<String>,
    pub context: bool,
    pub example: Option<String>,
    pub function: String,
}

/// What a function does.
#[derive(Clone)]
pub enum Act {
    /// Its duty: `describe` describes, `resolve` answers with a value, and there is nothing to start.
    Duty,
    /// `resolve` answers with these bytes.
    Answer(Vec<u8>),
    /// Its result is at this address.
    Address(u32),
    /// Its result is a text at this address, of this length.
    Text(u32, u32),
    Loop,
    Trap,
    /// Takes memory until there is no more, and then loops.
    Grow,
    /// Asks the host for one thing to wait for after the other.
    Pollables,
}

impl Field {
    /// A field `name` on the channel `c`.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), channel: "c".to_owned(), events: vec!["e".to_owned()], ..Self::default() }
    }
}

impl Default for Handmade {
    fn default() -> Self {
        Self {
            schema: b"type Subscription { f: Int }".to_vec(),
            fields: vec![Field::named("f")],
            capabilities: Vec::new(),
            extensions: None,
            fields_claimed: None,
            describe: Act::Duty,
            resolve: Act::Duty,
            start: Act::Duty,
            pages: 0,
            idle: Vec::new(),
            composed: false,
        }
    }
}

const PAGE: usize = 1 << 16;
/// Where its data begins, and how much is left behind it for what the host hands over.
const DATA: u32 = 1024;
const ROOM: usize = 1 << 20;

impl Handmade {
    /// The component.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for (id, content) in self.sections() {
            section(&mut bytes, id, &content);
        }
        bytes
    }

    fn sections(&self) -> Vec<(u8, Vec<u8>)> {
        let mut sections = imports();
        // Types from 3 on: 0 to 2 belong to the imports.
        let types = |list: &[Vec<u8>]| (7, vec(list));
        let export = |name: &str, index: u8| (11, vec(&[export(name, 3, index)]));
        let record = |members: &[(&str, u8)]| {
            let members: Vec<_> = members.iter().map(|(name, kind)| [text(name), vec![*kind]].concat()).collect();
            [vec![0x72], vec(&members)].concat()
        };
        let function = |parameters: &[(&str, u8)], result: u8| {
            let parameters: Vec<_> = parameters.iter().map(|(name, kind)| [text(name), vec![*kind]].concat()).collect();
            [vec![0x40], vec(&parameters), vec![0, result]].concat()
        };
        let idle = self.idle.iter().map(|idle| (1, idle.core_module()));
        // Core instances behind the two of its own.
        let idle_instances: Vec<_> = self
            .idle
            .iter()
            .zip(1_u8..)
            .flat_map(|(idle, module)| std::iter::repeat_n(vec![0, module, 0], idle.instances))
            .collect();
        sections.extend([
            types(&[record(&[("output", U64)])]),                            // 3
            export("limits", 3),                                             // 4
            types(&[record(&[("argument", STRING), ("path", STRING)])]),     // 5
            export("equality", 5),                                           // 6
            types(&[vec![0x70, 6], vec![0x70, STRING], vec![0x6b, STRING]]), // 7 8 9
            types(&[record(&[
                ("name", STRING),
                ("function", STRING),
                ("file", STRING),
                ("line", U32),
                ("channel", STRING),
                ("events", 8),
                ("matches", 7),
                ("where", 9),
                ("context", BOOL),
                ("idempotent", BOOL),
                ("on-subscribe", BOOL),
                ("example", 9),
                ("extensions", 9),
            ])]), // 10
            export("field-manifest", 10),                                    // 11
            types(&[
                vec![0x70, 11], // 12
                record(&[("sdk", STRING), ("schema", STRING), ("fields", 12), ("capabilities", 8), ("extensions", 9)]), // 13
            ]),
            export("manifest", 13), // 14
            types(&[record(&[
                ("message", STRING),
                ("code", 9),
                ("extensions", 9),
                ("expose", BOOL),
                ("traceback", 9),
            ])]), // 15
            export("failure", 15),  // 16
            types(&[[vec![0x71, 2], text("accept"), vec![1, 9, 0], text("reject"), vec![1, 16, 0]].concat()]), // 17
            export("admission", 17), // 18
            types(&[
                function(&[("limits", 4)], 14), // 19
                function(&[("field", STRING), ("jobs", STRING), ("envelopes", STRING), ("deadline-ms", U32)], STRING), // 20
                function(&[("field", STRING), ("invocation", STRING)], 18), // 21
                function(&[("a", STRING), ("b", STRING)], STRING),          // 22
            ]),
            (1, self.core_module()),
        ]);
        sections.extend(idle);
        sections.extend([
            // Core instance 0: what it imports. 1: itself.
            (
                2,
                vec(&[[vec![1], vec(&[[text("subscribe"), vec![0, 0]].concat()])].concat(), {
                    [vec![0, 0], vec(&[[text("host"), vec![0x12, 0]].concat()])].concat()
                }]),
            ),
            // Core functions 1 to 4, behind the lowered import; core memory 0.
            (
                6,
                vec(&[
                    [vec![0, 2, 1, 1], text("memory")].concat(),
                    [vec![0, 0, 1, 1], text("realloc")].concat(),
                    [vec![0, 0, 1, 1], text("describe")].concat(),
                    [vec![0, 0, 1, 1], text("resolve")].concat(),
                    [vec![0, 0, 1, 1], text("subscribe")].concat(),
                ]),
            ),
            // Functions 1 to 4, behind the imported one.
            (8, vec(&[lift(2, 19), lift(3, 20), lift(4, 21), lift(4, 22)])),
            // Instance 2, behind the imported ones.
            (
                5,
                vec(&[[vec![1], vec(&[inline("describe", 1), inline("resolve", 2), inline("subscribe", 3)])].concat()]),
            ),
            (11, vec(&[export_instance("subcast:resolver/resolvers@0.1.0", 2)])),
        ]);
        if !idle_instances.is_empty() {
            sections.push((2, vec(&idle_instances)));
        }
        if self.composed {
            sections.push((4, caller()));
            // Function 4 is what it imports.
            sections.push((5, vec(&[[vec![0, 0], vec(&[[text("f"), vec![1, 4]].concat()])].concat()])));
        }
        sections
    }

    fn core_module(&self) -> Vec<u8> {
        let mut data = Data::default();
        let manifest = self.manifest(&mut data);
        let nothing = data.put(&[0; 64]);
        let value = data.text(b"[{\"value\":1}]");
        let answer = match &self.resolve {
            Act::Answer(bytes) => data.text(bytes),
            Act::Text(address, length) => words(&[*address, *length]),
            _ => value,
        };
        let answer = data.put(&answer);
        let room = DATA + u32::try_from(data.0.len()).unwrap();
        let room = room.next_multiple_of(8);

        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        // Types: 0 start, 1 the import, 2 realloc, 3 describe, 4 resolve, 5 subscribe.
        let kinds: [(&[u8], &[u8]); 6] = [
            (&[], &[]),
            (&[I64], &[I32]),
            (&[I32; 4], &[I32]),
            (&[I64], &[I32]),
            (&[I32; 7], &[I32]),
            (&[I32; 4], &[I32]),
        ];
        let kinds: Vec<_> = kinds
            .iter()
            .map(|(from, to)| {
                [&[0x60, u8::try_from(from.len()).unwrap()], *from, &[u8::try_from(to.len()).unwrap()], *to].concat()
            })
            .collect();
        section(&mut bytes, 1, &vec(&kinds));
        section(&mut bytes, 2, &vec(&[[text("host"), text("subscribe"), vec![0, 1]].concat()]));
        section(&mut bytes, 3, &[5, 2, 3, 4, 5, 0]);
        let pages = self.pages + ((room as usize + ROOM).div_ceil(PAGE)) as u64;
        section(&mut bytes, 5, &[vec![1, 0], unsigned(pages)].concat());
        section(&mut bytes, 6, &[vec![1, I32, 1, 0x41], signed(room), vec![0x0b]].concat());
        let exported = |name: &str, kind: u8, index: u8| [text(name), vec![kind, index]].concat();
        section(
            &mut bytes,
            7,
            &vec(&[
                exported("memory", 2, 0),
                exported("realloc", 0, 1),
                exported("describe", 0, 2),
                exported("resolve", 0, 3),
                exported("subscribe", 0, 4),
            ]),
        );
        section(&mut bytes, 8, &[5]);
        // What the host hands over lies one after the other, and is let go with each call.
        let realloc = [0x23, 0, 0x23, 0, 0x20, 3, 0x6a, 0x24, 0, 0x0b].to_vec();
        let body = |code: Vec<u8>| [unsigned(code.len() as u64 + 1), vec![0], code].concat();
        let at = |address: u32| [vec![0x41], signed(room), vec![0x24, 0, 0x41], signed(address), vec![0x0b]].concat();
        section(
            &mut bytes,
            10,
            &vec(&[
                body(realloc),
                body(self.describe.code(at(manifest))),
                body(self.resolve.code(at(answer))),
                body(at(nothing)),
                body(self.start.code(vec![0x0b])),
            ]),
        );
        let segment = [vec![0, 0x41], signed(DATA), vec![0x0b], unsigned(data.0.len() as u64), data.0].concat();
        section(&mut bytes, 11, &vec(&[segment]));
        bytes
    }

    fn manifest(&self, data: &mut Data) -> u32 {
        let mut fields = Vec::new();
        for field in &self.fields {
            let events: Vec<_> = field.events.iter().map(|kind| data.text(kind.as_bytes())).collect();
            let matches: Vec<_> = field
                .matches
                .iter()
                .map(|(argument, path)| [data.text(argument.as_bytes()), data.text(path.as_bytes())].concat())
                .collect();
            fields.push(
                [
                    data.text(field.name.as_bytes()),
                    data.text(field.function.as_bytes()),
                    data.text(b"handmade"),
                    words(&[1]),
                    data.text(field.channel.as_bytes()),
                    data.list(&events),
                    data.list(&matches),
                    data.option(field.predicate.as_deref()),
                    vec![u8::from(field.context), 0, 0, 0],
                    data.option(field.example.as_deref()),
                    data.option(None),
                ]
                .concat(),
            );
        }
        let mut listed = data.list(&fields);
        if let Some(claimed) = self.fields_claimed {
            listed[4..].copy_from_slice(&claimed.to_le_bytes());
        }
        let capabilities: Vec<_> = self.capabilities.iter().map(|name| data.text(name.as_bytes())).collect();
        let manifest = [
            data.text(b"handmade"),
            data.text(&self.schema),
            listed,
            data.list(&capabilities),
            data.option(self.extensions.as_deref()),
        ]
        .concat();
        data.put(&manifest)
    }
}

impl Idle {
    fn core_module(&self) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        let tables = vec![[vec![0x70, 0], unsigned(self.elements)].concat(); self.tables];
        section(&mut bytes, 4, &vec(&tables));
        if let Some(pages) = self.pages {
            section(&mut bytes, 5, &[vec![1, 0], unsigned(pages)].concat());
        }
        if self.segment > 0 {
            // Passive, of type funcref, each `ref.null func`.
            let nulls = vec![vec![0xd0, 0x70, 0x0b]; self.segment];
            section(&mut bytes, 9, &vec(&[[vec![5, 0x70], vec(&nulls)].concat()]));
        }
        if let (Some(pages), true) = (self.pages, self.wide) {
            let last = u32::try_from((pages - 1) * PAGE as u64).unwrap();
            let byte_at = |address: u32| [vec![0, 0x41], signed(address), vec![0x0b, 1, b'x']].concat();
            section(&mut bytes, 11, &vec(&[byte_at(0), byte_at(last)]));
        }
        bytes
    }
}

/// A component with a memory of its own that imports `f: func(a: string, b: string) -> string`, which takes an adapter
/// between two memories.
fn caller() -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let parameters = vec(&[[text("a"), vec![STRING]].concat(), [text("b"), vec![STRING]].concat()]);
    section(&mut bytes, 7, &vec(&[[vec![0x40], parameters, vec![0, STRING]].concat()]));
    section(&mut bytes, 10, &vec(&[[extern_name("f"), vec![1, 0]].concat()]));
    // Core module 0: memory and realloc.
    let mut memory = b"\0asm\x01\0\0\0".to_vec();
    section(&mut memory, 1, &vec(&[vec![0x60, 4, I32, I32, I32, I32, 1, I32]]));
    section(&mut memory, 3, &[1, 0]);
    section(&mut memory, 5, &[1, 0, 1]);
    section(&mut memory, 7, &vec(&[[text("memory"), vec![2, 0]].concat(), [text("realloc"), vec![0, 0]].concat()]));
    section(&mut memory, 10, &vec(&[vec![4, 0, 0x41, 8, 0x0b]]));
    section(&mut bytes, 1, &memory);
    // Core module 1: imports what is lowered, two texts and the place of the result.
    let mut calls = b"\0asm\x01\0\0\0".to_vec();
    section(&mut calls, 1, &vec(&[vec![0x60, 5, I32, I32, I32, I32, I32, 0]]));
    section(&mut calls, 2, &vec(&[[text("h"), text("f"), vec![0, 0]].concat()]));
    section(&mut bytes, 1, &calls);
    section(&mut bytes, 2, &vec(&[vec![0, 0, 0]]));
    section(
        &mut bytes,
        6,
        &vec(&[[vec![0, 2, 1, 0], text("memory")].concat(), [vec![0, 0, 1, 0], text("realloc")].concat()]),
    );
    // Core function 1 is function 0 lowered: UTF-8, memory 0, realloc core function 0.
    section(&mut bytes, 8, &vec(&[vec![1, 0, 0, 3, 0, 3, 0, 4, 0]]));
    let exported = [vec![1], vec(&[[text("f"), vec![0, 1]].concat()])].concat();
    section(&mut bytes, 2, &vec(&[exported, [vec![0, 1], vec(&[[text("h"), vec![0x12, 1]].concat()])].concat()]));
    bytes
}

impl Act {
    /// Instructions that leave one `i32`; `duty` are those of an honest function.
    fn code(&self, duty: Vec<u8>) -> Vec<u8> {
        let endless = vec![0x03, 0x40, 0x0c, 0, 0x0b, 0x00, 0x0b];
        match self {
            Self::Duty | Self::Answer(_) | Self::Text(..) => duty,
            Self::Address(address) => [vec![0x41], signed(*address), vec![0x0b]].concat(),
            Self::Loop => endless,
            Self::Trap => vec![0x00, 0x0b],
            // loop: grow by 16 pages; again if that went well.
            Self::Grow => [vec![0x03, 0x40, 0x41, 16, 0x40, 0, 0x41, 0x7f, 0x47, 0x0d, 0, 0x0b], endless].concat(),
            // loop: a timer of an hour, never dropped.
            Self::Pollables => {
                [vec![0x03, 0x40, 0x42], signed(3_600_000_000), vec![0x10, 0, 0x1a, 0x0c, 0, 0x0b, 0x00, 0x0b]].concat()
            }
        }
    }
}

/// `wasi:io/poll` (instance 0, type 0), its `pollable` (type 1), `wasi:clocks/monotonic-clock` (type 2, instance 1),
/// its `subscribe-duration` (function 0), lowered (core function 0).
fn imports() -> Vec<(u8, Vec<u8>)> {
    let poll = [vec![0x42, 1, 4], extern_name("pollable"), vec![3, 1]].concat();
    let clock = [
        // 0: the outer pollable, 1: owned, 2: the function.
        vec![0x42, 4, 2, 3, 2, 1, 1, 1, 0x69, 0, 1, 0x40, 1],
        text("when"),
        vec![U64, 0, 1, 4],
        extern_name("subscribe-duration"),
        vec![1, 2],
    ]
    .concat();
    vec![
        (7, vec(&[poll])),
        (10, vec(&[[extern_name("wasi:io/poll@0.2.0"), vec![5, 0]].concat()])),
        (6, vec(&[[vec![3, 0, 0], text("pollable")].concat()])),
        (7, vec(&[clock])),
        (10, vec(&[[extern_name("wasi:clocks/monotonic-clock@0.2.0"), vec![5, 2]].concat()])),
        (6, vec(&[[vec![1, 0, 1], text("subscribe-duration")].concat()])),
        (8, vec(&[vec![1, 0, 0, 0]])),
    ]
}

/// The data of the core module, and where things are in it.
#[derive(Default)]
struct Data(Vec<u8>);

impl Data {
    /// The address of these bytes, aligned to 8.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let address = DATA + u32::try_from(self.0.len()).unwrap();
        self.0.extend(bytes);
        address
    }

    /// Address and length.
    fn text(&mut self, bytes: &[u8]) -> Vec<u8> {
        let address = self.put(bytes);
        words(&[address, u32::try_from(bytes.len()).unwrap()])
    }

    fn list(&mut self, items: &[Vec<u8>]) -> Vec<u8> {
        let address = self.put(&items.concat());
        words(&[address, u32::try_from(items.len()).unwrap()])
    }

    fn option(&mut self, text: Option<&str>) -> Vec<u8> {
        match text {
            None => words(&[0, 0, 0]),
            Some(text) => [words(&[1]), self.text(text.as_bytes())].concat(),
        }
    }
}
