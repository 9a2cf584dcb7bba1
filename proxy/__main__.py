"""python -m proxy, the same as the command qantara.

Law of this file: the working folder is off the path before anything else is imported (see server/safe_path.py).
"""

from .server.safe_path import leave_working_folder


def main() -> int:
    """Run the command of sys.argv. Returns the exit code."""
    leave_working_folder()
    from .cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
