"""A weir task under test: its task file, its processes, its directories.

The processes are started directly (not by a supervisor): a test decides what dies and when,
and restarts it as a supervisor would.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("WEIR_BUILD", "build/release")
STORY = ROOT / "tests/vectors/story/invoices.sql"


def wait_until(condition, timeout=30, what="the condition"):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so after {timeout} s")
        time.sleep(0.02)


class Stage:
    """One process of the task; restart() is what a supervisor would do."""

    def __init__(self, pipeline, program, index=None):
        self.pipeline = pipeline
        self.program = program
        self.index = index
        self.build = BUILD
        self.name = program if index is None else f"{program}.{index}"
        self.log = pipeline.directory / f"{self.name}.log"
        self.process = None

    def start(self):
        command = [str(self.build / self.program), str(self.pipeline.task_file)]
        if self.index is not None:
            command += ["-i", str(self.index)]
        self.process = subprocess.Popen(command, stderr=open(self.log, "ab"),
                                        stdout=subprocess.DEVNULL, env=self.pipeline.environment)
        return self

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL, at whatever it is doing."""
        if self.running:
            self.process.send_signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)

    def stop(self):
        """SIGTERM; the exit status."""
        if self.running:
            self.process.terminate()
        return self.process.wait(30)

    def wait(self, timeout=30):
        return self.process.wait(timeout)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Pipeline:
    """Task file and processes against a running Mssqld and Kinesis endpoint."""

    def __init__(self, mssqld, kinesis, *, database="democustomer", stream="invoices", tables=("dbo.invoices",),
                 encoders=1, shippers=1, migration="full-load-and-cdc", source=None, target=None,
                 weir=None, settings=None, rules=None, environment=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-e2e-"))
        self.runtime = pathlib.Path(tempfile.mkdtemp(prefix="weir-e2e-", dir="/dev/shm"))
        self.state = self.directory / "state"
        self.task_file = self.directory / "task.json"
        self.stream = stream
        password = self.directory / "password"
        password.write_text(mssqld.sa_password if mssqld else "x")
        password.chmod(0o600)
        self.task = {
            "ReplicationTaskIdentifier": "e2e",
            "MigrationType": migration,
            "SourceEndpoint": {
                "EngineName": "sqlserver", "ServerName": "127.0.0.1",
                "Port": mssqld.port if mssqld else 1, "DatabaseName": database, "Username": "sa",
                "Password": {"File": str(password)}, "SslMode": "none", **(source or {}),
            },
            "TargetEndpoint": {
                "EngineName": "kinesis",
                "KinesisSettings": {
                    "StreamArn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}",
                    "MessageFormat": "json-unformatted", **(target or {}),
                },
            },
            "TableMappings": {"rules": rules or [
                {"rule-type": "selection", "rule-id": str(i + 1), "rule-name": f"table-{i + 1}",
                 "rule-action": "include",
                 "object-locator": {"schema-name": t.split(".")[0], "table-name": t.split(".")[1]}}
                for i, t in enumerate(tables)
            ]},
            "ReplicationTaskSettings": settings or {},
            "Weir": {
                "RuntimeDirectory": str(self.runtime), "StateDirectory": str(self.state),
                "Encoders": encoders, "Shippers": shippers, "PollIntervalMs": 50,
                "CheckpointIntervalMs": 100, "ChangeRingSize": "4MiB", "RecordRingSize": "4MiB",
                "EndpointUrl": kinesis.endpoint if kinesis else "http://127.0.0.1:1",
                **(weir or {}),
            },
        }
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TDS"))},
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "weir-tests-only",
            "AWS_CONFIG_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            **(environment or {}),
        }
        self.write_task()
        self.stages = [Stage(self, "weir-capture")]
        self.stages += [Stage(self, "weir-encoder", i) for i in range(encoders)]
        self.stages += [Stage(self, "weir-shipper", i) for i in range(shippers)]

    def write_task(self):
        self.task_file.write_text(json.dumps(self.task, indent=2))

    @property
    def capture(self):
        return self.stages[0]

    def stage(self, name):
        return next(s for s in self.stages if s.name == name)

    def start(self):
        for s in self.stages:
            s.start()
        return self

    def restart_dead(self):
        """What a supervisor does: starts again what died, except after 0 and 78."""
        restarted = []
        for s in self.stages:
            if s.process is not None and not s.running and s.process.returncode not in (0, 78):
                restarted.append((s.name, s.process.returncode))
                s.start()
        return restarted

    def kill_all(self):
        for s in self.stages:
            s.kill()

    def stop(self):
        return {s.name: s.stop() for s in self.stages if s.process is not None}

    def lose_shared_memory(self):
        """What a reboot does to /dev/shm: the rings and statistics are gone."""
        for path in self.runtime.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def weirctl(self, *arguments, check=False):
        return subprocess.run([str(BUILD / "weirctl"), *map(str, arguments)], text=True,
                              capture_output=True, env=self.environment, check=check, timeout=60)

    def table_statistics(self):
        answer = self.weirctl("tables", self.task_file, "--json")
        return json.loads(answer.stdout)

    def logs(self):
        return "\n".join(f"--- {s.name}\n{s.log_text()[-3000:]}" for s in self.stages)

    def close(self):
        self.kill_all()
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is not None:
            print(self.logs())
        self.close()
