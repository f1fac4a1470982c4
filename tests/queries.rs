//! The queries and the notebook of the documentation, run on the store of a night.

use crate::common::home::Home;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::process::Command;

#[test]
fn the_queries_of_the_documentation_run() {
    let (home, _) = Home::after_a_night();
    let index = home.path(".host/index.sqlite");
    let index = Connection::open_with_flags(index, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let page = include_str!("../docs/queries.md");
    let queries: Vec<&str> = page.split("```sql\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(queries.len(), 8);
    for (number, query) in queries.iter().enumerate() {
        let mut query = index.prepare(query).unwrap_or_else(|error| panic!("query {number}: {error}"));
        let found = query.query_map([], |_| Ok(())).unwrap().map(Result::unwrap).count();
        // Every night has proposers, and spends time.
        assert!(found > 0 || !(2..=3).contains(&number), "query {number} finds nothing");
    }
}

/// But for the cell that draws, which needs matplotlib.
#[test]
fn the_notebook_of_the_documentation_runs() {
    let (home, _) = Home::after_a_night();
    let notebook: Value = serde_json::from_str(include_str!("../docs/night.ipynb")).unwrap();
    let is_code = |cell: &&Value| cell["cell_type"] == "code";
    let text =
        |cell: &Value| cell["source"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect::<String>();
    let cells: Vec<String> = notebook["cells"].as_array().unwrap().iter().filter(is_code).map(text).collect();
    assert!(cells.join("\n").lines().count() <= 30);
    let (drawing, plain): (Vec<_>, Vec<_>) = cells.into_iter().partition(|cell| cell.contains("matplotlib"));
    assert_eq!((drawing.len(), plain.len()), (1, 2));
    let mut python = Command::new("python3");
    let output = python.args(["-c", &plain.join("\n")]).env("STORE", home.path(".host")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains(" trials  "), "{output:?}");
}
