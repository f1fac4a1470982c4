//! Guests on a device: the CUDA kernels behind `--device cuda`, run on the processor by `host-cuda-emulated`, which is
//! `host-cuda` but for the driver. Where that program was not built, or g++ is missing, this says so and passes.

use crate::common::home::{Home, lines, said};
use crate::common::{HOST, Place, guest, tiny};
use nightlab::experiment::batch::Run;
use nightlab::experiment::calibrate::calibrate;
use nightlab::experiment::replay::{replay, replay_interval};
use nightlab::guest::seed::SEED_GUEST;
use nightlab::policy::load_profile;
use nightlab::record::outcome::Status;
use nightlab::sandbox::{Accelerator, Sandbox};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of the package `nightlab-host-cuda`, which `cargo test --workspace` builds.
fn program(name: &str) -> Option<PathBuf> {
    let program = Path::new(HOST).with_file_name(name);
    if !program.is_file() {
        not_checked("`cargo build --release -p nightlab-host-cuda` makes what it takes");
    }
    Some(program).filter(|program| program.is_file())
}

/// Past the harness, which shows only what failing tests print.
fn not_checked(why: &str) {
    writeln!(std::io::stderr(), "NOT CHECKED: guests on a device; {why}").expect("somebody listens");
}

/// Where the kernels are compiled once for all tests.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated")
}

