//! The table of what each function of WASI answers.

use crate::sandbox::lab::{GuestPanic, State, charge};
use kernels::fault::Fault;
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{Resource, ResourceAny, Val};

type Context<'a> = StoreContextMut<'a, State>;

/// Most bytes that a call may write or draw: each takes the room of a value while it is passed.
const MOST_BYTES: usize = 64 << 10;
/// Fuel per call. Each byte of a text and each value inside of another costs 1.
const CALL_FUEL: u64 = 16;

/// The type of all handles of WASI. Its number tells streams apart.
#[derive(Debug)]
pub struct Thing;

/// The numbers of things.
const ANY: u32 = 0;
/// Streams whose bytes are kept.
const OUTPUT: u32 = 1;

/// A function that is there by name alone, or is called with other types than WASI's.
#[derive(Debug, thiserror::Error)]
#[error("the guest called `{0}`, which is not in this sandbox: it has no files, no network and no clock")]
pub struct NoSuchFunction(pub String);

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Value(Value),
    /// A handle with this number.
    Handle(u32),
    /// Random bytes, as many as the argument says.
    RandomBytes,
    /// Output: the list after the handle.
    Write,
    /// All of the list are ready.
    Poll,
    /// The guest ends.
    Exit,
    /// Refused with the error of its type that says so.
    Door,
}

/// Answers that are values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Nothing,
    Done,
    Closed,
    None,
    EmptyList,
    EmptyText,
    True,
    /// The clock's only time.
    Instant,
    /// The same as seconds and nanoseconds.
    Date,
    Room,
    Random,
    RandomPair,
}

/// The answer of a function of an interface, both without a version.
pub fn of(interface: &str, function: &str) -> Answer {
    use Answer::{Door, Exit, Handle, Poll, RandomBytes, Value as Is, Write};
    match (interface, function) {
        ("wasi:clocks/monotonic-clock", "now" | "resolution") => Is(Value::Instant),
        ("wasi:clocks/wall-clock", "now" | "resolution") => Is(Value::Date),
        ("wasi:random/random", "get-random-bytes") | ("wasi:random/insecure", "get-insecure-random-bytes") => {
            RandomBytes
        }
        ("wasi:random/random", "get-random-u64") | ("wasi:random/insecure", "get-insecure-random-u64") => {
            Is(Value::Random)
        }
        ("wasi:random/insecure-seed", "insecure-seed") => Is(Value::RandomPair),
        ("wasi:cli/environment", "get-environment" | "get-arguments") => Is(Value::EmptyList),
        ("wasi:cli/environment", "initial-cwd") => Is(Value::None),
        ("wasi:cli/exit", _) => Exit,
        ("wasi:cli/stdin", _) => Handle(ANY),
        ("wasi:cli/stdout" | "wasi:cli/stderr", _) => Handle(OUTPUT),
        ("wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr", _) => Is(Value::None),
        ("wasi:filesystem/preopens", "get-directories") => Is(Value::EmptyList),
        ("wasi:filesystem/types", "filesystem-error-code") => Is(Value::None),
        ("wasi:sockets/instance-network", "instance-network") => Handle(ANY),
        ("wasi:io/error", "[method]error.to-debug-string") => Is(Value::EmptyText),
        ("wasi:io/poll", "poll") => Poll,
        ("wasi:io/poll", "[method]pollable.ready") => Is(Value::True),
        ("wasi:io/poll", "[method]pollable.block") => Is(Value::Nothing),
        ("wasi:io/streams", function) => match function.rsplit_once('.').map_or(function, |(_, method)| method) {
            "check-write" => Is(Value::Room),
            "write" | "blocking-write-and-flush" => Write,
            "flush" | "blocking-flush" => Is(Value::Done),
            "subscribe" => Handle(ANY),
            "read" | "blocking-read" | "skip" | "blocking-skip" => Is(Value::Closed),
            _ => Door,
        },
        (_, function) if subscribes(function) => Handle(ANY),
        _ => Door,
    }
}

/// Whether it makes something to wait for. What is waited for is there already.
fn subscribes(function: &str) -> bool {
    function == "subscribe-instant" || function == "subscribe-duration" || function.ends_with(".subscribe")
}

