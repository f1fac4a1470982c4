# Reads the runs of `host export --wandb-offline runs` with the package wandb.
import glob
import json
from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import DataStore

kinds = set()
for path in glob.glob("runs/offline-run-*/run-*.wandb"):
    log = DataStore()
    log.open_for_scan(path)
    records = []
    while (data := log.scan_data()) is not None:
        record = Record()
        record.ParseFromString(data)
        # Nothing was written that the message does not know.
        assert record.ByteSize() <= len(data)
        records.append(record)
    found = [record.WhichOneof("record_type") for record in records]
    assert found[:2] == ["header", "run"] and found[-2:] == ["summary", "exit"], found
    assert set(found[2:-2]) == {"history"}, found
    assert [record.num for record in records] == list(range(1, len(records) + 1))
    run = records[1].run
    assert run.project == "night-1" and path.endswith(f"-{run.run_id}/run-{run.run_id}.wandb"), run
    for item in run.config.update:
        json.loads(item.value_json)
    steps = [record.history.step.num for record in records[2:-2]]
    assert steps == sorted(set(steps)), steps
    for record in records[2:-2]:
        values = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        assert values["_step"] == record.history.step.num
    kinds.add(run.job_type)
assert {"night", "baseline", "search"} <= kinds, kinds
