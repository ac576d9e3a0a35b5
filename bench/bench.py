#!/usr/bin/env python3
"""Selvedge beside its peers, in one run on the same files: wall, CPU, peak memory, and an A/A control.

    bench/bench.py                      all workloads at full size beside Polars, DuckDB, DataFusion, PySpark
    bench/bench.py --runs 3 clickstream chat     these workloads only
    bench/bench.py --rows 100000 chat   a small size: do the outputs agree? Wall time is mostly start-up there
    bench/bench.py --linear             inventory, clickstream and chat, small to large: is the cost linear, does the memory stay?
    bench/bench.py --peers none --runs 3 pos     ours alone (twice: the A/A control)

Needs the folder of the peers (generator, a script for each peer, comparator), $PEERS or ../shared/bench beside the
checkout, which installs what it needs itself; Python 3.11+, GNU time. Data and outputs go to $BENCH_WORK (20 GB free).
Every process is new; inputs are read once before, so that all find them in the page cache; contestants take turns, so
that a drift of the machine hits all; the median counts. Ours runs twice under two names: what the two differ by is
noise, and no difference below it means anything. Outputs are compared row by row with the reference's.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("PEERS", ROOT.parent / "shared" / "bench")).resolve()
WORK = Path(os.environ.get("BENCH_WORK", "/tmp/selvedge-bench"))
HOME = Path(os.environ.get("PEER_HOME", Path.home() / ".cache" / "peers"))
PYTHON = HOME / "venv" / "bin" / "python"
OURS = ["selvedge", "selvedge (A/A)"]
WORKLOADS = ["inventory", "pos", "customer", "clickstream", "chat", "chat_yake"]
# Not at full size, as its peers take minutes then: what the generator calls its input, and how many rows.
SAMPLES = {"chat_yake": ("chat", 40_000)}
# Peers of their own, in the place of those of --peers.
LINEAR = {
    "inventory": (1_000_000, 10_000_000, 40_000_000),
    "clickstream": (1_050_000, 4_200_000, 8_400_000),
    "chat": (1_125_000, 4_500_000, 9_000_000),
}
SPECIAL = {"chat_yake": ["yake", "yakerust"]}
# Rows of one key stand together, ascending by the others: part of what the workload asks for.
ORDER = {"clickstream": "user_id,event_ts,event_id"}


def run(cmd, **kw):
    return subprocess.run([str(c) for c in cmd], check=True, **kw)


def binary():
    run(["cargo", "build", "--release", "-p", "selvedge"], cwd=ROOT)
    meta = json.loads(subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT, check=True, capture_output=True).stdout)
    return Path(meta["target_directory"]) / "release" / "selvedge"


def data(workload, rows=None):
    workload, sample = SAMPLES.get(workload, (workload, None))
    rows = rows or sample
    folder = WORK / "data" / (f"{rows}" if rows else "bench")
    if not (folder / workload).is_dir() or not any((folder / workload).iterdir()):
        run([PYTHON, PEERS / "gen.py", workload, folder] + (["--rows", rows] if rows else ["--scale", "bench"]))
    for f in (folder / workload).iterdir():      # into the page cache
        with open(f, "rb") as h:
            while h.read(1 << 24):
                pass
    return folder / workload


def command(who, workload, src, out, selvedge, memory):
    if who in OURS:
        return [selvedge, "run", ROOT / "bench" / "graphs" / f"{workload}.ron", "--set", f"data={src}", "--set", f"out={out}",
                "--memory", memory, "--quiet", "--threads", "2", "--state", WORK / "state", "--scratch", WORK / "tmp",
                "--report", WORK / f"report-{workload}.json"]
    if who == "spark":
        home = subprocess.run([PYTHON, "-c", "import pyspark,os;print(os.path.dirname(pyspark.__file__))"], capture_output=True, text=True).stdout.strip()
        os.environ.update(SPARK_HOME=home, PYSPARK_PYTHON=str(PYTHON), PYSPARK_DRIVER_PYTHON=str(PYTHON))
        return [f"{home}/bin/spark-submit", "--master", "local[2]", "--driver-memory", "8g", PEERS / "peer_spark.py", workload, src, out]
    return [PYTHON, PEERS / f"peer_{who}.py", workload, src, out]


def measure(cmd):
    timing = WORK / "time.txt"
    since = time.time()
    p = subprocess.run(["/usr/bin/time", "-v", "-o", str(timing)] + [str(c) for c in cmd], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wall = time.time() - since
    if p.returncode != 0:
        sys.exit(f"{' '.join(map(str, cmd))}\nended with {p.returncode}:\n{p.stdout.decode(errors='replace')[-3000:]}")
    text = timing.read_text()
    number = lambda what: float(re.search(what + r": ([\d.]+)", text).group(1))
    return {"wall": wall, "cpu": number(r"User time \(seconds\)") + number(r"System time \(seconds\)"),
            "mib": number(r"Maximum resident set size \(kbytes\)") / 1024}


def contest(workload, who, src, runs, selvedge, memory):
    results = {w: [] for w in who}
    for _ in range(runs):
        for w in who:
            out = WORK / "out" / workload / w.split()[0]
            shutil.rmtree(out, ignore_errors=True)
            out.parent.mkdir(parents=True, exist_ok=True)
            results[w].append(measure(command(w, workload, src, out, selvedge, memory)))
    return {w: {k: statistics.median(r[k] for r in rs) for k in rs[0]} | {"min": min(r["wall"] for r in rs), "max": max(r["wall"] for r in rs)}
            for w, rs in results.items()}


def agree(workload, a, b):
    """The comparator's last line: SAME or DIFFERENT; of keywords the share of messages that have the same ones."""
    folder = WORK / "out" / workload
    order = ["--order", ORDER[workload]] if workload in ORDER else []
    comparator = PEERS / ("compare_keywords.py" if workload in SPECIAL else "compare.py")
    p = subprocess.run([str(PYTHON), str(comparator), str(folder / a), str(folder / b)] + order, capture_output=True, text=True)
    return (p.stdout.strip().splitlines() or [p.stderr.strip()[-300:]])[-1]