impl Answer {
    /// Answers one call.
    ///
    /// # Errors
    /// The guest ends, or the types are not WASI's.
    pub fn give(
        self,
        name: &str,
        cx: &mut Context<'_>,
        function: &ComponentFunc,
        parameters: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        charge(cx, parameters.iter().map(weight).fold(CALL_FUEL, u64::saturating_add))?;
        let unknown = || NoSuchFunction(name.to_owned());
        let first = take(cx, parameters)?;
        let value = match self {
            Self::Value(value) => value.make(cx)?,
            Self::Handle(number) => Some(handle(cx, number)?),
            Self::RandomBytes => Some(random_bytes(cx, parameters).ok_or_else(unknown)??),
            Self::Write => Some(write(cx, first, parameters).ok_or_else(unknown)?),
            Self::Poll => Some(poll(parameters).ok_or_else(unknown)?),
            Self::Exit => return Err(GuestPanic("the guest ended itself".into()).into()),
            Self::Door => Some(refuse(cx, name, function).ok_or_else(unknown)?),
        };
        match (results, value) {
            ([], None) => {}
            ([result], Some(value)) => *result = value,
            _ => return Err(unknown().into()),
        }
        Ok(())
    }
}

/// Takes the handles that a call brings, lent or given, and returns the number of the first.
///
/// # Errors
/// A handle is of another kind.
fn take<'a>(cx: &mut Context<'_>, values: impl IntoIterator<Item = &'a Val>) -> wasmtime::Result<Option<u32>> {
    let mut first = None;
    for value in values {
        let number = match value {
            Val::Resource(handle) => Some(handle.try_into_resource::<Thing>(&mut *cx)?.rep()),
            value => take(cx, parts(value))?,
        };
        first = first.or(number);
    }
    Ok(first)
}

/// Fuel for what a value holds, with the names that it carries: its type is the guest's. Types nest to a fixed depth.
fn weight(value: &Val) -> u64 {
    let own = names(value).into_iter().fold(0, |sum: u64, name| sum.saturating_add(name.len() as u64));
    parts(value).into_iter().fold(own, |sum, part| sum.saturating_add(1).saturating_add(weight(part)))
}

