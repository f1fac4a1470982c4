# Reads the project of `host export --trackio trackio` with the package trackio.
import csv
import os

os.environ["TRACKIO_DIR"] = os.path.abspath("trackio")
from trackio.sqlite_storage import SQLiteStorage

assert SQLiteStorage.get_projects() == ["night-1"]
runs = SQLiteStorage.get_runs("night-1")
with open("plain/runs.csv", newline="") as file:
    known = list(csv.DictReader(file))
assert len(runs) == len(known) + 1, runs
for run in known:
    name = f"trial-{int(run['trial']):04}-seed-{int(run['random_seed'])}-{run['experiment'][:12]}"
    config = SQLiteStorage.get_run_config("night-1", name)
    assert config["experiment"] == run["experiment"] and config["_Group"] == name[:10], config
    logs = SQLiteStorage.get_logs("night-1", name)
    scores = [row["held-out bits per byte"] for row in logs if "held-out bits per byte" in row]
    assert scores == [float(run["bpb"])] * bool(run["bpb"]), logs
# Trackio brings the file to its own form, and what was in it stays.
SQLiteStorage.init_db("night-1")
assert SQLiteStorage.get_runs("night-1") == runs
