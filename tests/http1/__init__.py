"""The codec, from literal bytes: tables of cases in cases_*.py, what every case must satisfy in wire.py."""
