//! Every way we know in which a guest may turn against the host, one after the other, beside a module that behaves.
//!
//! Each row says what a field tries and how that ends. For every row: the host lives; the neighbour module gets each of
//! its events, in order and on time; the subscriber of the hostile field gets exactly one answer, the one that the row
//! says; nothing of the guest's own (tracebacks, files, texts of errors) is in it unless the guest meant it for the
//! client; and the module serves its other fields afterwards.
//!
//! The guests are `tests/guests/hostile/`. What a hand-made component can do beyond Python is in `hostile_components`.

use serde_json::{Value, json};

use crate::support::attack::{After, Answer, Attack, fine, forged, opaque, payload, prove, refusal, value};

// What the log may say, with `|` between alternatives: on a slow machine, time is up before memory is.
const CPU: &str = "more than its 100ms of CPU time";
const MEMORY: &str = "MemoryError|more than its";
const WALL: &str = "took longer than 10s";
const STACK: &str = "call stack exhausted";
const UNREACHABLE: &str = "wasm trap: wasm `unreachable` instruction executed";
const OUTPUT: &str = "returned more than 1048576 bytes";
const OUTPUT_OR_CPU: &str = "returned more than 1048576 bytes|more than its";
const CONTRACT: &str = "broke the contract: its outcomes are not as promised";

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_take_too_much_are_stopped() {
    let suppressed = prove(
        "hostile-resources",
        vec![
            opaque("loopsForEver", "an endless loop in Python", CPU),
            opaque("loopsInC", "an endless loop inside one C function", CPU),
            opaque("sums", "sum(range(10**12))", CPU),
            opaque("backtracks", "a regular expression that backtracks", CPU),
            opaque("multiplies", "3 ** 10**8", CPU),
            opaque("parsesDigits", "int() of a million digits, the limit lifted", "_pylong"),
            opaque("parsesDigitsPolitely", "int() of a million digits", "Exceeds the limit"),
            opaque("parsesFloat", "float() of a million digits, returned", "is inf, which JSON lacks"),
            opaque("dividesDecimals", "decimals of a million digits", CPU),
            opaque("floodsHashes", "a dict whose keys collide", CPU),
            opaque("comparesForEver", "an __eq__ without end", CPU),
            opaque("refusesToDie", "a __del__ without end", CPU),
            opaque("refusesToBeCollected", "the same in a cycle", CPU),
            opaque("traces", "a profiler without end", CPU),
            opaque("asksForTheTime", "calls of the host without end", CPU),
            opaque("asksForRandomness", "random bytes without end", CPU),
            opaque("sleepsForAnHour", "time.sleep(3600)", WALL),
            opaque("naps", "short sleeps without end", "more than its 100ms"),
            opaque("hoardsLists", "memory by lists", MEMORY),
            // After the refusal, Python is no longer quite itself: another reason to replace the instance.
            opaque("hoardsText", "memory by text", "Error|more than its"),
            opaque("hoardsBytes", "500 MiB at once", "MemoryError"),
            opaque("hoardsAbsurdly", "a text of a terabyte", "OverflowError"),
            opaque("hoardsBetweenCalls", "memory by small objects that outlive the call", "more than its"),
            opaque("asksForMuchRandomness", "100 MB of random bytes", "MemoryError"),
            opaque("pads", "a format of ten billion characters", "ValueError"),
            opaque("normalizes", "characters that become 18 each", MEMORY),
            opaque("recursesDeeply", "recursion", "RecursionError"),
            opaque("recursesWithoutLimit", "recursion through C with the limit lifted", STACK),
            opaque("parsesDeepJson", "json.loads of a million brackets", STACK),
            opaque("parsesDeepCode", "eval of a million signs", "MemoryError"),
            // Where Python frees it while it is still nested in the stack of its collector, the stack ends first.
            opaque(
                "returnsDeep",
                "a value of 50,000 levels",
                "more than 100 levels|more than its|call stack exhausted",
            ),
            opaque("returnsText", "a value of 40 MB", "1,048,576 is the limit|more than its"),
            opaque("returnsMany", "a list of two million", "1,048,576 is the limit|more than its"),
            opaque("returnsShared", "2**60 leaves in a few hundred bytes", "1,048,576 is the limit|more than its"),
            opaque("printsAMillionLines", "print, a million times", CPU),
            opaque("printsNothingForEver", "lines that hold no byte, without end", CPU),
            opaque("printsWithoutEnd", "text without an end of line, without end", CPU),
            opaque("complains", "warnings and stderr, a million times", CPU),
            opaque("logsAMillionLines", "logging, a million times", CPU),
            opaque("logsDirectly", "the host's log import, a million times", CPU),
            opaque("logsMuchAtOnce", "one log line of 20 MB", OUTPUT_OR_CPU),
            opaque("spoilsBuiltins", "len, type and isinstance replaced", UNREACHABLE),
        ],
    )
    .await;
    assert!(suppressed > 10_000.0, "of the floods only {suppressed} lines were left out");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn guests_that_fight_with_what_they_answer_do_not_get_through() {
    let field_null = |name: &str| refusal("forges", name, Value::Null);
    let is_opaque = || Answer::Opaque(CONTRACT);
    prove(
        "hostile-answers",
        vec![
            opaque("raisesASecret", "an exception with a secret", "ValueError: a secret of the resolver"),
            opaque("raisesWhatCannotBeTold", "a __str__ that raises", "its text cannot be read: RuntimeError"),
            opaque("raisesWhatIsToldForEver", "a __str__ without end", CPU),
            opaque("raisesWhatRaisesItself", "a __str__ that raises the exception itself", "Again"),
            opaque("raisesWhatEndsWhenTold", "a __str__ that exits", "SystemExit"),
            opaque("raisesALiar", "a __class__, and a metaclass, that raise", "KeyError"),
            opaque("raisesTextThatLies", "a text of negative length", "told by a liar"),
            opaque("pretendsToBeMeantForTheClient", "a __class__ that says GraphQLError", "ZeroDivisionError"),
            opaque("raisesAtLength", "a text of 20 MB", "ValueError: xxx|more than its"),
            opaque("raisesAChain", "10,000 causes", "link 9999"),
            opaque("raisesACircle", "a cause of its cause", "ValueError: first"),
            opaque("raisesAGroup", "groups of 20,000 levels", STACK),
            opaque("raisesFromTheDeep", "a traceback of 500 frames", "a secret of the resolver"),
            opaque("raisesLinesOfTheHost", "a line of the log in its text", "forged line"),
            opaque("raisesOutsideOfException", "a BaseException", "Gone"),
            opaque("interrupts", "KeyboardInterrupt", "KeyboardInterrupt"),
            opaque("closesGenerators", "GeneratorExit", "GeneratorExit"),
            opaque("stopsIteration", "StopIteration with a value", "StopIteration"),
            opaque("raisesMemoryError", "a MemoryError without need", "MemoryError"),
            payload(
                "tellsTheClientMuch",
                "a GraphQLError of megabytes: its texts are cut, its extensions left out",
                refusal(
                    "tellsTheClientMuch",
                    &format!("{}…", "m".repeat(1023)),
                    json!({"code": format!("{}…", "C".repeat(1023))}),
                ),
            ),
            opaque("tellsTheClientNonsense", "extensions that are no JSON", "which JSON lacks"),
            opaque("changesWhatItTells", "a GraphQLError changed after it was checked", "TypeError"),
            // Its own words under its own path: what the host says of itself is not in an error's extensions.
            payload(
                "tellsTheClientOverTheEnvelope",
                "extensions that look like the host's",
                refusal(
                    "tellsTheClientOverTheEnvelope",
                    "mine",
                    json!({"code": "MINE", "id": "0".repeat(16), "subcast": {"dropped": 9}}),
                ),
            ),
            opaque("exitsByName", "sys.exit()", "SystemExit: 3"),
            opaque("exitsAtOnce", "os._exit()", "Exited with"),
            opaque("aborts", "os.abort()", UNREACHABLE),
            opaque("returnsADictWithoutEnd", "a dict whose items have no end", CPU),
            opaque("returnsADictThatLies", "a dict that lies about its length and keys", "Error"),
            opaque("returnsTextsThatLie", "texts that lie about their length and content", "ValueError"),
            value("returnsNumbersThatLie", "numbers that print as JSON", json!({"seq": 7, "told": [8, 1.5]})),
            opaque("returnsAnObject", "an object whose __repr__ raises", "is of type Thing"),
            opaque("returnsItself", "a value within itself", "contains itself"),
            opaque("returnsHalfACharacter", "half of a surrogate pair", "half of a surrogate pair"),
            opaque("returnsNoNumber", "NaN", "is nan"),
            payload(
                "returnsAHugeNumber",
                "an integer of 4,000 digits",
                json!({"data": null, "errors": [{
                    "message": "Int cannot represent non 32-bit signed integer value",
                    "path": ["returnsAHugeNumber", "seq"]
                }]}),
            ),
            opaque("completesWithNonsense", "a completion inside a completion", "Completed stands alone"),
            // Below the SDK: texts in place of the outcomes.
            forged("none", Answer::Opaque("0 outcomes of 1 invocations")),
            forged("too many", Answer::Opaque("what follows its outcomes is not as promised")),
            forged("a million", Answer::Opaque(OUTPUT)),
            forged("nothing", is_opaque()),
            forged("no JSON", is_opaque()),
            forged("an object", is_opaque()),
            forged("an unknown variant", is_opaque()),
            forged("two variants", is_opaque()),
            forged("a broken value", is_opaque()),
            forged("a bare control character", is_opaque()),
            forged("a number that is none", is_opaque()),
            forged("a failure of other types", is_opaque()),
            forged("a deep value", Answer::Payload(field_null("The resolver's value is not valid JSON."))),
            forged("deep outcomes", is_opaque()),
            forged("no text", Answer::Opaque(UNREACHABLE)),
            forged("no answer", Answer::Opaque(UNREACHABLE)),
            forged("half a character", Answer::Opaque(UNREACHABLE)),
            forged("a list", Answer::Opaque(UNREACHABLE)),
            forged("much", Answer::Opaque(OUTPUT_OR_CPU)),
            Attack {
                selection: "seq many",
                ..forged(
                    "300,000 errors",
                    Answer::Holds(|payload| {
                        let errors = payload["errors"].as_array().unwrap();
                        // The last one says how many more there were.
                        errors.len() == 51 && errors[50]["message"].as_str().unwrap().contains("299951")
                    }),
                )
            },
            Attack {
                selection: "seq many",
                ..forged(
                    "300,000 numbers",
                    Answer::Holds(|payload| payload["data"]["forges"]["many"].as_array().unwrap().len() == 300_001),
                )
            },
            forged("white space", Answer::Payload(json!({"data": {"forges": {"seq": 1, "told": null}}}))),
            forged("a name twice", Answer::Payload(json!({"data": {"forges": {"seq": 2, "told": null}}}))),
            forged("half a character, escaped", Answer::Payload(field_null("The resolver's value is not valid JSON."))),
            forged("extensions that are none", Answer::Payload(field_null("m"))),
            forged("deep extensions", Answer::Payload(field_null("m"))),
            forged("a long failure", Answer::Opaque("mmm")),
            forged(
                "an exposed flood",
                Answer::Payload(refusal("forges", &"m".repeat(16 << 10), json!({"code": "C".repeat(16 << 10)}))),
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_look_for_a_way_out_find_none() {
    // Attempts that raised, and none that did not.
    let all_refused = |count: u64| json!({"seq": count, "told": {}});
    let spoilt = |field, tries, answer| Attack {
        after: After::Spoilt(answer),
        ..value(field, tries, json!({"seq": 1, "told": null}))
    };
    prove(
        "hostile-escapes",
        vec![
            value(
                "looksAround",
                "environment, arguments, names of host and user",
                json!({"seq": 1, "told": {
                    "environment": {}, "arguments": [], "host": ["(none)", "(none)"], "user": null
                }}),
            ),
            value("readsFiles", "files, folders, /proc, open descriptors", all_refused(207)),
            value("writesFiles", "files, folders, links", all_refused(7)),
            value("readsInput", "standard input", json!({"seq": 1, "told": ["", {}]})),
            value("opensSockets", "connections, listeners, datagrams, names", all_refused(9)),
            value("startsProcesses", "processes, fork, signals to others", all_refused(9)),
            opaque("killsItself", "a signal to itself", UNREACHABLE),
            value("startsThreads", "threads, timers, executors", all_refused(4)),
            value("reachesForMemory", "ctypes, mmap, ioctl", all_refused(4)),
            opaque("readsAddressZero", "a segmentation fault", UNREACHABLE),
            opaque("corruptsItsMemory", "bytecode that breaks the interpreter", "trap"),
            value(
                "usesWhatIsNotGranted",
                "fetch, kv and settings",
                json!({"seq": 1, "told": {
                    "fetch": "\"Err(value=FetchError_Denied(value='fetch is not granted to this module'))\"",
                    "get": "KvError_Denied(value='kv is not granted to this module')",
                    "set": "KvError_Denied(value='kv is not granted to this module')",
                    "increment": "KvError_Denied(value='kv is not granted to this module')",
                    "settings": "SettingsError_Denied(value='settings are not granted to this module')",
                }}),
            ),
            value("searchesTheHeap", "what the neighbour was told", json!({"seq": 0, "told": null})),
            // In instances that calls share, a module remembers: within itself, never beyond.
            value("remembers", "the subscriber before", json!({"seq": 0, "told": []})),
            value("remembers", "the subscriber before, once more", json!({"seq": 1, "told": ["anonymous"]})),
            // It may spoil its own instance, for as long as that lives.
            spoilt("patchesJson", "json replaced: the SDK keeps its own", fine()),
            Attack {
                after: After::Spoilt(Answer::Payload(json!({"data": {"fine": {"seq": 666}}}))),
                ..value(
                    "patchesTheEncoder",
                    "the SDK's encoder replaced: its own fields lie",
                    json!({"seq": 666, "told": "forged"}),
                )
            },
            opaque("patchesTheEncoderIntoNonsense", "the SDK's encoder replaced by nonsense", CONTRACT),
            // The instance is gone with the call that shows it.
            spoilt("patchesTheRunner", "the SDK's export replaced by a loop", Answer::Opaque(CPU)),
            opaque("patchesTheFailures", "the SDK's words for failures replaced", "trapped"),
            spoilt("patchesExceptions", "BaseException replaced", fine()),
            opaque("closesTheLoop", "the event loop closed", "RuntimeError"),
            opaque("tracesWhatFollows", "a profiler without end, for later calls", CPU),
            opaque("leavesACollectorBehind", "a collector's callback without end", CPU),
            // Nothing outlives its call.
            opaque("waitsForEver", "an event that nobody sets", "waits for something that nothing can wake"),
            opaque("sleepsBeyondTheCall", "asyncio.sleep(3600)", "beyond the time that the call has left"),
            opaque("yieldsForEver", "turns of the loop without end", CPU),
            opaque("awaitsNonsense", "an awaitable that yields a dict", "RuntimeError"),
            value("leavesATaskBehind", "a task that would go on", json!({"seq": 1, "told": null})),
            value("leavesATaskThatRefusesToEnd", "a task that ignores its end", json!({"seq": 1, "told": null})),
            opaque("leavesManyTasks", "a million tasks", CPU),
            opaque("refusesToBeClosed", "a coroutine that ignores its end", "waits for something"),
            value("opensConnections", "connections, servers and processes of asyncio", json!({"seq": 0, "told": []})),
        ],
    )
    .await;
}
