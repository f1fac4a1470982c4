//! `step SIZE [STEPS [WARM-UP]]`: trains the yardstick's model natively on the CPU engine and prints one JSON line as
//! the peers do: milliseconds a step, tokens a second, peak memory, page faults, first losses. SIZE is S, M, L or tiny.
//! `THREADS` is 2 unless set; weights and tokens come from the folder `YARD`, or are made up.
//!
//! - `--parts` executes forward, backward and optimizer apart and times each.
//! - `--dry` executes nothing: what accounting alone takes.
//! - `--gradients FILE` writes the gradients of the first step, as f32 in the order of the weights.
//! - `--write` puts made-up weights and tokens into `YARD`.

mod gpt;
mod inputs;
mod lab;
mod process;

use gpt::{Gpt, SIZES, Sizes};
use inputs::Inputs;
use lab::Lab;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut flag = |name: &str| words.iter().position(|w| w == name).map(|at| words.remove(at)).is_some();
    let (parts, dry, write, gradients) = (flag("--parts"), flag("--dry"), flag("--write"), flag("--gradients"));
    let name = words.first().map_or("S", String::as_str);
    let sizes = *SIZES.iter().find(|s| s.name == name).ok_or(format!("no size {name}"))?;
    let number = |i: usize, default: usize| words.get(i).map_or(Ok(default), |w| w.parse());
    let folder = std::env::var_os("YARD").map(PathBuf::from);
    if write {
        return Ok(Inputs::make(sizes.layout()).write(&folder.ok_or("YARD names no folder")?)?);
    }
    let inputs = match &folder {
        Some(folder) => Inputs::read(folder, sizes.layout())?,
        None => Inputs::make(sizes.layout()),
    };
    let threads = std::env::var("THREADS").map_or(Ok(2), |n| n.parse())?;
    let lab = Lab::open(&inputs, threads, dry)?;
    drop(inputs);
    if gradients {
        return write_gradients(&lab, sizes, words.get(1).ok_or("--gradients needs SIZE and FILE")?);
    }
    let (steps, warm_up) = (number(1, 8)?, number(2, 2)?);
    let line = train(&lab, sizes, steps, warm_up, parts)?;
    println!("{{\"impl\":\"{}\",\"cfg\":\"{name}\",{line}}}", if dry { "dry" } else { "native" });
    Ok(())
}

/// What the timed steps took, as the fields of a JSON object.
fn train(lab: &Lab, sizes: Sizes, steps: usize, warm_up: usize, apart: bool) -> Outcome<String> {
    let mut gpt = Gpt::new(lab, sizes)?;
    let (mut times, mut faults, mut parts) = (Vec::new(), Vec::new(), [const { Vec::new() }; 3]);
    let begin = lab.totals().ops;
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
    // Both op streams, this and the guest's, are compared where a batch was drawn.
    let _ = lab.next_batch(sizes.batch, sizes.seq)?;
    let totals = lab.totals();
    let [forward, backward, optimizer] = parts.map(|mut part| median(&mut part));
    let mut fields = vec![
        format!("\"ms\":{:.4}", seconds * 1e3),
        format!("\"tok_s\":{:.0}", sizes.tokens() as f64 / seconds),
        format!("\"rss_mb\":{:.1}", megabytes(process::peak_resident_bytes())),
        format!("\"faults\":{:.0}", median(&mut faults)),
        format!("\"predicted_peak_mb\":{:.1}", megabytes(totals.peak_bytes)),
        format!("\"executor_peak_mb\":{:.1}", megabytes(lab.executor_peak_bytes())),
        format!("\"ops\":{}", (totals.ops - begin) / (warm_up + steps).max(1) as u64),
        format!("\"op_hash\":\"{}\"", totals.op_hash[..8].iter().map(|b| format!("{b:02x}")).collect::<String>()),
        format!("\"losses\":[{}]", shown.join(",")),
    ];
    if apart {
        fields.push(format!("\"fwd\":{forward:.2},\"bwd\":{backward:.2},\"opt\":{optimizer:.2}"));
    }
    Ok(fields.join(","))
}

fn write_gradients(lab: &Lab, sizes: Sizes, file: &str) -> Outcome<()> {
    let bytes: Vec<u8> = Gpt::new(lab, sizes)?.first_gradients()?.iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(std::fs::write(file, bytes)?)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
