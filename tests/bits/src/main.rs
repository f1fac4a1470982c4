//! `bits [--path NAME] [--threads N] [--planning on|off]`: prints every digest that this machine computes. To be
//! run on the machine, or the emulator, that is compared.

use bits::{Variant, digests, report};
use kernels::cpu::Planning;
use kernels::cpu::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: bits [--path NAME] [--threads N] [--planning on|off]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = variant(&arguments).and_then(|variant| digests(variant).map_err(|fault| fault.to_string()));
    match text {
        Ok(digests) => {
            print!("{}", report(&digests));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn variant(arguments: &[String]) -> Result<Variant, String> {
    let mut variant = Variant::fast(1);
    for pair in arguments.chunks(2) {
        match pair {
            [flag, name] if flag == "--path" => {
                variant.path = Path::named(name).ok_or_else(|| format!("this machine has no path {name}"))?;
            }
            [flag, count] if flag == "--threads" => {
                variant.threads = count.parse().map_err(|_| USAGE.to_owned())?;
            }
            [flag, on] if flag == "--planning" && on == "on" => variant.planning = Planning::On,
            [flag, off] if flag == "--planning" && off == "off" => variant.planning = Planning::Off,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(variant)
}
