"""Looks for everything that is not there, and tells what it found."""

import os
import socket
import sys
import time


def attempt(name, do):
    try:
        print(f"{name}: {do()}", file=sys.stderr)
    except Exception as error:
        print(f"{name}: {type(error).__name__} {error}", file=sys.stderr)


def train(lab):
    print("environment", dict(os.environ), "arguments", sys.argv[1:], file=sys.stderr)
    print("time", int(time.time()), int(time.monotonic()), file=sys.stderr)
    print("random", os.urandom(8).hex(), file=sys.stderr)
    attempt("open", lambda: open("/etc/passwd").read())
    attempt("listdir", lambda: os.listdir("/"))
    attempt("connect", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 80)))
    raise Exception("told")


def model(tokens):
    return tokens
