"""Load reports of app servers for the proxy in front: a middleware, one line in the app (see asgi.py and wsgi.py).

Law of this package: it imports the standard library alone, not even the rest of this program, so that the folder may be
copied into an app.
"""
