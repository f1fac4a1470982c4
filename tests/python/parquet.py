# Reads the tables of `host export --parquet typed --csv plain` with pyarrow, and compares them with the CSV.
import csv
import math
import pyarrow.parquet as parquet

for name in ["trials", "runs", "curves"]:
    table = parquet.read_table(f"typed/{name}.parquet")
    with open(f"plain/{name}.csv", newline="") as file:
        names, *rows = list(csv.reader(file))
    assert table.column_names == names, (table.column_names, names)
    assert table.num_rows == len(rows)
    for field in table.schema:
        assert str(field.type) in ["string", "uint64", "int64", "double"], field
    for typed, plain in zip(table.to_pylist(), rows):
        for value, cell in zip(typed.values(), plain):
            if isinstance(value, float) and cell:
                known = float(cell)
                assert value == known or math.isnan(value) and math.isnan(known), (value, cell)
            elif isinstance(value, str):
                assert cell in [value, "'" + value], (value, cell)
            else:
                assert ("" if value is None else str(value)) == cell, (value, cell)
    metadata = table.schema.metadata or parquet.read_metadata(f"typed/{name}.parquet").metadata
    assert metadata[b"night"] == b"1", metadata
    assert parquet.read_metadata(f"typed/{name}.parquet").created_by == "nightlab"
