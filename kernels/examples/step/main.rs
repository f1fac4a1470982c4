//! `step SIZE [STEPS [WARM-UP]]`: trains the yardstick's model natively on the CPU engine and prints one JSON line as
//! the peers do: milliseconds a step, tokens a second, peak memory, page faults, first losses. SIZE is S, M or L.
//! `THREADS` is 2 unless set; weights and tokens come from the folder `YARD`, or are made up; `--write` only writes them
//! there. `--parts` executes forward, backward and optimizer apart and times each.

mod gpt;
mod inputs;
mod lab;
mod process;

use gpt::{Gpt, SIZES, Sizes};
use inputs::Inputs;
use kernels::cost::{Class, Profile, Rate};
use kernels::cpu::CpuExecutor;
use kernels::session::{Answers, Config, Mode, Session};
use lab::Lab;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let name = words.first().map_or("S", String::as_str);
    let sizes = *SIZES.iter().find(|s| s.name == name).ok_or(format!("no size {name}; there are S, M and L"))?;
    let number = |i: usize, default: usize| words.get(i).map_or(Ok(default), |w| w.parse());
    let (steps, warm_up) = (number(1, 8)?, number(2, 2)?);
    let folder = std::env::var_os("YARD").map(PathBuf::from);
    if let (Some(folder), true) = (&folder, flags.iter().any(|f| f == "--write")) {
        return Ok(Inputs::make(&sizes).write(folder, &sizes)?);
    }
    let inputs = match &folder {
        Some(folder) => Inputs::read(folder, &sizes)?,
        None => Inputs::make(&sizes),
    };
    let threads = std::env::var("THREADS").map_or(Ok(2), |n| n.parse())?;
    let lab = Lab::new(session(&sizes, &inputs, threads)?);
    drop(inputs);
    run(&lab, sizes, steps, warm_up, flags.iter().any(|f| f == "--parts"))
}

/// A session with a budget that never ends.
fn session(sizes: &Sizes, inputs: &Inputs, threads: usize) -> Result<Session, Box<dyn Error>> {
    let rate = |class: Class| Rate {
        class: class.name().to_owned(),
        mflops: 100_000,
        bytes_per_us: 20_000,
        overhead_ps: 1_000_000,
    };
    let config = Config {
        mode: Mode::Train,
        profile: Profile { name: "any".to_owned(), classes: Class::ALL.map(rate).to_vec() },
        budget_ps: u64::MAX / 4,
        tensor_bytes: 4 << 30,
        max_ops: u64::MAX,
        max_tensors: 100_000,
        random_seed: 1,
        intervals: 1,
    };
    let executor = CpuExecutor::new(threads, config.random_seed)?;
    let mut session = Session::new(config, Box::new(executor), Some(Box::new(inputs.batches(sizes))), Answers::Execute);
    session.start_from(inputs.state(sizes));
    Ok(session)
}

fn run(lab: &Lab, sizes: Sizes, steps: usize, warm_up: usize, apart: bool) -> Result<(), Box<dyn Error>> {
    let mut gpt = Gpt::new(lab, sizes)?;
    let (mut times, mut faults, mut parts) = (Vec::new(), Vec::new(), [const { Vec::new() }; 3]);
    for step in 0..warm_up + steps {
        let (before, started) = (process::page_faults(), Instant::now());
        let mut marks = [0.0; 2];
        gpt.step(&mut |part| {
            if apart {
                lab.flush()?;
            }
            marks[part as usize] = started.elapsed().as_secs_f64();
            Ok(())
        })?;
        lab.flush()?;
        let end = started.elapsed().as_secs_f64();
        if step >= warm_up {
            let [forward, backward] = marks;
            times.push(end);
            faults.push((process::page_faults() - before) as f64);
            for (part, time) in parts.iter_mut().zip([forward, backward - forward, end - backward]) {
                part.push(time * 1e3);
            }
        }
    }
    let seconds = median(&mut times);
    let losses = lab.losses();
    let shown: Vec<String> = losses.iter().take(8).chain(losses.last()).map(|x| format!("{x:.6}")).collect();
    let apart = if apart {
        let [forward, backward, optimizer] = parts.map(|mut part| median(&mut part));
        format!("\"fwd\":{forward:.2},\"bwd\":{backward:.2},\"opt\":{optimizer:.2},")
    } else {
        String::new()
    };
    println!(
        "{{\"impl\":\"native\",\"cfg\":\"{}\",\"ms\":{:.2},\"tok_s\":{:.0},{apart}\"rss_mb\":{:.0},\"faults\":{:.0},\
         \"predicted_peak_mb\":{:.1},\"losses\":[{}]}}",
        sizes.name,
        seconds * 1e3,
        sizes.tokens() as f64 / seconds,
        process::peak_resident_bytes() as f64 / f64::from(1 << 20),
        median(&mut faults),
        lab.totals().peak_bytes as f64 / f64::from(1 << 20),
        shown.join(","),
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
