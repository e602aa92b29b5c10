"""The invoices story on one machine: `make demo`.

Starts SQL Server's and Kinesis' stand-ins on the loopback, runs the story's SQL, checks the
task, starts the stages under supervisord, changes the table while each stage is killed once
with -9, waits until everything is acknowledged, and compares what lies in the stream with the
table.  Exits non-zero if a row is lost, late, wrong or out of order.  Cleans up after itself,
on Ctrl-C too.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

import source  # noqa: E402
from kinesis_server import Kinesisd  # noqa: E402
from pipeline import BUILD, STORY, wait_until  # noqa: E402
from servers import Mssqld  # noqa: E402
from stream import StreamReader, judge  # noqa: E402

VENV = ROOT / "build/venv/bin"
SUPERVISOR = ROOT / "deploy/supervisor/supervisord.conf"
STAGES = ["weir-capture", "weir-encoder:weir-encoder-0", "weir-shipper:weir-shipper-0"]
PROGRAMS = ["weir-capture", "weir-encoder", "weir-shipper"]
STREAM = "invoices"
INSERTS = 1000


def say(text):
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def show(command, **kwargs):
    """Runs a command as an operator would and shows what it prints."""
    words = " ".join(pathlib.Path(c).name if c.startswith("/") else c for c in map(str, command))
    print(f"$ {words}", flush=True)
    done = subprocess.run([str(c) for c in command], text=True, capture_output=True, timeout=60,
                          **kwargs)
    print(done.stdout + done.stderr, end="", flush=True)
    return done


class Demo:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-demo-"))
        self.runtime = pathlib.Path(tempfile.mkdtemp(prefix="weir-demo-", dir="/dev/shm"))
        self.task_file = self.directory / "invoices.json"
        self.log = self.directory / "log"
        self.log.mkdir()
        self.supervisord = None
        self.mssqld = None
        self.kinesisd = None
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TDS"))},
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "weir-demo-only",
            "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "WEIR_TASK": str(self.task_file), "WEIR_BIN": str(BUILD), "WEIR_LOG": str(self.log),
            "WEIR_RUN": str(self.directory), "WEIR_ENCODERS": "1", "WEIR_SHIPPERS": "1",
        }

    # ---- steps -------------------------------------------------------------------

    def servers(self):
        say("A SQL Server and a Kinesis stand-in start on the loopback")
        self.mssqld = Mssqld().start()
        self.kinesisd = Kinesisd(streams=f"{STREAM}:2").start()
        print(f"source 127.0.0.1:{self.mssqld.port}   stream {self.kinesisd.endpoint}/{STREAM}")

    def story(self):
        say("The story's SQL runs: database, ten invoices, change data capture on")
        done = subprocess.run(
            ["tsql", "-H", "127.0.0.1", "-p", str(self.mssqld.port), "-U", "sa", "-P",
             self.mssqld.sa_password], stdin=open(STORY), text=True, capture_output=True,
            timeout=60, env={**self.environment, "TDSVER": "7.4"})
        if done.returncode != 0 or "Msg " in done.stdout + done.stderr:
            raise SystemExit(f"tsql failed:\n{done.stdout}{done.stderr}")
        with source.connect(self.mssqld, "democustomer") as connection:
            count = source.query(connection, "SELECT COUNT(*) FROM dbo.invoices")[0][0]
        print(f"dbo.invoices: {count} rows")

    def task(self):
        template = json.loads((ROOT / "deploy/demo/invoices.json").read_text())
        template["SourceEndpoint"]["Port"] = self.mssqld.port
        password = self.directory / "password"
        password.write_text(self.mssqld.sa_password)
        password.chmod(0o600)
        template["SourceEndpoint"]["Password"] = {"File": str(password)}
        template["Weir"]["EndpointUrl"] = self.kinesisd.endpoint
        template["Weir"]["RuntimeDirectory"] = str(self.runtime)
        template["Weir"]["StateDirectory"] = str(self.directory / "state")
        self.task_file.write_text(json.dumps(template, indent=2))

    def check(self):
        say("weirctl check: the task file, the source, the stream")
        if self.weirctl("check", self.task_file).returncode != 0:
            raise SystemExit("weirctl check found problems")

    def start(self):
        say("The three stages start as one group under supervisord")
        self.supervisord = subprocess.Popen(
            [VENV / "supervisord", "-n", "-c", SUPERVISOR], env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: len(self.pids()) == 3, 20, "the three stages under supervisord")
        show([VENV / "supervisorctl", "-c", SUPERVISOR, "status"], env=self.environment)

    def loaded(self):
        say("The full load: ten rows")
        self.reader = StreamReader(self.kinesisd.client(), STREAM)
        self.reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 20, "ten load records")
        wait_until(lambda: self.applied("FullLoadRows") >= 10, 10, "ten rows in weirctl tables")
        self.weirctl("tables", self.task_file)
        say("Two of their records, as they lie in the stream")
        self.weirctl("tail", self.task_file, "--from", "trim", "--limit", "3")

    def change(self):
        say(f"{INSERTS:,} inserts, updates and deletes; each stage is killed once with -9 meanwhile")
        failure = []

        def write():
            try:
                self.write()
            except Exception as error:  # shown by the main thread
                failure.append(error)

        writer = threading.Thread(target=write)
        self.written = 0
        writer.start()
        for i, stage in enumerate(STAGES):
            wait_until(lambda: self.written >= INSERTS * (i + 1) // 4 or failure, 40, "the writer")
            pid = self.pid(stage)
            os.kill(pid, signal.SIGKILL)
            print(f"\nkill -9 {pid}   ({PROGRAMS[i]}, after {self.written} of {INSERTS:,} inserts)",
                  flush=True)
            wait_until(lambda: self.pid(stage) not in (0, pid), 10, f"{stage} started again")
            self.weirctl("status", self.task_file)
        writer.join()
        if failure:
            raise SystemExit(f"the writer failed: {failure[0]}")

    def write(self):
        with source.connect(self.mssqld, "democustomer") as c:
            for i in range(INSERTS):
                number = 11 + i
                source.execute(
                    c, "INSERT INTO dbo.invoices (invoice_id, customer_id, billing_date, due_date, "
                    "balance, monthly_kwh_use, total_amount_due) VALUES "
                    f"({number}, {1200000 + 37 * i % 400000}, '5/15/2022', '5/{1 + i % 28}/2022', "
                    f"{i % 90 if i % 3 else 'NULL'}, {i % 60}, {i % 60 / 2:g})")
                if i % 10 == 9:  # paid
                    source.execute(c, "UPDATE dbo.invoices SET balance = 0 WHERE invoice_id = "
                                   f"{number - 5}")
                if i % 200 == 199:  # cancelled
                    source.execute(c, f"DELETE FROM dbo.invoices WHERE invoice_id = {number - 50}")
                self.written = i + 1
                time.sleep(0.002)

    def settle(self):
        say("Everything acknowledged")
        with source.connect(self.mssqld, "democustomer") as c:
            self.positions = source.change_positions(c, "dbo_invoices")
            self.rows = source.rows(c, "dbo.invoices")
        wanted = set(self.positions)
        self.reader.wait(lambda rs: wanted <= {r.position for r in rs}, 60, "all changes")
        wait_until(lambda: self.applied("Deletes") >= INSERTS // 200, 10, "the counters")
        self.weirctl("tables", self.task_file)
        self.weirctl("status", self.task_file)

    def compare(self):
        say("The stream folded (last record per row, by position) against SELECT on the source")
        self.reader.poll()
        verdict = judge(self.reader.records, "dbo.invoices", ["invoice_id"], self.rows,
                        self.positions)
        print(verdict, flush=True)
        loads = sum(r.is_load for r in self.reader.records)
        for name, some in (("differs", verdict.differences), ("lost", verdict.lost),
                           ("out of order", verdict.out_of_order)):
            for one in some[:5]:
                print(f"  {name}: {one}")
        expected = 10 + INSERTS - INSERTS // 200
        return verdict.good and verdict.rows == expected and loads >= 10

    # ---- helpers -----------------------------------------------------------------

    def weirctl(self, *arguments):
        return show([BUILD / "weirctl", *arguments], env=self.environment)

    def applied(self, counter):
        done = subprocess.run([str(BUILD / "weirctl"), "tables", str(self.task_file), "--json"],
                              text=True, capture_output=True, env=self.environment, timeout=60)
        try:
            tables = json.loads(done.stdout)["TableStatistics"]
        except (ValueError, KeyError):
            return 0
        return sum(t.get(counter, 0) for t in tables)

    def pid(self, stage):
        done = subprocess.run([VENV / "supervisorctl", "-c", SUPERVISOR, "pid", f"weir:{stage.split(':')[-1]}"],
                              text=True, capture_output=True, env=self.environment, timeout=60)
        text = done.stdout.strip()
        return int(text) if text.isdigit() else 0

    def pids(self):
        return [p for p in map(self.pid, STAGES) if p > 0]

    def close(self):
        if self.supervisord is not None and self.supervisord.poll() is None:
            self.supervisord.terminate()
            try:
                self.supervisord.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.supervisord.pid, signal.SIGKILL)
                self.supervisord.wait(10)
        for server in (self.mssqld, self.kinesisd):
            if server is not None:
                server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)


def stop_by_signal(number, frame):
    del frame
    raise SystemExit(128 + number)


def main():
    signal.signal(signal.SIGTERM, stop_by_signal)
    signal.signal(signal.SIGHUP, stop_by_signal)
    started = time.monotonic()
    demo = Demo()
    good = False
    try:
        for step in (demo.servers, demo.story, demo.task, demo.check, demo.start, demo.loaded,
                     demo.change, demo.settle):
            step()
        good = demo.compare()
    except KeyboardInterrupt:
        print("\nstopped; cleaning up")
        return 130
    except TimeoutError as error:
        print(f"\ndemo: {error}")
        for log in sorted(demo.log.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}")
    finally:
        # A second Ctrl-C must not leave anything behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        demo.close()
    say(f"{'The story holds' if good else 'THE STORY DOES NOT HOLD'}"
        f" ({time.monotonic() - started:.0f} s)")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
