//! `host export`: tables that a reader of CSV reads, a repository that a real `git` reads, logs for TensorBoard, and
//! forms that packages of Python read.

use crate::common::home::{Home, lines, python, said, trials};
use std::path::Path;
use std::process::Command;

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git").args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn table(home: &Home, name: &str) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(home.path(name)).unwrap().into_records().map(Result::unwrap).collect()
}

#[test]
fn a_night_goes_on_in_other_tools() {
    let (night, _) = Home::after_a_night();
    let home = Home::new();
    let store = night.path(".host");
    let store = store.to_str().unwrap();
    let args = ["--store", store, "export", "--csv", "tables", "--git", "repo", "--tensorboard", "logs"];
    let exported = home.host(&args);
    assert_eq!(exported.status.code(), Some(0), "{}", said(&exported));

    let known = trials(&night.host(&["log", "--json"]));
    let rows = table(&home, "tables/trials.csv");
    assert_eq!(rows.len(), known.len());
    for (row, trial) in rows.iter().zip(&known) {
        assert_eq!((&row[0], &row[6]), (&*trial["number"].to_string(), trial["verdict"].as_str().unwrap()));
        assert_eq!(row[4], *trial["description"].as_str().unwrap());
    }
    let runs = table(&home, "tables/runs.csv");
    assert!(runs.iter().any(|run| &run[1] == "0" && &run[2] == "baseline"), "{runs:?}");
    assert!(runs.iter().all(|run| &run[4] != "completed" || run[5].parse::<f64>().unwrap() > 0.5), "{runs:?}");
    assert!(table(&home, "tables/curves.csv").len() > runs.len(), "more than one point a run");

    let kept = known.iter().filter(|trial| trial["verdict"] == "keep").count();
    let repo = home.path("repo");
    let log = git(&repo, &["log", "--format=%H %s"]);
    assert_eq!(log.lines().count(), kept + 1, "{log}");
    assert!(log.ends_with("The seed guest\n"), "{log}");
    assert_eq!(git(&repo, &["status", "--porcelain"]), "");
    assert_eq!(git(&repo, &["branch", "--show-current"]), "night-1\n");
    assert!(std::fs::read_to_string(repo.join("train.rs")).unwrap().contains("guest!(train, model);"));
    git(&repo, &["fsck", "--strict"]);

    let log = std::fs::read(home.path("logs/night/events.out.tfevents.0.host")).unwrap();
    assert!(log.windows(13).any(|bytes| bytes == b"brain.Event:2"));
    assert_eq!(std::fs::read_dir(home.path("logs")).unwrap().count(), runs.len() + 1);

    // The same again is the same; a folder with other files is left alone.
    let again = home.host(&["--json", "--store", store, "export", "1", "--git", "again", "--csv", "tables"]);
    assert_eq!((again.status.code(), lines(&again).len()), (Some(0), 2), "{}", said(&again));
    assert_eq!(git(&home.path("again"), &["rev-parse", "HEAD"]), git(&repo, &["rev-parse", "HEAD"]));
    let taken = home.host(&["--store", store, "export", "--git", "tables"]);
    assert!(taken.status.code() == Some(1) && said(&taken).contains("holds other files"), "{}", said(&taken));
    let nothing = home.host(&["--store", store, "export"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
    assert!(said(&nothing).contains("--champion <DIR>"), "every form is named: {}", said(&nothing));
    let none = home.host(&["--store", store, "export", "9", "--csv", "none"]);
    assert!(none.status.code() == Some(1) && said(&none).contains("no night 9"), "{}", said(&none));
}

#[test]
fn what_the_store_has_lost_is_named_and_no_other_champion_is_given() {
    let (night, _) = Home::after_a_night();
    let store = night.copy_of_store("export-of-what-is-lost");
    let index = rusqlite::Connection::open(store.join("index.sqlite")).unwrap();
    let sql = "SELECT number, source_blob FROM trials WHERE verdict = 'keep' ORDER BY number DESC LIMIT 1";
    let (number, blob): (i64, String) = index.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    std::fs::write(store.join("blobs").join(&blob[..2]).join(&blob[2..]), "damaged").unwrap();
    let home = Home::new();
    let export = |form: &str, folder: &str| home.host(&["--store", store.to_str().unwrap(), "export", form, folder]);
    let champion = export("--champion", "model");
    let words = format!("the store has lost the source of the champion, trial #{number}");
    assert!(champion.status.code() == Some(1) && said(&champion).contains(&words), "{}", said(&champion));
    assert!(!home.path("model").exists());
    let tables = export("--csv", "tables");
    let words = format!("left out, since the store has lost it: the source of the kept trial #{number}");
    assert!(tables.status.code() == Some(0) && said(&tables).contains(&words), "{}", said(&tables));
}

#[test]
fn packages_of_python_read_their_forms() {
    let (night, _) = Home::after_a_night();
    let home = Home::new();
    let store = night.path(".host");
    let forms = ["--parquet", "typed", "--csv", "plain", "--wandb-offline", "runs", "--trackio", "trackio"];
    let exported = home.host(&[&["--json", "--store", store.to_str().unwrap(), "export"], &forms[..]].concat());
    assert_eq!((exported.status.code(), lines(&exported).len()), (Some(0), 4), "{}", said(&exported));
    let trained = table(&home, "plain/runs.csv").len();
    assert_eq!(std::fs::read_dir(home.path("runs")).unwrap().count(), trained + 1);
    assert!(home.path("trackio/night-1.db").is_file());
    python(&home, "pyarrow.parquet", include_str!("python/parquet.py"));
    python(&home, "wandb.sdk.internal.datastore", include_str!("python/wandb_offline.py"));
    python(&home, "trackio.sqlite_storage", include_str!("python/trackio_project.py"));
}
