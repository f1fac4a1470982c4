//! Turns the error that stopped a guest into a status. This file assigns every trap of the engine and every fault of
//! the tensor API to a kind. Pure.

use crate::record::outcome::{GuestFault, HostFault, Status};
use crate::sandbox::engine::is_of_the_system;
use crate::sandbox::handles::HandleError;
use crate::sandbox::lab::GuestPanic;
use crate::sandbox::limiter::MemoryLimit;
use crate::sandbox::place::{Place, SOURCE};
use crate::sandbox::wasi::{NoSuchFunction, Wrote};
use crate::system::sanitize::{self, printable};
use kernels::fault::Fault;
use wasmtime::{Trap, WasmBacktrace};

/// Characters that are kept of a guest's own message.
const MAX_PANIC: usize = 2000;

/// An export does not have the type of the contract.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongType(pub String);

/// What is told of a guest that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Its own words, shapes, names and numbers too.
    Repeated,
    /// The kind of the fault and the place in the source. A guest that reads held-out text could put it into anything
    /// else: a message, a shape, an index.
    Withheld,
}

/// The status of a run that ended with this error, with the guest's line if it is known.
pub fn status(error: &wasmtime::Error) -> Status {
    status_at(error, place(error), Words::Repeated)
}

/// Like [`status`], but the caller knows the place and what may be told.
pub fn status_at(error: &wasmtime::Error, place: Option<String>, words: Words) -> Status {
    match (kind(error), words) {
        (Err(_), _) if is_of_the_system(error) => unexplained(error),
        (Err(kind), Words::Withheld) => Status::host(kind, located(ENGINE_WITHHELD.to_owned(), place.as_deref())),
        (Err(HostFault::System), Words::Repeated) if !error.is::<Fault>() => unexplained(error),
        (Err(kind), Words::Repeated) => Status::host(kind, said(error, place.as_deref())),
        (Ok(kind), Words::Withheld) => Status::guest(kind, located(WITHHELD.to_owned(), place.as_deref())),
        (Ok(kind), Words::Repeated) => Status::guest(kind, said(error, place.as_deref())),
    }
}

/// Stands in the place of words that are withheld.
const WITHHELD: &str = "on held-out text, of which a guest can tell nothing but the place";

const ENGINE_WITHHELD: &str = "the engine failed on held-out text; its words are withheld";

fn kind(error: &wasmtime::Error) -> Result<GuestFault, HostFault> {
    if let Some(fault) = error.downcast_ref::<Fault>() {
        fault_kind(fault)
    } else if error.is::<GuestPanic>() {
        Ok(GuestFault::Panic)
    } else if error.is::<MemoryLimit>() {
        Ok(GuestFault::MemoryLimit)
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        trap_kind(*trap)
    } else if error.is::<NoSuchFunction>() {
        Ok(GuestFault::ForbiddenImport)
    } else if error.is::<WrongType>() {
        Ok(GuestFault::WrongWorld)
    } else {
        other_kind(error).ok_or(HostFault::System)
    }
}

/// A guest's fault in words, with its place.
fn said(error: &wasmtime::Error, place: Option<&str>) -> String {
    if let Some(Wrote(wrote)) = error.downcast_ref() {
        return located(format!("{}\n  it wrote: {wrote}", reason(error)), place);
    }
    if let Some(GuestPanic(message)) = error.downcast_ref() {
        let said = sanitize::cut(message, MAX_PANIC, " … (cut)");
        // The line of a panic inside the standard library does not help; the guest's call that led there does.
        let knows_place = said.contains(&format!("at {SOURCE}:"));
        return if knows_place { printable(&said) } else { located(said, place) };
    }
    located(reason(error), place)
}

/// A guest's fault in words.
fn reason(error: &wasmtime::Error) -> String {
    if let Some(GuestPanic(message)) = error.downcast_ref() {
        return sanitize::cut(message, MAX_PANIC, " … (cut)");
    }
    let trapped = error.downcast_ref::<Trap>().map(|trap| words(*trap));
    let text = trapped.or_else(|| error.downcast_ref::<Fault>().map(Fault::to_string));
    text.unwrap_or_else(|| error.root_cause().to_string())
}

fn located(text: String, place: Option<&str>) -> String {
    match place {
        Some(place) => printable(&format!("{text}\n  {place}")),
        None => printable(&text),
    }
}

