#!/usr/bin/env python3
"""Selvedge beside plain clients of the same servers, in one run: rows and bytes a second, CPU, peak memory, an A/A control.

    selvedge up &                       # the servers: graphs/out/up.env says where
    bench/servers.py                    all workloads
    bench/servers.py --runs 3 mysql s3_small

    mysql      a table of rows of some 600 bytes, whole       beside `mariadb --quick`
    pg_out     the same table out of PostgreSQL               beside `psql \\copy … (format binary)`
    pg_in      the same rows into PostgreSQL                  beside `psql \\copy` of a file
    s3_small   many objects of 1 KB                           beside `curl --parallel`
    s3_large   one object, in ranges                          beside `curl`
    bulk       documents into bulk requests, to files         (no peer: MB/s)

Every process is new, contestants take turns, the median counts. Ours runs twice under two names: what the two differ by is noise.
Needs GNU time, curl, and the clients of the databases.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = {}
MARIADB = ["mariadb", "--no-defaults", "--protocol=tcp"]


def sh(cmd, **kw):
    ran = subprocess.run([str(c) for c in cmd], capture_output=True, text=True, **kw)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, cmd))[:500]}\n{ran.stderr[-2000:]}")
    return ran.stdout


def up_env():
    for line in (ROOT / "graphs/out/up.env").read_text().splitlines():
        if m := re.match(r"export (\w+)='(.*)'$", line):
            ENV[m[1]] = m[2].replace("'\\''", "'")


def mysql(sql, *more):
    return [*MARIADB, "-h", ENV["RETAIL_HOST"], "-P", ENV["RETAIL_PORT"], "-u", ENV["RETAIL_USER"],
            f"-p{ENV['SELVEDGE_SECRET_retail']}", *more, "retail", "-e", sql]


def psql(sql):
    return ["psql", "-qtA", "-h", ENV["WAREHOUSE_HOST"], "-p", ENV["POSTGRES_PORT"], "-U", ENV.get("WAREHOUSE_USER", "etl"), "-d", "retail", "-c", sql]


def curl(*more):
    return ["curl", "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
            f"{ENV['AWS_ACCESS_KEY_ID']}:{ENV['AWS_SECRET_ACCESS_KEY']}", *more]


def url(name):
    return f"{ENV['AWS_ENDPOINT_URL_S3']}/{ENV['LAKE'].removeprefix('s3://')}/bench/{name}"


def graph(work, name, nodes):
    folder = work / name
    folder.mkdir(exist_ok=True)
    mine = f'MySql(host: "127.0.0.1", port: {ENV["RETAIL_PORT"]}, database: "retail", user: "app", password: "${{secret:retail}}")'
    pg = f'Postgres(host: "127.0.0.1", port: {ENV["POSTGRES_PORT"]}, database: "retail", user: "etl", password: "${{secret:warehouse}}")'
    (folder / "connections.ron").write_text(
        f'Connections(profiles: {{"local": {{"mysql": {mine}, "pg": {pg}, "lake": ObjectStore(url: "${{env:LAKE}}/bench"), "here": Folder(path: "{work}")}}}})')
    (folder / "graph.ron").write_text(f'Graph(name: "{name}", nodes: {{{nodes}}})')
    return folder / "graph.ron"


def measure(cmd):
    """Wall and CPU seconds, peak MiB."""
    with tempfile.NamedTemporaryFile("r") as told:
        ran = subprocess.run(["/usr/bin/time", "-f", "%e %U %S %M", "-o", told.name, *map(str, cmd)], env={**os.environ, **ENV},
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if ran.returncode:
            sys.exit(f"{' '.join(map(str, cmd))}\n{ran.stderr.decode()[-2000:]}")
        wall, user, system, kib = told.read().split()[-4:]
    return float(wall), float(user) + float(system), int(kib) / 1024


def main():
    p = argparse.ArgumentParser()
    p.add_argument("workloads", nargs="*", default=["mysql", "pg_out", "pg_in", "s3_small", "s3_large", "bulk"])
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--rows", type=int, default=1_000_000)
    p.add_argument("--objects", type=int, default=10_000)
    p.add_argument("--mib", type=int, default=1024)
    p.add_argument("--threads", default="1", help="of Selvedge")
    args = p.parse_args()
    up_env()
    ENV["PGPASSWORD"] = ENV["SELVEDGE_SECRET_warehouse"]
    meta = json.loads(sh(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT))
    selvedge = Path(meta["target_directory"]) / "release/selvedge"
    work = Path(tempfile.mkdtemp(prefix="selvedge-bench-"))
    os.environ.update(ENV)
    ours = lambda path: [selvedge, "run", path, "--quiet", "--threads", args.threads, "--checkpoint-every", "1h", "--state", work / "state"]
    rows, bytes_of = args.rows, {}
    text = "repeat(md5(seq), 16)"
    columns = f"seq AS id, seq % 97 AS store, seq * 1.01 AS price, concat('sku-', seq) AS sku, {text} AS note, md5(seq + 1) AS tag"
    if {"mysql"} & set(args.workloads):
        sh(mysql(f"CREATE OR REPLACE TABLE bench AS SELECT {columns} FROM seq_1_to_{rows}"))
        sh(mysql("ALTER TABLE bench ADD PRIMARY KEY (id); ANALYZE TABLE bench"))
    if {"pg_out", "pg_in"} & set(args.workloads):
        of = columns.replace("seq", "s").replace("md5(s + 1)", "md5((s + 1)::text)").replace("md5(s)", "md5(s::text)").replace("s * 1.01", "(s * 1.01)::numeric(18,2)")
        sh(psql(f"DROP TABLE IF EXISTS bench, loaded; CREATE TABLE bench AS SELECT {of} FROM generate_series(1, {rows}) s"))
        sh(psql("CREATE TABLE loaded (LIKE bench); ANALYZE bench"))
        sh(psql(f"\\copy bench to '{work}/rows.txt'"))
    contests = {}
    if "mysql" in args.workloads:
        g = graph(work, "mysql", '"t": Table(connection: "mysql", table: "bench"), "n": Null(input: "t")')
        contests["mysql"] = (rows, ours(g), {"mariadb --quick": mysql("SELECT * FROM bench", "--quick", "-N", "-B")}, None)
    if "pg_out" in args.workloads:
        g = graph(work, "pg_out", '"t": Table(connection: "pg", table: "bench"), "n": Null(input: "t")')
        contests["pg_out"] = (rows, ours(g), {"psql \\copy": psql("\\copy bench to /dev/null (format binary)")}, None)
    if "pg_in" in args.workloads:
        g = graph(work, "to_parquet", '"t": Table(connection: "pg", table: "bench"), "f": Files(input: "t", connection: "here", path: "rows", format: Parquet(), mode: Replace)')
        sh(ours(g), env={**os.environ, **ENV})
        g = graph(work, "pg_in", '"f": Files(connection: "here", path: "rows/*.parquet", format: Parquet()), "w": Warehouse(input: "f", connection: "pg", table: "loaded")')
        contests["pg_in"] = (rows, ours(g), {"psql \\copy": psql(f"\\copy loaded from '{work}/rows.txt'")}, psql("TRUNCATE loaded"))
    if "s3_small" in args.workloads:
        small = work / "small"
        small.mkdir()
        config = []
        for n in range(args.objects):
            (small / f"{n:06}.ndjson").write_text(json.dumps({"id": n, "text": f"{n:032x}" * 30}) + "\n")
            config += [f'upload-file = "{small}/{n:06}.ndjson"', f'url = "{url(f"small/{n:06}.ndjson")}"', "next"]
        (work / "put").write_text("\n".join(config[:-1]).replace("upload-file", "upload-file"))
        get = "\n".join(f'url = "{url(f"small/{n:06}.ndjson")}"\noutput = "/dev/null"' for n in range(args.objects))
        (work / "get").write_text(get)
        for n in range(0, args.objects, 500):
            names = ",".join(f"{m:06}.ndjson" for m in range(n, min(n + 500, args.objects)))
            sh(curl("--parallel", "-T", "{" + ",".join(f"{small}/{x}" for x in names.split(",")) + "}", url("small/")))
        g = graph(work, "s3_small", '"f": Files(connection: "lake", path: "small/*.ndjson", format: Ndjson(), schema: {"id": Int64, "text": Utf8}), "n": Null(input: "f")')
        contests["s3_small"] = (args.objects, ours(g), {"curl --parallel": curl("--parallel", "--parallel-max", "64", "-K", work / "get")}, None)
    if "s3_large" in args.workloads:
        large = work / "large.ndjson"
        with open(large, "w") as f:
            # Nothing that a codec shortens much.
            for _ in range(args.mib * 1024):
                f.write(json.dumps({"id": 1, "text": os.urandom(500).hex()}) + "\n")
        # Arrow's own format: what is measured is the reading, not a parser.
        g = graph(work, "to_arrow", '"f": Files(connection: "here", path: "large.ndjson", format: Ndjson()), "a": Files(input: "f", connection: "here", path: "arrow", format: Arrow(), mode: Replace, roll: (size: "4GiB"))')
        sh(ours(g), env={**os.environ, **ENV})
        arrow = next((work / "arrow").glob("*.arrow"))
        bytes_of["s3_large"] = arrow.stat().st_size
        sh(curl("-T", arrow, url("large/large.arrow")))
        g = graph(work, "s3_large", '"f": Files(connection: "lake", path: "large/*.arrow", format: Arrow()), "n": Null(input: "f")')
        contests["s3_large"] = (0, ours(g), {"curl": curl("-o", "/dev/null", url("large/large.arrow"))}, None)
    if "bulk" in args.workloads:
        with open(work / "docs.ndjson", "w") as f:
            for n in range(rows):
                f.write(json.dumps({"session_id": f"s{n // 7}", "message_id": f"m{n}", "rank": n % 5, "keyword": "free shipping", "text": f"where is my order {n}, it should have come a week ago"}) + "\n")
        bytes_of["bulk"] = (work / "docs.ndjson").stat().st_size
        g = graph(work, "bulk", '"f": Files(connection: "here", path: "docs.ndjson", format: Ndjson()), "s": Search(input: "f", connection: "here", index: "docs", id: ["session_id", "message_id"], mode: Replace)')
        contests["bulk"] = (rows, ours(g), {}, None)
    print(f"{'workload':10} {'who':20} {'wall s':>8} {'spread':>7} {'CPU s':>7} {'peak MiB':>9} {'rows/s':>10} {'MB/s':>7}")
    for name, (count, cmd, peers, before) in contests.items():
        who = {"selvedge": cmd, "selvedge (A/A)": cmd, **peers}
        found = {w: [] for w in who}
        for turn in range(args.runs + 1):
            for w, c in who.items():
                if before:
                    sh(before)
                shutil.rmtree(work / "state", ignore_errors=True)
                told = measure(c)
                if turn:                   # the first round warms up
                    found[w].append(told)
        size = bytes_of.get(name, count * 600 if name in ("mysql", "pg_out", "pg_in") else count * 1000)
        for w, all_of in found.items():
            wall, cpu, peak = (statistics.median(x) for x in zip(*all_of))
            spread = (max(x[0] for x in all_of) - min(x[0] for x in all_of)) / wall
            print(f"{name:10} {w:20} {wall:8.2f} {spread:6.0%} {cpu:7.2f} {peak:9.0f} {count / wall:10,.0f} {size / wall / 1e6:7.0f}", flush=True)
    shutil.rmtree(work)


main()
