#!/bin/sh
# Stands in for componentize-py. What it does is in the file `behaviour` beside the link that it is called by.
here=$(dirname "$0")
version="componentize-py 0.25.9"
componentize() { :; }
. "$here/behaviour"
if [ "$1" = --version ]; then
  echo "$version"
  exit 0
fi
while [ $# -gt 0 ]; do
  case "$1" in
    --output) output=$2 ;;
    --python-path) app=$2 ;;
  esac
  shift
done
componentize