/// The sandbox with the device of the tests; none, with a word about it, where it cannot be had.
fn sandbox() -> Option<Sandbox> {
    let accelerator = Accelerator::new(program("host-cuda-emulated")?, 0, folder()).unwrap();
    match Sandbox::new(Some(HOST.into())).with(accelerator) {
        Ok(sandbox) => Some(sandbox),
        Err(error) if error.to_string().contains("no g++") => {
            not_checked("there is no g++");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A bench whose guests train on the device.
fn place(sandbox: &Sandbox) -> Place {
    let mut place = Place::new();
    place.bench.sandbox = sandbox.clone();
    // The seed guest's cost is not that of `guests/tiny`.
    place.bench.forward_ps_per_token = 0;
    place
}

/// The guest that nights start from, on batches that a processor can pretend to be a GPU for, and with rates that learn
/// something in a few steps of them.
fn small_seed_guest() -> String {
    let changes = [
        ("BATCH: usize = 18", "BATCH: usize = 2"),
        ("SEQ: usize = 192", "SEQ: usize = 32"),
        ("EMBED_LR: f32 = 0.046", "EMBED_LR: f32 = 0.2"),
        ("HEAD_LR: f32 = 0.0079", "HEAD_LR: f32 = 0.05"),
    ];
    changes.iter().fold(SEED_GUEST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// Losses and score of a run on the device are near those of the processor.
fn is_near(ours: &Run, theirs: &Run) {
    assert_eq!(ours.outcome.totals, theirs.outcome.totals, "the same operations at the same price");
    assert_eq!(ours.outcome.curve.len(), theirs.outcome.curve.len());
    for (ours, theirs) in ours.outcome.curve.iter().zip(&theirs.outcome.curve) {
        let apart = (ours.value - theirs.value).abs();
        assert!(
            apart < 2e-3 * theirs.value.abs(),
            "{} of step {}: {} and {}",
            ours.key,
            ours.step,
            ours.value,
            theirs.value
        );
    }
    let bpb = |run: &Run| run.outcome.score.as_ref().unwrap_or_else(|| panic!("{:?}", run.outcome.status)).bpb;
    assert!((bpb(ours) - bpb(theirs)).abs() < 2e-3, "{} and {}", bpb(ours), bpb(theirs));
}

#[test]
fn the_seed_guest_trains_on_a_device_without_a_round_trip() {
    let Some(sandbox) = sandbox() else { return };
    let (on_device, on_cpu) = (place(&sandbox), place(&Sandbox::new(Some(HOST.into()))));
    let component = on_device.compile(&small_seed_guest());
    let ours = on_device.run(&component, 7);
    let theirs = on_cpu.run(&component, 7);
    assert_eq!(ours.outcome.status, Status::Completed);
    is_near(&ours, &theirs);
    let (steps, traffic) = (ours.outcome.totals.steps, ours.traffic.unwrap());
    assert!(steps >= 3, "{steps} steps");
    assert_eq!(traffic.round_trips, 0);
    assert_eq!(traffic.uploads, 2 * steps, "tokens and targets of each step");
    assert_eq!(theirs.traffic, None);

    // Results of two devices meet in no key and in no contest.
    let numerics = |run: &Run| run.record.as_ref().unwrap().manifest.numerics.clone();
    assert_eq!((numerics(&ours).as_str(), numerics(&theirs).as_str()), (sandbox.class(), kernels::cpu::CLASS));
    assert!(sandbox.class().starts_with("cuda-emulated-"));
    assert_ne!(ours.key, theirs.key);
    assert_ne!(on_device.bench.context_key(&component), on_cpu.bench.context_key(&component));
    assert_ne!(ours.outcome.state, theirs.outcome.state, "the sums of both have another order");

    // The same bits again: in another store, and by a replay of the whole and of one interval.
    let again = place(&sandbox).run(&component, 7);
    assert_eq!(again.outcome.hash(), ours.outcome.hash());
    let record = ours.record.unwrap();
    let replayed = replay(&on_device.bench, &record, &component, &mut |_| {}).unwrap();
    assert!(replayed.identical, "{replayed:?}");
    let one = replay_interval(&on_device.bench, &record, &component, 2, &mut |_| {}).unwrap();
    assert!(one.identical, "{one:?}");
}

/// The whole of it would take hours on a processor.
#[test]
fn a_device_is_timed_against_the_profile_of_a_card() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["rtx-4090", "a100-80gb", "h100-sxm"] {
        let profile = load_profile(name).unwrap();
        let found = calibrate(&sandbox, &profile, 1, 5_000).unwrap();
        assert!(found.rows.len() >= 3, "{:?}", found.rows);
        assert!(found.rows.iter().all(|row| row.predicted_us >= 1.0 && row.measured_us > 0.0), "{:?}", found.rows);
    }
}

#[test]
fn the_second_wall_holds_around_a_device() {
    let Some(sandbox) = sandbox() else { return };
    let place = place(&sandbox);
    let inside = place.folder.path().join("store/index.sqlite");
    let walls = sandbox.walls(&[inside, "/etc/passwd".into(), folder()]).unwrap();
    assert!(walls.hold(), "{walls}");
}

#[test]
fn a_fault_on_a_device_is_the_guests_with_its_line() {
    let Some(sandbox) = sandbox() else { return };
    let place = place(&sandbox);
    let run = place.run(&place.compile(&guest("hostile/index_out_of_range")), 1);
    let Status::GuestFault { kind, message } = &run.outcome.status else { panic!("{:?}", run.outcome.status) };
    assert_eq!(kind.name(), "bad-value");
    assert!(message.contains("train.rs:"), "{message}");
}

/// A command of a home, with the device of the tests in the place of a GPU.
fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command.env("HOST_CUDA", Path::new(HOST).with_file_name("host-cuda-emulated"));
    command
}

#[test]
fn the_command_line_trains_scores_and_replays_on_a_device() {
    if sandbox().is_none() {
        return;
    }
    let home = Home::new();
    std::os::unix::fs::symlink(folder(), home.path("cache/cuda")).unwrap();
    std::fs::write(home.path("tiny.rs"), tiny("0.02")).unwrap();
    let score = |device: &str| {
        let args = ["--json", "--device", device, "score", "--policy", "./night.toml", "tiny.rs"];
        let scored = command(&home, &args).output().unwrap();
        assert_eq!(scored.status.code(), Some(0), "{}", said(&scored));
        lines(&scored).remove(0)
    };
    let (ours, theirs) = (score("cuda"), score("cpu"));
    assert_eq!((&ours["traffic"]["round_trips"], &theirs["traffic"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!((&ours["is_new"], &theirs["is_new"]), (&true.into(), &true.into()), "neither stands for the other");
    assert_eq!(theirs["numerics"], kernels::cpu::CLASS);
    assert_eq!(score("cuda")["is_new"], false);

    let replay = |device: &str, key: &serde_json::Value| {
        command(&home, &["--device", device, "replay", key.as_str().unwrap()]).output().unwrap()
    };
    let key = &ours["experiment"];
    let replayed = replay("cuda", key);
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    for (device, key) in [("cpu", key), ("cuda", &theirs["experiment"])] {
        let refused = replay(device, key);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("its numerics class is"), "{}", said(&refused));
    }
    let sampled = ["--device", "cuda", "sample", "--length", "4", "--experiment", key.as_str().unwrap()];
    let sampled = command(&home, &sampled).output().unwrap();
    assert_eq!(sampled.status.code(), Some(0), "{}", said(&sampled));
}

#[test]
fn strangers_are_not_let_near_a_driver() {
    let home = Home::new();
    home.write_policy("inbox.toml", 0.04, 2);
    home.set("inbox.toml", "search.proposers", vec!["inbox"]);
    home.set("inbox.toml", "community.submissions_per_day", 20);
    home.host(&["keygen"]);
    let refused = home.host(&["--device", "cuda", "run", "--policy", "./inbox.toml"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("a hole in the second wall"), "{}", said(&refused));
    for args in [&["commons", "follow", "."][..], &["work", "nats://127.0.0.1:1"]] {
        let refused = home.host(&[&["--device", "cuda"], args].concat());
        assert!(said(&refused).contains("on the processor alone"), "{}", said(&refused));
    }
}

/// What is missing is a sentence of the machine's, before anything is compiled or trained.
#[test]
fn what_a_device_lacks_is_said() {
    let home = Home::new();
    std::fs::write(home.path("tiny.rs"), tiny("0.02")).unwrap();
    let score = |named: &Path| {
        let args = ["--device", "cuda", "score", "--policy", "./night.toml", "tiny.rs"];
        let refused = home.command(&args).env("HOST_CUDA", named).env_remove("LD_LIBRARY_PATH").output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        said(&refused)
    };
    assert!(score(Path::new("/nowhere/host-cuda")).contains("HOST_CUDA names /nowhere/host-cuda, which is no file"));
    // A program that is no child ends without a word of its own.
    assert!(score(Path::new("/bin/false")).contains("--device cuda does not work here"));
    let Some(program) = program("host-cuda") else { return };
    if Path::new("/dev/nvidiactl").exists() {
        return not_checked("this machine has a GPU, so that nothing is missing");
    }
    let without_driver = score(&program);
    assert!(
        without_driver.contains("libcuda.so) is not on the library path: install NVIDIA's driver"),
        "{without_driver}"
    );
}

#[test]
fn the_doctor_says_what_a_gpu_needs() {
    let home = Home::new();
    let doctor = |named: &Path| {
        let output = home.command(&["--json", "doctor"]).env("HOST_CUDA", named).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "a night needs no GPU: {}", said(&output));
        let rows = lines(&output).into_iter().filter(|row| row["what"] == "GPU");
        rows.map(|row| row["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let none = doctor(Path::new("/nowhere/host-cuda"));
    assert_eq!(none, ["none: HOST_CUDA names /nowhere/host-cuda, which is no file"]);
    let Some(program) = program("host-cuda") else { return };
    let rows = doctor(&program);
    assert!(rows[0].starts_with("host-cuda is ") && rows.last().unwrap().starts_with("`--device cuda` "), "{rows:?}");
    for part in ["driver: ", "NVRTC: ", "cuBLASLt: "] {
        assert!(rows.iter().any(|row| row.starts_with(part)), "no {part}in {rows:?}");
    }
}