/// The texts of one value, without those inside of its parts.
fn names(value: &Val) -> Vec<&str> {
    match value {
        Val::String(text) => vec![text],
        Val::Enum(name) | Val::Variant(name, _) => vec![name],
        Val::Flags(names) => names.iter().map(String::as_str).collect(),
        Val::Record(fields) => fields.iter().map(|(name, _)| name.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// The values inside of one.
fn parts(value: &Val) -> Vec<&Val> {
    match value {
        Val::List(values) | Val::FixedLengthList(values) | Val::Tuple(values) => values.iter().collect(),
        Val::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        Val::Record(fields) => fields.iter().map(|(_, value)| value).collect(),
        Val::Variant(_, value) | Val::Option(value) | Val::Result(Ok(value) | Err(value)) => {
            value.iter().map(|value| &**value).collect()
        }
        Val::Bool(_) | Val::Char(_) | Val::Enum(_) | Val::Flags(_) | Val::String(_) | Val::Resource(_) => Vec::new(),
        Val::U8(_) | Val::U16(_) | Val::U32(_) | Val::U64(_) | Val::Float32(_) | Val::Float64(_) => Vec::new(),
        Val::S8(_) | Val::S16(_) | Val::S32(_) | Val::S64(_) => Vec::new(),
        Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Vec::new(),
    }
}

impl Value {
    fn make(self, cx: &mut Context<'_>) -> wasmtime::Result<Option<Val>> {
        let mut word = || {
            let mut bytes = [0; 8];
            cx.data_mut().outside.fill(&mut bytes);
            Val::U64(u64::from_le_bytes(bytes))
        };
        Ok(match self {
            Self::Nothing => None,
            Self::Done => Some(Val::Result(Ok(None))),
            Self::Closed => Some(Val::Result(Err(Some(Box::new(Val::Variant("closed".into(), None)))))),
            Self::None => Some(Val::Option(None)),
            Self::EmptyList => Some(Val::List(Vec::new())),
            Self::EmptyText => Some(Val::String(String::new())),
            Self::True => Some(Val::Bool(true)),
            Self::Instant => Some(Val::U64(1)),
            Self::Date => Some(Val::Record(vec![("seconds".into(), Val::U64(0)), ("nanoseconds".into(), Val::U32(1))])),
            Self::Room => Some(Val::Result(Ok(Some(Box::new(Val::U64(MOST_BYTES as u64)))))),
            Self::Random => Some(word()),
            Self::RandomPair => Some(Val::Tuple(vec![word(), word()])),
        })
    }
}

fn handle(cx: &mut Context<'_>, number: u32) -> wasmtime::Result<Val> {
    let resource = Resource::<Thing>::new_own(number);
    Ok(Val::Resource(ResourceAny::try_from_resource(resource, cx)?))
}

fn random_bytes(cx: &mut Context<'_>, parameters: &[Val]) -> Option<wasmtime::Result<Val>> {
    let [Val::U64(count)] = parameters else { return None };
    let Some(size) = usize::try_from(*count).ok().filter(|size| *size <= MOST_BYTES) else {
        let reason = format!("{count} random bytes in one call; the limit is {MOST_BYTES}");
        return Some(Err(Fault::Misuse { op: "wasi:random", reason }.into()));
    };
    let drawn = charge(cx, *count).map(|()| {
        let mut bytes = vec![0; size];
        cx.data_mut().outside.fill(&mut bytes);
        Val::List(bytes.into_iter().map(Val::U8).collect())
    });
    Some(drawn)
}

fn write(cx: &mut Context<'_>, stream: Option<u32>, parameters: &[Val]) -> Option<Val> {
    let [_, Val::List(list)] = parameters else { return None };
    let byte = |value: &Val| if let Val::U8(byte) = value { Some(*byte) } else { None };
    let bytes: Vec<u8> = list.iter().map(byte).collect::<Option<_>>()?;
    if stream == Some(OUTPUT) {
        cx.data_mut().outside.write(&bytes);
    }
    Some(Val::Result(Ok(None)))
}

fn poll(parameters: &[Val]) -> Option<Val> {
    let [Val::List(waited)] = parameters else { return None };
    Some(Val::List((0..waited.len() as u32).map(Val::U32).collect()))
}

/// The error of the function's result that says that it may not be done. The guest's output says so too.
fn refuse(cx: &mut Context<'_>, name: &str, function: &ComponentFunc) -> Option<Val> {
    const WORDS: [&str; 3] = ["access-denied", "access", "not-permitted"];
    let Type::Result(result) = function.results().next()? else { return None };
    let Type::Enum(error) = result.err()? else { return None };
    let word = WORDS.into_iter().find(|word| error.names().any(|name| name == *word))?;
    cx.data_mut().outside.write(format!("{name}: access denied\n").as_bytes());
    Some(Val::Result(Err(Some(Box::new(Val::Enum(word.into()))))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_is_paid_for_however_it_is_wrapped() {
        let bytes = || Val::List(vec![Val::U8(0); 100]);
        assert_eq!(weight(&bytes()), 100);
        assert_eq!(weight(&Val::String("ä".repeat(50))), 100);
        assert_eq!(weight(&Val::List(vec![bytes(), bytes()])), 202);
        let wrapped = Val::Option(Some(Box::new(Val::Record(vec![("a".into(), Val::Tuple(vec![bytes()]))]))));
        assert_eq!(weight(&Val::Result(Err(Some(Box::new(wrapped))))), 105);
        assert_eq!(weight(&Val::U64(u64::MAX)), 0);
        let name = || "n".repeat(100);
        assert_eq!(weight(&Val::Flags(vec![name(), name()])), 200);
        assert_eq!(weight(&Val::Enum(name())), 100);
        assert_eq!(weight(&Val::Variant(name(), Some(Box::new(Val::String(name()))))), 201);
        assert_eq!(weight(&Val::Record(vec![(name(), bytes())])), 201);
    }

    #[test]
    fn what_is_not_in_the_table_is_a_door() {
        assert_eq!(of("wasi:sockets/tcp-create-socket", "create-tcp-socket"), Answer::Door);
        assert_eq!(of("wasi:filesystem/types", "[method]descriptor.open-at"), Answer::Door);
        assert_eq!(of("wasi:io/streams", "[method]output-stream.splice"), Answer::Door);
        assert_eq!(of("wasi:io/streams", "[method]output-stream.write"), Answer::Write);
        assert_eq!(of("wasi:sockets/tcp", "[method]tcp-socket.subscribe"), Answer::Handle(ANY));
        assert_eq!(of("wasi:clocks/timezone", "display"), Answer::Door);
    }
}
