"""A search over the constants of a guest by an optimizer of others, through `host score`.

    constants.py tpe|cmaes --host HOST --policy FILE --store DIR --guest FILE --runs N --random-seed N --write FILE

`tpe` is Optuna's sampler, `cmaes` is pycma; each with the defaults of its package. Both begin with the constants of the
guest, and move each one by a factor of up to `--spread` (as `host search` does, which is random search). Prints a table
of runs, and writes the best guest so far. A guest that is refused or fails tells the optimizer so, and is not counted.
Scores that are in the store are not trained again, so the same command goes on where it was stopped.
"""
import argparse
import json
import math
import re
import subprocess

CONSTANT = re.compile(r"^const (\w+): (usize|f32) = ([0-9_.]+);", re.M)
RATES = {"LR", "RATE", "STD", "SCALE", "GAIN", "DECAY"}
# Stands for the score of a guest that was refused or failed: that of a model that knows nothing of bytes.
FAILED = 8.0


class Guest:
    """A source with constants. A point is a list of numbers from 0 to 1, one for each constant; 0.5 is as committed."""

    def __init__(self, text, spread):
        self.text, self.spread = text, spread
        self.constants = [(name, kind, float(value.replace("_", ""))) for name, kind, value in CONSTANT.findall(text)]

    def values(self, point):
        """The constants of a point, as `host search` moves them: of a share the odds move, and whole heads fit."""
        moved = {}
        for (name, kind, value), x in zip(self.constants, point):
            factor = self.spread ** (2 * min(max(x, 0.0), 1.0) - 1)
            if kind == "f32" and value < 1 and not RATES & set(name.split("_")):
                odds = value / (1 - value) * factor
                moved[name] = odds / (1 + odds)
            else:
                moved[name] = value * factor if kind == "f32" else max(round(value * factor), 1)
        if "HEAD_DIM" in moved:
            head = moved["HEAD_DIM"] = max(2 * round(moved["HEAD_DIM"] / 2), 2)
            moved["WIDTH"] = max(round(moved["WIDTH"] / head), 1) * head
        return {name: str(value) if isinstance(value, int) else f"{value:.4g}" for name, value in moved.items()}

    def source(self, point):
        values = self.values(point)

        def put(found):
            value = values[found[1]]
            value = value if found[2] == "usize" else repr(float(value))
            return f"const {found[1]}: {found[2]} = {value};"

        return CONSTANT.sub(put, self.text)


class Arm:
    def __init__(self, options, guest):
        self.options, self.guest, self.runs, self.best = options, guest, 0, math.inf
        print("run\tval_bpb\tconstants", flush=True)

    def score(self, point):
        source, o = self.guest.source(point), self.options
        path = o.write + ".candidate.rs"
        with open(path, "w") as file:
            file.write(source)
        command = [o.host, "--json", "--store", o.store, "--threads", "1", "score", path, "--policy", o.policy]
        lines = [json.loads(line) for line in subprocess.run(command, stdout=subprocess.PIPE).stdout.splitlines()]
        bpb = next((line["bpb"] for line in lines if line.get("bpb") is not None), None)
        if not lines:
            raise SystemExit("the host gave no answer; run the same command again")
        if bpb is not None and bpb < self.best:
            self.best = bpb
            with open(o.write, "w") as file:
                file.write(source)
        words = " ".join(f"{name}={value}" for name, value in self.guest.values(point).items())
        print(f"{self.runs}\t{'failed' if bpb is None else f'{bpb:.4f}'}\t{words}", flush=True)
        self.runs += bpb is not None
        return FAILED if bpb is None else bpb

    def is_over(self):
        return self.runs >= self.options.runs


def tpe(arm, names, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(dict.fromkeys(names, 0.5))
    while not arm.is_over():
        trial = study.ask()
        study.tell(trial, arm.score([trial.suggest_float(name, 0, 1) for name in names]))


def cmaes(arm, names, seed):
    import cma

    arm.score([0.5] * len(names))
    search = cma.CMAEvolutionStrategy([0.5] * len(names), 0.2, {"bounds": [0, 1], "seed": seed, "verbose": -9})
    while not arm.is_over():
        points = search.ask()
        scores = []
        for point in points:
            if arm.is_over():
                return
            scores.append(arm.score(point))
        search.tell(points, scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("optimizer", choices=["tpe", "cmaes"])
    for name in ["--host", "--policy", "--store", "--guest", "--write"]:
        parser.add_argument(name, required=True)
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--random-seed", type=int, default=1)
    parser.add_argument("--spread", type=float, default=2)
    options = parser.parse_args()
    with open(options.guest) as file:
        guest = Guest(file.read(), options.spread)
    arm = Arm(options, guest)
    {"tpe": tpe, "cmaes": cmaes}[options.optimizer](arm, [name for name, _, _ in guest.constants], options.random_seed)


if __name__ == "__main__":
    main()
