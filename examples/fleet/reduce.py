#!/usr/bin/env python3
"""Builds one profile from the journals of a fleet, on Spark.

The map is `remit build` of a partition of journals, and the reduce is `remit build` of evidence
files: the profile and its evidence are, byte for byte, those of one `remit build` of all journals.

    spark-submit reduce.py s3a://bucket/journals -o profile.json --remit ./remit --name web
"""

import argparse
import math
import pathlib
import subprocess
import tempfile

from pyspark import SparkFiles
from pyspark.sql import SparkSession

# How many evidence files one task joins.
FAN_IN = 16


def build(folder, inputs, options):
    """Runs `remit build` in this folder; returns the evidence that it writes."""
    command = [SparkFiles.get("remit"), "build", *inputs, "-o", "part.json", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return (pathlib.Path(folder) / "part.evidence.json").read_bytes()


def evidence_of_journals(options):
    def of_partition(journals):
        with tempfile.TemporaryDirectory() as folder:
            names = []
            for number, (path, content) in enumerate(journals):
                names.append(f"{number:06}-{pathlib.PurePosixPath(path).name}")
                (pathlib.Path(folder) / names[-1]).write_bytes(content)
            if names:
                yield build(folder, names, options)

    return of_partition


def evidence_of_evidence(parts):
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, content in enumerate(parts):
            names.append(f"{number:06}.evidence.json")
            (pathlib.Path(folder) / names[-1]).write_bytes(content)
        if names:
            yield build(folder, names, [])


def main():
    parser = argparse.ArgumentParser(description="Builds one profile from the journals of a fleet, on Spark.")
    parser.add_argument("journals", help="a folder of *.jsonl, in any file system that Spark reads")
    parser.add_argument("-o", "--output", required=True, help="the profile; its evidence goes beside it")
    parser.add_argument("--remit", default="remit", help="the static binary that every task runs")
    parser.add_argument("--partitions", type=int, default=None, help="how many tasks read journals")
    parser.add_argument("--accept-unclean", action="store_true", help="as of remit build")
    # All else is for the last `remit build`: --name, --base, --overlay, --expect, --digests.
    arguments, rest = parser.parse_known_args()

    spark = SparkSession.builder.appName("remit build").getOrCreate()
    context = spark.sparkContext
    context.addFile(arguments.remit)
    unclean = ["--accept-unclean"] if arguments.accept_unclean else []

    journals = context.binaryFiles(f"{arguments.journals}/*.jsonl")
    partitions = arguments.partitions or max(context.defaultParallelism, 1)
    # Whole files, so that a partition has some megabytes in the memory of its task at a time.
    parts = journals.repartition(partitions).mapPartitions(evidence_of_journals(unclean))
    while parts.getNumPartitions() > FAN_IN:
        fewer = math.ceil(parts.getNumPartitions() / FAN_IN)
        parts = parts.repartition(fewer).mapPartitions(evidence_of_evidence)

    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, content in enumerate(parts.collect()):
            names.append(str(pathlib.Path(folder) / f"{number:06}.evidence.json"))
            pathlib.Path(names[-1]).write_bytes(content)
        if not names:
            raise SystemExit(f"{arguments.journals}: holds no journal (*.jsonl)")
        last = [SparkFiles.get("remit"), "build", *names, "-o", arguments.output, *rest]
        code = subprocess.run(last).returncode
    spark.stop()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
