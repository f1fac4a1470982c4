"""Scores an exported champion as its user would, and with a weight that was changed."""

import pathlib
import subprocess
import sys


def score(*files):
    done = subprocess.run([sys.executable, "model/score.py", *files], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


code, words = score()
assert code == 0 and "was recorded" in words, words
code, words = score("model/train.rs")
assert code == 0 and words.endswith("bits per byte\n") and float(words.split()[0]) > 1, words
code, words = score("model/config.json", "model/train.rs")
assert code == 0, words
pathlib.Path("short").write_text("too short")
code, words = score("short")
assert code == 1 and "shorter than a chunk" in words, words
weights = pathlib.Path("model/model.safetensors")
raw = bytearray(weights.read_bytes())
half = len(raw) // 2
raw[half:] = bytes(len(raw) - half)
weights.write_bytes(raw)
code, words = score()
assert code == 1 and "not the recorded score" in words, words