/// The status of an error that is not proved to be the guest's.
pub fn unexplained(error: &wasmtime::Error) -> Status {
    let remedy = match is_of_the_system(error) {
        true => "; the machine is short of memory, or `ulimit -v` is too low",
        false => "",
    };
    Status::host(HostFault::System, printable(&format!("{error:#}{remedy}")))
}

/// The kind of an error without a type of its own. `None` unless it is proved to be the guest's: handle tables report
/// their errors as text, and every other error of the guest is raised while its code runs.
fn other_kind(error: &wasmtime::Error) -> Option<GuestFault> {
    match error.downcast_ref::<HandleError>() {
        Some(HandleError::Full { .. }) => Some(GuestFault::CountLimit),
        Some(_) => Some(GuestFault::StaleHandle),
        None if error.root_cause().to_string().contains("handle index") => Some(GuestFault::StaleHandle),
        // The engine has no type for it: see `Limiter::memories` and its like.
        None if error.root_cause().to_string().starts_with("resource limit exceeded") => Some(GuestFault::CountLimit),
        None => (error.is::<WasmBacktrace>() && !is_of_the_system(error)).then_some(GuestFault::Trap),
    }
}

/// Describes a trap and its meaning for a guest.
fn words(trap: Trap) -> String {
    let advice = match trap {
        Trap::StackOverflow => "the guest calls itself too often: use a loop",
        Trap::OutOfFuel => {
            "the guest's own computing is used up: an endless loop, or work that belongs in tensor calls"
        }
        Trap::MemoryOutOfBounds => "deep recursion and large arrays on the stack end like this too",
        Trap::UnreachableCodeReached => "a panic without a message, or an exit",
        _ => return trap.to_string(),
    };
    format!("{trap}; {advice}")
}

/// The kind of a fault of the tensor API.
pub fn fault_kind(fault: &Fault) -> Result<GuestFault, HostFault> {
    Ok(match fault {
        Fault::Shape { .. } | Fault::Size { .. } => GuestFault::ShapeError,
        Fault::Dropped { .. } => GuestFault::StaleHandle,
        Fault::Misuse { .. } => GuestFault::Misuse,
        Fault::StaleGraph { .. } => GuestFault::StaleGraph,
        Fault::NoGradient { .. } => GuestFault::NoGradient,
        Fault::TensorLimit { .. } => GuestFault::TensorLimit,
        Fault::CountLimit { .. } => GuestFault::CountLimit,
        Fault::BudgetExceeded { .. } => GuestFault::BudgetExceeded,
        Fault::Evaluation { .. } => GuestFault::ForbiddenInForward,
        Fault::Execution { .. } => GuestFault::BadValue,
        Fault::Diverged { .. } => GuestFault::Diverged,
        Fault::NoRoom { .. } | Fault::Executor(_) => return Err(HostFault::System),
    })
}

/// The number of traps that [`trap_kind`] knows. If an engine has more, the test below fails until each new one is
/// assigned.
#[cfg(test)]
const KNOWN_TRAPS: usize = 50;

/// The kind of a trap of the engine.
pub fn trap_kind(trap: Trap) -> Result<GuestFault, HostFault> {
    match trap {
        Trap::StackOverflow => Ok(GuestFault::StackOverflow),
        Trap::Interrupt => Err(HostFault::Timeout),
        Trap::OutOfFuel => Ok(GuestFault::FuelExhausted),
        Trap::AllocationTooLarge => Ok(GuestFault::MemoryLimit),
        Trap::MemoryOutOfBounds
        | Trap::HeapMisaligned
        | Trap::TableOutOfBounds
        | Trap::IndirectCallToNull
        | Trap::BadSignature
        | Trap::IntegerOverflow
        | Trap::IntegerDivisionByZero
        | Trap::BadConversionToInteger
        | Trap::UnreachableCodeReached
        | Trap::AtomicWaitNonSharedMemory
        | Trap::NullReference
        | Trap::ArrayOutOfBounds
        | Trap::CastFailure
        | Trap::CannotEnterComponent
        | Trap::NoAsyncResult
        | Trap::UnhandledTag
        | Trap::ContinuationAlreadyConsumed
        | Trap::DisabledOpcode
        | Trap::AsyncDeadlock
        | Trap::CannotLeaveComponent
        | Trap::CannotBlockSyncTask
        | Trap::InvalidChar
        | Trap::DebugAssertStringEncodingFinished
        | Trap::DebugAssertEqualCodeUnits
        | Trap::DebugAssertPointerAligned
        | Trap::DebugAssertUpperBitsUnset
        | Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer
        | Trap::TaskCancelNotCancelled
        | Trap::TaskCancelOrReturnTwice
        | Trap::SubtaskCancelAfterTerminal
        | Trap::TaskReturnInvalid
        | Trap::WaitableSetDropHasWaiters
        | Trap::SubtaskDropNotResolved
        | Trap::ThreadNewIndirectInvalidType
        | Trap::ThreadNewIndirectUninitialized
        | Trap::BackpressureOverflow
        | Trap::UnsupportedCallbackCode
        | Trap::CannotResumeThread
        | Trap::ConcurrentFutureStreamOp
        | Trap::ReferenceCountOverflow
        | Trap::StreamOpTooBig
        | Trap::WaitableSyncAndAsync
        | Trap::UncaughtException => Ok(GuestFault::Trap),
        _ => Ok(GuestFault::Trap),
    }
}

