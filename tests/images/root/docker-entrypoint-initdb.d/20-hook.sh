#!/bin/sh
# A hook that is executed.
test -n "$PATH"
