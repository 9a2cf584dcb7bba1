"""The whole proxy from outside: real clients on one side, real app servers on the other."""
