"""Where output goes while a pipeline runs; in a process of its own, because pytest captures output too."""

import subprocess
import sys

SCRIPT = """
import logging, os, subprocess, sys
from pathlib import Path
from pipeline.capture import output_to

try:
    with output_to(Path(sys.argv[1])) as stream:
        print("by print")
        print("to stderr", file=sys.stderr)
        os.write(1, b"by C++\\n")
        subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": "by logging"}))
        print("for the person", file=stream)
        raise ValueError
except ValueError:
    print("afterwards")
"""


def test_everything_but_the_stream_goes_to_the_file_until_the_block_ends(tmp_path):
    log = tmp_path / "run.log"
    ended = subprocess.run([sys.executable, "-c", SCRIPT, log], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("for the person\nafterwards\n", "")
    for words in ("by print", "to stderr", "by C++", "by a child", "by logging"):
        assert words in log.read_text()