/// The first frame in the guest's own source, as "at train.rs:88:17 in mlp".
pub fn place(error: &wasmtime::Error) -> Option<String> {
    error.downcast_ref::<WasmBacktrace>().and_then(Place::of).map(|place| format!("at {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_has_its_place() {
        let traps = (0..=u8::MAX).filter_map(Trap::from_u8).count();
        assert_eq!(traps, KNOWN_TRAPS, "the engine's list of traps has changed: place each new one in trap_kind");
    }

    #[test]
    fn what_the_guest_used_up_is_its_own_fault() {
        assert_eq!(status(&Trap::StackOverflow.into()).name(), "stack-overflow");
        assert_eq!(status(&Trap::OutOfFuel.into()).name(), "fuel-exhausted");
        assert!(!status(&Trap::Interrupt.into()).is_result());
    }

    #[test]
    fn too_many_memories_are_the_guests_fault() {
        let mut store =
            wasmtime::Store::new(&wasmtime::Engine::default(), crate::sandbox::limiter::Limiter::new(1 << 20));
        store.limiter(|limiter| limiter);
        let bytes = wat::parse_str("(module (memory 0))").unwrap();
        let module = wasmtime::Module::new(store.engine(), bytes).unwrap();
        let error = (0..5).find_map(|_| wasmtime::Instance::new(&mut store, &module, &[]).err()).unwrap();
        assert_eq!(status(&error).name(), "count-limit");
    }

    #[test]
    fn what_nobody_can_explain_is_not_the_guests_fault() {
        let refused = || std::io::Error::from_raw_os_error(libc::ENOMEM);
        for error in [
            wasmtime::Error::from(refused()).context("failed to allocate memory"),
            wasmtime::Error::from(rustix::io::Errno::NOMEM),
            wasmtime::Error::from(wasmtime::OutOfMemory::new(8)),
            wasmtime::Error::msg("something new"),
        ] {
            let status = status(&error);
            assert!(!status.is_result(), "{status}");
        }
    }

    #[test]
    fn a_full_card_is_not_the_guests_fault() {
        let full = status(&Fault::NoRoom { wanted: 8, held: 4 }.into());
        assert!(!full.is_result() && full.to_string().contains("no room for 8 bytes"), "{full}");
        let limit = status(&Fault::TensorLimit { op: "matmul", live: 4, wanted: 8, limit: 9 }.into());
        assert_eq!(limit.name(), "tensor-limit");
    }

    #[test]
    fn a_long_panic_keeps_its_place() {
        let panic = wasmtime::Error::from(GuestPanic("x".repeat(2 * MAX_PANIC)));
        let said = status_at(&panic, Some("at train.rs:7:1 in train".into()), Words::Repeated).to_string();
        assert!(said.contains("x … (cut)") && said.ends_with("at train.rs:7:1 in train"), "{said}");
    }

    #[test]
    fn on_held_out_text_nothing_is_told_but_kind_and_place() {
        let place = || Some("at train.rs:7:1 in model".to_owned());
        let shape = Fault::Shape { op: "matmul", operands: "[72,101]".into(), reason: "101".into() };
        for error in [
            wasmtime::Error::from(GuestPanic("SECRET at train.rs:1:1".into())),
            shape.into(),
            Fault::Misuse { op: "get", reason: "SECRET".into() }.into(),
            wasmtime::Error::msg("SECRET"),
        ] {
            let told = status_at(&error, place(), Words::Withheld).to_string();
            assert!(told.contains("held-out text") && told.ends_with("\n  at train.rs:7:1 in model"), "{told}");
            assert!(!told.contains("SECRET") && !told.contains("101"), "{told}");
        }
    }
}