def versions(peers):
    show = "import importlib.metadata as m;print(', '.join(f'{n} {m.version(n)}' for n in %r))" % [{"spark": "pyspark", "yakerust": "yake-rust"}.get(p, p) for p in peers]
    return subprocess.run([str(PYTHON), "-c", show], capture_output=True, text=True).stdout.strip()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--peers", default="polars,duckdb,datafusion,spark")
    ap.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all if none is named")
    ap.add_argument("--rows", type=int, help="input rows, instead of the full size")
    ap.add_argument("--memory", default="512MiB")
    ap.add_argument("--linear", action="store_true")
    a = ap.parse_args()
    if unknown := set(a.workloads) - set(WORKLOADS):
        ap.error(f"no workload {', '.join(sorted(unknown))}: there are {', '.join(WORKLOADS)}")
    for d in ("state", "tmp", "out"):
        (WORK / d).mkdir(parents=True, exist_ok=True)
    os.environ["PEER_TMP"] = str(WORK / "tmp")
    if not PYTHON.exists():
        run(["bash", PEERS / "setup.sh"], env={**os.environ, "PEER_HOME": str(HOME)})
    selvedge = binary()
    if a.linear:
        print("| workload | rows | wall s | CPU s | peak MiB | µs CPU a row |\n|---|---|---|---|---|---|")
        for workload in a.workloads or LINEAR:
            for rows in LINEAR[workload]:
                r = contest(workload, OURS[:1], data(workload, rows), a.runs, selvedge, a.memory)[OURS[0]]
                told = f"{r['wall']:.2f} | {r['cpu']:.2f} | {r['mib']:.0f} | {1e6 * r['cpu'] / rows:.3f}"
                print(f"| {workload} | {rows:,} | {told} |", flush=True)
        return
    named = [p for p in a.peers.split(",") if p != "none"]
    workloads = a.workloads or WORKLOADS
    peers_of = {w: SPECIAL.get(w, named) if named else [] for w in workloads}
    everyone = list(dict.fromkeys(p for peers in peers_of.values() for p in peers))
    print(f"{a.runs} runs each, medians; 2 threads; budget of ours {a.memory}; {versions(everyone) if everyone else 'no peers'}\n")
    print("| workload | contestant | wall s | min..max | CPU s | peak MiB | wall / best peer | output |\n|---|---|---|---|---|---|---|---|")
    for workload, peers in peers_of.items():
        results = contest(workload, OURS + peers, data(workload, a.rows), a.runs, selvedge, a.memory)
        best = min((results[p]["wall"] for p in peers), default=results[OURS[0]]["wall"])
        reference = "spark" if "spark" in peers else (peers or ["selvedge"])[0]
        for who, r in results.items():
            same = "" if who == OURS[1] or who == reference else agree(workload, reference, who)
            print(f"| {workload} | {who} | {r['wall']:.2f} | {r['min']:.2f}..{r['max']:.2f} | {r['cpu']:.1f} | {r['mib']:.0f} | {r['wall'] / best:.2f} | {same} |", flush=True)


if __name__ == "__main__":
    main()
