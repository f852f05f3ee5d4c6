"""TensorBoard's own reader on `fewstep export --format tensorboard`: test_export_tensorboard.py FOLDER DATABASE.

Development only (pip install tensorboard). Every curve point and every score of each run comes back, to float32."""
import pathlib
import sqlite3
import sys

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder, database = sys.argv[1:]
connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
points = 0
for number, run, method, seed in connection.execute("SELECT number, id, method, seed FROM runs"):
    # tensorboard's default keeps a sample of 10 000 points a tag; 0 keeps all.
    events = EventAccumulator(str(pathlib.Path(folder) / f"{method}-{run[:8]}-seed{seed}"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    read = {}
    for tag in events.Tags()["scalars"]:
        read.update({(tag, event.step): event.value for event in events.Scalars(tag)})
    for tag in events.Tags()["tensors"]:  # newer readers turn scalars into tensors
        for event in events.Tensors(tag):
            read[(tag, event.step)] = event.tensor_proto.float_val[0]
    wanted = {(name, update): value for name, update, value in connection.execute(
        "SELECT name, at_update, value FROM curves WHERE run = ? AND value IS NOT NULL", (number,))}
    wanted.update({(f"{metric} {extractor}/{steps} step{'' if steps == 1 else 's'}", update): value
                   for metric, extractor, steps, update, value in connection.execute(
                       "SELECT metric, extractor, steps, at_update, value FROM scores WHERE run = ?", (number,))})
    assert read.keys() == wanted.keys(), (run, set(read) ^ set(wanted))
    for key, value in wanted.items():
        assert numpy.float32(value) == numpy.float32(read[key]), (run, key, value, read[key])
    points += len(wanted)
print(f"{points} points read back by TensorBoard")
