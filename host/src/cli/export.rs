//! `host export`: a night for other tools.

use crate::cli::args::{Cli, Export};
use crate::cli::ctrl_c::stop_on_ctrl_c;
use crate::cli::out::{eprintln, println};
use crate::cli::text;
use anyhow::{Result, anyhow, bail};
use nightlab::night::export::{
    Champion, Past, write_champion, write_parquet, write_repository, write_tables, write_tensorboard, write_trackio,
    write_wandb,
};
use nightlab::night::{past, setup};
use nightlab::record::store::{Model, Store};
use nightlab::system::sanitize::printable;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Writes each form that was asked for, and says where.
pub fn export(cli: &Cli, what: &Export) -> Result<ExitCode> {
    let store = setup::existing_store(&cli.store)?;
    let (night, policy) = past::night(&store, what.night)?;
    let past = Past::read(&store, night, &policy)?;
    for lost in &past.lost {
        eprintln!("left out, since the store has lost it: {lost}; `host store check` tells more");
    }
    let say = |form: &str, folder: &Path, what: String| match cli.json {
        true => text::json_line(&json!({
            "night": past.night.id, "form": form, "folder": folder, "what": what, "lost": past.lost,
        })),
        false => println!("{form:<12} {}: {what}", printable(&folder.to_string_lossy())),
    };
    if let Some(folder) = &what.csv {
        write_tables(folder, &past)?;
        let (trials, runs) = (past.trials.len(), past.runs.len());
        say("csv", folder, format!("trials.csv ({trials}), runs.csv ({runs}), curves.csv"));
    }
    if let Some(folder) = &what.parquet {
        write_parquet(folder, &past)?;
        let (trials, runs) = (past.trials.len(), past.runs.len());
        say("parquet", folder, format!("trials.parquet ({trials}), runs.parquet ({runs}), curves.parquet"));
    }
    if let Some(folder) = &what.git {
        let branch = write_repository(folder, &past)?;
        say("git", folder, format!("branch {branch}, {} keeps; `git log` tells them", past.keeps.len()));
    }
    if let Some(folder) = &what.tensorboard {
        write_tensorboard(folder, &past)?;
        say("tensorboard", folder, format!("{} runs; `tensorboard --logdir` shows them", past.runs.len()));
    }
    if let Some(folder) = &what.wandb_offline {
        let written = write_wandb(folder, &past)?.len();
        say("wandb", folder, format!("{written} runs; `wandb sync DIR/offline-run-*` sends them"));
    }
    if let Some(folder) = &what.trackio {
        let written = write_trackio(folder, &past)?;
        let project = written.file_stem().unwrap_or_default().to_string_lossy();
        say("trackio", folder, format!("project {project}; `TRACKIO_DIR=DIR trackio show` shows it"));
    }
    if let Some(folder) = &what.champion {
        say("champion", folder, champion(cli, store, &past, folder)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the last champion, or the seed guest if nothing was kept. Returns what it is. Weights that were let go are
/// trained again.
fn champion(cli: &Cli, store: Store, past: &Past, folder: &Path) -> Result<String> {
    let kept = past.keeps.last();
    if kept.map_or(0, |keep| keep.trial.number) != past.champion {
        bail!("the store has lost the source of the champion, trial #{}; `host store check` tells more", past.champion);
    }
    let known = kept.and_then(|keep| keep.trial.found.experiment);
    let record = match known {
        Some(key) => store.find_experiment(&key)?,
        None => past.runs.iter().find(|run| run.trial == 0).map(|run| run.record.clone()),
    };
    let (Some(record), Some(guest)) = (record, kept.map(|keep| &keep.guest).or(past.seed.as_ref())) else {
        bail!("night {} has no model yet; `host log` lists its trials", past.night.id);
    };
    let (bench, component) = setup::for_record(store, &record, None, cli.power())?;
    if let Model::LetGo(_) = bench.store.model(&record)? {
        eprintln!("{}", text::let_go(&record));
    }
    let stop = stop_on_ctrl_c()?;
    let mut bar = text::Bar::new(cli.json, "training again");
    let model = bench.model(&component, &record, &mut |progress| bar.progress(progress), &|| stop.now())?;
    bar.finish();
    let model = model.map_err(|status| anyhow!("there is no model: {status}"))?;
    let graph = bench.graph(&component, &record, &model, &|| stop.now());
    let Some(graph) = graph.map_err(|status| anyhow!("its graph could not be recorded: {status}"))? else {
        bail!("the champion's `forward` reads values, so that no graph of it holds for every text; nothing is written");
    };
    let champion = Champion {
        trial: kept.map_or(0, |keep| keep.trial.number),
        change: kept.map_or("seed guest", |keep| &keep.trial.description),
        guest,
        credits: kept.map_or(&[], |keep| &keep.before),
        record: &record,
        task: &bench.task,
        model: &model,
        graph: &graph,
    };
    write_champion(folder, &champion)?;
    let name = kept.map_or("the seed guest".into(), |keep| format!("trial #{}", keep.trial.number));
    Ok(format!("{name}, {} ops; `python3 DIR/score.py` scores it", graph.nodes.len()))
}
